from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.features import Classifier, ClassifierConfig, load_classifier, save_classifier
from gridcode.files import read_json, write_json

TINY = ClassifierConfig(classes=3, size=16, widths=(8, 8), feature_dim=16)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (128, 3)])
def test_logits_come_from_the_features(size: int, channels: int) -> None:
    config = ClassifierConfig(classes=4, size=size, channels=channels)  # type: ignore[arg-type]
    classifier = Classifier(config).eval()
    images = torch.randn(2, channels, size, size)
    features = classifier.features(images)
    assert features.shape == (2, 128)
    torch.testing.assert_close(classifier(images), classifier.head(features))


def test_an_image_is_judged_alone_whatever_its_neighbours() -> None:
    classifier = Classifier(TINY).eval()
    images = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(classifier(images)[2:3], classifier(images[2:3]))


def test_the_default_is_small() -> None:
    count = sum(p.numel() for p in Classifier(ClassifierConfig(classes=10)).parameters())
    assert 300_000 < count < 1_000_000


def test_saved_and_loaded_is_the_same_network(tmp_path: Path) -> None:
    classifier = Classifier(TINY).eval()
    save_classifier(classifier, tmp_path / "model", classes=("a", "b", "c"))
    loaded = load_classifier(tmp_path / "model")
    assert loaded.config == TINY
    assert not loaded.training
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(images), classifier(images))
    assert "Classes: a, b, c." in (tmp_path / "model" / "README.md").read_text()


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_classifier(Classifier(TINY), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = read_json(path, "config")
    config["classifier"]["classes"] = 4
    write_json(path, config)
    with pytest.raises(GridcodeError, match="does not fit"):
        load_classifier(tmp_path / "model")
    write_json(path, {**config, "classifier": {"depth": 3}})
    with pytest.raises(GridcodeError, match="no valid 'classifier'"):
        load_classifier(tmp_path / "model")


def test_wrong_channels_are_named() -> None:
    with pytest.raises(GridcodeError, match=r"\(B, 3, H, W\), got shape \(2, 1, 16, 16\)"):
        Classifier(TINY)(torch.zeros(2, 1, 16, 16))
