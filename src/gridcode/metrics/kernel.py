"""How far apart are two sets of feature vectors, without taking them as Gaussians? The kernel distance (KID).

With the polynomial kernel k(x, y) = (x·y / F + 1)^3 over features of length F, and m vectors of each set, the unbiased
estimate of the squared maximum mean discrepancy is

    MMD^2 = sum over i != j of (k(x_i, x_j) + k(y_i, y_j)) / (m (m - 1))  -  2 sum over i, j of k(x_i, y_j) / m^2

It is computed on subsets of m vectors, drawn from each set without replacement, a new draw for each subset; the
distance is the mean over the subsets. Unlike a Fréchet distance it has no bias from the number of images, so sets of
different sizes compare; of two sets of one distribution it is 0 on average, and so below 0 for more than half of them.

Of pairs, such as images and their reconstructions, x_i and y_i are not independent. The last sum leaves out i = j
then, divided by m (m - 1): with these terms, in which each x_i meets its own y_i, the distance would be too small.

The name KID belongs to this figure on the features of one certain Inception network. Memory is bounded by the subset:
three matrices of m x m.

Reference: Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", 2018, section 3.1 (KID).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.training.seeding import generator


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance over subsets.

    Attributes:
        mean: Mean of MMD^2 over the subsets; may be negative.
        deviation: Standard deviation over the subsets (divided by their number), as published KIDs state it.
        subsets: Their number.
        subset_size: Vectors of each set in a subset, m.
    """

    mean: float
    deviation: float
    subsets: int
    subset_size: int


def kernel_distance(
    a: Tensor, b: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0, paired: bool = False
) -> KernelDistance:
    """The kernel distance between two sets of features.

    Args:
        a: (n, F) of any float type, on any device.
        b: (m, F).
        subsets: Number of subsets.
        subset_size: Vectors of each set in a subset, at least 2; the smaller set's number where that is less.
        seed: Draws the subsets.
        paired: Whether a's vectors are made from b's, one by one in the same order.

    Raises:
        GridcodeError: Shapes do not fit, a set has fewer than 2 vectors, a number is out of range, or a value is not
            finite.

    >>> a = torch.tensor([[0.0], [1.0]])
    >>> kernel_distance(a, a, subsets=1).mean, kernel_distance(a, a + 3, subsets=1).mean
    (-3.5, 2102.5)
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise GridcodeError(
            f"kernel distance: needs features (n, F) and (m, F) with one F, saw {tuple(a.shape)} and {tuple(b.shape)}"
        )
    size = min(subset_size, len(a), len(b))
    if size < 2 or subsets < 1:
        raise GridcodeError(
            f"kernel distance: needs at least 2 vectors of each set and 1 subset, saw {len(a)} and {len(b)} vectors, "
            f"subset_size={subset_size}, subsets={subsets}"
        )
    if paired and len(a) != len(b):
        raise GridcodeError(f"kernel distance: pairs are as many on both sides, saw {len(a)} and {len(b)}")
    if not (bool(a.isfinite().all()) and bool(b.isfinite().all())):
        raise GridcodeError("kernel distance: features are NaN or infinite; the network or its images are damaged")
    draw = generator(seed, "kernel distance")
    found = torch.empty(subsets, dtype=torch.float64, device="cpu")
    whole = size == len(a) == len(b)  # every subset is the same then
    for number in range(1 if whole else subsets):
        chosen = torch.randperm(len(a), generator=draw)[:size]
        other = chosen if paired else torch.randperm(len(b), generator=draw)[:size]
        x, y = a[chosen.to(a.device)], b[other.to(b.device)]
        found[number] = _discrepancy(x.float(), y.float(), paired=paired)
    found = found[:1].expand(subsets) if whole else found
    return KernelDistance(float(found.mean()), float(found.std(correction=0)), subsets, size)


def _discrepancy(x: Tensor, y: Tensor, *, paired: bool) -> Tensor:
    """MMD^2 of two sets (m, F) of one size, float32; on the CPU, float64."""
    within = _off_diagonal(_kernel(x, x)) + _off_diagonal(_kernel(y, y))
    between = _kernel(x, y)
    return within - 2 * (_off_diagonal(between) if paired else between.mean())


def _off_diagonal(kernel: Tensor) -> Tensor:
    """Mean of a square matrix without its diagonal."""
    m = len(kernel)
    return (kernel.sum() - kernel.trace()) / (m * (m - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x·y / F + 1)^3, (m, m); the product alone is of the features' precision and on their device."""
    return ((x @ y.mT).to("cpu", torch.float64) / x.shape[1] + 1) ** 3
