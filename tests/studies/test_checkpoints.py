"""Studies of checkpoints: samplers, guidance, what codes mean, long runs: cells, verdicts, and one run of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gridcode.data.config import DataConfig
from gridcode.data.image import decode_image
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.extractor import classifier_extractor
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.studies.checkpoints.base import Grader, swept
from gridcode.studies.checkpoints.config import (
    CheckpointConfig,
    GuidanceConfig,
    LongConfig,
    SamplersConfig,
    SemanticsConfig,
)
from gridcode.studies.checkpoints.guidance import Guidance, best_alpha, best_of, guidance_verdicts
from gridcode.studies.checkpoints.long import Long, long_verdicts
from gridcode.studies.checkpoints.samplers import Samplers, least_along, sampler_verdicts
from gridcode.studies.checkpoints.semantics import Semantics, decode_codes, semantics_verdicts
from gridcode.studies.engine import run_cell, write_study
from gridcode.studies.images import Recipe
from gridcode.studies.results import read_study
from gridcode.studies.study import Cell, Study, Values
from gridcode.studies.summary import Verdict
from gridcode.tokenizer.model import Tokenizer

TINY = DataConfig(size=16, train_count=24, val_count=12, workers=0)
NAMES = {"fsq": "FSQ", "vq_entropy": "VQ"}


def answers(verdicts: list[Verdict]) -> list[str]:
    return [verdict.answer for verdict in verdicts]


def seeds(*values: float, apart: float = 0.001) -> list[list[float]]:
    """Values of two seeds, whose differences are not quite alike."""
    return [[value, (1 + apart) * value + apart] for value in values]


def test_cells_are_quantizers_and_seeds() -> None:
    study = Guidance(GuidanceConfig(seeds=2, families=("fsq", "vq_entropy")))
    assert [cell.folder for cell in study.cells()] == ["fsq-0", "vq_entropy-0", "fsq-1", "vq_entropy-1"]
    recipes = [study.recipe(cell) for cell in study.cells()[:2]]
    assert recipes == [Recipe(FSQConfig((8, 5, 5, 5))), Recipe(VQConfig("maskgit", size=1024))]
    assert len(Samplers().cells()) == 3


@pytest.mark.parametrize(
    ("kind", "settings", "error"),
    [
        (CheckpointConfig, {"seeds": 0}, "a study needs at least 1 seed, got 0"),
        (CheckpointConfig, {"families": ()}, "families must name at least one"),
        (CheckpointConfig, {"bits": 3}, "bits must be from 4 to 16, got 3"),
        (SamplersConfig, {"samplers": ("halton", "halton")}, "samplers must name at least one, each once"),
        (SamplersConfig, {"steps_of": (0, 4)}, "steps_of must be at least 1"),
        (SamplersConfig, {"temperatures": (0.0, 1.0)}, "temperatures above 0"),
        (GuidanceConfig, {"alphas": (-0.1, 0.2)}, "alphas must be at least 0"),
        (LongConfig, {"length": 0.0}, "length must be above 0 and finite"),
    ],
)
def test_studies_of_nothing_are_refused(kind: Any, settings: dict[str, object], error: str) -> None:
    with pytest.raises(GridcodeError, match=error):
        kind(**settings)


def test_a_sweep_goes_on_with_the_point_where_it_was_killed(tmp_path: Path) -> None:
    measured: list[str] = []

    def point(name: str) -> dict[str, Any]:
        measured.append(name)
        if measured == ["a", "b"]:
            raise KeyboardInterrupt
        return {"value": len(measured)}

    points = {name: lambda name=name: point(name) for name in "abc"}
    with pytest.raises(KeyboardInterrupt):
        swept(points, tmp_path / "points.json")  # type: ignore[arg-type]
    found = swept(points, tmp_path / "points.json")  # type: ignore[arg-type]
    assert measured == ["a", "b", "b", "c"]
    assert found == {"a": {"value": 1}, "b": {"value": 3}, "c": {"value": 4}}
    assert swept(points, tmp_path / "points.json") == found  # type: ignore[arg-type]


def test_real_images_are_at_no_distance_from_themselves() -> None:
    config = CheckpointConfig(data=TINY, size="smoke")
    extractor = classifier_extractor(Classifier(ClassifierConfig(classes=5, size=16)).eval())
    grader = Grader.by(extractor, config, 12)
    assert grader.reference.features is not None
    images = torch.rand(12, 3, 16, 16) * 2 - 1
    of_noise = grader.frechet(images)
    assert of_noise is not None
    assert of_noise > 0
    assert grader.frechet(images[:1]) is None
    scores = grader.scores(images, grader.features(images).logits.argmax(1))
    assert scores["class_accuracy"] == 1.0
    assert set(scores) == {"frechet", "precision", "recall", "density", "coverage", "class_accuracy"}


def test_images_without_labels_are_measured_by_another_network(tmp_path: Path) -> None:
    grader = Grader.of(CheckpointConfig(data=TINY, size="smoke", features="lite0"), tmp_path)
    assert grader.extractor.name == "lite0"
    assert grader.reference.features is not None
    assert grader.reference.features.shape == (12, 1280)


def of_steps(*values: float) -> dict[float, list[float]]:
    return dict(zip((4.0, 12.0, 32.0), seeds(*values), strict=True))


def test_verdicts_on_samplers() -> None:
    seen = {"confidence": of_steps(9, 5, 6), "halton": of_steps(12, 8, 6), "random": of_steps(13, 12, 11)}
    assert answers(sampler_verdicts(seen)) == ["seen"] * 4
    other = {"confidence": of_steps(9, 8, 6), "halton": of_steps(3, 4, 5)}
    assert answers(sampler_verdicts(other)) == ["opposite", "opposite", "opposite"]
    one = {name: {steps: values[:1] for steps, values in curve.items()} for name, curve in seen.items()}
    assert answers(sampler_verdicts(one)) == ["open"] * 4
    first = sampler_verdicts(seen, ", VQ")[0]
    assert first.claim == "MaskGIT's sampler is ahead of Halton, VQ"
    assert first.figures.startswith("distance of Halton minus MaskGIT's, mean over 4, 12, 32 steps: +2.00")
    assert sampler_verdicts({"confidence": {12.0: [1.0]}}) == []


def by_alpha(*values: float) -> dict[float, list[float]]:
    return dict(zip((0.0, 0.2, 1.0), seeds(*values), strict=True))


def best_at(alphas: list[float], frechet: float, change: float) -> dict[str, list[float]]:
    """Two checkpoints at their best alphas: precision and recall change by so much, in opposite directions."""
    pairs = {"frechet": [frechet, 1.01 * frechet], "alpha": alphas}
    for key, by in (("precision", change), ("recall", -change)):
        pairs |= {f"{key} without": [0.5, 0.52], key: [0.5 + by, 0.52 + 1.01 * by]}
    return pairs


def test_verdicts_on_guidance() -> None:
    curves = {
        "precision": {"fsq": by_alpha(0.6, 0.7, 0.8), "vq_entropy": by_alpha(0.7, 0.75, 0.8)},
        "recall": {"fsq": by_alpha(0.7, 0.6, 0.4), "vq_entropy": by_alpha(0.6, 0.5, 0.4)},
        "frechet": {"fsq": by_alpha(5, 4, 8), "vq_entropy": by_alpha(4.1, 5, 9)},
    }
    best = {"fsq": best_at([1.0, 1.0], 4.0, 0.1), "vq_entropy": best_at([0.2, 0.2], 4.0, 0.1)}
    # Alphas of a grid that agree say nothing of how far they might not.
    assert answers(guidance_verdicts(curves, best, NAMES)) == ["seen"] * 6 + ["open", "seen"]
    many = {family: by_alpha(0.0, 0.0, 0.0) for family in NAMES}
    apart = {"fsq": best_at([1.0] * 9 + [0.2], 4.0, 0.1), "vq_entropy": best_at([0.0] * 9 + [0.2], 4.0, 0.1)}
    [larger] = [one for one in guidance_verdicts({**curves, "frechet": many}, apart, NAMES) if "larger" in one.claim]
    assert larger.answer == "seen"
    assert "their places on the grid differ by +1.8" in larger.figures
    turned = {key: {"fsq": of["vq_entropy"], "vq_entropy": of["fsq"]} for key, of in curves.items()}
    turned["precision"] = {family: by_alpha(0.9, 0.8, 0.7) for family in NAMES}
    other = {"fsq": best_at([0.2, 0.2], 9.0, -0.1), "vq_entropy": best_at([1.0, 1.0], 4.0, -0.1)}
    found = guidance_verdicts(turned, other, NAMES)
    assert answers(found) == ["opposite"] * 4 + ["opposite", "open", "open", "not seen"]
    assert len(guidance_verdicts(curves, {"fsq": best["fsq"]}, {"fsq": "FSQ"})) == 2
    unmeasured = {family: {"alpha": list[float]()} for family in NAMES}
    assert len(guidance_verdicts(curves, unmeasured, NAMES)) == 2


def test_a_best_alpha_is_measured_beside_the_same_checkpoint_without_guidance() -> None:
    points = {"0": {"frechet": 3.0, "recall": 0.5}, "1": {"frechet": 2.0, "recall": 0.4}}
    assert best_alpha(points) == 1.0
    whole = {"points": points, "best": {"alpha": 1.0, "frechet": 2.1, "recall": 0.3}}
    results = {Cell("fsq", 0): whole, Cell("fsq", 1): {"points": points}, Cell("vq", 0): whole}
    expected = {"alpha": [1.0], "frechet": [2.1], "recall": [0.3], "frechet without": [3.0], "recall without": [0.5]}
    assert best_of(results, "fsq") == expected


@pytest.mark.parametrize(("start", "tried"), [(2.0, 4), (3.0, 3), (0.0, 5), (9.0, 4)])
def test_a_search_walks_downhill_and_ends_between_the_neighbours_of_the_best(start: float, tried: int) -> None:
    place, measured = least_along((5, 1, 0, 2, 4, 3), lambda x: 2 + 3 * (x - 3.25) ** 2, start=start)
    assert place == 3.25
    assert len(measured) == tried
    assert measured[3] == pytest.approx(2.1875)


def test_a_search_ends_at_the_grids_end_or_where_it_is_flat() -> None:
    assert least_along((0.4, 0.7, 1.0), lambda x: x, start=1.0) == (0.4, {1.0: 1.0, 0.7: 0.7, 0.4: 0.4})
    assert least_along((0.4, 0.7, 1.0), lambda x: -x, start=0.4)[0] == 1.0
    assert least_along((0.4, 0.7, 1.0), lambda x: 1.0, start=0.7)[0] == 0.7
    assert least_along((0.4,), lambda x: 1.0, start=0.7) == (0.4, {0.4: 1.0})
    uneven = least_along((0.4, 0.7, 1.3), lambda x: (x - 0.8) ** 2, start=0.7)[0]
    assert uneven == pytest.approx(0.8, abs=1e-3)


def test_verdicts_on_what_codes_mean() -> None:
    def figures(real: float, marginal: float, token_psnr: float, of_vq: float) -> dict[str, Any]:
        fsq_and_vq = {
            "frechet_reconstructions": (real, real),
            "frechet_marginal": (marginal, of_vq),
            "frechet_constant": (marginal, marginal),
            "psnr_pixel_stitch": (20.0, 20.0),
            "psnr_token_stitch": (token_psnr, token_psnr),
        }
        return {key: dict(zip(NAMES, seeds(*values), strict=True)) for key, values in fsq_and_vq.items()}

    assert answers(semantics_verdicts(figures(1, 9, 19.5, 9), NAMES)) == ["seen"] * 7
    found = answers(semantics_verdicts(figures(9, 1, 15, 3), NAMES))
    assert found == ["opposite"] * 4 + ["not seen"] * 3


def test_verdicts_on_long_runs() -> None:
    def curve(*values: float, apart: float = 0.001) -> dict[float, list[float]]:
        return dict(zip((100.0, 500.0), seeds(*values, apart=apart), strict=True))

    seen = {
        "usage": {"fsq": curve(0.99, 0.99), "vq_entropy": curve(0.5, 0.8)},
        "psnr": {"fsq": curve(25, 27), "vq_entropy": curve(22, 26)},
    }
    assert answers(long_verdicts(seen, 0.2)) == ["seen"] * 4
    other = {
        "usage": {"fsq": curve(0.99, 0.5), "vq_entropy": curve(0.8, 0.5)},
        "psnr": {"fsq": curve(22, 23), "vq_entropy": curve(23, 23.5)},
    }
    # FSQ had no lead that could get smaller.
    assert answers(long_verdicts(other, 0.2)) == ["not seen", "opposite", "opposite"]
    other["psnr"] = {"fsq": curve(24, 26), "vq_entropy": curve(23, 23.5)}
    assert answers(long_verdicts(other, 0.2)) == ["not seen", "opposite", "seen", "opposite"]
    assert answers(long_verdicts({"usage": {"fsq": curve(0.99, 0.99)}, "psnr": {}}, 0.2)) == ["seen"]


def test_halves_of_token_grids_stand_where_their_pixels_do() -> None:
    tokenizer = Tokenizer(TokenizerConfig(widths=(8, 16), quantizer=FSQConfig((8, 5, 5, 5)))).eval()
    images = torch.rand(10, 3, 12, 12) * 2 - 1
    found = decode_codes(tokenizer, images, seed=0)
    a, b, stitch = found.rows[:3]
    assert torch.equal(stitch[:, :, :6], a[:, :, :6])
    assert torch.equal(stitch[:, :, 6:], b[:, :, 6:])
    assert len(found.decoded["token_stitch"]) == 5
    assert len(found.decoded["marginal"]) == 10
    assert len(found.decoded["constant"]) == min(found.used, 500)
    assert 0 <= found.seam["tokens_changed_far"] <= found.seam["tokens_changed"] <= 1
    again = decode_codes(tokenizer, images, seed=0)
    assert torch.equal(again.decoded["marginal"], found.decoded["marginal"])


def finished(study: Study, out: Path) -> tuple[dict[Cell, Values], str]:
    """All cells, run in this process, and the tables."""
    study.prepare(out)
    results = {cell: run_cell(study, cell, out) for cell in study.cells()}
    write_study(study, results, out)
    return read_study(out / "study.json")[1], (out / "table.md").read_text()


SMOKE: dict[str, Any] = {"data": TINY, "size": "smoke", "seeds": 1, "accelerator": "cpu"}


def test_a_study_of_samplers(tmp_path: Path) -> None:
    config = SamplersConfig(**SMOKE, samplers=("confidence", "halton"), steps_of=(2, 3), temperatures=(0.7, 1.0))
    results, table = finished(Samplers(config), tmp_path)
    points = results[Cell("fsq", 0)]["points"]
    assert list(points) == ["confidence-2", "confidence-3", "halton-2", "halton-3"]
    for point in points.values():
        assert [temperature for temperature, _ in point["searched"]] == [0.7, 1.0]
        assert point["temperature"] == min(point["searched"], key=lambda pair: pair[1])[0]
    assert "Temperatures were searched along 0.7, 1," in table
    assert "may be better still" in table, "of two temperatures, either is an end"
    assert (tmp_path / "plot.svg").is_file()


def test_a_study_of_guidance(tmp_path: Path) -> None:
    results, table = finished(Guidance(GuidanceConfig(**SMOKE, families=("fsq",), alphas=(0.0, 0.5))), tmp_path)
    found = results[Cell("fsq", 0)]
    assert list(found["points"]) == ["0", "0.5"]
    assert found["best"]["alpha"] == best_alpha(found["points"])
    assert set(found["best"]) == {"alpha", *found["points"]["0"]}
    assert ("guidance raises the precision of FSQ." in table) == (found["best"]["alpha"] > 0)
    assert (tmp_path / "plot.svg").is_file()


def test_a_study_of_what_codes_mean(tmp_path: Path) -> None:
    study = Semantics(SemanticsConfig(**SMOKE))
    results, table = finished(study, tmp_path)
    assert [cell.setting for cell in results] == ["fsq", "vq_entropy"]
    assert "| tokens from the marginal |" in table
    picture = decode_image(tmp_path / "codes.png", name="codes")
    assert picture.shape[1] == 2 * (6 * (96 + 4) + 4)
    assert picture.shape[0] == 7 * (96 + 4) + 4
    assert not (tmp_path / "cells/fsq-0/prior").exists()
    assert study.steps() == "4 steps of 8 images, Stage I alone"


def test_a_long_study(tmp_path: Path) -> None:
    results, table = finished(Long(LongConfig(**SMOKE, families=("fsq",), length=2.0, validations=4)), tmp_path)
    curves = results[Cell("fsq", 0)]["curves"]
    assert [step for step, _ in curves["psnr"]] == [2, 4, 6, 8]
    assert [step for step, _ in curves["loss"]] == [2, 4, 6, 8]
    assert "FSQ keeps at least 90 % of its usage to the end." in table
    assert Long(LongConfig()).steps() == "2000 and 2000 steps of 64 images"


def test_the_time_of_a_cell_is_told_from_a_few_steps() -> None:
    for study in (Samplers(SamplersConfig(**SMOKE)), Semantics(SemanticsConfig(**SMOKE))):
        assert study.time_cell(study.cells()[0]) > 0
