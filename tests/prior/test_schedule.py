"""The counts of the cosine schedule, against numpy in double precision."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridcode.prior.schedule import smallest_ratio, still_masked, training_mask


def oracle(start: int, steps: int) -> list[int]:
    """How many tokens are masked after each step but the last, as MaskGIT's published sampler counts them."""
    left, counts = start, []
    for ratio in (np.arange(1, steps, dtype=np.float64)) / steps:
        wanted = int(np.floor(start * np.cos(ratio * np.pi / 2)))
        left = max(1, min(left - 1, wanted))
        counts.append(left)
    return counts


def ours(start: int, steps: int) -> list[int]:
    left, counts = torch.tensor([start]), []
    for step in range(steps - 1):
        left = still_masked(torch.tensor([start]), left, step=step, steps=steps)
        counts.append(int(left))
    return counts


def test_tokens_fixed_per_step_are_the_papers() -> None:
    counts = [256, *ours(256, 12), 0]
    fixed = [before - after for before, after in pairwise(counts)]
    assert fixed == [3, 6, 11, 15, 18, 22, 26, 27, 31, 31, 33, 33]


@given(start=st.integers(2, 5000), steps=st.integers(1, 40))
def test_counts_are_those_of_double_precision(start: int, steps: int) -> None:
    assert ours(start, steps) == oracle(start, steps)


def test_single_precision_would_count_otherwise() -> None:
    share = np.cos(np.float32(np.pi / 2) * np.float32(2 / 3))
    assert np.floor(np.float32(256) * share) == 127
    assert ours(256, 3)[1] == 128
    assert ours(52, 39)[25] == 26


@given(
    rows=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=5),
    step=st.integers(0, 11),
)
def test_rows_are_counted_one_by_one_and_never_masked_anew(rows: list[tuple[int, int]], step: int) -> None:
    start = torch.tensor([max(pair) for pair in rows])
    unknown = torch.tensor([min(pair) for pair in rows])
    left = still_masked(start, unknown, step=step, steps=12)
    assert left.dtype == torch.int64
    for row in range(len(rows)):
        alone = still_masked(start[row : row + 1], unknown[row : row + 1], step=step, steps=12)
        assert left[row] == alone[0]
        assert 0 <= left[row] <= unknown[row]
        assert (left[row] == 0) == (unknown[row] == 0)


def test_the_smallest_ratio_is_the_papers() -> None:
    assert smallest_ratio(0.45) == pytest.approx(0.29715, abs=5e-6)
    for share in (0.0, 0.2, 0.45, 0.9):
        assert math.cos(math.pi / 2 * (1 - smallest_ratio(share))) == pytest.approx(share)


@given(n=st.integers(1, 300), share=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_training_masks_keep_their_floor(n: int, share: float, seed: int) -> None:
    masked = training_mask((16, n), min_masked=share, generator=torch.Generator().manual_seed(seed))
    counts = masked.sum(1)
    assert counts.min() >= max(1, math.ceil(share * n - 1e-9))
    assert counts.max() <= n


def test_training_ratios_are_uniform_above_the_floor() -> None:
    n, rows = 4096, 1000
    masked = training_mask((rows, n), min_masked=0.45, generator=torch.Generator().manual_seed(0))
    shares = (masked.sum(1).double() / n).numpy()
    floor = 1 - 2 * np.arccos(0.45) / np.pi
    uniform = np.sort((1 - np.arccos(shares) * 2 / np.pi - floor) / (1 - floor))
    # Kolmogorov's distance; 1.95 / sqrt(n) is exceeded once in a thousand times by chance.
    assert np.abs(uniform - (np.arange(rows) + 0.5) / rows).max() < 1.95 / np.sqrt(rows)


def test_training_masks_favour_no_position() -> None:
    masked = training_mask((20_000, 16), min_masked=0.45, generator=torch.Generator().manual_seed(0)).double()
    rate = masked.mean(0)
    assert (rate - masked.mean()).abs().max() < 4.5 * 0.5 / math.sqrt(20_000)
    together = (masked[:, :-1] * masked[:, 1:]).mean(0)
    assert together.std() < 0.01, "neighbours are hidden together no more often than others"


def test_training_masks_come_from_the_generator_alone() -> None:
    draws = [training_mask((4, 9), min_masked=0.3, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
