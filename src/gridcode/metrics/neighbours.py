"""Which training images is a sample closest to? Shows at a glance whether a model only copies.

Brute force in blocks: no index to build, exact, and memory stays at one block of queries by one block of
references however large the sets are. References may stay uint8; each block is turned to float on its own.

Inside a block squared distances come from one matrix product, |q - r|^2 = |q|^2 - 2 q.r + |r|^2, which is
fast but cancels badly for near copies; so the k winners of each block are measured again by plain
subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Neighbours:
    """The k nearest references of each query, nearest first.

    Attributes:
        indices: Row of the reference, (n, k) int64.
        distances: Euclidean distance, (n, k) float32.
    """

    indices: Tensor
    distances: Tensor


def nearest_neighbours(
    queries: Tensor, references: Tensor, k: int = 1, *, query_block: int = 256, reference_block: int = 4096
) -> Neighbours:
    """Find the k nearest references of each query by Euclidean distance.

    Args:
        queries: (n, F), any dtype. Flatten images first: ``images.flatten(1)``.
        references: (m, F), any dtype, on the same device.
        k: Neighbours per query, from 1 to m.
        query_block: Queries measured at once.
        reference_block: References measured at once.

    Returns:
        Indices and distances, nearest first.

    Raises:
        GridcodeError: Shapes do not fit or k is out of range.

    >>> found = nearest_neighbours(torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0], [2.0]]), 2)
    >>> found.indices
    tensor([[1, 0]])
    """
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise GridcodeError(
            "nearest neighbours: needs queries (n, F) and references (m, F) with one F, saw "
            f"{tuple(queries.shape)} and {tuple(references.shape)}; flatten images first"
        )
    if not 1 <= k <= len(references):
        raise GridcodeError(f"nearest neighbours: k must be from 1 to {len(references)} (references), saw {k}")
    found = [_search(block.float(), references, k, reference_block) for block in torch.split(queries, query_block)]
    return Neighbours(torch.cat([n.indices for n in found]), torch.cat([n.distances for n in found]))


def _search(queries: Tensor, references: Tensor, k: int, block_size: int) -> Neighbours:
    """Neighbours of one block of float queries, keeping the best k while walking over the references."""
    indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    distances = torch.empty(len(queries), 0, device=queries.device)
    start = 0
    for raw in torch.split(references, block_size):
        block = raw.float()
        scores = block.square().sum(dim=1) - 2.0 * queries @ block.T  # |q|^2 is the same for all r
        nearest = scores.topk(min(k, len(block)), dim=1, largest=False).indices
        exact = (queries[:, None] - block[nearest]).square().sum(dim=2).sqrt()
        indices = torch.cat([indices, nearest + start], dim=1)
        distances = torch.cat([distances, exact], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        distances, indices = distances[:, :k], indices.gather(1, order)[:, :k]
        start += len(block)
    return Neighbours(indices, distances)
