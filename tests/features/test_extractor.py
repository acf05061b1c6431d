"""Extractors: rounding, resizing and scaling of each suite, on networks that give the pixels back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.features import extractor as module
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.efficientnet import Variant
from gridcode.features.extractor import (
    Features,
    classifier_extractor,
    inception_extractor,
    lite_extractor,
)


class Mirror(nn.Module):
    """Gives the pixels that reach the network as its features."""

    def vectors(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def classify(self, vectors: Tensor) -> Tensor:
        return vectors[:, :2]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "load_inception", lambda path: Mirror())
    monkeypatch.setattr(module, "load_efficientnet_lite", lambda variant: Mirror())
    path = tmp_path / "weights.pth"
    path.write_bytes(b"stand-in")
    return path


def pictures(rows: int, columns: int) -> Tensor:
    levels = torch.randint(0, 256, (1, 3, rows, columns), generator=torch.Generator().manual_seed(0))
    return levels / 127.5 - 1


def seen(found: Features, side: int) -> np.ndarray:
    return found.vectors.view(3, side, side).numpy()


@pytest.mark.parametrize(("rows", "columns"), [(33, 47), (301, 257)])
def test_clean_fid_resizes_each_channel_with_pillow_and_clips(weights: Path, rows: int, columns: int) -> None:
    images = pictures(rows, columns)
    found = seen(inception_extractor(weights, suite="clean")(images), 299)
    levels = ((images[0] + 1) * 127.5).round().numpy().astype(np.float32)
    for channel in range(3):
        picture = Image.fromarray(levels[channel]).resize((299, 299), Image.Resampling.BICUBIC)
        expected = (np.asarray(picture).clip(0, 255) - 128) / 128
        np.testing.assert_allclose(found[channel], expected, atol=3e-5)


def test_adm_reads_from_corners(weights: Path) -> None:
    images = pictures(31, 45)
    found = seen(inception_extractor(weights, suite="adm")(images), 299)
    levels = ((images[0] + 1) * 127.5).round().numpy()
    for row, column in ((0, 0), (298, 298), (17, 200), (150, 3)):
        y, x = row * 31 / 299, column * 45 / 299
        top, left = int(y), int(x)
        below, right = min(top + 1, 30), min(left + 1, 44)
        upper = levels[:, top, left] * (1 - (x - left)) + levels[:, top, right] * (x - left)
        lower = levels[:, below, left] * (1 - (x - left)) + levels[:, below, right] * (x - left)
        expected = (upper * (1 - (y - top)) + lower * (y - top) - 128) / 128
        np.testing.assert_allclose(found[:, row, column], expected, atol=1e-4)


@pytest.mark.parametrize(("variant", "side"), [("lite0", 224), ("lite2", 260)])
def test_lite_resizes_with_pillow_and_clips(weights: Path, variant: Variant, side: int) -> None:
    images = pictures(33, 47)
    found = seen(lite_extractor(variant)(images), side)
    levels = ((images[0] + 1) * 127.5).round().numpy().astype(np.float32)
    for channel in range(3):
        picture = Image.fromarray(levels[channel]).resize((side, side), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(found[channel], np.asarray(picture).clip(0, 255) / 127.5 - 1, atol=3e-5)


def test_images_count_as_files_hold_them(weights: Path) -> None:
    images = pictures(224, 224)
    extractor = lite_extractor("lite0")
    torch.testing.assert_close(extractor(images).vectors, images.flatten(1))
    nudged = (images + 0.4 / 127.5).where(images > -1, torch.tensor(-1.7))
    torch.testing.assert_close(extractor(nudged).vectors, images.flatten(1))
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey).vectors, grey.expand(-1, 3, -1, -1).flatten(1))


def test_hashes_name_the_weights(weights: Path) -> None:
    first = inception_extractor(weights, suite="adm")
    weights.write_bytes(b"another stand-in")
    second = inception_extractor(weights, suite="adm")
    assert first.hash != second.hash
    assert first != second
    with pytest.raises(GridcodeError, match="suite must be 'adm' or 'clean'"):
        inception_extractor(weights, suite="tf")  # type: ignore[arg-type]


def test_the_classifiers_features_and_logits() -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(classes=3, size=16, channels=1)).eval()
    extractor = classifier_extractor(classifier)
    images = (torch.randint(0, 256, (2, 1, 16, 16)) / 127.5 - 1).float()
    with torch.inference_mode():
        torch.testing.assert_close(extractor(images).vectors, classifier.features(images))
        torch.testing.assert_close(extractor(images).logits, classifier(images))
    assert (extractor.dim, extractor.resize) == (128, "none")
    with pytest.raises(GridcodeError, match=r"takes images \(B, 1, H, W\)"):
        extractor(torch.zeros(2, 3, 16, 16))


def test_lite0_from_its_package() -> None:
    extractor = lite_extractor("lite0")
    found = Features.joined([extractor(pictures(31, 17)), extractor(pictures(17, 31))])
    assert tuple(found.vectors.shape) == (2, extractor.dim)
    assert tuple(found.logits.shape) == (2, 1000)
    assert extractor.hash.startswith("57934424"), "the package names its file by its checksum"
