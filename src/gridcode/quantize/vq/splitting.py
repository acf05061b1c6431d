r"""Linde-Buzo-Gray splitting: an entry that is out of use becomes half of the one most in use, as in UViM.

With discounted counts c_k and sums s_k, while the least c is under the threshold:

    most, least = argmax c, argmin c                    (the lowest index on ties)
    s_least ← s_most · u / 2,   u ~ U(1 ± 0.001) for each channel;     s_most ← s_most / 2
    c_least ← c_most / 2;                                              c_most ← c_most / 2

So the pair shares what the most used one had: counts add up to its count exactly, sums to its sum within 0.05 % a
channel, and the two codewords lie 0.1 % apart. What the least used one had, under the threshold, is dropped.

Who splits is decided from the counts alone, with a heap: O(log K) a split. Then the splits are carried out in rounds,
a round being splits in a row that touch no entry twice, so that a round is one operation on all its rows.

Differs from UViM: splitting ends when the most used one has less than twice the threshold to share, where UViM would
halve for ever (all counts together under K times the threshold: a small batch and a large book).

Reference: Linde, Buzo, Gray 1980 (IEEE Trans. Communications 28(1)); Kolesnikov et al. 2022 (arXiv 2205.10337), code.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gridcode.quantize.vq.randomness import jitter

PERTURBATION = 0.001


def plan_splits(counts: Sequence[float], threshold: float) -> list[tuple[int, int]]:
    """Who splits for whom, in order.

    Args:
        counts: c_k, 0 or more.
        threshold: Entries with less are out of use; above 0.

    Returns:
        Pairs (most, least).

    >>> plan_splits([8.0, 0.0, 1.0, 0.0], 0.1)
    [(0, 1), (0, 3)]
    """
    now = list(counts)
    lowest = [(count, index) for index, count in enumerate(now) if count < threshold]
    if not lowest:
        return []
    highest = [(-count, index) for index, count in enumerate(now)]
    heapq.heapify(lowest)
    heapq.heapify(highest)
    plan = []
    # An entry that took part in a split has at least the threshold, so that it never is among the lowest again.
    while lowest and -highest[0][0] >= 2 * threshold:
        most = highest[0][1]
        _, least = heapq.heappop(lowest)
        now[most] = now[least] = now[most] / 2
        heapq.heapreplace(highest, (-now[most], most))
        heapq.heappush(highest, (-now[least], least))
        while now[highest[0][1]] != -highest[0][0]:
            heapq.heappop(highest)
        plan.append((most, least))
    return plan


@torch.no_grad()
def carry_out(plan: Sequence[tuple[int, int]], counts: Tensor, sums: Tensor, generator: torch.Generator) -> Tensor:
    """Split in place.

    Args:
        plan: Pairs (most, least), from :func:`plan_splits`.
        counts: (K,).
        sums: (K, d).
        generator: Where u comes from, one row a split in the order of the plan.

    Returns:
        The entries that changed, int64, sorted, on the device of ``counts``.
    """
    for most, least in _rounds(plan):
        giver, taker = (torch.tensor(side, device=counts.device) for side in (most, least))
        half = sums[giver] / 2
        u = jitter(len(most), sums.shape[1], PERTURBATION, generator).to(sums)
        sums[giver], sums[taker] = half, half * u
        counts[giver] = counts[taker] = counts[giver] / 2
    return torch.tensor(sorted({index for pair in plan for index in pair}), dtype=torch.int64, device=counts.device)


def _rounds(plan: Sequence[tuple[int, int]]) -> Iterator[tuple[list[int], list[int]]]:
    """The plan in rounds: (givers, takers), no entry twice in one."""
    givers: list[int] = []
    takers: list[int] = []
    touched: set[int] = set()
    for most, least in plan:
        if most in touched or least in touched:
            yield givers, takers
            givers, takers, touched = [], [], set()
        givers.append(most)
        takers.append(least)
        touched |= {most, least}
    if plan:
        yield givers, takers
