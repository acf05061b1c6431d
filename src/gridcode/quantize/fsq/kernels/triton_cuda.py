r"""FSQ on a CUDA device in one pass each way, in Triton.

A program takes a tile of vectors with all their channels, (BLOCK, d padded to a power of two), and

    forward    counts the thresholds under each latent, sums digit · basis over the channels, divides for the codes;
    backward   computes upstream · gain · slope · 4 e / (1 + e)², e = exp(-2 |slope · z + shift|);
    decode     takes the digits out of the index and divides.

Each number is read once and written once; nothing but the latents is kept for the backward pass. Neighbours in memory
lie along the tile's channels where these come last, and along its vectors where channels are planes: Triton orders
the threads by that, so both are read in whole lines.

The division is the correctly rounded one and thresholds are those of the reference, so that codes and indices have
its bits. NaN are counted on the device; reading the count, where they are to be an error, waits for it.

With ``TRITON_INTERPRET=1`` in the environment these kernels run on CPU tensors, slowly: that is how they are tested
without a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from gridcode.quantize.fsq.forms import CodeGrid
from gridcode.quantize.fsq.kernels.reference import COMPARED_LEVEL, layout_of, like, nan_error

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What the kernels read and write; float64 goes to the reference."""

TILE = 2048
"""Numbers a program works on, 16 for each of its 128 threads."""


@dataclass(frozen=True)
class Tables:
    """A codebook's numbers on a device.

    Attributes:
        thresholds: float32 (largest level - 1, d), infinite beyond a channel's own.
        rows: float32 (5, d): middle, width, slope, shift, gain · slope.
        basis: int64 (d,), the products of the levels before each.
        levels: int64 (d,).
    """

    thresholds: Tensor
    rows: Tensor
    basis: Tensor
    levels: Tensor


@lru_cache(maxsize=64)
def tables(grid: CodeGrid, device: torch.device) -> Tables:
    """The tables of a codebook, copied to the device once."""
    d = len(grid.levels)
    thresholds = torch.full((max(grid.levels) - 1, d), math.inf)
    for place, channel in enumerate(grid.channels):
        thresholds[: channel.level - 1, place] = torch.tensor(channel.thresholds32.tolist())
    rows = [[c.middle, c.width, c.slope, c.shift, c.gain * c.slope] for c in grid.channels]
    basis = [math.prod(grid.levels[:i]) for i in range(d)]
    return Tables(
        thresholds.to(device),
        torch.tensor(rows, dtype=torch.float32).T.contiguous().to(device),
        torch.tensor(basis).to(device),
        torch.tensor(grid.levels).to(device),
    )


def quantize(latents: Tensor, grid: CodeGrid, *, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
    """As ``reference.quantize``, for float32, bfloat16 and float16."""
    table, layout = tables(grid, latents.device), layout_of(latents, channel_dim)
    dense = layout.dense.detach()
    codes = torch.empty_like(dense)
    shape = list(dense.shape)
    del shape[channel_dim]
    indices = torch.empty(shape, dtype=torch.int64, device=dense.device)
    bad = torch.zeros((), dtype=torch.int32, device=dense.device)
    walk = _Walk.of(layout.outer, layout.inner, len(grid.levels))
    most = len(table.thresholds)
    if walk.programs:
        with _on(dense.device):
            _forward[(walk.programs,)](
                dense,
                codes,
                indices,
                bad,
                table.thresholds,
                table.rows,
                table.basis,
                walk.vectors,
                walk.tiles,
                MOST=most,
                STEPS=0 if most < COMPARED_LEVEL else most.bit_length(),
                CHECK=check_nan,
                FLAT=walk.flat,
                D=walk.d,
                WIDTH=walk.width,
                BLOCK=walk.block,
                enable_fp_fusion=False,
            )
    if check_nan and (count := int(bad)):
        raise nan_error(count, latents.numel())
    return like(codes, latents), indices


def gradient(upstream: Tensor, latents: Tensor, grid: CodeGrid, *, channel_dim: int) -> Tensor:
    """As ``reference.gradient``, for float32, bfloat16 and float16."""
    table, layout = tables(grid, latents.device), layout_of(latents, channel_dim)
    dense = layout.dense.detach()
    change = torch.empty_like(dense)
    walk = _Walk.of(layout.outer, layout.inner, len(grid.levels))
    if walk.programs:
        with _on(dense.device):
            _backward[(walk.programs,)](
                like(upstream, dense),
                dense,
                change,
                table.rows,
                walk.vectors,
                walk.tiles,
                FLAT=walk.flat,
                D=walk.d,
                WIDTH=walk.width,
                BLOCK=walk.block,
                enable_fp_fusion=False,
            )
    return like(change, latents)


def decode(indices: Tensor, grid: CodeGrid, *, channel_dim: int, dtype: torch.dtype) -> Tensor:
    """As ``reference.decode``, for float32, bfloat16 and float16."""
    table, flat, d = tables(grid, indices.device), indices.contiguous(), len(grid.levels)
    shape = list(indices.shape)
    place = channel_dim % (indices.ndim + 1)
    codes = torch.empty([*shape[:place], d, *shape[place:]], dtype=dtype, device=indices.device)
    inner = math.prod(shape[place:])
    walk = _Walk.of(flat.numel() // max(inner, 1), inner, d)
    if walk.programs:
        with _on(indices.device):
            _decode[(walk.programs,)](
                flat,
                codes,
                table.rows,
                table.basis,
                table.levels,
                walk.vectors,
                walk.tiles,
                NARROW=math.prod(grid.levels) < 2**31,
                FLAT=walk.flat,
                D=walk.d,
                WIDTH=walk.width,
                BLOCK=walk.block,
                enable_fp_fusion=False,
            )
    return codes


@dataclass(frozen=True)
class _Walk:
    """Which tiles there are: every block of ``vectors`` vectors is cut into ``tiles`` of ``block``.

    With FLAT, channels are neighbours in memory and all vectors are one block; else a channel is a plane of
    ``vectors`` neighbours.
    """

    programs: int
    vectors: int
    tiles: int
    flat: bool
    d: int
    width: int
    block: int

    @classmethod
    def of(cls, outer: int, inner: int, d: int) -> _Walk:
        flat = inner == 1
        blocks, vectors = (1, outer) if flat else (outer, inner)
        width = triton.next_power_of_2(d)
        block = max(1, min(TILE // width, triton.next_power_of_2(max(vectors, 1))))
        tiles = -(-vectors // block)
        return cls(blocks * tiles, vectors, tiles, flat, d, width, block)


@contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """Launch on the tensors' device; the interpreter has none."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        yield


@triton.jit  # type: ignore[untyped-decorator]
def _tile(vectors, tiles, FLAT: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """This program's vectors (BLOCK,), counted over all, the memory places (BLOCK, WIDTH), and which of both exist."""
    program = tl.program_id(0).to(tl.int64)
    block = program // tiles
    vector = (program % tiles) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, WIDTH)
    if FLAT:
        place = vector[:, None] * D + channel[None, :]
    else:
        place = block * vectors * D + vector[:, None] + channel[None, :] * vectors
    exists = vector < vectors
    return block * vectors + vector, place, exists, exists[:, None] & (channel[None, :] < D)


@triton.jit  # type: ignore[untyped-decorator]
def _row(table, number: tl.constexpr, other: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """One row of a table (…, d), (1, WIDTH), with ``other`` in the padding."""
    channel = tl.arange(0, WIDTH)
    return tl.load(table + number * D + channel, mask=channel < D, other=other)[None, :]


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    source, codes, indices, bad, thresholds, rows, basis, vectors, tiles,
    MOST: tl.constexpr, STEPS: tl.constexpr, CHECK: tl.constexpr,
    FLAT: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    number, place, exists, inside = _tile(vectors, tiles, FLAT, D, WIDTH, BLOCK)
    z = tl.load(source + place, mask=inside, other=0.0).to(tl.float32)
    if CHECK:
        tl.atomic_add(bad, tl.sum(tl.sum((z != z).to(tl.int32), axis=1), axis=0))
    z = tl.where(z == z, z, 0.0)
    channel = tl.arange(0, WIDTH)
    digit = tl.zeros((BLOCK, WIDTH), dtype=tl.int32)
    if STEPS == 0:
        for k in range(MOST):
            edge = tl.load(thresholds + k * D + channel, mask=channel < D, other=float("inf"))
            digit += (z > edge[None, :]).to(tl.int32)
    else:  # binary search, for levels too high to compare one by one
        high = tl.zeros((BLOCK, WIDTH), dtype=tl.int32) + MOST
        for _ in range(STEPS):
            half = (digit + high) // 2
            left = digit < high
            edge = tl.load(thresholds + half * D + channel[None, :], mask=inside & left, other=float("inf"))
            under = edge < z
            high = tl.where(left & (under == 0), half, high)
            digit = tl.where(left & under, half + 1, digit)
    index = tl.sum(digit.to(tl.int64) * _row(basis, 0, 0, D, WIDTH), axis=1)
    tl.store(indices + number, index, mask=exists)
    code = tl.div_rn(digit.to(tl.float32) - _row(rows, 0, 0.0, D, WIDTH), _row(rows, 1, 1.0, D, WIDTH))
    tl.store(codes + place, code.to(codes.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    upstream, source, change, rows, vectors, tiles,
    FLAT: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    _, place, _, inside = _tile(vectors, tiles, FLAT, D, WIDTH, BLOCK)
    z = tl.load(source + place, mask=inside, other=0.0).to(tl.float32)
    given = tl.load(upstream + place, mask=inside, other=0.0).to(tl.float32)
    u = z * _row(rows, 2, 0.0, D, WIDTH) + _row(rows, 3, 0.0, D, WIDTH)
    e = tl.exp(-2.0 * tl.abs(u))
    bend = 4.0 * e / ((1.0 + e) * (1.0 + e))
    out = tl.where(z == z, given * (bend * _row(rows, 4, 0.0, D, WIDTH)), 0.0)
    tl.store(change + place, out.to(change.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _decode(  # type: ignore[no-untyped-def]
    indices, codes, rows, basis, levels, vectors, tiles,
    NARROW: tl.constexpr, FLAT: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    number, place, exists, inside = _tile(vectors, tiles, FLAT, D, WIDTH, BLOCK)
    index = tl.load(indices + number, mask=exists, other=0)[:, None]
    step, level = _row(basis, 0, 1, D, WIDTH), _row(levels, 0, 1, D, WIDTH)
    if NARROW:  # divisions of 64 bits are many instructions
        index, step, level = index.to(tl.int32), step.to(tl.int32), level.to(tl.int32)
    digit = (index // step) % level
    code = tl.div_rn(digit.to(tl.float32) - _row(rows, 0, 0.0, D, WIDTH), _row(rows, 1, 1.0, D, WIDTH))
    tl.store(codes + place, code.to(codes.dtype.element_ty), mask=inside)
