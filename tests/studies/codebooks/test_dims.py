"""Channels by levels as a study: codebooks of any size, signs of trouble as figures, and heat maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError, NotFiniteError
from gridcode.quantize.config import FSQConfig, GroupedFSQConfig
from gridcode.quantize.fsq.levels import MAX_CODEBOOK
from gridcode.quantize.make import make_quantizer
from gridcode.studies.codebooks.config import DimsConfig
from gridcode.studies.codebooks.dims import POOR, Dims, quantizer_of, verdicts, with_signs
from gridcode.studies.curves import OF_EXPECTED, PSNR
from gridcode.studies.plot import save_plot
from gridcode.studies.study import Cell
from gridcode.studies.summary import HeatMap


def test_every_codebook_can_be_made_and_groups_are_as_few_as_fit() -> None:
    for channels in range(1, 21):
        for levels in range(2, 11):
            quantizer = quantizer_of(f"{channels}x{levels}")
            assert isinstance(quantizer, FSQConfig | GroupedFSQConfig)
            groups = quantizer.groups if isinstance(quantizer, GroupedFSQConfig) else 1
            assert groups * len(quantizer.levels) == channels
            assert set(quantizer.levels) == {levels}
            assert (groups > 1) == (levels**channels > MAX_CODEBOOK)


@pytest.mark.parametrize("settings", [{"channels": ()}, {"levels": (1,)}, {"channels": (65,)}, {"seeds": 0}])
def test_studies_of_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(GridcodeError):
        DimsConfig(**settings)  # type: ignore[arg-type]


def test_signs_of_trouble_are_figures() -> None:
    calm: dict[str, Any] = {"alarms": [], "codebook_size": 16, "tokens": 100, "usage": 1.0, PSNR: POOR - 1}
    assert with_signs(calm)["unstable"] == 0.0
    assert with_signs(calm)["poor"] == 1.0
    assert with_signs(calm | {PSNR: POOR})["poor"] == 0.0
    assert with_signs(calm | {"usage": 0.5})["poor"] == 0.0
    assert with_signs(calm | {"alarms": ["instability"]})["unstable"] == 1.0
    assert with_signs({"diverged": True, "alarms": []}) == {
        "diverged": True,
        "alarms": [],
        "unstable": 1.0,
        "poor": 0.0,
    }


def answers(few_unstable: float, coarse: float, *, poor: float) -> dict[str, str]:
    """Verdicts on settings of 1 and of 3 and 9 channels, where 3 channels of 8 levels are ``coarse`` dB."""
    pairs = [(1, 2), (1, 8), (3, 2), (3, 8), (9, 2), (9, 8)]
    unstable = {pair: [few_unstable] * 2 if pair[0] == 1 else [1.0 - few_unstable] * 2 for pair in pairs}
    quality = {pair: [20.0, 20.1] for pair in pairs} | {(3, 8): [coarse, coarse + 0.1]}
    del quality[3, 2], quality[9, 8]
    grids = {PSNR: quality, "unstable": unstable, OF_EXPECTED: {}}
    return {verdict.claim: verdict.answer for verdict in verdicts(grids, poor={pair: [poor] for pair in pairs})}


def test_what_is_expected_of_few_channels() -> None:
    assert set(answers(1.0, 18.0, poor=1.0).values()) == {"seen"}
    found = list(answers(0.0, 22.0, poor=0.0).values())
    assert found == ["opposite", "opposite", "not seen"]


def test_a_training_that_diverges_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise NotFiniteError("the loss is not finite at step 3")

    monkeypatch.setattr("gridcode.studies.images.train_tokenizer", diverge)
    data = DataConfig(size=16, train_count=24, val_count=12, workers=0)
    study = Dims(DimsConfig(data=data, size="smoke", channels=(1,), levels=(2,), accelerator="cpu"))
    values = study.run_cell(Cell("1x2", 0), tmp_path)
    assert values == {"diverged": True, "alarms": []}
    summary = study.summary({Cell("1x2", 0): values})
    assert "| 1 | 100 % |" in summary.markdown()
    save_plot(summary.panels, tmp_path / "plot.svg")


@pytest.mark.parametrize("channels", [3, 20])
def test_latents_that_are_not_finite_are_a_divergence_too(channels: int) -> None:
    quantizer = make_quantizer(quantizer_of(f"{channels}x10"))
    with pytest.raises(NotFiniteError, match="latents are NaN"):
        quantizer(torch.full((2, channels), float("nan")))


def test_the_boundary_lies_between_two_levels_and_more() -> None:
    study = Dims(DimsConfig(channels=(1, 4), levels=(2, 3)))
    found = {"psnr_db": 20.0, "usage": 1.0, "codebook_size": 2, "tokens": 9, "alarms": []}
    panel = study.summary(dict.fromkeys(study.cells(), found)).panels[0]
    assert isinstance(panel, HeatMap)
    assert set(panel.inside) == {(1, 3), (4, 3)}
    assert panel.values[4, 3] == 20.0


def test_a_study_of_stage_one(smoke: Callable[..., Any]) -> None:
    table, results = smoke("dims", "--channels", "20", "--levels", "10")
    values = results[Cell("20x10", 0)]
    assert values["codebook_size"] == 10**10
    assert "bits_per_token" not in values
    assert "| 20 |" in table
