"""Networks in the loss as a study: losses at equal steps, graders that took no part, crops that show detail."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from gridcode.data.config import DataConfig
from gridcode.data.image import decode_image
from gridcode.domains.image.config import LossConfig
from gridcode.errors import GridcodeError
from gridcode.features.extractor import Extractor, Features
from gridcode.files import write_json
from gridcode.studies.curves import PSNR, RECONSTRUCTION
from gridcode.studies.engine import run_cell, write_study
from gridcode.studies.perceptual.config import PerceptualStudyConfig
from gridcode.studies.perceptual.study import SECONDS, Perceptual, enlarged_crops, side_by_side, verdicts
from gridcode.studies.results import read_study
from gridcode.studies.study import Cell, cell_folder

KERNEL, FRECHET = "reconstructions KD ({})", "reconstructions FD ({})"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"seeds": 0}, "at least 1 seed"),
        ({"losses": ()}, "losses must name at least one"),
        ({"losses": ("l2", "l2")}, "each once"),
        ({"losses": ("l1",)}, "losses must be of l2, self, lite0, shifted, got 'l1'"),
        ({"weight": 0.0}, "weight must be above 0"),
    ],
)
def test_studies_of_nothing_are_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(GridcodeError, match=error):
        PerceptualStudyConfig(**settings)


@pytest.mark.parametrize("size", ["smoke", "laptop", "gpu"])
@pytest.mark.parametrize("side", [28, 128])
def test_cells_differ_in_the_loss_alone(size: Any, side: int) -> None:
    study = Perceptual(PerceptualStudyConfig(data=DataConfig(size=side), size=size, seeds=1))
    runs = [study.recipe(cell).stage_one(study.config, cell.seed) for cell in study.cells()]
    assert [run.loss.perceptual.kind for run in runs] == ["none", "self", "lite0", "lite0"]
    assert [run.loss.perceptual.shift for run in runs] == [0, 0, 0, 7]
    assert runs[0].loss == LossConfig()
    assert {run.loss.perceptual.weight for run in runs[1:]} == {0.5}
    assert len({(str(run.model), str(run.optim), str(run.loop)) for run in runs}) == 1
    if size == "laptop":
        assert runs[0].model.downsampling == (4 if side == 28 else 8)


def two(value: float) -> list[float]:
    """Of two seeds, which spread not quite alike."""
    return [value, (1.001 + value * 1e-5) * value]


def figures(lite2: list[float], lite0: list[float], classifier: list[float], psnr: list[float]) -> dict[str, Any]:
    """Figures of L2, the self-made network, lite0, and lite0 with shifts."""
    found = {
        KERNEL.format("lite2"): lite2,
        FRECHET.format("lite2"): lite2[::-1],
        KERNEL.format("lite0"): lite0,
        FRECHET.format("lite0"): lite0[::-1],
        RECONSTRUCTION: classifier,
        PSNR: psnr,
        SECONDS: [0.5, 0.6, 1.0, 1.0],
    }
    return {key: dict(zip(("l2", "self", "lite0", "shifted"), map(two, of), strict=True)) for key, of in found.items()}


def test_verdicts_on_made_up_figures() -> None:
    seen = figures([0.1, 0.08, 0.05, 0.04], [0.1, 0.09, 0.02, 0.02], [40, 30, 20, 15], [22, 21, 20, 20])
    found = verdicts(seen, 1000)
    assert [verdict.answer for verdict in found] == ["seen"] * 12
    assert found[0].claim == (
        "lite0 in the loss brings reconstructions nearer to the images than pixels alone do, by lite2"
    )
    assert found[0].figures.startswith("kernel distance 0.0500 against 0.1001, -0.0500 (95 % interval -0.05")
    assert found[8].figures.startswith("20 % of what pixels alone leave against 50 %; logarithm of the ratio -0.92")
    assert found[9].figures.endswith("; a step takes 2.0 times as long")
    assert "dB" in found[9].figures
    # Of many images the Fréchet distance counts, which is turned around here.
    assert [verdict.answer for verdict in verdicts(seen, 10_000)][:2] == ["opposite", "seen"]


def test_what_is_not_so_is_the_opposite_and_one_seed_leaves_it_open() -> None:
    turned = figures([0.05, 0.08, 0.1, 0.2], [0.1, 0.09, 0.21, 0.2], [20, 30, 40, 50], [20, 21, 22, 22])
    found = verdicts(turned, 1000)
    assert [verdict.answer for verdict in found[:2]] == ["opposite"] * 2
    assert [verdict.answer for verdict in found[6:]] == ["opposite"] * 6
    one = {key: {loss: values[:1] for loss, values in of.items()} for key, of in turned.items()}
    assert {verdict.answer for verdict in verdicts(one, 1000)} == {"open"}
    alone = {key: {"l2": of["l2"]} for key, of in turned.items()}
    assert verdicts(alone, 1000) == []


def test_crops_show_the_place_with_the_most_detail() -> None:
    flat = torch.zeros(1, 3, 16, 16)
    busy = flat.clone()
    busy[:, :, 9:13, 5:9] = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    crops = enlarged_crops([busy, flat])
    assert [crop.shape for crop in crops] == [(1, 3, 16, 16)] * 2
    (place,) = [
        (top, left)
        for top in range(13)
        for left in range(13)
        if torch.equal(crops[0][0, :, ::4, ::4], busy[0, :, top : top + 4, left : left + 4])
    ]
    assert abs(place[0] - 9) <= 1
    assert abs(place[1] - 5) <= 1
    assert not crops[1].any()
    assert side_by_side([busy, flat]).shape == (6 * 16 + 8, 4 * (6 * 16 + 4) + 4, 3)


def small_extractor(name: str, **_: Any) -> Extractor:
    """In place of a network that takes half a second an image: means of 2 x 2 places."""

    def measure(pixels: torch.Tensor) -> Features:
        vectors = torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1) / 255
        return Features(vectors, vectors)

    return Extractor(name.removeprefix("fd-"), "0" * 16, 12, "none", 3, measure)


def test_a_study_is_measured_by_networks_that_took_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridcode.domains.image.scores.protocol_extractor", small_extractor)
    data = DataConfig(size=16, train_count=24, val_count=12, workers=0)
    study = Perceptual(PerceptualStudyConfig(data=data, size="smoke", seeds=1, accelerator="cpu"))
    study.prepare(tmp_path)
    write_study(study, {cell: run_cell(study, cell, tmp_path) for cell in study.cells()}, tmp_path)
    _, results = read_study(tmp_path / "study.json")
    assert [cell.setting for cell in results] == ["l2", "self", "lite0", "shifted"]
    for values in results.values():
        assert values["images"] == 12
        assert values[FRECHET.format("lite2")] > 0
        assert values[SECONDS] > 0
        assert "bits_per_token" not in values
    assert (tmp_path / "cells/self-0/tokenizer/perceptual").is_dir()
    assert not (tmp_path / "cells/lite0-0/tokenizer/perceptual").exists()
    assert "| SSIM |" in (tmp_path / "table.md").read_text()
    assert decode_image(tmp_path / "losses.png", name="losses").shape == (5 * 100 + 4, 10 * 100 + 4, 3)
    assert "lite0 in the loss costs PSNR" in (tmp_path / "table.md").read_text()
    assert study.time_cell(study.cells()[1]) > 0
    # A loss whose first seed diverged has no tokenizer, and no column in the images.
    cell = Cell("lite0", 0)
    diverged = {"cell": {"setting": "lite0", "seed": 0}, "found": {"diverged": True, "alarms": []}, "seconds": 1.0}
    write_json(cell_folder(tmp_path, cell) / "result.json", diverged)
    shutil.rmtree(cell_folder(tmp_path, cell) / "tokenizer")
    write_study(study, {cell: run_cell(study, cell, tmp_path) for cell in study.cells()}, tmp_path)
    assert decode_image(tmp_path / "losses.png", name="losses").shape == (5 * 100 + 4, 8 * 100 + 4, 3)
    table = (tmp_path / "table.md").read_text()
    assert "right: the original, L2 alone, self-made network, lite0 with shifts; then" in table
