"""Every epoch is a permutation, and any stretch of positions can be asked for on its own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridcode.training.seeding import indices_at


@given(count=st.integers(1, 30), seed=st.integers(0, 2**31), epoch=st.integers(0, 5))
def test_every_epoch_holds_every_example_once(count: int, seed: int, epoch: int) -> None:
    seen = indices_at(epoch * count, (epoch + 1) * count, count=count, seed=seed)
    assert sorted(seen.tolist()) == list(range(count))


@given(count=st.integers(1, 12), start=st.integers(0, 40), length=st.integers(0, 30))
def test_a_stretch_is_a_part_of_the_whole(count: int, start: int, length: int) -> None:
    whole = indices_at(0, start + length, count=count, seed=7)
    part = indices_at(start, start + length, count=count, seed=7)
    np.testing.assert_array_equal(part, whole[start:])


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = np.split(indices_at(0, 200, count=100, seed=0), 2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, indices_at(0, 100, count=100, seed=1))
    # (seed 0, epoch 1) and (seed 1, epoch 0) are unrelated too.
    assert not np.array_equal(second, indices_at(0, 100, count=100, seed=1))
