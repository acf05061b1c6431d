"""What a study found: figures over seeds, verdicts on the paper's claims, and the files that hold them.

study.json   settings, machine, hours, the figures of every cell: all that the other files are made from
table.md     verdicts and tables
plot.svg     one panel a measure, means over seeds with their range
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, get_args

from gridcode.studies.intervals import Answer
from gridcode.studies.study import Cell, Study, Values

ANSWERS: Final[tuple[Answer, ...]] = get_args(Answer)
NAMED: Final = 8
"""Cells, at most, that a note names."""


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
        """As a table shows it.

        >>> Spread(0.875, 0.01).text(1, scale=100)
        '87.5 ± 1.0'
        """
        mean = f"{scale * self.mean:.{digits}f}"
        return mean if self.deviation is None else f"{mean} ± {scale * self.deviation:.{digits}f}"


@dataclass(frozen=True)
class Verdict:
    """What a study says of a claim.

    >>> Verdict("VQ's usage falls", "seen", "from 100 % at 16 codes to 9 % at 65,536").line()
    "**Seen**: VQ's usage falls. From 100 % at 16 codes to 9 % at 65,536."
    """

    claim: str
    answer: Answer
    figures: str
    """The figures it rests on."""

    def line(self) -> str:
        """Markdown."""
        figures = self.figures[:1].upper() + self.figures[1:]
        return f"**{self.answer.capitalize()}**: {self.claim}. {figures}."


@dataclass(frozen=True)
class Column:
    """A measure as a table shows it."""

    key: str
    """Its name among a cell's values."""
    title: str
    digits: int = 2
    percent: bool = False
    fixed: bool = False
    """Whether it is the same for all seeds, and a whole number."""


@dataclass(frozen=True)
class StudyTable:
    """Rows of settings, columns of measures.

    Attributes:
        title: Above the table.
        head: Titles of the columns.
        rows: Texts, as many in each row as in the head.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table with its title.

        >>> print(StudyTable("Usage", ("codes", "FSQ"), [("16", "100 %")]).markdown())
        **Usage**
        <BLANKLINE>
        | codes | FSQ |
        |---|---|
        | 16 | 100 % |
        """
        lines = [f"**{self.title}**", "", f"| {' | '.join(self.head)} |", "|---" * len(self.head) + "|"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


@dataclass(frozen=True)
class Series:
    """A line of a plot: for each x the values of all seeds."""

    name: str
    points: Mapping[float, Sequence[float]]


@dataclass(frozen=True)
class Trail:
    """A line of a plot that goes from point to point in their order, not by x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    y: str
    series: Sequence[Series | Trail]
    x: str = ""
    log_x: bool = False
    log_y: bool = False
    percent: bool = False


@dataclass(frozen=True)
class Bars:
    """One pair of axes with groups of bars.

    Attributes:
        title: What the bars' lengths are.
        series: For each name, and each group, the values of all seeds; a group may lack a name.
        percent: Whether they are shares.
        log: Whether lengths are logarithmic.
    """

    title: str
    series: Mapping[str, Mapping[str, Sequence[float]]]
    percent: bool = False
    log: bool = False


@dataclass(frozen=True)
class HeatMap:
    """One pair of axes with a colour for each pair of settings.

    Attributes:
        title: Above it.
        x: What the columns are.
        y: What the rows are.
        values: By x and y; a value that is not finite is left blank.
        percent: Whether they are shares.
        inside: The pairs on one side of a boundary, which is drawn between them and the others.
    """

    title: str
    x: str
    y: str
    values: Mapping[tuple[float, float], float]
    percent: bool = False
    inside: Collection[tuple[float, float]] = ()


@dataclass(frozen=True)
class Summary:
    """All that a reader is shown.

    Attributes:
        title: The study's, with the data it ran on.
        verdicts: Answers to the paper's claims.
        tables: Figures over seeds.
        panels: The plot's.
    """

    title: str
    verdicts: Sequence[Verdict]
    tables: Sequence[StudyTable]
    panels: Sequence[Panel | HeatMap | Bars] = ()
    notes: Sequence[str] = field(default=())

    def found(self) -> str:
        """How many claims met which answer, in words; nothing without claims.

        >>> Summary("", [Verdict("a", "open", ""), Verdict("b", "seen", ""), Verdict("c", "open", "")], []).found()
        '1 seen, 2 open'
        """
        answers = [verdict.answer for verdict in self.verdicts]
        return ", ".join(f"{answers.count(answer)} {answer}" for answer in ANSWERS if answer in answers)

    def verdict_lines(self) -> list[str]:
        """Markdown: what was found in short, then every verdict; nothing without claims."""
        if not self.verdicts:
            return []
        lines = "\n".join(f"- {verdict.line()}" for verdict in self.verdicts)
        return [f"**What was found**: of {len(self.verdicts)} claims {self.found()}.", lines]

    def markdown(self) -> str:
        """Verdicts and tables."""
        parts = self.verdict_lines()
        parts += [table.markdown() for table in self.tables]
        parts += [f"<small>{note}</small>" for note in self.notes]
        return "\n\n".join(parts) + "\n"


def summarised(study: Study, results: Mapping[Cell, Values]) -> Summary:
    """A study's summary with what a reader must know of any study's: how to read it, and what is not alike in it."""
    summary = study.summary(results)
    notes = list(summary.notes)
    if any("±" in cell for table in summary.tables for row in table.rows for cell in row):
        notes.insert(0, "±: standard deviation over seeds.")
    if any("95 % interval" in verdict.figures for verdict in summary.verdicts):
        what = "seeds" if len({cell.seed for cell in results}) > 1 else "examples"
        notes.insert(
            0, f"Intervals are over {what}. Open: the interval, or the number of {what}, leaves the answer open."
        )
    missing = [cell.folder for cell in study.cells() if cell not in results]
    diverged = [cell.folder for cell, values in results.items() if values.get("diverged")]
    for what, names in (("Not finished", missing), ("Diverged, without figures", diverged)):
        if names:
            shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            notes.append(f"{what}: {shown}.")
    marks = [values.get("measured_by") for values in results.values() if not values.get("diverged")]
    if len(set(marks)) > 1:
        unknown = ", some of which are not known" if None in marks else ""
        notes.append(
            f"Cells were measured by {len(set(marks))} networks that were trained apart{unknown}: their Fréchet "
            "distances do not quite compare."
        )
    return replace(summary, notes=notes)


def by_setting(results: Mapping[Any, Mapping[str, Any]], key: str) -> dict[str, list[float]]:
    """A measure's values over seeds, by setting, in the order of the cells; what is missing or null is left out."""
    found: dict[str, list[float]] = {}
    for cell, values in results.items():
        value = values.get(key)
        if value is not None:
            found.setdefault(cell.setting, []).append(float(value))
    return found
