from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gridcode.errors import GridcodeError
from gridcode.quantize.levels import check_levels, codebook_size, recommended_levels

SIZES = {4: 15, 6: 64, 8: 240, 9: 512, 10: 1000, 11: 1920, 12: 4375, 14: 15360, 16: 64000}


@pytest.mark.parametrize(("bits", "size"), SIZES.items())
def test_recommended_books_have_the_papers_sizes(bits: int, size: int) -> None:
    assert codebook_size(recommended_levels(bits)) == size


@pytest.mark.parametrize("bits", [0, 5, 13, 17, "10", True])
def test_other_sizes_are_refused_with_the_known_ones(bits: object) -> None:
    with pytest.raises(GridcodeError, match=r"choose one of 4, 6, 8, 9, 10, 11, 12, 14, 16"):
        recommended_levels(bits)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [list, tuple, np.array, iter, lambda levels: [np.uint8(each) for each in levels]])
def test_any_sequence_of_integers_becomes_python_integers(make: Callable[[list[int]], Sequence[int]]) -> None:
    checked = check_levels(make([8, 5]))
    assert checked == (8, 5)
    assert all(type(level) is int for level in checked)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "the sequence is empty"),
        (8, "saw 8; give a sequence"),
        (None, "saw None"),
        ("85", "saw '85'"),
        ([8, 1], "entry 1 is 1; every level must be an integer from 2 to 1048576"),
        ([0], "entry 0 is 0"),
        ([-5], "entry 0 is -5"),
        ([8, 5.0], "entry 1 is 5.0"),
        ([True, 5], "entry 0 is True"),
        ([np.True_], "entry 0 is np.True_"),
        ([np.float32(4)], "entry 0 is "),
        (["8"], "entry 0 is '8'"),
        ([2**20 + 1], "entry 0 is 1048577"),
        ([8] * 21 + [2], r"2\^64.0 codes, over 2\^63"),
        ([3] * 40, r"2\^63.4 codes"),
    ],
)
def test_what_is_no_levels_is_refused_by_name(levels: object, message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        check_levels(levels)  # type: ignore[arg-type]


def test_the_largest_book_is_allowed() -> None:
    assert codebook_size(check_levels([8] * 21)) == 2**63


def test_levels_import_without_torch() -> None:
    code = "import sys, gridcode.quantize.levels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
