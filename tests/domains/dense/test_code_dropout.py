"""Dropped codes: every number of them equally likely, every place as well, and the draw belongs to the example."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.domains.dense.loss import draw_dropped


def test_every_number_from_none_to_all_is_equally_likely() -> None:
    counts = draw_dropped(20_000, (2, 3), seed=0, step=0).flatten(1).sum(1)
    shares = torch.bincount(counts, minlength=7) / len(counts)
    assert shares.shape == (7,)
    torch.testing.assert_close(shares, torch.full((7,), 1 / 7), atol=0.01, rtol=0)


def test_every_subset_of_a_size_is_equally_likely() -> None:
    dropped = draw_dropped(30_000, (2, 2), seed=1, step=0).flatten(1)
    pairs = dropped[dropped.sum(1) == 2]
    kinds = (pairs.long() * torch.tensor([1, 2, 4, 8])).sum(1)
    shares = torch.bincount(kinds, minlength=16)[[3, 5, 6, 9, 10, 12]] / len(pairs)
    torch.testing.assert_close(shares, torch.full((6,), 1 / 6), atol=0.02, rtol=0)


@settings(max_examples=20, deadline=None)
@given(world=st.integers(1, 4), share=st.integers(1, 3), step=st.integers(0, 10**6))
def test_processes_draw_their_part_of_what_one_would_draw(world: int, share: int, step: int) -> None:
    whole = draw_dropped(world * share, (2, 3), seed=7, step=step)
    parts = [draw_dropped(share, (2, 3), seed=7, step=step, rank=rank, world=world) for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)


def test_another_step_or_seed_is_another_draw_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    draws = [draw_dropped(64, (4, 4), seed=seed, step=step) for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[3])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
