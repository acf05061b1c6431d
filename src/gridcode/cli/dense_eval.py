"""``gridcode dense eval --run RUN --out DIR``: measure both stages beside trivial baselines, and write a report."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gridcode.cli.arguments import parse
from gridcode.cli.dense_run import DenseChange, RunFlags, load_predictor, load_tokenizer
from gridcode.domains.dense.evaluation_config import DenseEvaluationConfig
from gridcode.domains.dense.prior.config import NEAR_GREEDY
from gridcode.prior.samplers.config import SamplerConfig


@dataclass(frozen=True)
class Arguments:
    """Command line of ``dense eval``."""

    out: Path
    """Folder for report.html, report.json and overview.png."""
    models: Annotated[RunFlags, tyro.conf.arg(name="")] = field(default_factory=RunFlags)
    data: DenseChange = field(default_factory=DenseChange)
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
    """Measure and report.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(
        Arguments,
        arguments,
        prog="gridcode dense eval",
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
    evaluation = evaluate_dense(subject, parsed.evaluation, say=narrator())
    prior = parsed.models.prior_at()
    settings = {"sampler": asdict(parsed.sampler) | {"seed": parsed.seed}}
    if predictor is not None:
        settings["prior"] = {"kind": predictor.prior.name, **asdict(predictor.prior.config)}
    report = publish(
        dense_findings(evaluation, subject, parsed.evaluation, settings),
        Runs(tokenizer=Path(parsed.models.tokenizer_at()), prior=None if prior is None else Path(prior)),
        out=parsed.out,
        command=shlex.join(["gridcode", "dense", "eval", *arguments]),
    )
    print(score_table(evaluation.scores))
    print(f"codes used: {evaluation.usage.usage:.1%} of {evaluation.usage.codebook_size:,}")
    print(f"report in {report}")
