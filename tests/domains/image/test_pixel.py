"""Pixels against the formula in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.domains.image.loss import PixelLoss

WEIGHTS = st.sampled_from([0.0, 0.25, 1.0, 3.0])


@settings(deadline=None)
@given(l2=WEIGHTS, l1=WEIGHTS, channels=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_terms_are_weighted_means_over_all_pixels(l2: float, l1: float, channels: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(2, channels, 3, 5, generator=draw) * 2 - 1 for _ in range(2))
    terms = PixelLoss(l2=l2, l1=l1)(y, x)
    difference = (y.double() - x.double()).numpy()
    expected = {"l2": l2 * (difference**2).mean(), "l1": l1 * abs(difference).mean()}
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {name: value for name, value in expected.items() if value}, rel=1e-5
    )


def test_half_precision_reconstructions_are_compared_in_float32() -> None:
    y = torch.full((1, 3, 4, 4), 0.5, dtype=torch.bfloat16)
    x = torch.full((1, 3, 4, 4), 0.5001)
    terms = PixelLoss(l2=1.0, l1=1.0)(y, x)
    assert terms["l2"].dtype == torch.float32
    assert float(terms["l1"]) == pytest.approx(1e-4, rel=1e-2)
