"""Large codebooks as a study: what is held, what even use would show, and where the grid stops paying."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.files import write_json
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.studies.codebooks.config import ScalingConfig
from gridcode.studies.codebooks.scaling import SECONDS, Scaling, head_differences, verdicts
from gridcode.studies.curves import BITS, OF_EXPECTED, RECONSTRUCTION, SAMPLES, expected_usage
from gridcode.studies.study import Cell
from gridcode.studies.timing import peak_memory, seconds_of_steps
from gridcode.training.config import LoopConfig


def test_only_digits_go_beyond_what_is_held() -> None:
    study = Scaling(ScalingConfig(seeds=1, bits=(10, 20), held=10))
    settings = [cell.setting for cell in study.cells()]
    assert len(settings) == 6
    assert {name for name in settings if name.endswith("1048576")} == {"fsq_independent-1048576", "fsq_chain-1048576"}


def test_a_cell_is_a_quantizer_of_about_its_size_and_a_head() -> None:
    study = Scaling()
    for cell in study.cells():
        recipe, size = study.recipe(cell), int(cell.setting.split("-")[1])
        assert recipe.costs
        if isinstance(recipe.quantizer, VQConfig):
            assert (recipe.quantizer.size, recipe.head) == (size, "joint")
        else:
            assert isinstance(recipe.quantizer, FSQConfig)
            assert abs(np.prod(recipe.quantizer.levels) / size - 1) < 0.1
            assert cell.setting.startswith(f"fsq_{recipe.head}-")


@pytest.mark.parametrize(("codes", "tokens"), [(10, 7), (50, 200), (1, 3)])
def test_even_use_is_what_tokens_drawn_evenly_show_on_average(codes: int, tokens: int) -> None:
    drawn = np.random.default_rng(0).integers(codes, size=(4000, tokens))
    shown = np.mean([len(np.unique(row)) for row in drawn]) / codes
    assert expected_usage(codes, tokens) == pytest.approx(shown, rel=0.02)


@pytest.mark.parametrize("settings", [{"families": ()}, {"bits": (10, 10)}, {"bits": (25,)}, {"seeds": 0}])
def test_studies_of_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(GridcodeError):
        ScalingConfig(**settings)  # type: ignore[arg-type]


SIZES = [2.0**bits for bits in (10, 12, 20)]


def curve(*values: float) -> dict[float, list[float]]:
    """Two seeds, 0.01 apart, at each size."""
    return {size: [value, value + 0.01] for size, value in zip(SIZES, values, strict=False)}


def answers(*, grid: list[float], shown: list[float], independent: float, vq: float) -> dict[str, str]:
    curves = {
        OF_EXPECTED: {"fsq_independent": curve(*shown)},
        RECONSTRUCTION: {"fsq_independent": curve(*grid), "fsq_joint": curve(*grid[:2]), "vq": curve(vq)},
        SAMPLES: {"fsq_independent": curve(*grid)},
    }
    heads = {key: {"fsq_independent": curve(independent)} for key in (BITS, SECONDS)}
    return {verdict.claim: verdict.answer for verdict in verdicts(curves, heads)}


def test_a_grid_that_stops_paying() -> None:
    assert answers(grid=[5.0, 3.0, 3.0], shown=[0.99, 0.9, 0.8], independent=0.2, vq=6.0) == {
        "FSQ shows more than half of the codes that even use would show, at every size": "seen",
        "beyond some size larger grids no longer reconstruct better": "seen",
        "beyond some size larger grids no longer give better samples, independent digits": "seen",
        "independent digits: more bits than one softmax at 2^10": "seen",
        "independent digits: less time than one softmax at 2^10": "opposite",
        "FSQ reconstructs better than VQ at 2^10": "seen",
    }


def test_a_grid_that_goes_on_paying() -> None:
    found = answers(grid=[5.0, 4.0, 3.0], shown=[0.99, 0.9, 0.3], independent=-0.2, vq=4.0)
    assert list(found.values()) == ["not seen", "opposite", "opposite", "opposite", "seen", "opposite"]


@pytest.mark.parametrize(("grid", "answer", "text"), [
    ((5.0, 3.0, 5.0), "seen", "no larger one betters 2^12 by 5 %: 3.005 there, at 2^20 +2.000"),
    ((6.0, 5.0, 4.75), "open", "the distance at 2^20 minus that at 2^12: -0.250"),
    ((6.0, 5.0, 4.0), "opposite", "the distance at 2^20 minus that at 2^12: -1.000"),
])  # fmt: skip
def test_a_size_is_enough_where_no_larger_one_is_much_better(grid: tuple[float, ...], answer: str, text: str) -> None:
    [verdict] = verdicts({RECONSTRUCTION: {"fsq_joint": curve(*grid)}})
    assert verdict.answer == answer
    assert verdict.figures.startswith(text)


def test_heads_are_compared_on_the_same_tokenizer() -> None:
    def cell(bits: float) -> dict[str, float]:
        return {BITS: bits, SECONDS: 0.5}

    # Tokenizers of two seeds are far apart, a head's cost is not.
    results = {
        Cell("fsq_joint-1024", 0): cell(6.0),
        Cell("fsq_joint-1024", 1): cell(8.0),
        Cell("fsq_chain-1024", 1): cell(8.26),
        Cell("fsq_chain-1024", 0): cell(6.25),
        Cell("fsq_chain-4096", 0): cell(9.0),
        Cell("vq-1024", 0): cell(5.0),
    }
    found = head_differences(results)
    assert found[BITS] == {"fsq_chain": {1024.0: [pytest.approx(0.26), pytest.approx(0.25)]}}
    more, less = verdicts({}, found)
    assert (more.claim, more.answer) == ("chain of digits: more bits than one softmax at 2^10", "seen")
    assert less.answer == "open"


def test_one_seed_leaves_it_open() -> None:
    one = {size: values[:1] for size, values in curve(5.0, 3.0, 3.0).items()}
    assert [verdict.answer for verdict in verdicts({RECONSTRUCTION: {"fsq_joint": one}})] == ["open"]


def test_a_study_measures_what_the_prior_costs(smoke: Callable[..., Any]) -> None:
    table, results = smoke("scaling", "--families", "fsq_chain", "--bits", "20")
    values = results[Cell("fsq_chain-1048576", 0)]
    assert values["prior_seconds_a_step"] > 0
    assert values["prior_parameters"] < 2**20
    assert values["tokens"] == 12 * 4 * 4
    assert "**FSQ, chain of digits**" in table


def test_heads_share_a_tokenizer_which_is_tidied_after_the_last(smoke: Callable[..., Any], tmp_path: Path) -> None:
    families = ("fsq_independent", "fsq_chain")
    _, results = smoke("scaling", "--families", *families, "--bits", "10")
    first, second = (results[Cell(f"{family}-1024", 0)] for family in families)
    assert first["psnr_db"] == second["psnr_db"]
    (shared,) = (tmp_path / "study" / "stage_one").iterdir()
    assert shared.name == "fsq-1024-0"
    assert sorted(path.name for path in shared.iterdir() if path.is_dir()) == ["tokenizer"]
    assert not (shared / "tokenizer" / "state").exists()
    assert not list((tmp_path / "study" / "cells").glob("*/tokenizer"))


def test_a_peak_of_memory_is_the_highest_of_all_sittings(tmp_path: Path) -> None:
    file = tmp_path / "peak.json"
    with peak_memory(torch.device("cpu"), file) as first:
        held = torch.ones(2**24)  # 64 MiB
    assert float(held[-1]) == 1
    del held
    if first.mib is None:
        pytest.skip("the system does not tell")
    assert 60 < first.mib < 100, "what the process held before is not counted"
    with pytest.raises(KeyboardInterrupt), peak_memory(torch.device("cpu"), tmp_path / "cut.json"):
        raise KeyboardInterrupt
    assert (tmp_path / "cut.json").is_file()  # what was taken until then counts, too
    write_json(file, {"mib": first.mib + 1000})
    with peak_memory(torch.device("cpu"), file) as second:
        pass
    assert second.mib == first.mib + 1000


def test_seconds_are_the_median_of_all_lines_but_the_first(tmp_path: Path) -> None:
    speeds = (1.0, 100.0, 200.0, 400.0)
    lines = [f'{{"step": {step}, "train/images_per_s": {speed}}}\n' for step, speed in enumerate(speeds, 1)]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    assert seconds_of_steps(tmp_path, LoopConfig(steps=10, batch_size=20)) == 1.0
