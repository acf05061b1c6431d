r"""FSQ on a CPU in one pass each way, compiled by numba.

A tile of about a thousand numbers stays in the innermost cache while

    z      is widened to float32 (bfloat16 by a shift of its bits) and NaN made 0,
    digit  counts the thresholds under z, four at a time, in vector registers: no tanh is needed,
    code   is (digit - middle) / width, rounded to the latents' dtype,
    index  is the sum of digit · basis.

The backward pass reads z and the upstream gradient and needs nothing else. With u = |slope · z + shift|,

    1 - tanh² u = 4 e / (1 + e)²,   e = exp(-2 u) = 2^n · p(f),   n + f = -2 u log2(e)

where p is the Taylor polynomial of 2^f of degree 6 on [-1/2, 1/2] (relative error 2e-7): arithmetic that a compiler
turns into vector code, which a call of ``tanh`` prevents.

Why numba: eager PyTorch passes over memory once an operation, and ``torch.compile`` needs a C++ compiler on the user's
machine. Loops are generic in the levels, so nothing is compiled anew for another book; the compiled code is cached on
disk. numba's own threads do not survive a fork, so slices run on a small pool of Python's, without the GIL, as many as
``torch.get_num_threads()``.
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
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from gridcode.quantize.forms import Book
from gridcode.quantize.kernels.layout import layout_of, like
from gridcode.quantize.kernels.reference import nan_error

TILE = 1024
"""Numbers worked on at a time: five buffers of them fit the innermost cache."""

PARALLEL_FROM = 2**16
"""Numbers from which a second thread pays."""

DTYPES = (torch.float32, torch.bfloat16)
"""What the kernels read and write; other dtypes go to the reference."""

_COMPARED = 64
_LOG2E2 = np.float32(-2 * math.log2(math.e))
_P6, _P5, _P4, _P3, _P2, _P1 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(6, 0, -1))
_jit = njit(nogil=True, cache=True, error_model="numpy")


class Tables:
    """A book's numbers, channel by channel and repeated over a tile of vectors whose channels are neighbours."""

    def __init__(self, book: Book) -> None:
        channels, d = book.channels, len(book.levels)
        self.d = d
        self.vectors = max(1, TILE // d)
        most = max(book.levels) - 1
        self.thresholds = np.full((most, d), np.inf, dtype=np.float32)
        for place, channel in enumerate(channels):
            self.thresholds[: channel.level - 1, place] = channel.thresholds32
        rows = [[c.middle, c.width, c.slope, c.shift, c.gain * c.slope] for c in channels]
        self.rows = np.array(rows, dtype=np.float32).T.copy()
        self.basis = np.array([math.prod(book.levels[:i]) for i in range(d)], dtype=np.int64)
        self.levels = np.array(book.levels, dtype=np.int64)
        self.tiled_rows = np.tile(self.rows, (1, self.vectors))
        compared = most < _COMPARED
        self.tiled = np.tile(self.thresholds, (1, self.vectors)) if compared else self.thresholds[:, :0].copy()


@lru_cache(maxsize=64)
def tables(book: Book) -> Tables:
    """The tables of a book, made once."""
    return Tables(book)


def quantize(latents: Tensor, book: Book, *, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
    """As ``reference.quantize``, for float32 and bfloat16."""
    table, walk = tables(book), layout_of(latents, channel_dim)
    dense = walk.dense
    codes = torch.empty_like(dense)
    shape = list(dense.shape)
    del shape[channel_dim]
    indices = torch.empty(shape, dtype=torch.int64)
    source, target, found = _flat(dense), _flat(codes), indices.view(-1).numpy()

    def run(first: int, last: int) -> int:
        if walk.inner == 1:
            bad = _forward_flat(
                source, target, found, table.tiled, table.thresholds, table.tiled_rows, table.basis, first, last
            )
        else:
            bad = _forward_planes(
                source, target, found, walk.inner, table.thresholds, table.rows, table.basis, first, last
            )
        return int(bad)

    bad = sum(_in_slices(run, walk.outer, table.d * walk.inner))
    if bad and check_nan:
        raise nan_error(bad, latents.numel())
    return like(codes, latents), indices


def gradient(upstream: Tensor, latents: Tensor, book: Book, *, channel_dim: int) -> Tensor:
    """As ``reference.gradient``, for float32 and bfloat16."""
    table, walk = tables(book), layout_of(latents, channel_dim)
    change = torch.empty_like(walk.dense)
    given, source, target = _flat(like(upstream, walk.dense)), _flat(walk.dense), _flat(change)

    def run(first: int, last: int) -> int:
        if walk.inner == 1:
            _backward_flat(given, source, target, table.tiled_rows, table.d, first, last)
        else:
            _backward_planes(given, source, target, walk.inner, table.rows, first, last)
        return 0

    _in_slices(run, walk.outer, table.d * walk.inner)
    return like(change, latents)


def decode(indices: Tensor, book: Book, *, channel_dim: int, dtype: torch.dtype) -> Tensor:
    """As ``reference.decode``, for float32 and bfloat16."""
    table, flat = tables(book), indices.contiguous()
    shape = list(indices.shape)
    place = channel_dim % (indices.ndim + 1)
    inner = math.prod(shape[place:])
    codes = torch.empty([*shape[:place], table.d, *shape[place:]], dtype=dtype)
    source, target = flat.view(-1).numpy(), _flat(codes)
    narrow = math.prod(book.levels) <= 2**32

    def run(first: int, last: int) -> int:
        _decode(source, target, inner, table.levels, table.rows, narrow, first, last)
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


@_jit
def _load(source, x):  # type: ignore[no-untyped-def]
    """Widen numbers into x with 0 for NaN; how many were NaN. Slices, not offsets: those stop vector code."""
    _load_raw(source, x)
    bad = np.int32(0)
    for j in range(len(source)):
        bad += np.int32(x[j] != x[j])
    if bad:
        for j in range(len(source)):
            x[j] = x[j] if x[j] == x[j] else np.float32(0)
    return bad


@_jit
def _store(x, target):  # type: ignore[no-untyped-def]
    """Narrow the numbers of x: to the nearest bfloat16, ties to even, or as they are."""
    if target.itemsize == 2:
        bits = x.view(np.uint32)
        for j in range(len(target)):
            b = bits[j]
            target[j] = (b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    else:
        for j in range(len(target)):
            target[j] = x[j]


@_jit
def _search(x, digit, thresholds, channel, step, start, count):  # type: ignore[no-untyped-def]
    """Digits of every ``step``-th number by binary search, for levels too high to compare one by one."""
    most = thresholds.shape[0]
    for j in range(start, count, step):
        low, high = 0, most
        while low < high:
            half = (low + high) >> 1
            if thresholds[half, channel] < x[j]:
                low = half + 1
            else:
                high = half
        digit[j] = low


@_jit
def _forward_flat(source, target, found, tiled, thresholds, rows, basis, first, last):  # type: ignore[no-untyped-def]
    """Vectors [first, last) whose channels are neighbours."""
    d = len(basis)
    per = rows.shape[1] // d
    x = np.empty(rows.shape[1], np.float32)
    digit = np.empty(rows.shape[1], np.int32)
    middle, width = rows[0], rows[1]
    bad = np.int64(0)
    for start in range(first, last, per):
        n = min(start + per, last) - start
        m = n * d
        bad += _load(source[start * d : start * d + m], x)
        if tiled.shape[1] == 0:
            for c in range(d):
                _search(x, digit, thresholds, c, d, c, m)
        else:
            for j in range(m):
                digit[j] = 0
            k = 0
            while k + 4 <= tiled.shape[0]:
                a, b, e, f = tiled[k], tiled[k + 1], tiled[k + 2], tiled[k + 3]
                for j in range(m):
                    v = x[j]
                    digit[j] += np.int32(v > a[j]) + np.int32(v > b[j]) + np.int32(v > e[j]) + np.int32(v > f[j])
                k += 4
            while k < tiled.shape[0]:
                a = tiled[k]
                for j in range(m):
                    digit[j] += np.int32(x[j] > a[j])
                k += 1
        for j in range(m):
            x[j] = (np.float32(digit[j]) - middle[j]) / width[j]
        _store(x, target[start * d : start * d + m])
        index = found[start : start + n]
        column = digit[0:m:d]
        for j in range(n):
            index[j] = column[j]
        for c in range(1, d):
            weight, column = basis[c], digit[c:m:d]
            for j in range(n):
                index[j] += column[j] * weight
    return bad


@_jit
def _forward_planes(source, target, found, inner, thresholds, rows, basis, first, last):  # type: ignore[no-untyped-def]
    """Blocks [first, last) of d planes of ``inner`` numbers."""
    d = len(basis)
    x = np.empty(TILE, np.float32)
    digit = np.empty(TILE, np.int32)
    bad = np.int64(0)
    for o in range(first, last):
        for start in range(0, inner, TILE):
            n = min(TILE, inner - start)
            index = found[o * inner + start : o * inner + start + n]
            for c in range(d):
                place = (o * d + c) * inner + start
                bad += _load(source[place : place + n], x)
                if thresholds.shape[0] >= _COMPARED:
                    _search(x, digit, thresholds, c, 1, 0, n)
                else:
                    for j in range(n):
                        digit[j] = 0
                    for k in range(thresholds.shape[0]):
                        t = thresholds[k, c]
                        for j in range(n):
                            digit[j] += np.int32(x[j] > t)
                middle, width, weight = rows[0, c], rows[1, c], basis[c]
                if c == 0:
                    for j in range(n):
                        index[j] = digit[j]
                else:
                    for j in range(n):
                        index[j] += digit[j] * weight
                for j in range(n):
                    x[j] = (np.float32(digit[j]) - middle) / width
                _store(x, target[place : place + n])
    return bad


@_jit
def _bend(z, slope, shift):  # type: ignore[no-untyped-def]
    """1 - tanh²(slope · z + shift), exactly 0 where e is out of float32's range."""
    t = abs(slope * z + shift) * _LOG2E2
    t_in = max(t, np.float32(-126))
    n = np.floor(t_in + np.float32(0.5))
    f = t_in - n
    p = ((((((_P6 * f + _P5) * f + _P4) * f + _P3) * f + _P2) * f + _P1) * f) + np.float32(1)
    e = p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    e = e if t > np.float32(-126) else np.float32(0)
    q = np.float32(1) + e
    return np.float32(4) * e / (q * q)


@_jit
def _backward_flat(given, source, target, rows, d, first, last):  # type: ignore[no-untyped-def]
    """The gradient of vectors [first, last) whose channels are neighbours."""
    size = rows.shape[1]
    z, g, keep = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    slope, shift, gain = rows[2], rows[3], rows[4]
    for start in range(first * d, last * d, size):
        m = min(size, last * d - start)
        bad = _load(source[start : start + m], z)
        _load_raw(given[start : start + m], g)
        for j in range(m):
            keep[j] = g[j] * gain[j] * _bend(z[j], slope[j], shift[j])
        if bad:
            _clear_nan(source[start : start + m], g, keep)
        _store(keep, target[start : start + m])


@_jit
def _backward_planes(given, source, target, inner, rows, first, last):  # type: ignore[no-untyped-def]
    """The gradient of blocks [first, last) of d planes of ``inner`` numbers."""
    d = rows.shape[1]
    z, g, keep = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for plane in range(first * d, last * d):
        slope, shift, gain = rows[2, plane % d], rows[3, plane % d], rows[4, plane % d]
        for start in range(plane * inner, (plane + 1) * inner, TILE):
            m = min(TILE, (plane + 1) * inner - start)
            bad = _load(source[start : start + m], z)
            _load_raw(given[start : start + m], g)
            for j in range(m):
                keep[j] = g[j] * gain * _bend(z[j], slope, shift)
            if bad:
                _clear_nan(source[start : start + m], g, keep)
            _store(keep, target[start : start + m])


@_jit
def _load_raw(source, x):  # type: ignore[no-untyped-def]
    """Widen numbers into x as they are."""
    if source.itemsize == 2:
        bits = x.view(np.uint32)
        for j in range(len(source)):
            bits[j] = np.uint32(source[j]) << np.uint32(16)
    else:
        for j in range(len(source)):
            x[j] = np.float32(source[j])


@_jit
def _clear_nan(source, raw, x):  # type: ignore[no-untyped-def]
    """0 in x wherever the source is NaN."""
    _load_raw(source, raw)
    for j in range(len(source)):
        x[j] = x[j] if raw[j] == raw[j] else np.float32(0)


@_jit
def _decode(source, target, inner, levels, rows, narrow, first, last):  # type: ignore[no-untyped-def]
    """The codes of indices [first, last), written to blocks of d planes of ``inner`` numbers."""
    d = len(levels)
    out = np.empty(TILE, np.float32)
    rest32 = np.empty(TILE, np.uint32)
    rest64 = np.empty(TILE, np.uint64)
    for start in range(first, last, TILE):
        n = min(TILE, last - start)
        part = source[start : start + n]
        for j in range(n):
            rest64[j] = np.uint64(part[j])
        if narrow:
            for j in range(n):
                rest32[j] = np.uint32(rest64[j])
        for c in range(d):
            middle, width = rows[0, c], rows[1, c]
            if narrow:
                small = np.uint32(levels[c])
                for j in range(n):
                    q = rest32[j] // small
                    out[j] = (np.float32(rest32[j] - q * small) - middle) / width
                    rest32[j] = q
            else:
                level = np.uint64(levels[c])
                for j in range(n):
                    long = rest64[j] // level
                    out[j] = (np.float32(rest64[j] - long * level) - middle) / width
                    rest64[j] = long
            if inner == 1:
                _store(out, target[start * d + c : (start + n) * d : d])
            else:
                _store_planes(out, target, start, c, d, inner, n)


@_jit
def _store_planes(x, target, start, channel, d, inner, count):  # type: ignore[no-untyped-def]
    """As ``_store``, for vectors from ``start`` on, whose channel lies in planes of ``inner``."""
    done = 0
    while done < count:
        vector = start + done
        block, place = vector // inner, vector % inner
        n = min(inner - place, count - done)
        first = (block * d + channel) * inner + place
        _store(x[done : done + n], target[first : first + n])
        done += n
