"""What a study found: figures over seeds, verdicts on the paper's claims, and the files that hold them.

study.json   settings, machine, hours, the figures of every cell: all that the other files are made from
table.md     verdicts and tables
plot.svg     one panel a measure, means over seeds with their range

A verdict compares means over seeds. Few seeds say little about their own spread, so one spread is estimated for all
settings of a comparison together, from the deviations of each setting's seeds from their mean:

    s² = Σ_settings Σ_seeds (x - mean_setting)² / f         f = Σ_settings (seeds - 1)
    difference ± t_{0.975, f} s sqrt(1/n_a + 1/n_b)         a 95 % interval
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gridcode.errors import GridcodeError
from gridcode.metrics.interval import student_quantile

Answer: TypeAlias = Literal["seen", "not seen", "opposite", "open"]
"""What a claim met: ``open`` where too few cells are done, or the interval holds both answers."""


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
class Difference:
    """A difference of two means with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on that side of zero; 0 where it holds zero."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def text(self, digits: int, *, scale: float = 1.0, unit: str = "") -> str:
        """As a sentence shows it.

        >>> Difference(0.5, 0.25, 0.75).text(2, unit=" dB")
        '+0.50 dB (95 % interval +0.25 to +0.75)'
        """
        value, low, high = (f"{scale * number:+.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value}{unit} (95 % interval {low} to {high})"


def pooled_deviation(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """One deviation for all groups, each about its own mean, and its degrees of freedom.

    >>> pooled_deviation([[1.0, 3.0], [10.0, 12.0]])
    (1.4142135623730951, 2)
    """
    squares, freedom = 0.0, 0
    for group in groups:
        mean = statistics.fmean(group)
        squares += sum((value - mean) ** 2 for value in group)
        freedom += len(group) - 1
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom


def difference(a: Sequence[float], b: Sequence[float], groups: Iterable[Sequence[float]] = ()) -> Difference:
    """Mean of ``a`` less mean of ``b``, with a 95 % interval.

    Args:
        a: Values over seeds, at least one.
        b: Likewise.
        groups: Values over seeds of settings that spread alike, ``a`` and ``b`` among them or not: each list is
            counted once.

    Returns:
        The difference; its interval is all numbers where no setting has two seeds.

    >>> difference([1.0, 1.2], [2.0, 2.2]).sign
    -1
    """
    if not a or not b:
        raise GridcodeError("a difference needs at least one value on both sides")
    value = statistics.fmean(a) - statistics.fmean(b)
    deviation, freedom = pooled_deviation({id(group): group for group in (a, b, *groups)}.values())
    if not freedom:
        return Difference(value, -math.inf, math.inf)
    half = student_quantile(freedom) * deviation * math.sqrt(1 / len(a) + 1 / len(b))
    return Difference(value, value - half, value + half)


def answered(interval: Difference, *, expected: Literal[1, -1]) -> Answer:
    """What an interval says of a claim about the sign of a difference.

    >>> answered(Difference(-1.0, -2.0, -0.5), expected=1)
    'opposite'
    """
    return {expected: "seen", -expected: "opposite", 0: "open"}[interval.sign]  # type: ignore[return-value]


def level(interval: Difference, *, margin: float) -> Answer:
    """What an interval says of a claim that a difference is small.

    Args:
        interval: The difference.
        margin: What counts as small.

    >>> level(Difference(0.1, -0.2, 0.4), margin=0.5), level(Difference(2.0, 1.0, 3.0), margin=0.5)
    ('seen', 'not seen')
    """
    if -margin < interval.low and interval.high < margin:
        return "seen"
    return "not seen" if interval.low > margin or interval.high < -margin else "open"


def below(interval: Difference, limit: float) -> Answer:
    """What an interval says of a claim that a difference is less than a limit.

    >>> below(Difference(0.1, -0.2, 0.4), 0.5), below(Difference(0.1, -0.2, 0.4), 0.3)
    ('seen', 'open')
    """
    return "seen" if interval.high < limit else "not seen" if interval.low > limit else "open"


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
class Panel:
    """One pair of axes."""

    y: str
    series: Sequence[Series]
    x: str = ""
    log_x: bool = False
    log_y: bool = False
    percent: bool = False


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
    panels: Sequence[Panel | HeatMap] = ()
    notes: Sequence[str] = field(default=())

    def markdown(self) -> str:
        """Verdicts and tables."""
        parts = ["\n".join(f"- {verdict.line()}" for verdict in self.verdicts)] if self.verdicts else []
        parts += [table.markdown() for table in self.tables]
        parts += [f"<small>{note}</small>" for note in self.notes]
        return "\n\n".join(parts) + "\n"


def by_setting(results: Mapping[Any, Mapping[str, Any]], key: str) -> dict[str, list[float]]:
    """A measure's values over seeds, by setting, in the order of the cells; what is missing or null is left out."""
    found: dict[str, list[float]] = {}
    for cell, values in results.items():
        value = values.get(key)
        if value is not None:
            found.setdefault(cell.setting, []).append(float(value))
    return found
