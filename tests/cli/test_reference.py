"""Reference statistics from the command line: both layouts hold the same images' statistics, and eval reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gridcode.cli.main import main
from gridcode.data.config import DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.open import open_split
from gridcode.evaluation.images import to_uint8
from gridcode.evaluation.protocol import Score
from gridcode.evaluation.reference import load_reference
from gridcode.features.classifier import Classifier, save_classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.extractor import classifier_extractor
from gridcode.files import read_json

DATA = ["--data.size", "16", "--data.train-count", "12", "--data.val-count", "4", "--data.workers", "0"]


def test_both_layouts_hold_the_same_statistics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(classes=5, size=16, widths=(8,), feature_dim=8)).eval()
    save_classifier(classifier, tmp_path / "classifier", classes=tuple("abcde"))
    ours, pictures = tmp_path / "ours.npz", tmp_path / "pictures.npz"
    words = ["eval", "reference", *DATA]
    by_classifier = ["--protocol", "classifier-fd", "--classifier", str(tmp_path / "classifier")]
    assert main([*words, *by_classifier, "--out", str(ours)]) == 0
    assert f"--protocol classifier-fd --reference {ours}" in capsys.readouterr().out
    assert main([*words, "--layout", "adm", "--out", str(pictures)]) == 0
    data = DataConfig(size=16, train_count=12, val_count=4, workers=0)
    (batch,) = eval_batches(open_split(data, "train"), data, batch_size=12)
    np.testing.assert_array_equal(np.load(pictures)["arr_0"], to_uint8(batch.images))
    found = [load_reference(file, classifier_extractor(classifier)) for file in (ours, pictures)]
    assert found[0].source == "scenes train, center 16"
    assert found[0].count == found[1].count == 12
    assert found[0].hash == found[1].hash
    # A file is not written over by mistake, and few images may be asked for.
    assert main([*words, *by_classifier, "--out", str(ours)]) == 2
    assert "exists; give another --out, or --force" in capsys.readouterr().err
    assert main([*words, "--split", "val", "--count", "3", "--layout", "adm", "--force", "--out", str(pictures)]) == 0
    assert np.load(pictures)["arr_0"].shape == (3, 16, 16, 3)


def test_images_in_files_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(classes=5, size=16, widths=(8,), feature_dim=8)).eval()
    save_classifier(classifier, tmp_path / "classifier", classes=tuple("abcde"))
    by_classifier = ["--protocol", "classifier-fd", "--classifier", str(tmp_path / "classifier")]
    real, pictures, out = tmp_path / "real.npz", tmp_path / "pictures.npz", tmp_path / "scores.json"
    assert main(["eval", "reference", *DATA, *by_classifier, "--out", str(real)]) == 0
    assert main(["eval", "reference", *DATA, "--layout", "adm", "--out", str(pictures)]) == 0
    capsys.readouterr()
    words = ["eval", "images", "--images", str(pictures), "--reference", str(real), *by_classifier]
    assert main([*words, "--out", str(out)]) == 0
    assert f"scores in {out}" in capsys.readouterr().out
    scores = {score.name: score for score in map(Score.from_record, read_json(out, "")["scores"])}
    assert scores["FD (classifier)"].value == pytest.approx(0, abs=1e-6)
    assert scores["FD (classifier)"].protocol.split == "train"
    assert scores["precision (classifier)"].value == 1
    assert main([*words, "--out", str(out)]) == 2
    assert "exists; give another --out, or --force" in capsys.readouterr().err
    assert main(["eval", "images", "--images", str(pictures), "--reference", str(real), "--protocol", "fid-adm"]) == 2
    assert "--protocol fid-adm needs --inception" in capsys.readouterr().err
