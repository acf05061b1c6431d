"""The one-pass CPU kernels against the plain reference: bit for bit in codes and indices."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("numba")

from gridcode.errors import GridcodeError
from gridcode.quantize.forms import FORMS, FormName, make_book
from gridcode.quantize.kernels import numba_cpu, ops, reference

BOOKS = [(8, 5, 5, 5), (2,), (8, 8, 8, 6, 5), (3,) * 12, (1000, 2, 7), (64, 65)]
LAYOUTS = [((700,), -1), ((3, 11, 5), 1), ((2, 30, 40), 1), ((4,), 0), ((0, 6), -1), ((2, 3, 5), -2)]


def cases(book: tuple[int, ...], form: FormName, shape: tuple[int, ...], dim: int, dtype: torch.dtype) -> torch.Tensor:
    """Random latents, the thresholds themselves and their neighbours, and what is not finite."""
    place = dim % (len(shape) + 1)
    full = [*shape[:place], len(book), *shape[place:]]
    z = torch.randn(full, generator=torch.Generator().manual_seed(0)) * 2
    edges = torch.cat([torch.tensor(c.thresholds32.tolist()) for c in make_book(book, form).channels])
    near = torch.cat([edges, torch.nextafter(edges, torch.tensor(math.inf)), -edges])
    special = torch.tensor([math.inf, -math.inf, 0.0, -0.0, 1e-42, 3e38])
    flat, extra = z.view(-1), torch.cat([near, special])
    flat[: min(len(flat), len(extra))] = extra[: len(flat)]
    return z.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("shape", "dim"), LAYOUTS, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_codes_indices_and_gradient(form: FormName, shape: tuple[int, ...], dim: int, dtype: torch.dtype) -> None:
    for levels in BOOKS:
        book, z = make_book(levels, form), cases(levels, form, shape, dim, dtype)
        codes, indices = numba_cpu.quantize(z, book, channel_dim=dim, check_nan=True)
        expected, numbers = reference.quantize(z, book, channel_dim=dim, check_nan=True)
        assert torch.equal(indices, numbers)
        assert torch.equal(codes, expected)
        assert codes.dtype == dtype
        back = numba_cpu.decode(indices, book, channel_dim=dim, dtype=dtype)
        assert torch.equal(back, codes)
        upstream = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        got = numba_cpu.gradient(upstream, z, book, channel_dim=dim)
        wanted = reference.gradient(upstream, z, book, channel_dim=dim)
        tolerance = 2e-6 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_images_in_the_channels_last_format_keep_it(dtype: torch.dtype) -> None:
    book = make_book((8, 5, 5, 5))
    z = cases((8, 5, 5, 5), "paper", (2, 9, 7), 1, dtype).contiguous(memory_format=torch.channels_last)
    codes, indices = numba_cpu.quantize(z, book, channel_dim=1, check_nan=True)
    expected, numbers = reference.quantize(z, book, channel_dim=1, check_nan=True)
    assert codes.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(codes, expected)
    assert torch.equal(indices, numbers)


def test_slices_and_expanded_gradients() -> None:
    book = make_book((8, 5))
    z = torch.randn(6, 4, 10)[:, 1:3, ::2]
    assert torch.equal(
        numba_cpu.quantize(z, book, channel_dim=1, check_nan=True)[1],
        reference.quantize(z, book, channel_dim=1, check_nan=True)[1],
    )
    upstream = torch.ones(()).expand(z.shape)
    torch.testing.assert_close(
        numba_cpu.gradient(upstream, z, book, channel_dim=1), reference.gradient(upstream, z, book, channel_dim=1)
    )


@pytest.mark.parametrize("inner", [(50, 2), (2, 50)])
def test_nan_is_counted_or_zero(inner: tuple[int, int]) -> None:
    book, dim = make_book((8, 5)), 1 if inner[0] == 50 else 0
    z = torch.randn(inner)
    z[1, 1] = math.nan
    with pytest.raises(GridcodeError, match="1 of 100 latents are NaN"):
        numba_cpu.quantize(z, book, channel_dim=dim, check_nan=True)
    zero = numba_cpu.quantize(z, book, channel_dim=dim, check_nan=False)
    assert torch.equal(zero[1], reference.quantize(z.nan_to_num(), book, channel_dim=dim, check_nan=True)[1])
    assert numba_cpu.gradient(torch.ones_like(z), z, book, channel_dim=dim)[1, 1] == 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_slices_of_threads_join_to_the_same(threads: int) -> None:
    book, before = make_book((8, 5, 5, 5)), torch.get_num_threads()
    z = torch.randn(100_003, 4)
    try:
        torch.set_num_threads(threads)
        codes, indices = numba_cpu.quantize(z, book, channel_dim=-1, check_nan=True)
    finally:
        torch.set_num_threads(before)
    expected = reference.quantize(z, book, channel_dim=-1, check_nan=True)
    assert torch.equal(codes, expected[0])
    assert torch.equal(indices, expected[1])


@pytest.mark.parametrize("levels", [(8,) * 21, (1000,) * 6, (65536, 65536), (65536, 65535)], ids=str)
def test_indices_of_huge_books(levels: tuple[int, ...]) -> None:
    book = make_book(levels, "symmetric")
    size = math.prod(levels)
    indices = torch.tensor([0, 1, size // 3, size - 2, size - 1])
    codes = numba_cpu.decode(indices, book, channel_dim=-1, dtype=torch.float32)
    assert torch.equal(codes, reference.decode(indices, book, channel_dim=-1, dtype=torch.float32))


@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap_and_grad(in_dim: int) -> None:
    book = make_book((8, 5))
    z = torch.randn(3, 3, 3, 2)

    def codes(values: torch.Tensor) -> torch.Tensor:
        return ops.quantize(values, book, channel_dim=-1, check_nan=False)[0]

    batched = torch.vmap(codes, in_dims=in_dim)(z)
    assert torch.equal(batched, codes(z.movedim(in_dim, 0)))

    def total(values: torch.Tensor) -> torch.Tensor:
        return codes(values).square().sum()

    leaf = z.clone().requires_grad_()
    total(leaf).backward()
    torch.testing.assert_close(torch.func.grad(total)(z), leaf.grad)
