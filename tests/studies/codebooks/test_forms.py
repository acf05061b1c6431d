"""The bounds of FSQ as a study: each at the paper's levels, and compared to the paper's in both stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.quantize.fsq.forms import FORMS
from gridcode.quantize.fsq.levels import recommended_levels
from gridcode.studies.codebooks.config import FormsConfig
from gridcode.studies.codebooks.forms import Forms, verdicts
from gridcode.studies.curves import BITS, RECONSTRUCTION, SAMPLES
from gridcode.studies.study import Cell


def test_every_bound_is_trained_in_both_stages_at_the_papers_levels() -> None:
    study = Forms(FormsConfig(seeds=1))
    seen = set()
    for cell in study.cells():
        recipe = study.recipe(cell)
        assert isinstance(recipe.quantizer, FSQConfig)
        form, size = cell.setting.split("-")
        assert recipe.quantizer == FSQConfig(levels=recommended_levels(int(size).bit_length() - 1), form=form)  # type: ignore[arg-type]
        assert recipe.head == "joint"
        seen.add(form)
    assert seen == set(FORMS)


@pytest.mark.parametrize("settings", [{"forms": ()}, {"forms": ("ifsq", "ifsq")}, {"bits": (3,)}, {"seeds": 0}])
def test_studies_of_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(GridcodeError):
        FormsConfig(**settings)  # type: ignore[arg-type]


def answers(factor: float) -> list[str]:
    """Verdicts on a bound whose every figure is a multiple of the paper's, at two sizes and two seeds."""
    paper = {256.0: [4.0, 4.1], 1024.0: [2.0, 2.05]}
    other = {size: [factor * value for value in values] for size, values in paper.items()}
    found = verdicts({key: {"paper": paper, "ifsq": other} for key in (RECONSTRUCTION, SAMPLES, BITS)})
    assert [verdict.claim for verdict in found] == [
        "ifsq reconstructs better than the paper's form",
        "ifsq gives better samples than the paper's form",
        "ifsq costs fewer bits than the paper's form",
    ]
    return [verdict.answer for verdict in found]


def test_a_bound_is_better_worse_or_alike() -> None:
    assert answers(0.8) == ["seen"] * 3
    assert answers(1.25) == ["opposite"] * 3
    assert answers(1.001) == ["open"] * 3


def test_the_difference_is_told_in_per_cent() -> None:
    curves = {RECONSTRUCTION: {"paper": {256.0: [1.0, 1.01]}, "ifsq": {256.0: [1.1, 1.111]}}}
    told = "Fréchet distance of reconstructions +10.0 % (95 % interval"
    assert verdicts(curves)[0].figures.startswith(told)
    one = {RECONSTRUCTION: {form: {size: [4.0 / size] for size in (1.0, 2.0)} for form in ("paper", "ifsq")}}
    assert [verdict.answer for verdict in verdicts(one)] == ["open"], "sizes are no seeds"


def test_without_the_papers_form_there_is_no_verdict() -> None:
    assert verdicts({RECONSTRUCTION: {"ifsq": {256.0: [1.0, 1.0]}}}) == []


def test_a_study_goes_both_stages(smoke: Callable[..., Any]) -> None:
    table, results = smoke("forms", "--forms", "dithered", "--bits", "8")
    assert results[Cell("dithered-256", 0)]["bits_per_token"] > 0
    assert "**dithered**" in table
