"""The table of Table 2: every variant of every task, beside what needs no model; and its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final, Literal

import numpy as np

from gridcode.data.crop import to_channels
from gridcode.data.image import decode_image
from gridcode.domains.dense.colour_sets import TRUE_COLOURS
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.evaluate import BOTH, DRAW, MEAN, NONE, ORACLE, OTHERS
from gridcode.evaluation.images import save_png
from gridcode.studies.intervals import answered, difference, level, percent
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.studies.summary import Bars, Spread, StudyTable, Summary, Verdict
from gridcode.studies.uvim.config import NAMES, UvimConfig, Variant, task_and_variant

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
            a set of images, the most probable codes for segments.
    """

    name: str
    title: str
    digits: int
    more: bool
    answer: str


SHOWN: Final[dict[Task, tuple[Shown, ...]]] = {
    "depth": (Shown("rmse", "depth, RMSE (m)", 3, more=False, answer=MEAN),),
    "panoptic": (Shown("pq", "panoptic, PQ", 3, more=True, answer=BOTH),),
    # Many colours may be right, so as in the paper a set of images is compared with another; pixels follow.
    "colour": (
        Shown("frechet", "colour, Fréchet distance", 3, more=False, answer=DRAW),
        Shown("psnr", "colour, PSNR (dB)", 2, more=True, answer=MEAN),
    ),
}
"""The table's figures, the one that a task is known by first."""


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
        others: Stage I on another image's codes.
        nothing: Stage I without codes, nulls in their place.
        predicted: Share of codes predicted exactly.
        usage: Share of the codebook in use.
        beats: On how many seeds both stages (the row that answers) beat every baseline and another image's codes.
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


def study_rows(config: UvimConfig, results: Mapping[Cell, Values]) -> list[Row]:
    """The table's lines: the variants of each task, then its baselines.

    Args:
        config: The study.
        results: Finished cells; a variant without any is left out.
    """
    rows = []
    for task in config.tasks:
        mine = {cell: values for cell, values in results.items() if task_and_variant(cell)[0] == task}
        for shown in SHOWN[task]:
            for variant in config.variants:
                found = [values for cell, values in mine.items() if task_and_variant(cell)[1] == variant]
                if found:
                    rows.append(_variant(task, shown, NAMES[variant], found))
            if mine:
                # Baselines see the same images in every cell.
                scores = next(iter(mine.values()))["scores"]
                rows += [
                    Row(task, shown.title, shown.digits, name, Spread(_number(of_row[shown.name]), None))
                    for name, of_row in scores.items()
                    if name not in _OF_A_VARIANT and shown.name in of_row
                ]
    return rows


LEVEL: Final = 0.1
"""By what share of VQ's figure FSQ's may differ where they are level."""
LEVEL_DB: Final = 0.5
"""Likewise in dB."""
LEVEL_WITH_VQ: Final = "FSQ is level with VQ"
LOG_SCALE: Final = "colour, Fréchet distance"
CLAIMS: Final[tuple[tuple[Variant, Variant, str], ...]] = (
    ("fsq", "vq", LEVEL_WITH_VQ),
    ("vq", "vq_unsplit", "VQ is better with splitting than without"),
    ("fsq", "fsq_no_context", "FSQ is better with the image as context than without"),
    ("vq", "vq_no_context", "VQ is better with the image as context than without"),
)
"""Two variants, and what is claimed of the first."""
HEAD: Final = (
    "",
    "both stages",
    "one draw",
    "mean of draws",
    "Stage I (oracle)",
    "another image's codes",
    "no codes",
    "codes predicted",
    "usage",
    "beats the rest",
)
"""The table's columns."""


def uvim_summary(config: UvimConfig, results: Mapping[Cell, Values]) -> Summary:
    """One table of all tasks."""
    lines: list[tuple[str, ...]] = []
    figure = ""
    for row in study_rows(config, results):
        if row.figure != figure:
            figure = row.figure
            lines.append((f"**{figure}**", *("",) * (len(HEAD) - 1)))
        texts = [row.both.text(row.digits)]
        texts += [spread.text(row.digits) if spread else "" for spread in _spreads(row)]
        texts += [f"{spread.text(1, scale=100)} %" if spread else "" for spread in (row.predicted, row.usage)]
        texts.append(f"{row.beats} of {row.seeds}" if row.beats is not None else "")
        lines.append((row.name, *texts))
    title = f"UViM's two stages at size {config.size}"
    note = (
        "Both stages: the most probable codes, as in the paper. One draw: codes sampled from the prior. Mean of draws: "
        "the mean of several such maps. Beats the rest: the seeds on which both stages beat the baselines without a "
        "model and another image's codes. Squared errors are compared by the mean of draws, the Fréchet distance by "
        "one draw, segments by the most probable codes; so are the answers and the bars."
    )
    figures = _answers(config, results)
    panels = [
        Bars(title, {"": {NAMES[variant]: values for variant, values in of.items()}}, log=title == LOG_SCALE)
        for title, of in figures.items()
    ]
    return Summary(title, uvim_verdicts(figures), [StudyTable(title, HEAD, lines)], panels, notes=(note,))


def _answers(config: UvimConfig, results: Mapping[Cell, Values]) -> dict[str, dict[Variant, list[float]]]:
    """Figures of both stages over seeds, by figure and variant, of the row that is compared."""
    found: dict[str, dict[Variant, list[float]]] = {}
    for task in config.tasks:
        for shown in SHOWN[task]:
            for cell, values in results.items():
                of_task, variant = task_and_variant(cell)
                number = _number(values["scores"].get(shown.answer, {}).get(shown.name))
                if of_task == task and math.isfinite(number):
                    found.setdefault(shown.title, {}).setdefault(variant, []).append(number)
    return found


def uvim_verdicts(figures: Mapping[str, Mapping[Variant, Sequence[float]]]) -> list[Verdict]:
    """What Table 2 claims: FSQ is level with VQ, VQ wants splitting, and the image as context helps.

    Args:
        figures: Over seeds, by the figure's title and the variant.
    """
    better = {shown.title: 1 if shown.more else -1 for of_task in SHOWN.values() for shown in of_task}
    verdicts = []
    for title, of in figures.items():
        sign: Literal[1, -1] = better[title]  # type: ignore[assignment]
        digits = 2 if "dB" in title else 3
        for one, other, claim in CLAIMS:
            if not (of.get(one) and of.get(other)):
                continue
            change = difference(of[one], of[other], of.values())
            means = f"{fmean(of[one]):.{digits}f} against {fmean(of[other]):.{digits}f}"
            if claim == LEVEL_WITH_VQ:
                margin, within = (
                    (LEVEL_DB, f"{LEVEL_DB:g} dB") if "dB" in title else (LEVEL * fmean(of[other]), percent(LEVEL))
                )
                answer, asked = level(change, margin=margin), f"{claim}, within {within}"
            else:
                answer, asked = answered(change, expected=sign), claim
            verdicts.append(Verdict(f"{title}: {asked}", answer, f"{means}, {change.text(digits)}"))
    return verdicts


def _spreads(row: Row) -> tuple[Spread | None, ...]:
    return row.draw, row.mean, row.oracle, row.others, row.nothing


def _number(value: float | None) -> float:
    """A figure as a file has it: null is what was not finite."""
    return math.nan if value is None else value


def _variant(task: Task, shown: Shown, name: str, found: Sequence[Values]) -> Row:
    sign = 1 if shown.more else -1

    def score(values: Values, row: str) -> float:
        return _number(values["scores"][row][shown.name])

    def beats(values: Values) -> bool:
        rivals = [row for row in values["scores"] if row == OTHERS or row not in (*_OF_A_VARIANT, TRUE_COLOURS)]
        return all(sign * score(values, shown.answer) > sign * score(values, row) for row in rivals)

    def spread(row: str) -> Spread:
        return Spread.of([score(values, row) for values in found])

    averaged = all(MEAN in values["scores"] for values in found)

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
        predicted=Spread.of([values["token_accuracy"] for values in found]),
        usage=Spread.of([values["usage"] for values in found]),
        beats=sum(map(beats, found)),
        seeds=len(found),
    )


def save_images(config: UvimConfig, out: Path) -> None:
    """``TASK.png``: rows of the variants' first seed below each other, where their cells are finished."""
    for task in config.tasks:
        cells = [cell for cell in config.cells() if task_and_variant(cell)[0] == task and cell.seed == 0]
        folders = [cell_folder(out, cell) / "images" for cell in cells]
        folders = [folder for folder in folders if (folder / "both-stages.png").is_file()]
        if not folders:
            continue
        files = [
            folders[0] / "input.png",
            folders[0] / "truth.png",
            *(folder / "both-stages.png" for folder in folders),
        ]
        rows = [to_channels(decode_image(file, name=str(file)), 3) for file in files]
        save_png(np.concatenate(rows), out / f"{task}.png")
