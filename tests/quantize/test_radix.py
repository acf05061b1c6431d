from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.quantize.radix import join_digits, split_indices


@settings(max_examples=100, deadline=None)
@given(levels=st.lists(st.integers(2, 8), min_size=1, max_size=21), data=st.data())
def test_digits_survive_in_any_book_up_to_2_to_the_63(levels: list[int], data: st.DataObject) -> None:
    digits = [data.draw(st.integers(0, level - 1)) for level in levels]
    index, stride = 0, 1
    for digit, level in zip(digits, levels, strict=True):
        index, stride = index + digit * stride, stride * level
    joined = join_digits(torch.tensor(digits, dtype=torch.float32), levels)
    assert int(joined) == index
    assert [int(digit) for digit in split_indices(joined, levels)] == digits


def test_digits_along_any_dimension() -> None:
    digits = torch.tensor([[7, 0], [4, 1]])
    assert join_digits(digits, [8, 5], dim=0).tolist() == [39, 8]
    assert join_digits(digits, [8, 5], dim=1).tolist() == [7, 12]
