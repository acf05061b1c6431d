"""From the measurements of dense prediction to a report: figures, label maps and an overview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.evaluate import BOTH, ORACLE, DenseEvaluation, DenseSubject
from gridcode.evaluation.images import ImageArray, contact_sheet
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Gallery, ImageGroup, Table

UNITS: Final = {"rmse": "m", "rmse_log": "nats", "si_log": "nats", "psnr": "dB"}
NOTES: Final = {
    "rmse": "root mean squared error of each image, then averaged",
    "abs_rel": "mean |d - g| / g",
    "delta": "share of pixels within a factor of 1.25",
    "delta_2": "share of pixels within a factor of 1.25² = 1.56",
    "delta_3": "share of pixels within a factor of 1.25³ = 1.95",
    "rmse_log": "root mean squared error of log depth",
    "si_log": "scale-invariant error of log depth",
    "pq": "panoptic quality, all classes",
    "pq_things": "countable classes",
    "pq_stuff": "the others",
    "sq": "how well matched segments overlap",
    "rq": "F1 score of segments",
    "psnr": "against the true colours",
    "mse": "squared error on [-1, 1]",
    "mae": "absolute error on [-1, 1]",
    "frechet": "Fréchet distance to other real images on an observer's features, not the FID",
}
ALIGNED: Final = (
    "relative depth: AbsRel, delta and log RMSE are those after each prediction was aligned; only SILog compares"
)


def dense_findings(
    evaluation: DenseEvaluation,
    subject: DenseSubject,
    config: DenseEvaluationConfig,
    settings: Mapping[str, Any] | None = None,
) -> Findings:
    """What :func:`gridcode.evaluation.publish.publish` writes of dense prediction.

    Args:
        evaluation: What was measured.
        subject: What it was measured on.
        config: How it was measured.
        settings: What else the figures depend on, JSON values.
    """
    data = subject.data
    return Findings(
        title=f"gridcode: {data.task} on {Path(data.source).name or data.source}",
        figures=evaluation.figures(),
        key_figures=_key_figures(evaluation),
        tables=_tables(evaluation),
        galleries=[_gallery(evaluation)],
        codes=evaluation.codes,
        overview=dense_overview(evaluation),
        settings={
            "data": asdict(data),
            "tokenizer": asdict(subject.tokenizer.config) | {"hash": subject.tokenizer.weights_hash()},
            "evaluation": asdict(config),
            **(settings or {}),
        },
        warnings=[ALIGNED] if data.task == "depth" and data.depth.relative != "none" else [],
        more={"task": data.task, "rows": evaluation.scores},
    )


def dense_overview(evaluation: DenseEvaluation) -> ImageArray:
    """An overview on one sheet, uint8 (H, W, 3): a column for each validation image, rows as in the report."""
    rows = list(evaluation.gallery.rows.values())
    return contact_sheet(np.concatenate(rows), columns=len(rows[0]))


def rows_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """The figures of every row as text, for the terminal and for Markdown.

    >>> print(rows_table({"grey": {"psnr": 20.126, "mse": 0.25}}))
    | | psnr | mse |
    |---|---|---|
    | grey | 20.13 | 0.25 |
    """
    names = list(next(iter(scores.values())))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    lines += [
        f"| {row} | " + " | ".join(f"{found[name]:.4g}" if name in found else "" for name in names) + " |"
        for row, found in scores.items()
    ]
    return "\n".join(lines)


def _key_figures(evaluation: DenseEvaluation) -> list[Figure]:
    name = next(iter(evaluation.scores[ORACLE]))
    unit = UNITS.get(name, "")
    rows = {row: scores[name] for row, scores in evaluation.scores.items() if name in scores}
    shown = [BOTH, *(row for row in rows if row != BOTH)]
    figures = [Figure(f"{name}, {row}", round(rows[row], 4), unit, NOTES[name]) for row in shown if row in rows]
    usage = evaluation.usage
    figures.append(Figure("codebook usage", f"{usage.usage:.1%}", "", f"of {usage.codebook_size:,} codes"))
    if evaluation.token_accuracy is not None:
        figures.append(
            Figure("codes predicted", f"{evaluation.token_accuracy:.1%}", "", "exactly as Stage I writes them")
        )
    return figures


def _tables(evaluation: DenseEvaluation) -> list[Table]:
    return [
        Table(row, [Figure(name, value, UNITS.get(name, ""), NOTES[name]) for name, value in scores.items()])
        for row, scores in evaluation.scores.items()
    ]


def _gallery(evaluation: DenseEvaluation) -> Gallery:
    rows = evaluation.gallery.rows
    explanation = (
        "Validation images. In an error map black is right and grey does not count; depth is white at a factor of 2, "
        "a wrong class is red, an unmatched segment yellow."
    )
    group = ImageGroup("", list(rows.values()), evaluation.gallery.keys)
    return Gallery("Label maps", tuple(rows), [group], explanation)
