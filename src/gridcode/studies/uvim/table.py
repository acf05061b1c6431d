"""The study's result: one table, one JSON file, one picture for each task.

table.md     mean and deviation over the seeds of every task and variant, beside what needs no model
study.json   settings, every cell's figures, and the table's numbers
TASK.png     from top to bottom: input, truth, and both stages of each variant, of seed 0
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gridcode.data.crop import to_channels
from gridcode.data.image import decode_image
from gridcode.domains.dense.colour_sets import TRUE_COLOURS
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.evaluate import BOTH, DRAW, MEAN, NONE, ORACLE, OTHERS
from gridcode.evaluation.pictures import save_png
from gridcode.files import write_json, write_text
from gridcode.studies.uvim.cell import CellResult
from gridcode.studies.uvim.config import NAMES, StudyConfig

_OF_A_VARIANT: Final = (ORACLE, OTHERS, NONE, BOTH, DRAW, MEAN)


@dataclass(frozen=True)
class Shown:
    """A figure that the table shows of a task.

    Attributes:
        name: Its name among a row's scores.
        title: The table's words for it.
        digits: Decimals.
        more: Whether more is better.
        answer: The row of both stages that this figure compares: the mean of draws for squared errors, one draw for
            a set of pictures, the most probable codes for segments.
    """

    name: str
    title: str
    digits: int
    more: bool
    answer: str


SHOWN: Final[dict[Task, tuple[Shown, ...]]] = {
    "depth": (Shown("rmse", "depth, RMSE (m)", 3, more=False, answer=MEAN),),
    "panoptic": (Shown("pq", "panoptic, PQ", 3, more=True, answer=BOTH),),
    # Many colours may be right, so as in the paper a set of pictures is compared with another; pixels follow.
    "colour": (
        Shown("frechet", "colour, Fréchet distance", 3, more=False, answer=DRAW),
        Shown("psnr", "colour, PSNR (dB)", 2, more=True, answer=MEAN),
    ),
}
"""The table's figures, the one that a task is known by first."""


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds.

    >>> Spread.of([1.0, 3.0])
    Spread(mean=2.0, deviation=1.4142135623730951)
    """

    mean: float
    deviation: float | None
    """Sample standard deviation; None for a single seed."""

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Mean and deviation of at least one value; where one is not finite, there is no deviation."""
        if not all(map(math.isfinite, values)):
            return Spread(statistics.fmean(values), None)
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def text(self, digits: int, *, scale: float = 1.0) -> str:
        """As the table shows it."""
        mean = f"{scale * self.mean:.{digits}f}"
        return mean if self.deviation is None else f"{mean} ± {scale * self.deviation:.{digits}f}"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        task: What is predicted.
        figure: The figure's title.
        digits: Its decimals.
        name: The variant, or what needs no model.
        both: Both stages, the most probable codes; or the baseline's figure.
        draw: Both stages, one draw of the codes.
        mean: Both stages, the mean of several draws; None where the task has no mean.
        oracle: Stage I alone.
        others: Stage I on another picture's codes.
        nothing: Stage I without codes, nulls in their place.
        predicted: Share of codes predicted exactly.
        usage: Share of the codebook in use.
        beats: On how many seeds both stages (the row that answers) beat every baseline and another picture's codes.
        seeds: Of how many.
    """

    task: Task
    figure: str
    digits: int
    name: str
    both: Spread
    draw: Spread | None = None
    mean: Spread | None = None
    oracle: Spread | None = None
    others: Spread | None = None
    nothing: Spread | None = None
    predicted: Spread | None = None
    usage: Spread | None = None
    beats: int | None = None
    seeds: int = 0


def study_rows(config: StudyConfig, results: Sequence[CellResult]) -> list[Row]:
    """The table's lines: the variants of each task, then its baselines.

    Args:
        config: The study.
        results: Finished cells; a variant without any is left out.
    """
    rows = []
    for task in config.tasks:
        mine = [result for result in results if result.cell.task == task]
        for shown in SHOWN[task]:
            for variant in config.variants:
                found = [result for result in mine if result.cell.variant == variant]
                if found:
                    rows.append(_variant(task, shown, NAMES[variant], found))
            if mine:
                # Baselines see the same pictures in every cell.
                rows += [
                    Row(task, shown.title, shown.digits, name, Spread(scores[shown.name], None))
                    for name, scores in mine[0].scores.items()
                    if name not in _OF_A_VARIANT and shown.name in scores
                ]
    return rows


def study_table(config: StudyConfig, results: Sequence[CellResult]) -> str:
    """Markdown, one table of all tasks."""
    head = (
        "| | both stages | one draw | mean of draws | Stage I (oracle) | another picture's codes | no codes "
        "| codes predicted | usage | beats the rest |"
    )
    lines = [f"UViM's two stages at size {config.size}; mean ± deviation over {config.seeds} seeds.", "", head]
    lines.append("|---" * (head.count("|") - 1) + "|")
    figure = ""
    for row in study_rows(config, results):
        if row.figure != figure:
            figure = row.figure
            lines.append(f"| **{figure}** |" + " |" * (head.count("|") - 2))
        texts = [row.both.text(row.digits)]
        texts += [spread.text(row.digits) if spread else "" for spread in _spreads(row)]
        texts += [f"{spread.text(1, scale=100)} %" if spread else "" for spread in (row.predicted, row.usage)]
        texts.append(f"{row.beats} of {row.seeds}" if row.beats is not None else "")
        lines.append(f"| {row.name} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _spreads(row: Row) -> tuple[Spread | None, ...]:
    return row.draw, row.mean, row.oracle, row.others, row.nothing


def write_study(config: StudyConfig, results: Sequence[CellResult], out: Path) -> None:
    """Write table, JSON and pictures of the cells that are finished.

    Args:
        config: The study.
        results: Finished cells.
        out: The study's folder.
    """
    content: dict[str, Any] = {
        "settings": asdict(config),
        "rows": [asdict(row) for row in study_rows(config, results)],
        "cells": [asdict(result) for result in results],
    }
    write_json(out / "study.json", content)
    write_text(out / "table.md", study_table(config, results) + "\n")
    for task in config.tasks:
        _write_pictures(config, task, out)


def _variant(task: Task, shown: Shown, name: str, found: Sequence[CellResult]) -> Row:
    sign = 1 if shown.more else -1

    def beats(result: CellResult) -> bool:
        rivals = [row for row in result.scores if row == OTHERS or row not in (*_OF_A_VARIANT, TRUE_COLOURS)]
        answer = result.scores[shown.answer][shown.name]
        return all(sign * answer > sign * result.scores[row][shown.name] for row in rivals)

    def spread(row: str) -> Spread:
        return Spread.of([result.scores[row][shown.name] for result in found])

    averaged = all(MEAN in result.scores for result in found)

    return Row(
        task,
        shown.title,
        shown.digits,
        name,
        both=spread(BOTH),
        draw=spread(DRAW),
        mean=spread(MEAN) if averaged else None,
        oracle=spread(ORACLE),
        others=spread(OTHERS),
        nothing=spread(NONE),
        predicted=Spread.of([result.token_accuracy for result in found]),
        usage=Spread.of([result.usage for result in found]),
        beats=sum(map(beats, found)),
        seeds=len(found),
    )


def _write_pictures(config: StudyConfig, task: Task, out: Path) -> None:
    """Rows of the variants' first seed below each other, where their cells are finished."""
    folders = [
        out / "cells" / cell.name / "pictures" for cell in config.cells() if cell.task == task and cell.seed == 0
    ]
    folders = [folder for folder in folders if (folder / "both-stages.png").is_file()]
    if not folders:
        return
    files = [folders[0] / "input.png", folders[0] / "truth.png", *(folder / "both-stages.png" for folder in folders)]
    rows = [to_channels(decode_image(file, name=str(file)), 3) for file in files]
    save_png(np.concatenate(rows), out / f"{task}.png")
