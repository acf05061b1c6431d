"""Figures of a study's cells as curves: by measure, line and place on the x axis, the values of all seeds.

results ─> curves_of ─> verdicts                     a study's own
                    ├─> curve_table, one a line
                    └─> curve_panels, one a measure
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gridcode.studies.summary import Column, Panel, Series, Spread, StudyTable, by_setting

Curve: TypeAlias = Mapping[float, Sequence[float]]
"""Values over seeds by x."""
Curves: TypeAlias = Mapping[str, Curve]
"""A measure's curves by the line's key."""

PSNR: Final = "psnr_db"
RECONSTRUCTION: Final = "reconstruction_frechet_on_classifier_features"
SAMPLES: Final = "sample_frechet_on_classifier_features"
BITS: Final = "bits_per_token"

MEASURES: Final = (
    Column(PSNR, "PSNR (dB)", 2),
    Column(RECONSTRUCTION, "Fréchet distance, reconstructions", 3),
    Column("usage", "codebook usage", 1, percent=True),
    Column("perplexity", "perplexity", 0),
    Column(SAMPLES, "Fréchet distance, samples", 2),
    Column(BITS, "compression cost (bits per token)", 2),
)
"""What a cell of both stages is measured by."""
COSTS: Final = (
    Column(BITS, "prior", 2),
    Column("uniform_bits_per_token", "log2 of the codes", 2),
    Column("entropy_bits", "entropy of the histogram", 2),
    Column("zlib_bits_per_token", "zlib", 2),
    Column("zstd_bits_per_token", "zstd", 2),
)
"""What a token costs in bits, under the prior and without one."""
PLOTTED: Final = (RECONSTRUCTION, SAMPLES, "usage", BITS)
"""The panels of the paper's Figure 3, in its order."""
EXPECTED: Final = "expected_usage"
"""Usage that a cell's tokens would show, on average, of codes used evenly."""
OF_EXPECTED: Final = "usage_of_expected"
"""Usage as a share of that."""


def lines_by_size(families: Iterable[str], bits: Iterable[int]) -> dict[str, dict[float, list[str]]]:
    """The settings of a study of families at sizes of the codebook, for :func:`curves_of`.

    >>> lines_by_size(["fsq"], [4, 6])
    {'fsq': {16.0: ['fsq-16'], 64.0: ['fsq-64']}}
    """
    sizes = [2**size for size in bits]
    return {family: {float(size): [f"{family}-{size}"] for size in sizes} for family in families}


def curves_of(
    results: Mapping[Any, Mapping[str, Any]],
    lines: Mapping[str, Mapping[float, Sequence[str]]],
    measures: Iterable[Column] = MEASURES,
) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Values over seeds by measure, line and x.

    Args:
        results: The cells' figures.
        lines: For each line and x the settings that stand there; their values are put together.
        measures: Which figures.

    Returns:
        The curves; a point without a finished cell is left out.

    >>> from gridcode.studies.study import Cell
    >>> results = {Cell("fsq-16", 0): {"usage": 1.0}, Cell("fsq-16", 1): {"usage": 0.5}}
    >>> curves_of(results, {"fsq": {16: ["fsq-16"], 64: ["fsq-64"]}}, [Column("usage", "usage")])
    {'usage': {'fsq': {16: [1.0, 0.5]}}}
    """
    found = {measure.key: by_setting(results, measure.key) for measure in measures}
    return {
        key: {
            line: {x: values for x, settings in places.items() if (values := _together(settings, by_name))}
            for line, places in lines.items()
        }
        for key, by_name in found.items()
    }


def size_text(size: float) -> str:
    """A codebook's size as tables show it.

    >>> size_text(1024.0)
    '2^10'
    """
    return f"2^{round(math.log2(size))}"


def expected_usage(codes: int, tokens: int) -> float:
    """The share of the codes that tokens drawn evenly from all of them show on average: 1 - (1 - 1/K)^N.

    >>> round(expected_usage(2**20, 490_000), 3)
    0.373
    """
    return -math.expm1(tokens * math.log1p(-1 / codes)) if codes > 1 else 1.0


def with_expected(values: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's figures with the usage that its tokens would show of codes used evenly, and its own as a share of that.

    >>> with_expected({"codebook_size": 2, "tokens": 1, "usage": 0.5})[OF_EXPECTED]
    1.0
    """
    most = expected_usage(values["codebook_size"], values["tokens"])
    return {**values, EXPECTED: most, OF_EXPECTED: values["usage"] / most}


def curve_table(
    curves: Mapping[str, Curves],
    line: str,
    *,
    title: str,
    x: str,
    label: Callable[[float], str],
    measures: Sequence[Column] = MEASURES,
) -> StudyTable:
    """The table of one line: a row for each x, a column for each measure.

    Args:
        curves: By measure.
        line: Its key.
        title: Above the table.
        x: Title of the first column.
        label: An x as that column shows it.
        measures: The other columns.
    """
    places = sorted({place for measure in measures for place in curves[measure.key].get(line, {})})
    rows = [
        [label(place), *(cell_text(curves[measure.key].get(line, {}).get(place), measure) for measure in measures)]
        for place in places
    ]
    return StudyTable(title, (x, *(measure.title for measure in measures)), rows)


def cell_text(values: Sequence[float] | None, measure: Column) -> str:
    """A measure's values over seeds as a table shows them.

    >>> cell_text([0.25], Column("usage", "usage", 1, percent=True)), cell_text(None, Column("usage", "usage"))
    ('25.0 %', '')
    >>> cell_text([2048.0, 2048.0], Column("parameters", "parameters", fixed=True))
    '2,048'
    """
    if not values:
        return ""
    if measure.fixed:
        return f"{round(values[0]):,}"
    scale, unit = (100.0, " %") if measure.percent else (1.0, "")
    return Spread.of(values).text(measure.digits, scale=scale) + unit


def ahead_of(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    measures: Iterable[Column],
    higher: Container[str],
    *,
    lead: float = 0.0,
) -> tuple[int, list[str]]:
    """In how many measures one of two is better, and all of both in words.

    Args:
        ours: Figures by measure.
        theirs: Likewise; a measure that either lacks is left out.
        measures: Which.
        higher: Those of which more is better.
        lead: By how much ours must be better at least, as a share of the other's figure.

    >>> ahead_of({"x": 2.0}, {"x": 1.0, "y": 3.0}, [Column("x", "usage"), Column("y", "size")], {"x"})
    (1, ['usage 2.00 against 1.00'])
    """
    ahead, parts = 0, []
    for measure in measures:
        if measure.key in ours and measure.key in theirs:
            a, b = ours[measure.key], theirs[measure.key]
            gain = a - b if measure.key in higher else b - a
            ahead += gain > 0 and gain >= lead * abs(b)
            parts.append(f"{measure.title} {cell_text([a], measure)} against {cell_text([b], measure)}")
    return ahead, parts


def row_of(values: Mapping[str, float], measures: Iterable[Column]) -> list[str]:
    """The figures of one cell as a table's row; nothing where it lacks one."""
    return [cell_text([values[one.key]] if one.key in values else None, one) for one in measures]


def curve_panels(
    curves: Mapping[str, Curves],
    names: Mapping[str, str],
    *,
    x: str,
    log_x: bool = False,
    measures: Sequence[Column] = MEASURES,
    plotted: Sequence[str] = PLOTTED,
) -> list[Panel]:
    """A panel for each measure that has a point.

    Args:
        curves: By measure.
        names: Of the lines, in the legend's order.
        x: Title of the x axis.
        log_x: Whether it is logarithmic.
        measures: Their titles.
        plotted: Keys of the measures that have a panel, in order.
    """
    by_key = {measure.key: measure for measure in measures}
    return [
        Panel(
            by_key[key].title,
            [Series(name, curves[key][line]) for line, name in names.items() if curves[key].get(line)],
            x=x,
            log_x=log_x,
            percent=by_key[key].percent,
        )
        for key in plotted
        if any(curves[key].get(line) for line in names)
    ]


def _together(settings: Iterable[str], found: Mapping[str, list[float]]) -> list[float]:
    return [value for setting in settings for value in found.get(setting, ())]
