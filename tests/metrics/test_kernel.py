from __future__ import annotations

import warnings

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


def test_refusals() -> None:
    with pytest.raises(GridcodeError, match="one F"):
        kernel_distance(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(GridcodeError, match="at least 2 vectors"):
        kernel_distance(torch.zeros(1, 2), torch.zeros(4, 2))
    with pytest.raises(GridcodeError, match="subsets=0"):
        kernel_distance(torch.zeros(4, 2), torch.zeros(4, 2), subsets=0)
