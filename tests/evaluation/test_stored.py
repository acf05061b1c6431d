"""Images in files: a folder and a batch in ADM's layout are the same images, with the scores of their tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.evaluation.reference import measure_reference
from gridcode.evaluation.score import Measured, score_images
from gridcode.evaluation.stored import score_stored, stored_images
from gridcode.features.extractor import Extractor, Features

PICTURES = np.random.default_rng(0).integers(0, 256, (60, 8, 12, 3), dtype=np.uint8)


def corner(pixels: Tensor) -> Features:
    return Features(pixels[:, :, 0, 0] / 100, pixels[:, :, 1, 1] / 100)


CORNER = Extractor("lite0", "c" * 64, 3, "none", 3, corner)


def images() -> Tensor:
    return torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "folder").mkdir()
    for number, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / f"folder/{number:03}.png")
    np.savez(tmp_path / "batch.npz", PICTURES)
    return tmp_path / "folder", tmp_path / "batch.npz"


def test_both_layouts_have_the_scores_of_their_images(places: tuple[Path, Path]) -> None:
    reference = measure_reference([images().flip(0)[:40]], CORNER, source="real", split="train")
    measured = Measured("samples", "here", "train", "12 x 8")
    expected = score_images([images()], reference, measured, name="fd-lite0", extractor=CORNER)
    for place in places:
        pictures = stored_images(place)
        assert (pictures.count, pictures.width, pictures.height) == (60, 12, 8)
        torch.testing.assert_close(torch.cat(list(pictures.batches())), images())
        scores, warnings = score_stored(pictures, reference, name="fd-lite0", extractor=CORNER)
        assert [score.value for score in scores] == pytest.approx([score.value for score in expected])
        assert not expected[0].protocol.differences(scores[0].protocol)
        assert warnings == []


def test_few_images_are_warned_of_and_other_sizes_refused(places: tuple[Path, Path]) -> None:
    few = measure_reference([images()[:3]], CORNER, source="real")
    with pytest.raises(GridcodeError, match="need more than 3 images on both sides, saw 3"):
        score_stored(stored_images(places[0]), few, name="fd-lite0", extractor=CORNER)
    wide = Extractor("lite0", "c" * 64, 60, "none", 3, lambda pixels: Features(*2 * [pixels.flatten(1)[:, :60]]))
    reference = measure_reference([images()], wide, source="real")
    warnings = score_stored(stored_images(places[1]), reference, name="fd-lite0", extractor=wide)[1]
    assert warnings[0].startswith("fd-lite0: 60 images are few for a Fréchet distance of 60 features")
    cropped = measure_reference([images()], CORNER, source="real", crop="center 64")
    with pytest.raises(GridcodeError, match=r"reference has images of center 64, those in .* are of 12 x 8"):
        score_stored(stored_images(places[0]), cropped, name="fd-lite0", extractor=CORNER)
    Image.fromarray(PICTURES[0][:, :8]).save(places[0] / "other.png")
    pictures = stored_images(places[0])
    with pytest.raises(GridcodeError, match=r"other\.png in .* is of 8 x 8 pixels, the first of 12 x 8"):
        list(pictures.batches())


def test_grey_images_and_folders_by_class(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.fromarray(PICTURES[0][:8, :8, 0]).save(tmp_path / name / "one.png")
    pictures = stored_images(tmp_path)
    assert (pictures.count, pictures.crop) == (2, "center 8")
    [batch] = pictures.batches()
    assert batch.shape == (2, 3, 8, 8)


def test_what_is_no_batch_of_images(tmp_path: Path) -> None:
    for arrays, message in (
        ({"mu": np.zeros(2)}, r"has no arr_0 .mu."),
        ({"arr_0": np.zeros((0, 8, 8, 3), np.uint8)}, "has no images in arr_0"),
        ({"arr_0": np.zeros((2, 8, 8, 3))}, "uint8 images"),
    ):
        np.savez(tmp_path / "batch.npz", **arrays)
        with pytest.raises(GridcodeError, match=message):
            stored_images(tmp_path / "batch.npz")
    with pytest.raises(GridcodeError, match="there is no such folder"):
        stored_images(tmp_path / "absent")
