"""``gridcode eval``: measure a tokenizer, and a prior, and write a report, for every kind of data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from gridcode.cli.scores.images import score_images_of_files
from gridcode.cli.scores.reference import save_reference_file
from gridcode.cli.shared.folders import check_source, kind_of_command
from gridcode.cli.shared.kinds import KindOfData, data_of, measuring, own_form, recipe_settings
from gridcode.cli.shared.models import DenseDataChange, DenseModels, MeasuredModels, TokenizerModel
from gridcode.cli.shared.options import FLAT, DataChange, Output
from gridcode.cli.shared.parse import option_value, parse, recipe_first
from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.image.config import EvaluationConfig
from gridcode.errors import GridcodeError
from gridcode.recipes import dense_recipe


@dataclass(frozen=True)
class Arguments(MeasuredModels):
    """Measure, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html and report.json. gridcode eval
    reference measures real images once, for --reference; gridcode eval images scores images that lie in files.
    """

    data: DataChange = field(default_factory=DataChange)
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
    if arguments[:1] == ["reference"]:
        save_reference_file(arguments[1:])
        return
    if arguments[:1] == ["images"]:
        score_images_of_files(arguments[1:])
        return
    kind = kind_of_command(arguments)
    if kind != "dense" and option_value("--run", arguments):
        raise GridcodeError("--run is for dense prediction; give --tokenizer and --prior for images")
    form = own_form(kind, "EvalArguments")
    if form is not None:
        eval_examples(form, kind, arguments)
    elif kind == "dense":
        eval_dense(arguments)
    else:
        eval_images(arguments)


def eval_examples(form: type[Any], kind: KindOfData, arguments: Sequence[str]) -> None:
    """Measure examples of a kind with a command line of its own, write the report, and print the figures.

    Args:
        form: The command line, :class:`MeasuredModels` with ``data`` and ``evaluation``.
        kind: The kind.
        arguments: The words after the verb; the name of a recipe, where it comes first, sets the defaults.

    Raises:
        GridcodeError: The command line or what it names is wrong, or the report cannot be written.
    """
    default = form(TokenizerModel(tyro.MISSING), Output(tyro.MISSING))
    settings, words = recipe_settings(kind, arguments, default.evaluation)
    parsed = parse(form, words, prog="gridcode eval", default=replace(default, evaluation=settings))
    parsed.check(parsed.data.source, kind)
    from gridcode.cli.shared.advice import narrator
    from gridcode.evaluation.publish import print_figures, publish
    from gridcode.evaluation.subject import Subject

    evaluate, findings = measuring(kind)
    tokenizer, generator = parsed.load()
    data, domain = parsed.data.applied(data_of(kind, tokenizer)), tokenizer.domain
    subject = Subject(tokenizer, generator, data, domain.open(data, "train"), domain.open(data, "val"))
    out = parsed.output.make()
    found = evaluate(subject, parsed.evaluation, say=narrator())
    command = shlex.join(["gridcode", "eval", *arguments])
    report = publish(findings(found, subject, parsed.evaluation), parsed.runs(), out=out, command=command)
    print_figures(found.figures())
    print(f"report in {report}")


def eval_images(arguments: list[str]) -> None:
    """Measure a tokenizer of images, and a prior.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    evaluation, words = recipe_first(arguments)
    default = Arguments(TokenizerModel(tyro.MISSING), Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(Arguments, words, prog="gridcode eval", default=default)
    parsed.check(parsed.data.source)
    from gridcode.cli.shared.advice import narrator
    from gridcode.data.open import open_split, understood
    from gridcode.domains.image.domain import data_of
    from gridcode.domains.image.evaluate import Subject, evaluate
    from gridcode.domains.image.report import image_findings
    from gridcode.domains.image.scores import graded_by_its_teacher, with_second_grader
    from gridcode.evaluation.publish import print_figures, publish
    from gridcode.training.log import Stopwatch

    tokenizer, generator = parsed.load()
    data = parsed.data.applied(data_of(tokenizer))
    subject = Subject(tokenizer, generator, data, open_split(data, "train"), open_split(data, "val"))
    out = parsed.output.make()
    say, watch = narrator(), Stopwatch()
    for line in understood(subject.train, subject.val):
        say(line)
    runs = parsed.runs()
    stage_one = runs.settings().get("Stage I", {})
    evaluation = with_second_grader(parsed.evaluation, stage_one)
    flattered = graded_by_its_teacher(evaluation, stage_one)
    found = evaluate(subject, evaluation, say=say, watch=watch, warnings=flattered)
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
    from gridcode.domains.dense.report import dense_findings, rows_table
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
    print(rows_table(found.scores))
    print(f"codes used: {found.usage.usage:.1%} of {found.usage.codebook_size:,}")
    print(f"report in {report}")
