"""Do samples lie where real images do, and do they reach everywhere? Precision, recall, density and coverage.

A set's manifold is taken as balls around its vectors, each of the radius r_k to its k-th nearest neighbour in the set:

    precision   share of samples inside any ball of a real vector
    recall      share of real vectors inside any ball of a sample
    density     how many real balls a sample is in on average, divided by k; may exceed 1
    coverage    share of real balls with a sample inside

"Inside" includes the border, and no vector is its own neighbour. Precision and recall are those of ADM's suite with
its k = 3 (and 10,000 reference images; figures from another number do not compare). An outlier's large ball raises
precision; density and coverage mind it less.

Distances come block by block from a matrix product, so memory is one block of ``block`` x ``block`` however large the
sets are. Both sets are centred first, which changes no distance, and what rounding leaves of the distance of two equal
vectors counts as 0.

Reference: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", 2019, equations
1 and 2; Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020, equations 4 and 5.
Differs from ADM's suite: distances in float32 instead of float16. Differs from Naeem et al.'s code: the border is
inside, and k is 3 for all four (theirs is 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.errors import GridcodeError

_ROUNDING = 1e-6
"""Squared distances below this share of |q|^2 + |r|^2 are rounding alone."""


@dataclass(frozen=True)
class ManifoldScores:
    """How two sets' manifolds overlap.

    Attributes:
        precision: In [0, 1].
        recall: In [0, 1].
        density: At least 0; 1 is expected of two equal distributions.
        coverage: In [0, 1].
        samples: Vectors of the samples.
        reference: Vectors of real images.
        k: Neighbours that make a radius.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    samples: int
    reference: int
    k: int


def manifold_scores(samples: Tensor, reference: Tensor, *, k: int = 3, block: int = 2048) -> ManifoldScores:
    """Precision, recall, density and coverage of samples against real images.

    Args:
        samples: Features (n, F) of any float type.
        reference: Features (m, F) of real images, on the same device.
        k: Neighbours that make a radius, fewer than the vectors of either set.
        block: Vectors measured against each other at once, of each set.

    Raises:
        GridcodeError: Shapes do not fit, a value is not finite, or k is out of range.

    >>> real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> scores = manifold_scores(torch.tensor([[0.5], [0.6], [9.0]]), real, k=1)
    >>> round(scores.precision, 3), scores.recall, scores.density, scores.coverage
    (0.667, 0.75, 1.333..., 0.5)
    """
    if samples.ndim != 2 or reference.ndim != 2 or samples.shape[1] != reference.shape[1]:
        raise GridcodeError(
            "manifold scores: needs samples (n, F) and reference (m, F) with one F, saw "
            f"{tuple(samples.shape)} and {tuple(reference.shape)}"
        )
    least = min(len(samples), len(reference))
    if not 1 <= k < least or block < 1:
        raise GridcodeError(
            f"manifold scores: k must be from 1 to {least - 1} (one less than the smaller set) and block at least 1, "
            f"saw {k} and {block}"
        )
    centre = reference.float().mean(0)
    fakes, reals = samples.float() - centre, reference.float() - centre
    if not (torch.isfinite(fakes).all() and torch.isfinite(reals).all()):
        raise GridcodeError("manifold scores: features hold NaN or infinity; check the images they come from")
    fake_radii, real_radii = neighbour_radii(fakes, k, block=block), neighbour_radii(reals, k, block=block)
    inside_real, inside_fake = torch.zeros(len(fakes), device=fakes.device), torch.zeros_like(reals[:, 0]).bool()
    reached = torch.zeros_like(inside_fake)
    for rows in _blocks(len(fakes), block):
        for columns in _blocks(len(reals), block):
            distances = _squared_distances(fakes[rows], reals[columns])
            in_real_ball = distances <= real_radii[columns]
            inside_real[rows] += in_real_ball.sum(1)
            reached[columns] |= in_real_ball.any(0)
            inside_fake[columns] |= (distances <= fake_radii[rows, None]).any(0)
    return ManifoldScores(
        precision=float((inside_real > 0).float().mean()),
        recall=float(inside_fake.float().mean()),
        density=float(inside_real.mean()) / k,
        coverage=float(reached.float().mean()),
        samples=len(fakes),
        reference=len(reals),
        k=k,
    )


def neighbour_radii(features: Tensor, k: int, *, block: int = 2048) -> Tensor:
    """The squared distance of each vector to its k-th nearest neighbour in the set, itself left out.

    Args:
        features: (n, F) float32.
        k: From 1 to n - 1.
        block: Vectors measured against each other at once.

    Returns:
        (n,) float32.

    >>> neighbour_radii(torch.tensor([[0.0], [1.0], [3.0]]), 1)
    tensor([1., 1., 4.])
    """
    radii = torch.empty(len(features), device=features.device)
    for rows in _blocks(len(features), block):
        nearest = features.new_empty(rows.stop - rows.start, 0)
        for columns in _blocks(len(features), block):
            distances = _squared_distances(features[rows], features[columns])
            if rows == columns:
                distances.fill_diagonal_(torch.inf)
            closest = distances.topk(min(k, distances.shape[1]), dim=1, largest=False, sorted=False).values
            nearest = torch.cat([nearest, closest], dim=1)
            nearest = nearest.topk(min(k, nearest.shape[1]), dim=1, largest=False).values
        radii[rows] = nearest[:, k - 1]
    return radii


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2, (n, m), at least 0, and 0 where it is rounding alone."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    distances = torch.addmm(lengths, a, b.mT, alpha=-2.0)
    return distances.masked_fill_(distances <= lengths.mul_(_ROUNDING), 0.0)
