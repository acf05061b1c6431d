"""What is measured is what was asked about; what the data does not allow is left out."""

from __future__ import annotations

import json
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gridcode.data.adapter import TorchDataset
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.scenes.source import SHAPES, Scenes
from gridcode.data.source import ImageSource
from gridcode.domains.image import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig
from gridcode.domains.image.evaluate import Subject, evaluate
from gridcode.domains.image.report import image_findings, overview
from gridcode.domains.image.results import Evaluation
from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import Score
from gridcode.evaluation.publish import Runs, publish
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.sample_scores import measuring_classifier, perceptual_distance
from gridcode.files import read_json, write_json
from gridcode.metrics.image import psnr
from gridcode.prior import MaskGIT, MaskGITConfig, TokenSpace
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.generate import Generator
from gridcode.tokenizer import Tokenizer
from gridcode.training.log import RunLog
from gridcode.training.seeding import fixed_sample

DATA = DataConfig(size=16, crop=CropPolicy(train="center", flip=False))
CONFIG = EvaluationConfig(
    count=30, samples=10, sampler=SamplerConfig(steps=2), batch_size=8, classifier_steps=2, seed=3
)


def subject_of(source: ImageSource, *, classes: tuple[str, ...]) -> Subject:
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(quantizer=FSQConfig(levels=(8, 5)), widths=(8, 16))).eval()
    space = TokenSpace(40, (8, 8), classes=classes, tokenizer=tokenizer.weights_hash(), data={})
    prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    return Subject(tokenizer, Generator(prior, tokenizer), DATA, source, source)


@pytest.fixture(scope="module")
def scenes() -> Subject:
    return subject_of(Scenes(seed=0, start=0, count=40, size=16), classes=SHAPES)


@pytest.fixture(scope="module")
def measured(scenes: Subject) -> Evaluation:
    return evaluate(scenes, CONFIG, say=lambda text: None)


def test_reconstruction_figures_are_those_of_the_chosen_images(scenes: Subject, measured: Evaluation) -> None:
    picked = torch.from_numpy(fixed_sample(40, 30))
    images = torch.cat([batch.images for batch in eval_batches(scenes.val, DATA, batch_size=40)])[picked]
    indices = torch.cat([scenes.tokenizer.encode(part) for part in images.split(CONFIG.batch_size)])
    assert measured.reconstruction.psnr == pytest.approx(
        float(psnr(scenes.tokenizer.decode(indices), images).mean()), abs=1e-4
    )
    assert measured.reconstruction.usage.count == indices.numel()
    assert measured.reconstruction.usage.used == len(indices.unique())
    assert measured.reconstruction.codes.tokens == indices.numel()


def test_the_cost_of_tokens_stands_beside_what_general_compressors_need(
    scenes: Subject, measured: Evaluation, tmp_path: Path
) -> None:
    picked = torch.from_numpy(fixed_sample(40, 30))
    images = torch.cat([batch.images for batch in eval_batches(scenes.val, DATA, batch_size=40)])[picked]
    tokens = torch.cat([scenes.tokenizer.encode(part) for part in images.split(CONFIG.batch_size)]).flatten()
    whole = 8 * len(zlib.compress(tokens.numpy().astype(np.uint8).tobytes(), 9)) / len(tokens)
    figures = measured.figures()
    assert figures["packed_bits_per_token"] == 6
    assert figures["uniform_bits_per_token"] == pytest.approx(np.log2(40))
    assert figures["zlib_bits_per_token"] == pytest.approx(min(whole, figures["zlib_bits_per_token"] or 0))
    assert 0 < (figures["zstd_bits_per_token"] or 0) < 6.2
    assert measured.samples is not None
    bits = measured.samples.bits
    assert figures["bits_per_pixel"] == pytest.approx(bits.per_token * 64 / 16**2)
    publish(image_findings(measured, scenes, CONFIG), Runs(), out=tmp_path, command="gridcode eval")
    by_step = json.loads((tmp_path / "report.json").read_text())["bits_by_step"]
    total = sum(step["tokens"] * step["bits_per_token"] for step in by_step)
    assert total / 64 == pytest.approx(bits.per_token), "steps weigh as many tokens as they uncover"


def test_the_perceptual_distance_is_the_mean_angle_of_feature_maps() -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(classes=2, size=16, widths=(8, 16))).eval()
    x, y = torch.rand(2, 3, 3, 16, 16) * 2 - 1
    expected = np.zeros(3)
    for a, b in zip(classifier.maps(x), classifier.maps(y), strict=True):
        u, v = (f.detach().double().numpy().transpose(0, 2, 3, 1) for f in (a, b))
        cosine = (u * v).sum(-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
        expected += (2 - 2 * cosine).mean((1, 2)) / len(classifier.maps(x))
    assert perceptual_distance(classifier, x, y).numpy() == pytest.approx(expected, abs=1e-5)
    assert perceptual_distance(classifier, x, x).abs().max() < 1e-6


def test_samples_are_asked_of_every_class_and_shown_with_a_training_image(measured: Evaluation) -> None:
    assert measured.samples is not None
    assert measured.samples.count == 10
    assert list(measured.samples.gallery) == list(SHAPES)
    training = torch.cat(
        [b.images for b in eval_batches(Scenes(seed=0, start=0, count=40, size=16), DATA, batch_size=40)]
    )
    for drawn, near in measured.samples.gallery.values():
        assert drawn.shape == near.shape == (2, 3, 16, 16)
        assert all(any(torch.equal(picture, known) for known in training) for picture in near)


def test_the_same_seed_measures_the_same(scenes: Subject, measured: Evaluation) -> None:
    assert evaluate(scenes, CONFIG, say=lambda text: None).figures() == measured.figures()


def test_a_kept_classifier_measures_as_the_one_that_was_trained(
    scenes: Subject, measured: Evaluation, tmp_path: Path
) -> None:
    kept = replace(CONFIG, classifier=str(tmp_path / "classifier"))
    first = evaluate(scenes, kept, say=lambda text: None)
    again = evaluate(scenes, replace(kept, classifier_steps=1), say=lambda text: None)  # read, so steps play no part
    assert first.figures() == again.figures() == measured.figures()
    with pytest.raises(GridcodeError, match=r"has size=16, these images need 32; give another evaluation.classifier"):
        measuring_classifier(
            scenes.train, replace(DATA, size=32), steps=1, seed=0, device="cpu", folder=tmp_path / "classifier"
        )
    config = tmp_path / "classifier/config.json"
    write_json(config, read_json(config, "") | {"classes": ["boots", *scenes.train.classes[1:]]})
    with pytest.raises(GridcodeError, match=r"knows boots, .*, these images are .*; give another evaluation"):
        measuring_classifier(scenes.train, DATA, steps=1, seed=0, device="cpu", folder=tmp_path / "classifier")


def test_without_labels_nothing_is_said_of_classes(tmp_path: Path) -> None:
    pictures = TorchDataset(list(torch.rand(12, 3, 16, 16)), name="plain")  # type: ignore[arg-type]
    subject = subject_of(pictures, classes=())
    result = evaluate(subject, CONFIG, say=lambda text: None)
    page = publish(image_findings(result, subject, CONFIG), Runs(), out=tmp_path, command="gridcode eval")
    assert "given the class" not in page.read_text(encoding="utf-8")
    assert result.samples is not None
    assert result.classifier_accuracy is result.samples.class_accuracy is result.reconstruction.frechet is None
    assert list(result.samples.gallery) == ["samples"]


def test_a_prior_of_other_classes_is_refused() -> None:
    subject = subject_of(Scenes(seed=0, start=0, count=10, size=16), classes=("cat", "dog"))
    with pytest.raises(GridcodeError, match=r"the prior's classes \(cat, dog\) are not those of scenes"):
        evaluate(subject, CONFIG, say=lambda text: None)


def test_publishing_writes_the_page_the_figures_and_the_image(
    scenes: Subject, measured: Evaluation, tmp_path: Path
) -> None:
    page = publish(image_findings(measured, scenes, CONFIG), Runs(), out=tmp_path, command="gridcode eval <here>")
    text = page.read_text(encoding="utf-8")
    assert "gridcode eval &lt;here&gt;" in text
    assert "not FID" in text
    assert "codes only, unsmoothed, given the class; by step" in text
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["figures"] == measured.figures()
    assert stored["settings"]["evaluation"]["sampler"]["steps"] == 2
    assert (tmp_path / "overview.png").stat().st_size > 1000


def test_scores_by_protocol_are_figures_rows_and_records(scenes: Subject, tmp_path: Path) -> None:
    config = replace(CONFIG, protocol=("classifier-fd",))
    found = evaluate(scenes, config, say=lambda text: None)
    page = publish(image_findings(found, scenes, config), Runs(), out=tmp_path, command="gridcode eval")
    stored = json.loads((tmp_path / "report.json").read_text())
    assert [Score.from_record(record) for record in stored["scores"]] == found.scores()
    assert stored["figures"]["samples FD (classifier)"] == pytest.approx(found.scores()[7].value)
    # The same features and images as the distance that eval always measures, but for rounding to bytes.
    assert found.samples is not None
    assert found.samples.frechet == pytest.approx(stored["figures"]["samples FD (classifier)"], rel=0.05)
    text = page.read_text(encoding="utf-8")
    assert "Scores by protocol" in text
    assert "classifier-fd: 30 reconstructions against 30 images of" in text


def test_the_overview_has_originals_reconstructions_and_samples(measured: Evaluation) -> None:
    picture = overview(measured, columns=5)
    assert picture.dtype == np.uint8
    rows = 2 + 2  # originals, reconstructions, ten samples
    assert picture.shape[0] == rows * (16 * 6 + 4) + 4


def test_the_alarms_of_a_runs_log_are_in_the_page_its_charts_and_the_figures(
    scenes: Subject, measured: Evaluation, tmp_path: Path
) -> None:
    with closing(RunLog(tmp_path / "run")) as log:
        log.write(0, {"warning": "one channel; try more", "alarm": "few channels"})
        for step in (10, 20, 30):
            log.write(step, {"train/psnr": 20.0 + step if step != 20 else float("inf")})
            log.write(step, {"warning": f"only {step} codes; try less", "alarm": "usage low"})
        log.write(30, {"warning": "skipped a.png"})
    runs = Runs(tokenizer=tmp_path / "run")
    page = publish(image_findings(measured, scenes, CONFIG), runs, out=tmp_path / "report", command="gridcode eval")
    text = page.read_text(encoding="utf-8")
    assert '<b class="alarm">few channels</b> Stage I, step 0: one channel; try more' in text
    assert '<b class="alarm">usage low</b> Stage I, steps 10 to 30, 3 times: only 30 codes; try less' in text
    assert "Stage I, step 30: skipped a.png" in text
    assert text.count("stroke: var(--warn)") == 2, "one chart, and each alarm where it was first raised"
    low = {"stage": "Stage I", "name": "usage low", "text": "only 30 codes; try less", "steps": [10, 20, 30]}
    assert json.loads((tmp_path / "report" / "report.json").read_text())["alarms"][1] == low
