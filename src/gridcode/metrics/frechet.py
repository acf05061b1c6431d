"""How far apart are two sets of feature vectors, taken as Gaussians?

The Fréchet (2-Wasserstein) distance between N(mu_a, S_a) and N(mu_b, S_b) is

    d^2 = |mu_a - mu_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a S_b)^(1/2))

``frechet_distance`` returns d^2, as the literature on generated images does. The name FID belongs to this
figure on the features of one certain Inception network; on other features it is only a Fréchet distance,
and can be compared only with figures on the same features from as many samples (few samples bias it
upwards).

The trace of the root is found without the root of a product that is not symmetric: with any factors
S_a = P^T P and S_b = Q Q^T, (S_a S_b)^(1/2) has the eigenvalues of (P S_b P^T)^(1/2), which are the singular values of
P Q. Factors are Cholesky's, or symmetric roots from an eigen-decomposition where there are no more samples than
features; so singular covariances, as few samples give, are no special case.

Reference: Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982;
Heusel et al., "GANs trained by a two time-scale update rule", 2017 (FID).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.errors import GridcodeError


class GaussianStatistics:
    """Mean and covariance of feature vectors, seen batch by batch, in float64.

    Batches are joined by their means and scatter matrices, not by sums of squares, so that a mean far from
    zero costs no precision.

    Args:
        dim: Length F of a feature vector.

    >>> statistics = GaussianStatistics(2)
    >>> statistics.update(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    >>> statistics.mean
    tensor([1., 1.], dtype=torch.float64)
    >>> statistics.covariance
    tensor([[2., 0.],
            [0., 0.]], dtype=torch.float64)
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise GridcodeError(f"Gaussian statistics: dim must be at least 1, saw {dim}")
        self.dim = dim
        self.count = 0
        self._mean = torch.zeros(dim, dtype=torch.float64, device="cpu")
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64, device="cpu")

    @classmethod
    def known(cls, mean: Tensor, covariance: Tensor, *, count: int) -> GaussianStatistics:
        """Statistics that were computed before, for instance read from a file.

        Args:
            mean: (F,).
            covariance: Unbiased, (F, F).
            count: Vectors behind them, at least 2.

        Raises:
            GridcodeError: Shapes do not fit, a value is not finite, or ``count`` is below 2.

        >>> GaussianStatistics.known(torch.zeros(2), torch.eye(2), count=50).covariance.trace()
        tensor(2., dtype=torch.float64)
        """
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or count < 2:
            raise GridcodeError(
                "Gaussian statistics: needs a mean (F,), a covariance (F, F) and a count of at least 2, saw "
                f"{tuple(mean.shape)}, {tuple(covariance.shape)} and {count}"
            )
        mean, covariance = (part.to("cpu", torch.float64) for part in (mean, covariance))
        if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
            raise GridcodeError("Gaussian statistics: mean or covariance holds NaN or infinity; measure them again")
        made = cls(len(mean))
        made._join(count, mean, covariance * (count - 1))
        return made

    def update(self, features: Tensor) -> None:
        """Add feature vectors.

        Args:
            features: (B, F) of any float type, on any device.

        Raises:
            GridcodeError: The shape is wrong or a value is not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise GridcodeError(
                f"Gaussian statistics: needs features of shape (B, {self.dim}), saw {tuple(features.shape)}"
            )
        if not len(features):
            return
        values = features.detach().to("cpu", torch.float64)
        if not torch.isfinite(values).all():
            raise GridcodeError("Gaussian statistics: features hold NaN or infinity; check the images they come from")
        mean = values.mean(dim=0)
        centred = values - mean
        self._join(len(values), mean, centred.T @ centred)

    def merge(self, other: GaussianStatistics) -> None:
        """Add everything that ``other`` has seen, for instance on another process."""
        if other.dim != self.dim:
            raise GridcodeError(f"Gaussian statistics: cannot merge {other.dim} features into {self.dim}")
        if other.count:
            self._join(other.count, other._mean, other._scatter)

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        # Chan, Golub and LeVeque (1983): scatter of the union = both scatters + that of the two means.
        total = self.count + count
        apart = mean - self._mean
        self._scatter += scatter + torch.outer(apart, apart) * (self.count * count / total)
        self._mean += apart * (count / total)
        self.count = total

    @property
    def mean(self) -> Tensor:
        """Mean feature vector, (F,) float64."""
        self._need(1, "a mean")
        return self._mean.clone()

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (divided by count - 1), (F, F) float64."""
        self._need(2, "a covariance")
        return self._scatter / (self.count - 1)

    def _need(self, least: int, what: str) -> None:
        if self.count < least:
            raise GridcodeError(
                f"Gaussian statistics: {what} needs at least {least} feature vectors, saw {self.count}; use more images"
            )


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """Squared Fréchet distance between two sets of features, each taken as a Gaussian.

    Args:
        a: Statistics of one set, of at least 2 vectors.
        b: Statistics of the other, with the same feature length.

    Returns:
        d^2 >= 0; what rounding leaves below zero is returned as 0.

    Raises:
        GridcodeError: A set has fewer than 2 vectors, or the lengths differ.

    >>> a, b = GaussianStatistics(1), GaussianStatistics(1)
    >>> a.update(torch.tensor([[-1.0], [1.0]]))
    >>> b.update(torch.tensor([[2.0], [4.0]]))
    >>> frechet_distance(a, b)
    9.0
    """
    if a.dim != b.dim:
        raise GridcodeError(f"Fréchet distance: the sets have {a.dim} and {b.dim} features; use one feature network")
    covariance_a, covariance_b = a.covariance, b.covariance
    means = (a.mean - b.mean).square().sum()
    traces = covariance_a.trace() + covariance_b.trace()
    root = torch.linalg.svdvals(_factor(a, upper=True) @ _factor(b, upper=False)).sum()
    return max(0.0, float(means + traces - 2.0 * root))


def _factor(statistics: GaussianStatistics, *, upper: bool) -> Tensor:
    """P with P^T P = covariance (upper), or Q with Q Q^T = covariance, (F, F); Cholesky's takes a tenth of the time."""
    covariance = statistics.covariance
    if statistics.count > statistics.dim:
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(covariance, upper=upper)
        if not failed:
            return factor
    return _symmetric_root(covariance)


def _symmetric_root(covariance: Tensor) -> Tensor:
    """The symmetric R with R R = covariance, (F, F); eigenvalues that rounding made negative are 0."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.mT
    return root
