"""Distances between point clouds.

    Chamfer(P, Q) = mean over P of min |p - q|^2  +  mean over Q of min |q - p|^2          (Fan et al. 2017, eq. 1)
    EMD(P, Q)     = min over bijections f of the mean of |p - f(p)|                       (eq. 2; exact, |P| = |Q|)
    F(P, Q)       = harmonic mean of the shares of P and of Q whose nearest neighbour in the other is nearer than t
                                                                                          (Knapitsch et al. 2017)

Nearest neighbours come from blocks of distances without gradient; the gradient flows through the pairs found alone. So
memory is one block, and the work in the backward pass is linear in the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gridcode.errors import GridcodeError

BLOCK = 2**22
"""Distances that are held at once: 16 MB."""


@dataclass(frozen=True)
class Squares:
    """Squared distances to the nearest neighbour in the other cloud.

    Attributes:
        first: Of each point of the first clouds, (B, N).
        second: Of each point of the second clouds, (B, M).
    """

    first: Tensor
    second: Tensor

    def chamfer(self) -> Tensor:
        """(B,)."""
        return self.first.mean(1) + self.second.mean(1)

    def unsquared(self) -> Tensor:
        """The mean distance to the nearest neighbour, of both directions, (B,)."""
        return (self.first.sqrt().mean(1) + self.second.sqrt().mean(1)) / 2

    def f_score(self, distance: float) -> Tensor:
        """(B,), in [0, 1]."""
        precision, recall = ((part.sqrt() < distance).float().mean(1) for part in (self.first, self.second))
        return 2 * precision * recall / (precision + recall).clamp(min=1e-12)


def squares(first: Tensor, second: Tensor) -> Squares:
    """Squared distances to nearest neighbours, with gradient to both clouds.

    Args:
        first: (B, N, 3).
        second: (B, M, 3).

    Raises:
        GridcodeError: Shapes do not fit, or a cloud is empty.

    >>> squares(torch.zeros(1, 1, 3), torch.tensor([[[0.0, 0, 1], [0, 0, 2]]])).second
    tensor([[1., 4.]])
    """
    if first.ndim != 3 or second.ndim != 3 or len(first) != len(second) or not first.shape[1] * second.shape[1]:
        raise GridcodeError(
            f"distance of clouds: needs (B, N, 3) and (B, M, 3) with points, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    there, back = nearest(first, second)
    return Squares(_squares_at(first, second, there), _squares_at(second, first, back))


@torch.no_grad()
def nearest(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest neighbour in the other cloud, of each point of either: (B, N) and (B, M) int64.

    Blocks of points of the first clouds are compared with all of the second.
    """
    first, second = first.detach().float(), second.detach().float()
    there, best, back = [], None, None
    size = max(1, BLOCK // (second.shape[0] * second.shape[1]))
    lengths = second.square().sum(2)
    with torch.autocast(first.device.type, enabled=False):  # neighbours are close: bf16 could not tell them apart
        for start in range(0, first.shape[1], size):
            part = first[:, start : start + size]
            # |q|^2 - 2 p q: without |p|^2, which decides nothing for one p; it is added for the way back
            distances = torch.baddbmm(lengths[:, None], part, second.mT, alpha=-2.0)
            there.append(distances.argmin(2))
            least, place = (distances + part.square().sum(2)[..., None]).min(1)
            if best is None or back is None:
                best, back = least, place
            else:
                better = least < best
                best, back = torch.where(better, least, best), torch.where(better, place + start, back)
    assert back is not None
    return torch.cat(there, 1), back


def _squares_at(points: Tensor, others: Tensor, places: Tensor) -> Tensor:
    found = others.gather(1, places[..., None].expand(-1, -1, others.shape[2]))
    return (points - found).square().sum(2)


def chamfer(first: Tensor, second: Tensor) -> Tensor:
    """The Chamfer distance of clouds (B, N, 3) and (B, M, 3), (B,), with gradient.

    >>> chamfer(torch.zeros(1, 1, 3), torch.tensor([[[0.0, 0, 1], [0, 0, 2]]])).item()
    3.5
    """
    return squares(first, second).chamfer()


def earth_movers_distance(first: Tensor, second: Tensor) -> Tensor:
    """The exact earth mover's distance of clouds of one size, (B,), without gradient: N^3 steps at worst.

    Args:
        first: (B, N, 3).
        second: (B, N, 3).

    Raises:
        GridcodeError: The clouds have different sizes.

    >>> earth_movers_distance(torch.zeros(1, 1, 3), torch.tensor([[[0.0, 3, 4]]])).item()
    5.0
    """
    from scipy.optimize import linear_sum_assignment

    if first.shape != second.shape:
        raise GridcodeError(
            f"earth mover's distance: needs clouds of one size, got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    found = []
    for p, q in zip(first.detach().cpu().numpy(), second.detach().cpu().numpy(), strict=True):
        costs = np.linalg.norm(p[:, None].astype(np.float64) - q[None], axis=2)
        found.append(costs[linear_sum_assignment(costs)].mean())
    return torch.tensor(np.array(found), dtype=torch.float32)
