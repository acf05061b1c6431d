from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.metrics import kernel_distance


def features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 24, generator=torch.Generator().manual_seed(seed)) + shift


def torchmetrics_kid(a: Tensor, b: Tensor, size: int) -> float:
    kid = pytest.importorskip("torchmetrics.image.kid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = kid.KernelInceptionDistance(nn.Identity(), subsets=1, subset_size=size)
    metric.update(a.double(), real=True)
    metric.update(b.double(), real=False)
    return metric.compute()[0].item()


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_whole_sets_match_torchmetrics(shift: float) -> None:
    a, b = features(60, 0), features(60, 1, shift)
    found = kernel_distance(a, b, subsets=2, subset_size=60)
    assert found.mean == pytest.approx(torchmetrics_kid(a, b, 60), rel=1e-4)
    assert found.deviation == pytest.approx(0.0, abs=1e-12)
    assert found.subset_size == 60


def test_estimate_is_unbiased() -> None:
    a, b = features(400, 2), features(300, 3)
    found = kernel_distance(a, b, subsets=60, subset_size=50, seed=1)
    assert abs(found.mean) < 3 * found.deviation / 60**0.5 + 0.05
    assert found.deviation > 0


def test_subsets_follow_the_seed() -> None:
    a, b = features(90, 4), features(80, 5, 0.5)
    first, again, other = (kernel_distance(a, b, subsets=3, subset_size=20, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_pairs_leave_their_own_terms_out_and_have_no_bias() -> None:
    """Of pairs of one distribution, x_i near y_i, the distance is 0 on average; with i = j it is far below."""
    a = features(7, 0)
    b = a + 0.1 * features(7, 1)
    x, y = a.double().numpy(), b.double().numpy()

    def kernel(p: np.ndarray, q: np.ndarray) -> float:
        return float((p @ q / 24 + 1) ** 3)

    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    terms = [kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2 * kernel(x[i], y[j]) for i, j in pairs]
    assert kernel_distance(a, b, paired=True).mean == pytest.approx(np.mean(terms), abs=1e-6)
    for paired, biased in ((True, False), (False, True)):
        found = []
        for seed in range(40):
            one = features(100, seed)
            other = 0.98 * one + (1 - 0.98**2) ** 0.5 * features(100, seed + 99)
            found.append(kernel_distance(one, other, paired=paired, subsets=1).mean)
        assert (np.mean(found) < -3 * np.std(found) / 40**0.5) == biased
    with pytest.raises(GridcodeError, match="pairs are as many on both sides, saw 7 and 6"):
        kernel_distance(a, b[:6], paired=True)


def test_what_is_not_finite_is_refused() -> None:
    bad = features(6, 0)
    bad[2, 3] = torch.nan
    for pair in ((bad, features(6, 1)), (features(6, 1), bad)):
        with pytest.raises(GridcodeError, match="NaN or infinite"):
            kernel_distance(*pair)


def test_refusals() -> None:
    with pytest.raises(GridcodeError, match="one F"):
        kernel_distance(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(GridcodeError, match="at least 2 vectors"):
        kernel_distance(torch.zeros(1, 2), torch.zeros(4, 2))
    with pytest.raises(GridcodeError, match="subsets=0"):
        kernel_distance(torch.zeros(4, 2), torch.zeros(4, 2), subsets=0)
