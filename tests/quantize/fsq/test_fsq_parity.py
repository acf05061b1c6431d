"""FSQ against an independent oracle: the formula of section 3.1 and its thresholds, in numpy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gridcode.quantize import FSQ, recommended_levels

Array = NDArray[np.float64]
Digits = NDArray[np.int64]

BOOKS = [list(recommended_levels(bits)) for bits in (4, 6, 8, 9, 10, 11, 12, 14, 16)]
ODD_BOOKS = [[2], [2, 3, 4], [7, 11], [1000, 999], [256, 255]]


def oracle_bounded(z: Array, levels: list[int], eps: float) -> Array:
    L = np.asarray(levels)
    half = (L - 1) * (1 - eps) / 2
    offset = np.where(L % 2 == 0, 0.5, 0.0)
    return np.tanh(z + np.tan(offset / half)) * half - offset


def oracle_codes(z: Array, levels: list[int], eps: float = 1e-3) -> Array:
    return np.round(oracle_bounded(z, levels, eps)) / (np.asarray(levels) // 2)


def oracle_digits(z: Array, levels: list[int], eps: float = 1e-3) -> Digits:
    return np.round(oracle_bounded(z, levels, eps)).astype(np.int64) + np.asarray(levels) // 2


def oracle_gradient(z: Array, levels: list[int], eps: float = 1e-3) -> Array:
    """The slope of the bound, by a difference quotient in float64; good to about 1e-9."""
    step = 1e-6
    rise = oracle_bounded(z + step, levels, eps) - oracle_bounded(z - step, levels, eps)
    return rise / (2 * step) / (np.asarray(levels) // 2)


def join(digits: Digits, levels: list[int]) -> list[int]:
    """The index with Python's integers, exact for any codebook."""
    return [sum(int(g) * int(np.prod(levels[:i], dtype=object)) for i, g in enumerate(row)) for row in digits]


def all_digits(levels: list[int]) -> Digits:
    """The digits of every index, in order: the first digit runs fastest."""
    grids = np.meshgrid(*[np.arange(level) for level in reversed(levels)], indexing="ij")
    return np.stack([grid.reshape(-1) for grid in reversed(grids)], -1)


def thresholds(level: int, eps: float = 1e-3) -> Array:
    """t_k = atanh((e_k + offset) / half) - shift for the edges e_k between neighbouring levels."""
    half = (level - 1) * (1 - eps) / 2
    offset = 0.5 if level % 2 == 0 else 0.0
    edges = np.arange(level - 1) - level // 2 + 0.5
    return np.arctanh((edges + offset) / half) - np.tan(offset / half)


def digits_by_thresholds(z: Array, levels: list[int]) -> Digits:
    return np.stack([(z[..., i, None] > thresholds(level)).sum(-1) for i, level in enumerate(levels)], -1)


def latents_inside(digits: Digits, levels: list[int]) -> Array:
    """A latent in the middle of every digit's interval, where no rounding error reaches an edge."""
    columns = []
    for i, level in enumerate(levels):
        t = thresholds(level)
        edges = np.concatenate([[t[0] - 2], t, [t[-1] + 2]])
        columns.append(((edges[1:] + edges[:-1]) / 2)[digits[..., i]])
    return np.stack(columns, -1)


def away_from_edges(z: Array, levels: list[int]) -> NDArray[np.bool_]:
    """Rows whose rounding is no near-tie, so that float32 must agree with float64."""
    bounded = oracle_bounded(z, levels, 1e-3)
    return (np.abs(bounded - np.floor(bounded) - 0.5) > 1e-4 * np.asarray(levels)).all(-1)


@pytest.mark.parametrize("levels", BOOKS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_index_of_the_recommended_books(levels: list[int], dtype: torch.dtype) -> None:
    digits = all_digits(levels)
    z = latents_inside(digits, levels)
    assert (oracle_digits(z, levels) == digits).all()
    quantizer = FSQ(levels)
    everything = torch.arange(len(digits))
    out = quantizer(torch.tensor(z, dtype=dtype))
    assert torch.equal(out.indices, everything)
    assert torch.equal(quantizer.codes_to_indices(out.codes), everything)
    assert torch.equal(quantizer.indices_to_codes(everything, dtype=dtype), out.codes)
    np.testing.assert_allclose(out.codes.double().numpy(), oracle_codes(z, levels), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("levels", [*BOOKS, [256, 255], [255, 254]], ids=str)
def test_sixteen_bit_codes_give_their_index_back(levels: list[int], dtype: torch.dtype) -> None:
    quantizer = FSQ(levels)
    everything = torch.arange(quantizer.codebook_size)
    assert torch.equal(quantizer.codes_to_indices(quantizer.indices_to_codes(everything, dtype=dtype)), everything)


@pytest.mark.parametrize("levels", BOOKS + ODD_BOOKS, ids=str)
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_random_latents_in_float64_by_formula_and_by_thresholds(levels: list[int], scale: float) -> None:
    z = np.random.default_rng(0).normal(size=(1000, len(levels))) * scale
    out = FSQ(levels)(torch.tensor(z))
    assert out.codes.dtype == torch.float64
    np.testing.assert_allclose(out.codes.numpy(), oracle_codes(z, levels), rtol=0, atol=1e-12)
    assert out.indices.tolist() == join(oracle_digits(z, levels), levels)
    assert out.indices.tolist() == join(digits_by_thresholds(z, levels), levels)


@pytest.mark.parametrize("levels", BOOKS + ODD_BOOKS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_random_latents_in_lower_precision(levels: list[int], dtype: torch.dtype) -> None:
    latents = torch.randn(1500, len(levels), generator=torch.Generator().manual_seed(0)).to(dtype)
    z = latents.double().numpy()
    out = FSQ(levels)(latents)
    clear = away_from_edges(z, levels)
    assert clear.mean() > 0.2
    assert out.codes.dtype == dtype
    assert out.indices[torch.tensor(clear)].tolist() == join(oracle_digits(z[clear], levels), levels)
    expected = torch.tensor(oracle_codes(z[clear], levels)).float().to(dtype)
    assert torch.equal(out.codes[torch.tensor(clear)], expected)


@pytest.mark.parametrize("levels", BOOKS + ODD_BOOKS, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)], ids=str
)
def test_the_gradient_is_that_of_the_bound(levels: list[int], dtype: torch.dtype, tolerance: float) -> None:
    latents = torch.linspace(-4, 4, 501).outer(torch.ones(len(levels))).to(dtype).requires_grad_()
    out = FSQ(levels)(latents)
    weights = torch.linspace(0.5, 1.5, out.codes.numel()).view_as(out.codes).to(dtype)
    (gradient,) = torch.autograd.grad((out.codes * weights).sum(), latents)
    assert gradient.dtype == dtype
    expected = oracle_gradient(latents.detach().double().numpy(), levels) * weights.double().numpy()
    np.testing.assert_allclose(gradient.double().numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("eps", [0.0, 1e-4, 0.05])
def test_other_eps(eps: float) -> None:
    levels = [8, 5, 2]
    z = np.random.default_rng(1).normal(size=(2000, 3)) * 2
    out = FSQ(levels, eps=eps)(torch.tensor(z))
    assert out.indices.tolist() == join(oracle_digits(z, levels, eps), levels)


@pytest.mark.parametrize(
    "levels", [[8] * 20, [8] * 21, [1000] * 6, [3] * 39], ids=lambda levels: f"{levels[0]}^{len(levels)}"
)
def test_huge_books_are_exact(levels: list[int]) -> None:
    digits = np.random.default_rng(2).integers(0, levels, size=(500, len(levels)))
    digits[0], digits[1] = 0, np.asarray(levels) - 1
    quantizer = FSQ(levels)
    out = quantizer(torch.tensor(latents_inside(digits, levels)))
    assert out.indices.tolist() == join(digits, levels)
    assert out.indices[1] == quantizer.codebook_size - 1
    assert torch.equal(quantizer.codes_to_indices(out.codes.bfloat16() if levels[0] < 256 else out.codes), out.indices)
    assert torch.equal(quantizer.indices_to_codes(out.indices, dtype=torch.float64), out.codes)


def test_the_shift_of_eight_levels_is_the_papers() -> None:
    """0.14398 by tan: the latent -0.14398 lies in the middle of the bound, at -0.5."""
    half = 7 * 0.999 / 2
    assert np.tan(0.5 / half) == pytest.approx(0.14398, abs=5e-6)
    out = FSQ([8])(torch.tensor([[-0.1440], [-0.1439]], dtype=torch.float64))
    assert out.indices.tolist() == [3, 4]


def test_two_levels_meet_at_minus_1_56() -> None:
    assert thresholds(2)[0] == pytest.approx(-1.56, abs=5e-3)
    z = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    assert FSQ([2])(z).indices.double().mean() == pytest.approx(0.94, abs=2e-3)
