"""Grids are resized by the triangle filter: PyTorch's, JAX's, and the formula's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gridcode.domains.dense.networks import linear, resize_grid


def row_by_formula(values: np.ndarray, wanted: int) -> np.ndarray:
    """One row resampled pixel by pixel."""
    scale = len(values) / wanted
    out = []
    for i in range(wanted):
        weights = [max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * scale) / max(scale, 1.0)) for j in range(len(values))]
        out.append(np.dot(weights, values) / np.sum(weights))
    return np.array(out)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 12), wanted=st.integers(1, 12))
def test_a_row_follows_the_formula_and_keeps_constants(length: int, wanted: int) -> None:
    values = np.random.default_rng(length).normal(size=length)
    seen = linear(length, wanted).double().numpy() @ values
    np.testing.assert_allclose(seen, row_by_formula(values, wanted), atol=1e-6)
    torch.testing.assert_close(linear(length, wanted).sum(1), torch.ones(wanted))


@pytest.mark.parametrize(
    ("size", "shape"), [((32, 32), (16, 16)), ((8, 8), (4, 4)), ((15, 20), (8, 10)), ((4, 6), (8, 9))]
)
def test_it_is_pytorchs_antialiased_bilinear(size: tuple[int, int], shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(
        resize_grid(x, shape), F.interpolate(x, shape, mode="bilinear", antialias=True), atol=1e-5, rtol=1e-5
    )


def test_the_papers_halving_has_four_taps() -> None:
    torch.testing.assert_close(linear(32, 16)[5, 9:13], torch.tensor([0.125, 0.375, 0.375, 0.125]))


def test_an_affine_map_may_come_before_or_after() -> None:
    x, layer = torch.randn(2, 3, 7, 5), torch.nn.Conv2d(3, 4, 1)
    torch.testing.assert_close(layer(resize_grid(x, (4, 2))), resize_grid(layer(x), (4, 2)), atol=1e-5, rtol=1e-5)


def test_the_same_size_is_the_same_tensor() -> None:
    x = torch.randn(1, 2, 3, 4)
    assert resize_grid(x, (3, 4)) is x
