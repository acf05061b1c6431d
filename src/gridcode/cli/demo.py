"""``gridcode demo``: the whole system on built-in scenes, from nothing to a report with images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.prior.config import autoregressive
from gridcode.recipes import Recipe, image_recipe


@dataclass(frozen=True)
class Arguments:
    """Everything, on built-in scenes, in five minutes; --out gets all that is made."""

    output: Annotated[Output, FLAT] = field(default_factory=lambda: Output(Path("demo")))
    smoke: bool = False
    """A few steps of everything, to see that it runs; the images stay noise."""


def run(arguments: list[str]) -> None:
    """Train both stages, sample, measure, report.

    Raises:
        GridcodeError: The folder is occupied.
    """
    parsed = parse(Arguments, arguments, prog="gridcode demo")
    out, force = parsed.output.make(), parsed.output.force
    from gridcode.cli.shared.advice import as_typed, narrator
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
    settings = _settings(smoke=parsed.smoke)
    data = settings.tokenizer.data
    say(f"rendering {data.train_count + data.val_count:,} scenes at {data.size} px")
    with watch.part("rendering scenes"):
        sources = Sources(open_split(data, "train"), open_split(data, "val"))

    say("Stage I: the tokenizer learns to turn an image into a grid of integers, and back")
    options = RunOptions(out / "tokenizer", force=force, again=again, wording=as_typed)
    with watch.part("Stage I"):
        tokenizer = train_tokenizer(settings.tokenizer, options, sources=sources)
    say("writing every image's tokens")
    splits = {"train": sources.train, "val": sources.val}
    store_options = StoreOptions(out / "tokens", flips=settings.flips, force=force)
    with watch.part("writing tokens"):
        store = tokenize(tokenizer, splits, data, store_options)

    say("Stage II: the prior learns what grids look like, from the tokens alone")
    with watch.part("Stage II"):
        prior = train_prior(settings.prior, store, replace(options, out=out / "prior"))

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
