"""``gridcode levels --bits N``: FSQ levels whose codebook has about 2^N codes. Needs no torch, so it is instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridcode.cli.shared.parse import parse
from gridcode.quantize.fsq.levels import LevelSet, level_candidates


@dataclass(frozen=True)
class Arguments:
    """List FSQ levels for a codebook of about 2^bits codes: the paper's first, then the best others."""

    bits: int
    """The wished-for size of the codebook, as bits per token, 1 to 63."""
    min_level: int = 5
    """Smallest level; the paper finds levels under 5 worse."""
    max_level: int = 16
    """Largest level, to 32."""
    channels: int | None = None
    """Number of levels; any by default."""
    tolerance: float = 0.1
    """How far the size may be from 2^bits, as a share of it."""
    count: int = 10
    """Rows at most."""


def run(arguments: list[str]) -> None:
    """Print the candidates.

    Raises:
        GridcodeError: The command line is wrong, or no levels fit.
    """
    parsed = parse(Arguments, arguments, prog="gridcode levels")
    found = level_candidates(
        parsed.bits,
        min_level=parsed.min_level,
        max_level=parsed.max_level,
        channels=parsed.channels,
        tolerance=parsed.tolerance,
        count=parsed.count,
    )
    _show(found, parsed.bits)
    words = " ".join(str(level) for level in found[0].levels)
    print(f"to use the first: gridcode train tokenizer RECIPE --model.quantizer.levels {words} --out DIR")


def _show(found: Sequence[LevelSet], bits: int) -> None:
    """A table as wide as it needs to be where nobody's terminal bounds it."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(title=f"levels for 2^{bits} = {2**bits:,} codes", title_justify="left")
    table.add_column("levels", overflow="fold")
    for name in ("codes", "bits", f"off 2^{bits}", "channels"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for each in found:
        words = " ".join(str(level) for level in each.levels)
        off = f"{each.off:+.1%}" if each.off else "exact"
        row = (f"{each.size:,}", f"{each.bits:.2f}", off, str(len(each.levels)), "; ".join(each.notes))
        table.add_row(words, *row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=Measurement.get(console, console.options.update(max_width=1000), table).maximum)
    console.print(table)
