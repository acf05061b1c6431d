r"""FSQ on a CPU in one pass each way: the loops of ``numba_loops.py`` over slices of the latents, on a pool of threads.

Eager PyTorch passes over memory once an operation, and ``torch.compile`` needs a C++ compiler on the user's
machine. Loops are generic in the levels, so nothing is compiled anew for another codebook; the compiled code is cached
on disk. numba's own threads do not survive a fork, so slices run on a small pool of Python's, without the GIL, as many
as ``torch.get_num_threads()``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.quantize.fsq.forms import CodeGrid
from gridcode.quantize.fsq.kernels import numba_loops
from gridcode.quantize.fsq.kernels.numba_loops import COMPARED, TILE
from gridcode.quantize.fsq.kernels.reference import layout_of, like, nan_error

PARALLEL_FROM = 2**16
"""Numbers from which a second thread pays."""

DTYPES = (torch.float32, torch.bfloat16)
"""What the kernels read and write; other dtypes go to the reference."""


class Tables:
    """A codebook's numbers, channel by channel and repeated over a tile of vectors whose channels are neighbours.

    Thresholds are padded with infinity, which no number lies above, to a multiple of 8.
    """

    def __init__(self, grid: CodeGrid) -> None:
        channels, d = grid.channels, len(grid.levels)
        self.d = d
        self.vectors = max(1, TILE // d)
        most = max(grid.levels) - 1
        self.thresholds = np.full((-(-most // 8) * 8, d), np.inf, dtype=np.float32)
        for place, channel in enumerate(channels):
            self.thresholds[: channel.level - 1, place] = channel.thresholds32
        rows = [[c.middle, c.width, c.slope, c.shift, c.gain * c.slope] for c in channels]
        self.rows = np.array(rows, dtype=np.float32).T.copy()
        self.levels = np.array(grid.levels, dtype=np.int64)
        self.narrow = math.prod(grid.levels) <= 2**31
        basis = [math.prod(grid.levels[:i]) for i in range(d)]
        self.basis = np.array(basis, dtype=np.int32 if self.narrow else np.int64)
        self.tiled_rows = np.tile(self.rows, (1, self.vectors))
        self.tiled_basis = np.tile(self.basis, self.vectors)
        compared = most < COMPARED
        self.tiled = np.tile(self.thresholds, (1, self.vectors)) if compared else self.thresholds[:, :0].copy()


@lru_cache(maxsize=64)
def tables(grid: CodeGrid) -> Tables:
    """The tables of a codebook, made once."""
    return Tables(grid)


def quantize(latents: Tensor, grid: CodeGrid, *, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
    """As ``reference.quantize``, for float32 and bfloat16."""
    table = tables(grid)
    if latents.dtype == torch.bfloat16 and not table.narrow:
        # Rare, and each pair of dtypes is compiled for seconds. bfloat16 fits float32, and codes are rounded once.
        codes, indices = quantize(latents.float(), grid, channel_dim=channel_dim, check_nan=check_nan)
        return codes.bfloat16(), indices
    walk = layout_of(latents, channel_dim)
    dense = walk.dense
    codes = torch.empty_like(dense)
    shape = list(dense.shape)
    del shape[channel_dim]
    indices = torch.empty(shape, dtype=torch.int64)
    source, target, found = _flat(dense), _flat(codes), indices.view(-1).numpy()

    def run(first: int, last: int) -> int:
        if walk.inner == 1:
            bad = numba_loops.forward_flat(
                source,
                target,
                found,
                table.tiled,
                table.thresholds,
                table.tiled_rows,
                table.tiled_basis,
                table.d,
                first,
                last,
            )
        else:
            bad = numba_loops.forward_planes(
                source,
                target,
                found,
                walk.inner,
                table.thresholds,
                table.rows,
                table.levels,
                table.basis,
                first,
                last,
            )
        return int(bad)

    bad = sum(_in_slices(run, walk.outer, table.d * walk.inner))
    if bad and check_nan:
        raise nan_error(bad, latents.numel())
    return like(codes, latents), indices


def gradient(upstream: Tensor, latents: Tensor, grid: CodeGrid, *, channel_dim: int) -> Tensor:
    """As ``reference.gradient``, for float32 and bfloat16."""
    table, walk = tables(grid), layout_of(latents, channel_dim)
    change = torch.empty_like(walk.dense)
    given, source, target = _flat(like(upstream, walk.dense)), _flat(walk.dense), _flat(change)

    def run(first: int, last: int) -> int:
        if walk.inner == 1:
            numba_loops.backward(given, source, target, table.tiled_rows, first * table.d, last * table.d)
        else:
            numba_loops.backward_planes(given, source, target, walk.inner, table.rows, first, last)
        return 0

    _in_slices(run, walk.outer, table.d * walk.inner)
    return like(change, latents)


def decode(indices: Tensor, grid: CodeGrid, *, channel_dim: int, dtype: torch.dtype) -> Tensor:
    """As ``reference.decode``, for float32 and bfloat16."""
    table, flat = tables(grid), indices.contiguous()
    shape = list(indices.shape)
    place = channel_dim % (indices.ndim + 1)
    inner = math.prod(shape[place:])
    codes = torch.empty([*shape[:place], table.d, *shape[place:]], dtype=dtype)
    source, target = flat.view(-1).numpy(), _flat(codes)

    def run(first: int, last: int) -> int:
        numba_loops.decode(source, target, inner, table.levels, table.rows, table.narrow, first, last)
        return 0

    if indices.numel():
        _in_slices(run, flat.numel(), table.d)
    return codes


def _flat(values: Tensor) -> NDArray[Any]:
    """The memory of a dense tensor as numpy sees it; bfloat16 as the bits in uint16."""
    memory = values.detach().as_strided((values.numel(),), (1,))
    return (memory.view(torch.uint16) if values.dtype == torch.bfloat16 else memory).numpy()


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _in_slices(run: Callable[[int, int], int], count: int, size: int) -> list[int]:
    """Call ``run(first, last)`` over all of ``count`` blocks of ``size`` numbers, on as many threads as torch uses."""
    threads = min(torch.get_num_threads(), count) if count * size >= PARALLEL_FROM else 1
    if threads <= 1:
        return [run(0, count)] if count else [0]
    key = (os.getpid(), threads)  # a forked child has no threads of its parent's pool
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads - 1, thread_name_prefix="gridcode")
    cuts = [count * i // threads for i in range(threads + 1)]
    waiting = [_pools[key].submit(run, cuts[i], cuts[i + 1]) for i in range(1, threads)]
    return [run(cuts[0], cuts[1]), *(slice_.result() for slice_ in waiting)]
