from __future__ import annotations

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.metrics import GaussianStatistics, frechet_distance


def statistics(features: torch.Tensor, *, batch: int = 7) -> GaussianStatistics:
    result = GaussianStatistics(features.shape[1])
    for part in features.split(batch):
        result.update(part)
    return result


def gaussian(count: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return scale * torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mix + shift


def test_streamed_statistics_equal_those_of_the_whole() -> None:
    features = gaussian(101, 6, 0, shift=1e4)
    streamed = statistics(features)
    torch.testing.assert_close(streamed.mean, features.mean(dim=0))
    torch.testing.assert_close(streamed.covariance, torch.cov(features.T), rtol=1e-9, atol=1e-9)


def test_merge_equals_update() -> None:
    features = gaussian(50, 4, 1)
    left, right = statistics(features[:13]), statistics(features[13:])
    left.merge(right)
    left.merge(GaussianStatistics(4))
    assert left.count == 50
    torch.testing.assert_close(left.covariance, torch.cov(features.T))


def test_known_statistics_equal_the_measured_ones() -> None:
    measured = statistics(gaussian(40, 5, 6))
    known = GaussianStatistics.known(measured.mean, measured.covariance, count=measured.count)
    more = gaussian(9, 5, 7)
    known.update(more)
    measured.update(more)
    torch.testing.assert_close(known.mean, measured.mean)
    torch.testing.assert_close(known.covariance, measured.covariance)
    with pytest.raises(GridcodeError, match=r"a covariance \(F, F\)"):
        GaussianStatistics.known(torch.zeros(3), torch.eye(2), count=5)
    with pytest.raises(GridcodeError, match="NaN or infinity"):
        GaussianStatistics.known(torch.full((2,), torch.nan), torch.eye(2), count=5)


def test_distance_matches_torchmetrics() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    a, b = statistics(gaussian(200, 16, 2)), statistics(gaussian(300, 16, 3, scale=0.5, shift=0.3))
    expected = fid._compute_fid(a.mean, a.covariance, b.mean, b.covariance).item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_distance_of_independent_dimensions_is_the_closed_form() -> None:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    a, b = statistics(signs * torch.tensor([1.0, 2.0])), statistics(signs * torch.tensor([3.0, 0.5]) + 1.0)
    deviation = (4 / 3) ** 0.5  # of +-1 twice each, unbiased
    expected = 2 * 1.0**2 + deviation**2 * ((1 - 3) ** 2 + (2 - 0.5) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_features_that_never_vary_are_no_special_case() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    varied = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    a, b = statistics(gaussian(60, 4, 8) * varied + 1), statistics(gaussian(60, 4, 9) * varied)
    expected = fid._compute_fid(a.mean, a.covariance, b.mean, b.covariance).item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_singular_covariances_are_no_special_case() -> None:
    few = gaussian(5, 32, 4)
    assert frechet_distance(statistics(few), statistics(few)) == pytest.approx(0.0, abs=1e-9)
    constant = torch.ones(5, 32, dtype=torch.float64)
    assert frechet_distance(statistics(constant), statistics(constant * 3)) == pytest.approx(4.0 * 32)


def test_errors_say_what_to_do() -> None:
    one = GaussianStatistics(3)
    one.update(torch.zeros(1, 3))
    two = statistics(torch.zeros(2, 3))
    with pytest.raises(GridcodeError, match="at least 2 feature vectors, saw 1"):
        frechet_distance(one, two)
    with pytest.raises(GridcodeError, match="3 and 4 features"):
        frechet_distance(two, statistics(torch.zeros(2, 4)))
    with pytest.raises(GridcodeError, match=r"\(B, 3\), saw \(2, 4\)"):
        two.update(torch.zeros(2, 4))
    with pytest.raises(GridcodeError, match="NaN"):
        two.update(torch.full((2, 3), torch.nan))
