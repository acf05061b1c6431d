"""Figure 10 as a study: sets of one size by their smallest level, and what their figures say of levels under 5."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.studies.codebooks.config import LevelsConfig
from gridcode.studies.codebooks.levels import Levels, level_sets, verdicts
from gridcode.studies.curves import RECONSTRUCTION, SAMPLES
from gridcode.studies.study import Cell


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_sets_have_about_the_size_and_the_smallest_level(bits: int) -> None:
    for smallest in (2, 3, 4, 5, 7, 8):
        for levels in level_sets(bits, smallest, count=3):
            assert min(levels) == smallest
            assert abs(math.prod(levels) / 2**bits - 1) <= 0.1


def test_a_smallest_level_that_no_set_has_is_passed_over() -> None:
    assert level_sets(8, 11) == []
    assert {cell.setting for cell in Levels(LevelsConfig(bits=(8,), smallest=(4, 11))).cells()} == {"4x4x4x4"}


def test_a_cell_trains_both_stages_with_its_levels() -> None:
    recipe = Levels().recipe(Cell("8x5x5x5", 0))
    assert isinstance(recipe.quantizer, FSQConfig)
    assert recipe.quantizer.levels == (8, 5, 5, 5)
    assert recipe.head == "joint"


@pytest.mark.parametrize(
    "settings", [{"seeds": 0}, {"bits": ()}, {"smallest": (5, 5)}, {"smallest": (1,)}, {"tolerance": 1.0}, {"sets": 0}]
)
def test_studies_of_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(GridcodeError):
        LevelsConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("under", "others", "answer"),
    [([5.0, 5.1], [3.0, 3.1], "seen"), ([3.0, 3.1], [5.0, 5.1], "opposite"), ([3.0, 5.0], [3.1, 5.1], "open")],
)
def test_levels_under_five_are_subpar_or_not(under: list[float], others: list[float], answer: str) -> None:
    curves = {
        key: {"2^10 codes": {2.0: [under], 4.0: [under], 5.0: [others], 8.0: [others]}}
        for key in (RECONSTRUCTION, SAMPLES)
    }
    found = verdicts(curves)
    assert [verdict.answer for verdict in found] == [answer] * 3
    assert found[0].claim == "at 2^10 codes, sets whose smallest level is 2 reconstruct worse than sets with 5 or more"
    assert found[1].claim == "at 2^10 codes, sets whose smallest level is 4 reconstruct worse than sets with 5 or more"
    assert found[2].claim == "at 2^10 codes, sets with a level under 5 give worse samples"


def test_without_both_groups_there_is_no_verdict() -> None:
    assert verdicts({RECONSTRUCTION: {"2^8 codes": {5.0: [[1.0, 1.1]]}}}) == []


def test_a_study_goes_both_stages(smoke: Callable[..., Any]) -> None:
    table, results = smoke("levels", "--bits", "8", "--smallest", "5")
    assert results[Cell("8x6x5", 0)]["bits_per_token"] > 0
    assert "| 5 | 8, 6, 5 | 240 |" in table
