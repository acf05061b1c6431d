"""Grids that are larger than a prior's, in windows of its size.

A prior knows grids of one shape, (h, w) or (h, w, q). A larger grid is coded in four turns:

    1 1 1 1 2 2      1  whole windows, side by side
    1 1 1 1 2 2      2  at the right edge, where columns are left over: a window that reaches back into 1
    1 1 1 1 2 2      3  likewise at the lower edge
    3 3 3 3 4 4      4  and in the corner

The windows of a turn are coded together. In turns 2 to 4 what earlier turns coded is known: the prior sees it, and it
is not coded again. So every token is coded once, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gridcode.codec.bitstream import PriorCoding
from gridcode.codec.ranges import RangeDecoder, RangeEncoder
from gridcode.errors import GridcodeError
from gridcode.prior.coding.coder import PriorCoder


def encode_windows(coder: PriorCoder, tokens: Tensor, settings: PriorCoding) -> bytes:
    """A grid as bytes; its examples have no class.

    Args:
        coder: The prior's.
        tokens: int64 in [0, K), (H, W) or (H, W, q), at least as large as the prior's grid.
        settings: Steps, and windows at a time.

    Raises:
        GridcodeError: The grid is smaller than the prior's, or of another q.

    >>> from gridcode.prior import MaskGIT, MaskGITConfig, TokenSpace
    >>> space = TokenSpace(40, (2, 3), classes=(), tokenizer="", data={})
    >>> coder = PriorCoder(MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval())
    >>> tokens, settings = torch.randint(0, 40, (5, 7)), coder.settings(4)
    >>> torch.equal(decode_windows(coder, encode_windows(coder, tokens, settings), (5, 7), settings), tokens)
    True
    """
    encoder = RangeEncoder()
    for places, known in turns(tuple(tokens.shape), coder.prior.space.grid):
        coder.write(encoder, tokens.flatten()[places], _no_class(places), settings, known)
    return encoder.finish()


def decode_windows(coder: PriorCoder, data: bytes, grid: tuple[int, ...], settings: PriorCoding) -> Tensor:
    """The grid of bytes, int64, on the CPU; see :func:`encode_windows`.

    Raises:
        GridcodeError: The grid is smaller than the prior's, or of another q; or no tokens are coded like that.
    """
    decoder, found = RangeDecoder(data), torch.zeros(grid, dtype=torch.int64)
    flat = found.view(-1)
    for places, known in turns(grid, coder.prior.space.grid):
        flat[places] = coder.read(decoder, flat[places], _no_class(places), settings, known)
    return found


def turns(grid: tuple[int, ...], window: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """The windows of each turn.

    Args:
        grid: (H, W) or (H, W, q).
        window: (h, w) or (h, w, q).

    Yields:
        Flat places of the tokens of n windows, (n, N), and which of them are known by then, (n, N) bool.

    Raises:
        GridcodeError: No window fits into the grid.
    """
    if len(grid) != len(window) or grid[2:] != window[2:] or grid[0] < window[0] or grid[1] < window[1]:
        raise GridcodeError(f"a prior of grids {window} codes grids that are as large at least, got {grid}")
    places, done = torch.arange(torch.Size(grid).numel()).view(grid), torch.zeros(grid, dtype=torch.bool)
    (rows, last_row), (columns, last_column) = (_starts(a, b) for a, b in zip(grid[:2], window[:2], strict=True))
    for tops, lefts in ((rows, columns), (rows, last_column), (last_row, columns), (last_row, last_column)):
        slices = [(slice(a, a + window[0]), slice(b, b + window[1])) for a in tops for b in lefts]
        if slices:
            yield (
                torch.stack([places[here].flatten() for here in slices]),
                torch.stack([done[here].flatten() for here in slices]),
            )
        for here in slices:
            done[here] = True


def _starts(length: int, window: int) -> tuple[range, range]:
    """Where whole windows begin along a side, and where one that overlaps them begins, if any."""
    left_over = length % window
    return range(0, length - window + 1, window), range(length - window, length - window + bool(left_over))


def _no_class(places: Tensor) -> Tensor:
    return torch.full((len(places),), -1)
