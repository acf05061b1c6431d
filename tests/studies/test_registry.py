"""What holds for every study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gridcode.studies.codebooks.config import TradeoffConfig
from gridcode.studies.codebooks.tradeoff import Tradeoff
from gridcode.studies.registry import STUDIES, study_from_json
from gridcode.studies.results import read_study
from gridcode.studies.summary import summarised

PUBLISHED = sorted((Path(__file__).parents[2] / "docs/results/studies").glob("*.json"))


@pytest.mark.parametrize("name", STUDIES)
def test_what_chooses_its_cells_are_settings(name: str) -> None:
    study = STUDIES[name]()
    assert set(study.choices) <= set(study.settings())


@pytest.mark.parametrize("name", STUDIES)
def test_more_seeds_keep_the_cells_of_the_fewer(name: str) -> None:
    study = STUDIES[name]()
    if "seeds" not in study.choices:
        return
    more = type(study)(replace(study.config, seeds=study.config.seeds + 1))  # type: ignore[call-arg]
    assert set(study.cells()) < set(more.cells())


def test_more_sizes_keep_the_cells_of_the_fewer() -> None:
    few, all_of_them = Tradeoff(TradeoffConfig(bits=(4, 6))), Tradeoff()
    assert set(few.cells()) < set(all_of_them.cells())
    changed = {name for name, value in few.settings().items() if value != all_of_them.settings()[name]}
    assert changed <= set(few.choices)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_a_table_can_be_written_after_each_cell(file: Path) -> None:
    content, results = read_study(file)
    study, cells = study_from_json(content), list(results.items())
    for count in {0, 1, 2, len(cells) // 3, len(cells) // 2, len(cells) - 1}:
        assert summarised(study, dict(cells[:count])).markdown()
