"""``gridcode eval``: measure a tokenizer, and a prior, and write a report, for every kind of data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gridcode.cli.shared.folders import check_folder, check_source, kind_of_command
from gridcode.cli.shared.models import DenseDataChange, DenseModels, TokenizerModel
from gridcode.cli.shared.options import FLAT, DataChange, Output
from gridcode.cli.shared.parse import option_value, parse, recipe_first
from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.image.config import EvaluationConfig
from gridcode.errors import GridcodeError
from gridcode.recipes import dense_recipe


@dataclass(frozen=True)
class Arguments:
    """Measure, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html and report.json.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    prior: str | None = None
    """A prior's folder or hub id; without one only the tokenizer is measured."""
    data: Annotated[DataChange, tyro.conf.arg(name="data")] = field(default_factory=DataChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[EvaluationConfig, FLAT] = field(default_factory=EvaluationConfig)
    """How much is measured."""


@dataclass(frozen=True)
class DenseArguments:
    """Measure Stage I alone (the oracle) and both stages beside trivial baselines, and write a report.

    gridcode eval [RECIPE] --run RUN --out DIR; the most probable codes are drawn by default. --out gets report.html,
    report.json and overview.png.
    """

    output: Annotated[Output, FLAT]
    models: Annotated[DenseModels, FLAT] = field(default_factory=DenseModels)
    data: DenseDataChange = field(default_factory=DenseDataChange)
    """Changes to the label tokenizer's own data settings."""
    evaluation: Annotated[DenseEvaluationConfig, FLAT] = field(default_factory=DenseEvaluationConfig)
    """How much is measured."""


def run(arguments: list[str]) -> None:
    """Measure and report. The recipe, where its name comes first, or the tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    kind = kind_of_command(arguments)
    if kind != "dense" and option_value("--run", arguments):
        raise GridcodeError("--run is for dense prediction; give --tokenizer and --prior for pictures")
    if kind == "audio":
        from gridcode.cli.sound.eval import eval_sounds

        eval_sounds(arguments)
    elif kind == "dense":
        eval_dense(arguments)
    else:
        eval_images(arguments)


def eval_images(arguments: list[str]) -> None:
    """Measure a tokenizer of pictures, and a prior.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    evaluation, words = recipe_first(arguments)
    default = Arguments(TokenizerModel(tyro.MISSING), Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(Arguments, words, prog="gridcode eval", default=default)
    check_source(parsed.data.source)
    parsed.model.check()
    check_folder("--prior", parsed.prior, "class prior")
    from gridcode.cli.shared.advice import narrator
    from gridcode.data.open import open_split, understood
    from gridcode.domains.image.domain import data_of
    from gridcode.domains.image.evaluate import Subject, evaluate
    from gridcode.domains.image.report import image_findings
    from gridcode.domains.image.scores import with_second_grader
    from gridcode.evaluation.publish import Runs, print_figures, publish
    from gridcode.tasks.generate import Generator
    from gridcode.training.log import Stopwatch

    tokenizer, prior = parsed.model.load(), parsed.prior
    generator = None if prior is None else Generator.from_pretrained(prior, tokenizer, device=tokenizer.device)
    data = parsed.data.applied(data_of(tokenizer))
    subject = Subject(tokenizer, generator, data, open_split(data, "train"), open_split(data, "val"))
    out = parsed.output.make()
    say, watch = narrator(), Stopwatch()
    for line in understood(subject.train, subject.val):
        say(line)
    runs = Runs(tokenizer=Path(parsed.model.tokenizer), prior=None if prior is None else Path(prior))
    evaluation = with_second_grader(parsed.evaluation, runs.settings().get("Stage I", {}))
    found = evaluate(subject, evaluation, say=say, watch=watch)
    report = publish(
        image_findings(found, subject, evaluation),
        runs,
        out=out,
        command=shlex.join(["gridcode", "eval", *arguments]),
        seconds=watch.seconds,
    )
    print_figures(found.figures())
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
    default = DenseArguments(Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(DenseArguments, words, prog=prog, default=default)
    models = parsed.models
    models.check()
    check_source(parsed.data.source)
    from gridcode.cli.shared.advice import narrator
    from gridcode.domains.dense.data.open import open_dense
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.domains.dense.evaluate import DenseSubject, StageTwo, evaluate_dense
    from gridcode.domains.dense.report import dense_findings, score_table
    from gridcode.evaluation.publish import Runs, publish

    tokenizer = models.load_tokenizer()
    predictor = models.load_predictor(tokenizer)
    data = parsed.data.applied(dense_domain(tokenizer).data)
    codes = None if predictor is None else StageTwo(predictor.predict_codes, predictor.draw_codes)
    subject = DenseSubject(tokenizer, codes, data, open_dense(data, "train"), open_dense(data, "val"))
    out, prior = parsed.output.make(), models.prior_at()
    found = evaluate_dense(subject, parsed.evaluation, say=narrator())
    settings = {"sampler": asdict(models.drawing.sampler) | {"seed": models.drawing.seed}}
    if predictor is not None:
        settings["prior"] = {"kind": predictor.prior.name, **asdict(predictor.prior.config)}
    report = publish(
        dense_findings(found, subject, parsed.evaluation, settings),
        Runs(tokenizer=Path(models.tokenizer_at()), prior=None if prior is None else Path(prior)),
        out=out,
        command=shlex.join([*prog.split(), *arguments]),
    )
    print(score_table(found.scores))
    print(f"codes used: {found.usage.usage:.1%} of {found.usage.codebook_size:,}")
    print(f"report in {report}")
