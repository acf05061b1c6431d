"""Usage of several codebooks: each counted for itself, and all together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.tokenizer.usage import TokenUsageMeter


@given(groups=st.integers(1, 4), batches=st.integers(1, 3), seed=st.integers(0, 99))
def test_books_are_counted_by_their_place_and_pooled_together(groups: int, batches: int, seed: int) -> None:
    meter = TokenUsageMeter(GroupedFSQ([3, 2], groups=groups))
    draw = np.random.default_rng(seed)
    tokens = draw.integers(-1, 6, (batches, 2, 3, groups))
    for batch in tokens:
        meter.update(torch.from_numpy(batch))
    usage = meter.compute()
    assert len(usage.codebooks) == groups
    for book, seen in zip([usage.pooled, *usage.codebooks], [tokens, *np.moveaxis(tokens, -1, 0)], strict=True):
        seen = seen[seen >= 0]
        assert (book.count, book.used, book.codebook_size) == (seen.size, len(np.unique(seen)), 6)
    assert usage.least.usage_of_ceiling == min(book.usage_of_ceiling for book in usage.codebooks)
    expected = [len(np.unique(part[part >= 0])) / 6 for part in np.moveaxis(tokens, -1, 0)]
    assert list(usage.by_book().values()) == (pytest.approx(expected) if groups > 1 else [])


def test_one_book_is_said_once() -> None:
    meter = TokenUsageMeter(FSQ([3, 2]))
    meter.update(torch.tensor([[[0, 5], [5, -1]]]))
    usage = meter.compute()
    assert usage.by_book() == {}
    assert usage.pooled == usage.least
    assert (usage.pooled.count, usage.pooled.used) == (3, 2)


@pytest.mark.parametrize("wrong", [-2, 6])
def test_other_numbers_are_no_indices(wrong: int) -> None:
    with pytest.raises(GridcodeError, match=str(wrong)):
        TokenUsageMeter(FSQ([3, 2])).update(torch.tensor([wrong]))
