r"""FSQ's loops, compiled by numba: forward, backward and decode over one slice of the numbers.

A tile of a few hundred numbers stays in the innermost cache while

    z      is widened to float32 (bfloat16 by a shift of its bits),
    digit  counts the thresholds under z, eight at a time, in vector registers: no tanh is needed,
    code   is (digit - middle) / width, rounded to the latents' dtype,
    index  is the sum of digit · basis.

A tile with a NaN in it is done again with 0 in its place.

The backward pass reads z and the upstream gradient and needs nothing else. With u = |slope · z + shift|,

    1 - tanh² u = 4 e / (1 + e)²,   e = exp(-2 u) = 2^n · p(f),   n + f = -2 u log2(e)

where p is the Taylor polynomial of 2^f of degree 6 on [-1/2, 1/2] (relative error 2e-7): arithmetic that a compiler
turns into vector code, which a call of ``tanh`` prevents.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TILE = 512
"""Numbers worked on at a time: their thresholds, constants and results fit the innermost cache (24 KiB at 8 levels)."""

COMPARED = 64
"""Up to so many thresholds a digit is counted threshold by threshold; beyond, found by binary search."""

_ONE = np.float32(1)
_LOG2E2 = np.float32(-2 * math.log2(math.e))
_P6, _P5, _P4, _P3, _P2, _P1 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(6, 0, -1))
_jit = njit(nogil=True, cache=True, error_model="numpy")
# A call costs as much as the arithmetic of a hundred numbers: what is called for each tile is inlined.
_part = njit(nogil=True, inline="always", error_model="numpy")
# Each place that it is inlined at is compiled for seconds, so the rare tile with a NaN makes a call.
_called = njit(nogil=True, error_model="numpy")


@_part
def _load(source, x):  # type: ignore[no-untyped-def]
    """Widen numbers into x. Slices, not offsets: those stop vector code."""
    if source.itemsize == 2:
        bits = x.view(np.uint32)
        for j in range(len(source)):
            bits[j] = np.uint32(source[j]) << np.uint32(16)
    else:
        for j in range(len(source)):
            x[j] = np.float32(source[j])


@_part
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


@_part
def _clear_nan(x, values):  # type: ignore[no-untyped-def]
    """0 in values wherever x is NaN."""
    for j in range(len(values)):
        values[j] = values[j] if x[j] == x[j] else np.float32(0)


@_part
def _search(x, digit, thresholds, channel, step, start):  # type: ignore[no-untyped-def]
    """Digits of every ``step``-th number by binary search, for levels too high to compare one by one."""
    most = thresholds.shape[0]
    for j in range(start, len(x), step):
        low, high = 0, most
        while low < high:
            half = (low + high) >> 1
            if thresholds[half, channel] < x[j]:
                low = half + 1
            else:
                high = half
        digit[j] = low


@_part
def _forward_tile(x, code, term, digit, tiled, thresholds, rows, basis, d):  # type: ignore[no-untyped-def]
    """Codes of the numbers x, vectors whose channels are neighbours, and digit · basis; how many are NaN."""
    bad = np.int32(0)
    if tiled.shape[0] == 8 and tiled.shape[1]:
        for j in range(len(x)):
            z = x[j]
            bad = np.int32(bad + np.int32(z != z))
            # "a + 1 if …" of floats is one instruction under a mask; of integers, or "a + (…)", it is two.
            few, more = np.float32(0), np.float32(0)
            few = few + _ONE if z > tiled[0, j] else few
            more = more + _ONE if z > tiled[1, j] else more
            few = few + _ONE if z > tiled[2, j] else few
            more = more + _ONE if z > tiled[3, j] else more
            few = few + _ONE if z > tiled[4, j] else few
            more = more + _ONE if z > tiled[5, j] else more
            few = few + _ONE if z > tiled[6, j] else few
            more = more + _ONE if z > tiled[7, j] else more
            under = few + more
            code[j] = (under - rows[0, j]) / rows[1, j]
            term[j] = np.int32(under) * basis[j]
        return bad
    if tiled.shape[1]:
        digit[:] = 0
        for k in range(0, tiled.shape[0], 4):
            for j in range(len(x)):
                z = x[j]
                four = np.int32(z > tiled[k, j]) + np.int32(z > tiled[k + 1, j])
                four += np.int32(z > tiled[k + 2, j]) + np.int32(z > tiled[k + 3, j])
                digit[j] += np.int32(four)
    else:
        for c in range(d):
            _search(x, digit, thresholds, c, d, c)
    for j in range(len(x)):
        bad = np.int32(bad + np.int32(x[j] != x[j]))
        code[j] = (np.float32(digit[j]) - rows[0, j]) / rows[1, j]
        term[j] = digit[j] * basis[j]
    return bad


_forward_tile_again = _called(_forward_tile.py_func)


@_part
def _fold(t, index, d):  # type: ignore[no-untyped-def]
    """The sums of d neighbours; strides that the compiler knows are three times as fast."""
    n = len(index)
    if d == 3:
        for j in range(n):
            index[j] = t[3 * j] + t[3 * j + 1] + t[3 * j + 2]
    elif d == 4:
        for j in range(n):
            index[j] = t[4 * j] + t[4 * j + 1] + t[4 * j + 2] + t[4 * j + 3]
    elif d == 5:
        for j in range(n):
            index[j] = t[5 * j] + t[5 * j + 1] + t[5 * j + 2] + t[5 * j + 3] + t[5 * j + 4]
    elif d == 6:
        for j in range(n):
            index[j] = t[6 * j] + t[6 * j + 1] + t[6 * j + 2] + t[6 * j + 3] + t[6 * j + 4] + t[6 * j + 5]
    else:
        column = t[::d]
        for j in range(n):
            index[j] = column[j]
        for c in range(1, d):
            column = t[c::d]
            for j in range(n):
                index[j] += column[j]


@_jit
def forward_flat(source, target, found, tiled, thresholds, rows, basis, d, first, last):  # type: ignore[no-untyped-def]
    """Vectors [first, last) whose channels are neighbours; how many numbers are NaN."""
    size = rows.shape[1]
    x, code, digit = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.int32)
    term = np.empty(size, basis.dtype)
    bad = np.int64(0)
    for start in range(first, last, size // d):
        n = min(size // d, last - start)
        a, b = start * d, (start + n) * d
        m = b - a
        z, out = x[:m], code[:m]
        if source.itemsize == 2:
            _load(source[a:b], x)
        else:  # views, so that both branches have types
            z, out = source[a:b].view(np.float32), target[a:b].view(np.float32)
        wrong = _forward_tile(z, out, term, digit, tiled, thresholds, rows, basis, d)
        if wrong:
            _load(source[a:b], x)
            _clear_nan(x, x[:m])
            _forward_tile_again(x[:m], code[:m], term, digit, tiled, thresholds, rows, basis, d)
        if wrong or source.itemsize == 2:
            _store(code, target[a:b])
        _fold(term, found[start : start + n], d)
        bad += wrong
    return bad


@_part
def _plane_tile(x, code, digit, thresholds, channel, level, middle, width):  # type: ignore[no-untyped-def]
    """Codes and digits of numbers of one channel; how many are NaN."""
    if thresholds.shape[0] >= COMPARED:
        _search(x, digit, thresholds, channel, 1, 0)
    else:
        digit[:] = 0
        for k in range(0, level - 1, 4):
            t, u = thresholds[k, channel], thresholds[k + 1, channel]
            v, w = thresholds[k + 2, channel], thresholds[k + 3, channel]
            for j in range(len(x)):
                z = x[j]
                digit[j] += np.int32(z > t) + np.int32(z > u) + np.int32(z > v) + np.int32(z > w)
    bad = np.int32(0)
    for j in range(len(x)):
        bad = np.int32(bad + np.int32(x[j] != x[j]))
        code[j] = (np.float32(digit[j]) - middle) / width
    return bad


_plane_tile_again = _called(_plane_tile.py_func)


@_jit
def forward_planes(  # type: ignore[no-untyped-def]
    source, target, found, inner, thresholds, rows, levels, basis, first, last
):
    """Blocks [first, last) of d planes of ``inner`` numbers; how many numbers are NaN."""
    d = len(basis)
    x, code, digit = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.int32)
    bad = np.int64(0)
    for o in range(first, last):
        for start in range(0, inner, TILE):
            n = min(TILE, inner - start)
            index = found[o * inner + start : o * inner + start + n]
            for c in range(d):
                a = (o * d + c) * inner + start
                b = a + n
                middle, width, weight = rows[0, c], rows[1, c], basis[c]
                z, out = x[:n], code
                if source.itemsize == 2:
                    _load(source[a:b], x)
                else:
                    z, out = source[a:b].view(np.float32), target[a:b].view(np.float32)
                wrong = _plane_tile(z, out, digit, thresholds, c, levels[c], middle, width)
                if wrong:
                    _load(source[a:b], x)
                    _clear_nan(x, x[:n])
                    _plane_tile_again(x[:n], code, digit, thresholds, c, levels[c], middle, width)
                if wrong or source.itemsize == 2:
                    _store(code, target[a:b])
                if c == 0:
                    for j in range(n):
                        index[j] = digit[j]
                else:
                    for j in range(n):
                        index[j] += digit[j] * weight
                bad += wrong
    return bad


@_part
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


@_part
def _backward_tile(z, given, out, rows):  # type: ignore[no-untyped-def]
    """The gradient of numbers with their constants; 0 at NaN."""
    bad = np.int32(0)
    for j in range(len(z)):
        bad = np.int32(bad + np.int32(z[j] != z[j]))
        out[j] = given[j] * rows[4, j] * _bend(z[j], rows[2, j], rows[3, j])
    if bad:
        _clear_nan(z, out)


@_jit
def backward(given, source, target, rows, first, last):  # type: ignore[no-untyped-def]
    """The gradient of numbers [first, last), whose constants repeat with the rows."""
    size = rows.shape[1]
    z, g, out = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    for a in range(first, last, size):
        b = min(a + size, last)
        x, up, change = z[: b - a], g, out
        if source.itemsize == 2:
            _load(source[a:b], z)
            _load(given[a:b], g)
        else:
            x, up, change = source[a:b].view(np.float32), given[a:b].view(np.float32), target[a:b].view(np.float32)
        _backward_tile(x, up, change, rows)
        if source.itemsize == 2:
            _store(out, target[a:b])


@_jit
def backward_planes(given, source, target, inner, rows, first, last):  # type: ignore[no-untyped-def]
    """The gradient of blocks [first, last) of d planes of ``inner`` numbers."""
    d = rows.shape[1]
    tiled = np.empty((rows.shape[0], TILE), np.float32)
    for c in range(d):
        for row in range(rows.shape[0]):
            tiled[row, :] = rows[row, c]
        for o in range(first, last):
            backward(given, source, target, tiled, (o * d + c) * inner, (o * d + c + 1) * inner)


@_jit
def decode(source, target, inner, levels, rows, narrow, first, last):  # type: ignore[no-untyped-def]
    """The codes of indices [first, last), written to blocks of d planes of ``inner`` numbers."""
    d = len(levels)
    out = np.empty(TILE, np.float32)
    rest32 = np.empty(TILE, np.int32)
    rest64 = np.empty(TILE, np.int64)
    for start in range(first, last, TILE):
        n = min(TILE, last - start)
        part = source[start : start + n]
        if narrow:
            for j in range(n):
                rest32[j] = part[j]
        else:
            rest64[:n] = part
        for c in range(d):
            middle, width = rows[0, c], rows[1, c]
            if narrow:
                # Division in float64 is exact here: (r + 1/2) / L is at least 1 / (2 L) from every whole number.
                level, share = np.int32(levels[c]), 1 / np.float64(levels[c])
                for j in range(n):
                    q = np.int32((np.float64(rest32[j]) + 0.5) * share)
                    out[j] = (np.float32(rest32[j] - q * level) - middle) / width
                    rest32[j] = q
            else:
                for j in range(n):
                    long = rest64[j] // levels[c]
                    out[j] = (np.float32(rest64[j] - long * levels[c]) - middle) / width
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
