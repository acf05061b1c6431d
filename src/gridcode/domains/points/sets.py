"""How sets of clouds compare: do generated ones reach everywhere (coverage), can they be told from real ones (1-NN)?

With D(P, Q) the Chamfer distance, G generated and R real clouds,

    coverage  share of R that is the nearest real cloud of some cloud of G               (Achlioptas et al. 2018)
    MMD       mean over R of the distance to the nearest cloud of G                      (minimum matching distance)
    1-NNA     share of G and R whose nearest other cloud of both is of their own set     (Yang et al. 2019, PointFlow)

1-NNA is 1/2 where the sets cannot be told apart, 1 where they can always be; below 1/2 the sets hold near copies of
each other. Real clouds do not cover real clouds either: compare with what another real set of that size gets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.domains.points.distance import chamfer
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class SetScores:
    """How a set of clouds compares with another.

    Attributes:
        coverage: In [0, 1].
        matching: Minimum matching distance.
        nearest_accuracy: 1-NNA, in [0, 1].
    """

    coverage: float
    matching: float
    nearest_accuracy: float


@torch.no_grad()
def all_distances(first: Tensor, second: Tensor) -> Tensor:
    """The Chamfer distance of each of the clouds (S, N, 3) to each of (R, M, 3): (S, R)."""
    return torch.stack([chamfer(cloud.expand(len(second), -1, -1), second) for cloud in first])


def compare_sets(generated: Tensor, real: Tensor) -> SetScores:
    """Coverage, MMD and 1-NNA of generated clouds against real ones.

    Args:
        generated: (S, N, 3).
        real: (R, N, 3).

    Raises:
        GridcodeError: A set has fewer than two clouds.

    >>> clouds = torch.arange(4.0)[:, None, None].expand(4, 1, 3)
    >>> compare_sets(clouds[:2], clouds[2:])
    SetScores(coverage=0.5, matching=15.0, nearest_accuracy=0.75)
    """
    if min(len(generated), len(real)) < 2:
        raise GridcodeError(f"sets of clouds: needs two of each, got {len(generated)} and {len(real)}")
    across = all_distances(generated, real)
    coverage = len(set(across.argmin(1).tolist())) / len(real)
    both = torch.cat(
        [
            torch.cat([all_distances(generated, generated), across], 1),
            torch.cat([across.T, all_distances(real, real)], 1),
        ]
    ).fill_diagonal_(torch.inf)
    from_real = torch.arange(len(both)) >= len(generated)
    own = from_real[both.argmin(1)] == from_real
    return SetScores(coverage, across.min(0).values.mean().item(), own.float().mean().item())
