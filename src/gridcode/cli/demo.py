"""``gridcode demo``: the whole system on built-in scenes, from nothing to a report with pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gridcode.cli.arguments import parse
from gridcode.cli.output import fresh_folder
from gridcode.prior.config import autoregressive
from gridcode.recipes import Recipe, image_recipe


@dataclass(frozen=True)
class Arguments:
    """Command line of ``demo``."""

    out: Path = Path("demo")
    """Folder for everything the demo makes."""
    smoke: bool = False
    """A few steps of everything, to see that it runs; the pictures stay noise."""
    force: bool = False
    """Replace an earlier demo."""


def run(arguments: list[str]) -> None:
    """Train both stages, sample, measure, report.

    Raises:
        GridcodeError: The folder is occupied.
    """
    parsed = parse(
        Arguments,
        arguments,
        prog="gridcode demo",
        description="Everything, on built-in scenes, in six minutes.",
    )
    fresh_folder(parsed.out, force=parsed.force)
    from gridcode.cli.output import narrator
    from gridcode.data.open import open_split
    from gridcode.domains.image.evaluate import Subject, evaluate
    from gridcode.domains.image.report import image_findings
    from gridcode.evaluation.publish import Runs, publish
    from gridcode.prior.train import train_prior
    from gridcode.tasks.generate import Generator
    from gridcode.tasks.tokenize import StoreOptions, tokenize
    from gridcode.tokenizer.domain import Sources
    from gridcode.tokenizer.train import train_tokenizer
    from gridcode.training.log import Stopwatch
    from gridcode.training.run import RunOptions

    say, watch = narrator(), Stopwatch()
    again = "the same command with --force starts again"
    settings, out = _settings(smoke=parsed.smoke), parsed.out
    data = settings.tokenizer.data
    say(f"rendering {data.train_count + data.val_count:,} scenes at {data.size} px")
    with watch.part("rendering scenes"):
        sources = Sources(open_split(data, "train"), open_split(data, "val"))

    say("Stage I: the tokenizer learns to turn a picture into a grid of integers, and back")
    options = RunOptions(out / "tokenizer", force=parsed.force, again=again)
    with watch.part("Stage I"):
        tokenizer = train_tokenizer(settings.tokenizer, options, sources=sources)
    say("writing every picture's tokens")
    splits = {"train": sources.train, "val": sources.val}
    store_options = StoreOptions(out / "tokens", flips=settings.flips, force=parsed.force)
    with watch.part("writing tokens"):
        store = tokenize(tokenizer, splits, data, store_options)

    say("Stage II: the prior learns what grids look like, from the tokens alone")
    with watch.part("Stage II"):
        prior = train_prior(settings.prior, store, RunOptions(out / "prior", force=parsed.force, again=again))

    generator = Generator(prior, tokenizer)
    subject = Subject(tokenizer, generator, data, sources.train, sources.val)
    evaluation = evaluate(subject, settings.evaluation, say=say, watch=watch)
    report = publish(
        image_findings(evaluation, subject, settings.evaluation),
        Runs(tokenizer=out / "tokenizer", prior=out / "prior"),
        out=out / "report",
        command="gridcode demo" + (" --smoke" if parsed.smoke else ""),
        seconds=watch.seconds,
    )
    say(f"done; open {report}")


def _settings(*, smoke: bool) -> Recipe:
    if not smoke:
        return image_recipe("scenes_demo")
    settings = image_recipe("scenes_smoke")
    return replace(settings, prior=autoregressive(settings.prior))
