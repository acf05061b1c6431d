"""Precision, recall, density and coverage against loops written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.metrics import ManifoldScores, manifold_scores, neighbour_radii


def vectors(count: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return scale * torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) + shift


def brute_force(samples: Tensor, reference: Tensor, k: int) -> ManifoldScores:
    fakes, reals = samples.double().numpy(), reference.double().numpy()

    def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(np.sqrt(((a - b) ** 2).sum()))

    def radius(own: int, among: NDArray[np.float64]) -> float:
        return sorted(distance(among[own], other) for place, other in enumerate(among) if place != own)[k - 1]

    real_radii = [radius(place, reals) for place in range(len(reals))]
    fake_radii = [radius(place, fakes) for place in range(len(fakes))]
    hits = [[distance(fake, real) <= r for real, r in zip(reals, real_radii, strict=True)] for fake in fakes]
    back = [any(distance(real, fake) <= r for fake, r in zip(fakes, fake_radii, strict=True)) for real in reals]
    return ManifoldScores(
        precision=sum(any(row) for row in hits) / len(fakes),
        recall=sum(back) / len(reals),
        density=sum(sum(row) for row in hits) / (k * len(fakes)),
        coverage=sum(any(column) for column in zip(*hits, strict=True)) / len(reals),
        samples=len(fakes),
        reference=len(reals),
        k=k,
    )


def same(found: ManifoldScores, expected: ManifoldScores) -> None:
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-6), name


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(5, 30),
    reference=st.integers(5, 30),
    k=st.integers(1, 4),
    block=st.integers(1, 40),
    shift=st.sampled_from([0.0, 0.7, 3.0]),
)
def test_scores_equal_brute_force(samples: int, reference: int, k: int, block: int, shift: float) -> None:
    a, b = vectors(samples, samples, 0.8, shift), vectors(reference, 100 + reference)
    same(manifold_scores(a, b, k=k, block=block), brute_force(a, b, k))


def test_far_from_zero() -> None:
    a, b = vectors(40, 0, 0.9), vectors(50, 1)
    near, far = manifold_scores(a, b), manifold_scores(a + 256, b + 256)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(far, name) == pytest.approx(getattr(near, name), abs=0.03)


def test_a_set_against_itself() -> None:
    a = vectors(40, 2, 5.0)
    scores = manifold_scores(a, a, block=7)
    assert scores.precision == scores.recall == scores.coverage == 1.0
    assert scores.density == pytest.approx(4 / 3, abs=0.1)  # itself and its three neighbours


def test_copies_are_inside_balls_of_no_size() -> None:
    reference = vectors(1, 3).repeat(5, 1)
    scores = manifold_scores(reference[:4] + 0.0, reference)
    assert (scores.precision, scores.recall, scores.coverage) == (1.0, 1.0, 1.0)


def test_radii_leave_the_vector_itself_out() -> None:
    points = torch.tensor([[0.0], [0.0], [2.0], [5.0]])
    assert neighbour_radii(points, 2, block=3).tolist() == [4.0, 4.0, 4.0, 25.0]


def test_refusals() -> None:
    a = vectors(4, 0)
    with pytest.raises(GridcodeError, match="one F"):
        manifold_scores(a, a[:, :2])
    with pytest.raises(GridcodeError, match=r"k must be from 1 to 2"):
        manifold_scores(a, a[:3])
    with pytest.raises(GridcodeError, match="NaN"):
        manifold_scores(a * torch.nan, a)
