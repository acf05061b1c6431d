"""``gridcode eval``: measure a tokenizer, and a prior, and write a report, for every kind of data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gridcode.cli.arguments import DataChange, check_models, check_source, parse, recipe_first, usable_device
from gridcode.cli.models import DenseDataChange, DenseModels, kind_of_model, load_predictor, load_tokenizer
from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.prior.config import NEAR_GREEDY
from gridcode.domains.image.config import EvaluationConfig
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.recipes import RECIPES, dense_recipe


@dataclass(frozen=True)
class Arguments:
    """Command line of ``eval``, for pictures."""

    tokenizer: str
    """A tokenizer's folder or hub id."""
    out: Path
    """Folder for report.html and report.json."""
    prior: str | None = None
    """A prior's folder or hub id; without one only the tokenizer is measured."""
    data: Annotated[DataChange, tyro.conf.arg(name="data")] = field(default_factory=DataChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[EvaluationConfig, tyro.conf.arg(name="")] = field(default_factory=EvaluationConfig)
    """How much is measured; a recipe's name as the first word sets the defaults."""
    force: bool = False
    """Replace the report in --out."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""


@dataclass(frozen=True)
class DenseArguments:
    """Command line of ``eval``, for dense prediction."""

    out: Path
    """Folder for report.html, report.json and overview.png."""
    models: Annotated[DenseModels, tyro.conf.arg(name="")] = field(default_factory=DenseModels)
    data: DenseDataChange = field(default_factory=DenseDataChange)
    """Changes to the label tokenizer's own data settings."""
    evaluation: Annotated[DenseEvaluationConfig, tyro.conf.arg(name="")] = field(default_factory=DenseEvaluationConfig)
    """How much is measured."""
    sampler: Annotated[SamplerConfig, tyro.conf.arg(name="")] = NEAR_GREEDY
    """How codes are drawn; the most probable ones by default."""
    seed: int = 0
    """Same seed, same maps."""
    force: bool = False
    """Replace the report in --out."""


def run(arguments: list[str]) -> None:
    """Measure and report. The recipe, where its name comes first, or the tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    recipe = RECIPES.get(arguments[0]) if arguments else None
    if (kind_of_model(arguments) if recipe is None else recipe().kind) == "dense":
        eval_dense(arguments)
    else:
        eval_images(arguments)


def eval_images(arguments: list[str]) -> None:
    """Measure a tokenizer of pictures, and a prior.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = _parse(arguments)
    check_source(parsed.data.source)
    check_models(parsed.tokenizer, parsed.prior)
    from gridcode.cli.output import fresh_folder, narrator
    from gridcode.data.open import open_split, understood
    from gridcode.domains.image.domain import data_of
    from gridcode.domains.image.evaluate import Subject, evaluate
    from gridcode.domains.image.report import image_findings
    from gridcode.evaluation.publish import Runs, publish
    from gridcode.tasks.generate import Generator
    from gridcode.tokenizer.model import Tokenizer
    from gridcode.training.log import Stopwatch

    device = usable_device(parsed.device)
    tokenizer = Tokenizer.from_pretrained(parsed.tokenizer, device=device)
    generator = None
    if parsed.prior is not None:
        generator = Generator.from_pretrained(parsed.prior, tokenizer, device=device)
    data = parsed.data.applied(data_of(tokenizer))
    subject = Subject(tokenizer, generator, data, open_split(data, "train"), open_split(data, "val"))
    fresh_folder(parsed.out, force=parsed.force)
    say, watch = narrator(), Stopwatch()
    for line in understood(subject.train, subject.val):
        say(line)
    evaluation = evaluate(subject, parsed.evaluation, say=say, watch=watch)
    report = publish(
        image_findings(evaluation, subject, parsed.evaluation),
        Runs(tokenizer=Path(parsed.tokenizer), prior=None if parsed.prior is None else Path(parsed.prior)),
        out=parsed.out,
        command=shlex.join(["gridcode", "eval", *arguments]),
        seconds=watch.seconds,
    )
    for name, value in evaluation.figures().items():
        if value is not None:
            print(f"{name:48} {value:.4g}" if isinstance(value, float) else f"{name:48} {value}")
    print(f"report in {report}")


def eval_dense(arguments: list[str], *, prog: str = "gridcode eval") -> None:
    """Measure dense prediction beside trivial baselines.

    Args:
        arguments: The words after the verb.
        prog: How the verb was called.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    words: Sequence[str] = arguments
    evaluation = DenseEvaluationConfig()
    if words and not words[0].startswith("-"):
        evaluation, words = dense_recipe(words[0]).evaluation, words[1:]
    parsed = parse(
        DenseArguments,
        words,
        default=DenseArguments(out=tyro.MISSING, evaluation=evaluation),
        prog=prog,
        description="Measure Stage I alone (the oracle) and both stages beside trivial baselines, and write a report.",
    )
    parsed.models.tokenizer_at()
    from gridcode.cli.output import fresh_folder, narrator
    from gridcode.domains.dense.data.open import open_dense
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.domains.dense.evaluate import DenseSubject, StageTwo, evaluate_dense
    from gridcode.domains.dense.report import dense_findings, score_table
    from gridcode.evaluation.publish import Runs, publish

    tokenizer = load_tokenizer(parsed.models)
    predictor = load_predictor(parsed.models, tokenizer, sampler=parsed.sampler, seed=parsed.seed)
    data = parsed.data.applied(dense_domain(tokenizer).data)
    codes = None if predictor is None else StageTwo(predictor.predict_codes, predictor.draw_codes)
    subject = DenseSubject(tokenizer, codes, data, open_dense(data, "train"), open_dense(data, "val"))
    fresh_folder(parsed.out, force=parsed.force)
    found = evaluate_dense(subject, parsed.evaluation, say=narrator())
    prior = parsed.models.prior_at()
    settings = {"sampler": asdict(parsed.sampler) | {"seed": parsed.seed}}
    if predictor is not None:
        settings["prior"] = {"kind": predictor.prior.name, **asdict(predictor.prior.config)}
    report = publish(
        dense_findings(found, subject, parsed.evaluation, settings),
        Runs(tokenizer=Path(parsed.models.tokenizer_at()), prior=None if prior is None else Path(prior)),
        out=parsed.out,
        command=shlex.join([*prog.split(), *arguments]),
    )
    print(score_table(found.scores))
    print(f"codes used: {found.usage.usage:.1%} of {found.usage.codebook_size:,}")
    print(f"report in {report}")


def _parse(words: Sequence[str]) -> Arguments:
    """The command line; a recipe's name may come first."""
    evaluation, words = recipe_first(words)
    default = Arguments(tokenizer=tyro.MISSING, out=tyro.MISSING, evaluation=evaluation)
    description = "Measure, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR."
    return parse(Arguments, words, prog="gridcode eval", default=default, description=description)
