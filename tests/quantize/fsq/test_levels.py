from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from math import log2, prod
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.levels import LevelSet, check_levels, codebook_size, level_candidates, recommended_levels

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


def test_levels_import_without_torch_and_numpy() -> None:
    code = "import sys, gridcode.quantize.fsq.levels; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def candidates(bits: int, **changes: Any) -> tuple[LevelSet, ...]:
    try:
        return level_candidates(bits, **changes)
    except GridcodeError:
        return ()


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(1, 63),
    least=st.integers(4, 9),
    more=st.integers(0, 9),
    channels=st.none() | st.integers(1, 20),
    tolerance=st.sampled_from([0.02, 0.1, 0.4]),
    count=st.integers(1, 200),
)
def test_candidates_are_what_was_asked_for_in_the_stated_order(
    bits: int, least: int, more: int, channels: int | None, tolerance: float, count: int
) -> None:
    bounds = {"min_level": least, "max_level": least + more}
    found = candidates(bits, channels=channels, tolerance=tolerance, count=count, **bounds)
    assume(found)
    assert len(found) <= count
    assert len({each.levels for each in found}) == len(found)
    for each in found:
        assert check_levels(each.levels) == tuple(sorted(each.levels, reverse=True))
        assert each.size == prod(each.levels)
        assert each.bits == pytest.approx(log2(each.size))
        assert each.off == pytest.approx(each.size / 2**bits - 1)
        assert channels in (None, len(each.levels))
        if "paper, Table 1" in each.notes:
            assert each is found[0]
            assert each.levels == recommended_levels(bits)
            continue
        assert least <= min(each.levels) <= max(each.levels) <= least + more
        assert len(set(each.levels)) <= 3
        assert abs(each.off) <= tolerance
    ranks = [order(each) for each in found if not each.notes]
    assert ranks == sorted(ranks)


def order(each: LevelSet) -> tuple[Any, ...]:
    off = abs(each.size - 2**each.target)
    return max(1, -(off * 40 // -(2**each.target))), each.levels[0] / each.levels[-1], len(each.levels), off, each.size


@pytest.mark.parametrize("bits", range(3, 13))
def test_no_set_is_missed(bits: int) -> None:
    found = {each.levels for each in level_candidates(bits, max_level=12, tolerance=0.2, count=10**6)}
    every = {
        tuple(sorted(levels, reverse=True))
        for d in range(1, 6)
        for levels in combinations_with_replacement(range(5, 13), d)
        if abs(prod(levels) / 2**bits - 1) <= 0.2 and len(set(levels)) <= 3
    }
    assert found - every <= {recommended_levels(4)}
    assert every <= found


@pytest.mark.parametrize("bits", SIZES)
def test_the_papers_choice_comes_first(bits: int) -> None:
    first = level_candidates(bits)[0]
    assert first.levels == recommended_levels(bits)
    assert "paper, Table 1" in first.notes


def test_the_choices_that_stand_out_are_marked() -> None:
    found = level_candidates(14, count=100)
    (exact,) = (each for each in found if "exact power of two" in each.notes)
    (fewest,) = (each for each in found if "fewest channels" in each.notes)
    assert exact.size == 2**14
    assert exact is found[1]
    assert fewest is found[2]
    assert len(fewest.levels) == min(len(each.levels) for each in found)
    assert level_candidates(6)[0].notes == ("paper, Table 1", "exact power of two", "fewest channels")


@pytest.mark.parametrize(
    ("bits", "changes", "message"),
    [
        (0, {}, "bits is 0; it must be from 1 to 63"),
        (64, {}, "bits is 64"),
        (2, {}, r"no levels from 5 to 16 make a codebook within 10.0% of 2\^2 codes; allow smaller"),
        (14, {"channels": 9}, "no 9 levels from 5 to 16 make a codebook"),
        (14, {"channels": 0}, "channels is 0"),
        (14, {"min_level": 1}, "the smallest level is 1"),
        (14, {"min_level": 17}, "the smallest level is 17 and the largest 16"),
        (14, {"max_level": 33}, "the largest 33; they must be from 2 to 32"),
        (14, {"tolerance": 1.0}, "the tolerance is 1"),
        (14, {"tolerance": float("nan")}, "the tolerance is nan"),
        (14, {"count": 0}, "count is 0"),
    ],
)
def test_searches_that_cannot_find_are_refused(bits: int, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        level_candidates(bits, **changes)


def test_sizes_from_8_codes_have_candidates() -> None:
    assert all(level_candidates(bits, count=1) for bits in range(3, 64, 4))
