"""Distances of clouds and of sets of clouds against formulas written out point by point."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from gridcode.domains.points import distance
from gridcode.domains.points.distance import chamfer, earth_movers_distance, squares
from gridcode.domains.points.sets import compare_sets
from gridcode.errors import GridcodeError


def clouds(count: int, points: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, points, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_hand(p: np.ndarray, q: np.ndarray) -> tuple[list[float], list[float]]:
    """Nearest squared distances both ways, by loops."""
    return tuple(
        [min(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in there) for x in here]
        for here, there in ((p, q), (q, p))
    )


@pytest.mark.parametrize("block", [2**22, 40])
def test_nearest_neighbours_are_those_of_all_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance, "BLOCK", block)
    first, second = clouds(2, 13), clouds(2, 7, 1)
    found = squares(first, second)
    for number in range(2):
        there, back = by_hand(first[number].numpy(), second[number].numpy())
        np.testing.assert_allclose(found.first[number], there, rtol=1e-4)
        np.testing.assert_allclose(found.second[number], back, rtol=1e-4)
        mean = (np.sqrt(there).mean() + np.sqrt(back).mean()) / 2
        assert found.unsquared()[number].item() == pytest.approx(mean, rel=1e-4)
        precision, recall = (np.mean(np.sqrt(part) < 0.5) for part in (there, back))
        expected = 2 * precision * recall / (precision + recall)
        assert found.f_score(0.5)[number].item() == pytest.approx(expected, rel=1e-5)
    assert found.f_score(9.0).tolist() == [1, 1]
    assert found.f_score(1e-9).tolist() == [0, 0]


def test_the_gradient_is_that_of_the_pairs_found() -> None:
    first, second = clouds(1, 4).requires_grad_(), clouds(1, 5, 1)
    chamfer(first, second).sum().backward()
    points, gradient, step = first.detach().clone(), first.grad.clone(), 1e-3
    for axis in range(3):
        moved = [points.clone(), points.clone()]
        moved[0][0, 2, axis] += step
        moved[1][0, 2, axis] -= step
        slope = (chamfer(moved[0], second) - chamfer(moved[1], second)).item() / (2 * step)
        assert gradient[0, 2, axis].item() == pytest.approx(slope, abs=2e-3)


def test_earth_movers_distance_is_the_least_of_all_bijections() -> None:
    first, second = clouds(2, 5), clouds(2, 5, 1)
    for p, q, found in zip(first.numpy(), second.numpy(), earth_movers_distance(first, second), strict=True):
        least = min(np.linalg.norm(p - q[list(order)], axis=1).mean() for order in permutations(range(5)))
        assert found.item() == pytest.approx(least, rel=1e-5)
    assert earth_movers_distance(first, first[:, [4, 0, 2, 1, 3]]).max().item() < 1e-6


def test_coverage_matching_and_nearest_neighbour_accuracy_are_those_of_the_definitions() -> None:
    generated, real = clouds(6, 4), clouds(5, 4, 1) + 0.3
    D = [
        [sum(np.mean(part) for part in by_hand(a, b)) for b in [*generated.numpy(), *real.numpy()]]
        for a in [*generated.numpy(), *real.numpy()]
    ]
    across = np.array(D)[:6, 6:]
    right = sum((min((d, j) for j, d in enumerate(row) if j != i)[1] >= 6) == (i >= 6) for i, row in enumerate(D))
    found = compare_sets(generated, real)
    assert found.coverage == len(set(across.argmin(1))) / 5
    assert found.matching == pytest.approx(across.min(0).mean(), rel=1e-4)
    assert found.nearest_accuracy == pytest.approx(right / 11)
    far = compare_sets(generated, real + 50)
    assert far.nearest_accuracy == 1


def test_clouds_that_cannot_be_compared_are_refused() -> None:
    for made in (
        lambda: chamfer(clouds(1, 3), clouds(2, 3)),
        lambda: chamfer(clouds(1, 3)[:, :0], clouds(1, 3)),
        lambda: earth_movers_distance(clouds(1, 3), clouds(1, 4)),
        lambda: compare_sets(clouds(1, 3), clouds(4, 3)),
    ):
        with pytest.raises(GridcodeError, match="needs"):
            made()
