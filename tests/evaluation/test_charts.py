from __future__ import annotations

import numpy as np
import pytest

from gridcode.errors import GridcodeError
from gridcode.evaluation import CodeUsage


def test_digits_are_mixed_radix_with_the_first_fastest() -> None:
    levels = (3, 2, 4)
    every = np.arange(24).reshape(2, 12)
    usage = CodeUsage.from_indices(every, levels)
    assert usage.codebook_size == usage.tokens == 24
    assert [digit.tolist() for digit in usage.digits] == [[8] * 3, [12] * 2, [6] * 4]
    one = CodeUsage.from_indices([1 + 3 * (0 + 2 * 3)], levels)
    assert [int(digit.argmax()) for digit in one.digits] == [1, 0, 3]


def test_a_book_without_digits_shows_none() -> None:
    usage = CodeUsage.from_indices([5, 5, 0], (9,))
    assert (usage.codebook_size, usage.tokens, usage.digits) == (9, 3, ())


def test_counts_are_those_of_used_codes_most_used_first() -> None:
    usage = CodeUsage.from_indices([5, 5, 5, 0, 2, 2], (3, 2))
    assert usage.counts.tolist() == [3, 2, 1]


@pytest.mark.parametrize(("indices", "seen"), [([6], "6 to 6"), ([-1, 3], "-1 to 3"), ([], "none")])
def test_indices_outside_the_codebook_are_refused(indices: list[int], seen: str) -> None:
    with pytest.raises(GridcodeError, match=f"from 0 to 5 .* got {seen}"):
        CodeUsage.from_indices(indices, (3, 2))
