"""Rows of a dense evaluation: each is what a decoding by hand gives, in any batches."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gridcode.domains.dense.baselines import GreyMap
from gridcode.domains.dense.colour_sets import TRUE_COLOURS
from gridcode.domains.dense.config import DenseEvaluationConfig, LabelTokenizerConfig
from gridcode.domains.dense.data.config import DenseConfig, DepthConfig, Task
from gridcode.domains.dense.data.loader import dense_eval_batches
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.evaluate import (
    BOTH,
    DRAW,
    MEAN,
    NONE,
    ORACLE,
    OTHERS,
    DenseSubject,
    StageTwo,
    evaluate_dense,
)
from gridcode.domains.dense.measure import TaskMeter
from gridcode.domains.dense.report import dense_findings, rows_table
from gridcode.domains.dense.show import error_map
from gridcode.errors import GridcodeError
from gridcode.evaluation.publish import Runs, publish
from gridcode.features.observer import load_observer
from gridcode.metrics.colour import split_reference
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.log import RunLog

TASKS: tuple[Task, ...] = ("depth", "panoptic", "colour")
CONFIG = DenseEvaluationConfig(count=9, train_count=8, batch_size=4, draws=3, shown=3, observer_steps=0)


def subject(task: Task) -> DenseSubject:
    data = DenseConfig(
        task=task, height=16, width=16, depth=DepthConfig(bins=8), instances=6, train_count=10, val_count=9, workers=0
    )
    train, val = open_dense(data, "train"), open_dense(data, "val")
    torch.manual_seed(0)
    model = LabelTokenizerConfig(
        quantizer=FSQConfig((4, 3)), codes=(2, 2), patch=8, width=16, encoder_depth=1, decoder_depth=1, heads=2, mlp=16
    )
    tokenizer = Tokenizer(model, DenseDomain(data, train.categories)).eval()

    # The codes say how bright the image is: far from right, and a function of the image alone.
    def predict(images: torch.Tensor, batch: int = 0) -> torch.Tensor:
        return (images.mean((1, 2, 3)) * 9).long().abs().view(-1, 1, 1).expand(-1, 2, 2)

    def draw(images: torch.Tensor, count: int, batch: int) -> torch.Tensor:
        return torch.stack([(predict(images) + number) % 12 for number in range(count)])

    return DenseSubject(tokenizer, StageTwo(predict, draw), data, train, val)


@pytest.mark.parametrize("task", TASKS)
def test_every_row_is_what_decoding_by_hand_gives(task: Task) -> None:
    whole = subject(task)
    found = evaluate_dense(whole, CONFIG, say=lambda text: None)
    (batch,) = dense_eval_batches(whole.val, whole.data, batch_size=9)
    tokenizer = whole.tokenizer
    parts = zip(batch.labels.split(CONFIG.batch_size), batch.images.split(CONFIG.batch_size), strict=True)
    own = torch.cat([tokenizer.encode(labels, images) for labels, images in parts])
    assert whole.stage_two is not None
    predicted = whole.stage_two.predict(batch.images, 0)
    codes = {ORACLE: own, OTHERS: own.roll(-4, 0), BOTH: predicted, DRAW: predicted, NONE: own}
    decoded = {
        row: tokenizer.decode(indices, batch.images, known=torch.full(indices.shape, row != NONE))
        for row, indices in codes.items()
    }
    if task != "panoptic":
        drawn = [tokenizer.decode((predicted + number) % 12, batch.images) for number in range(CONFIG.draws)]
        mean = np.mean([planes.numpy().astype(np.float64) for planes in drawn], axis=0)
        decoded[MEAN] = torch.from_numpy(mean.round() if task == "colour" else mean)
    assert decoded.keys() <= found.scores.keys()
    assert (MEAN in found.scores) == (task != "panoptic")
    for row, planes in decoded.items():
        meter = TaskMeter(whole.data, dense_domain(tokenizer).categories)
        meter.update(planes, batch.planes)
        assert found.scores[row] == pytest.approx(meter.compute(), nan_ok=True, rel=1e-5), row
    assert found.token_accuracy == pytest.approx(float((predicted == own).double().mean()))
    assert found.usage.used == len(own.unique())
    assert found.count == 9
    assert len(found.gallery.keys) == 3
    assert set(found.gallery.keys) <= set(batch.keys)
    assert all(rows.shape == (3, 16, 16, 3) and rows.dtype == np.uint8 for rows in found.gallery.rows.values())


def test_stage_one_alone_has_no_rows_of_stage_two() -> None:
    found = evaluate_dense(replace(subject("colour"), stage_two=None), CONFIG, say=lambda text: None)
    assert list(found.scores) == [ORACLE, OTHERS, NONE, "grey"]
    assert found.token_accuracy is None


def test_draws_are_left_out_where_none_are_asked_for() -> None:
    found = evaluate_dense(subject("colour"), replace(CONFIG, draws=0), say=lambda text: None)
    assert list(found.scores) == [ORACLE, OTHERS, NONE, BOTH, "grey"]
    with pytest.raises(GridcodeError, match="draws must be >= 0, got -1"):
        replace(CONFIG, draws=-1)


def test_colours_are_compared_as_sets_of_examples(tmp_path: Path) -> None:
    whole = subject("colour")
    config = replace(CONFIG, observer_steps=3, observer=str(tmp_path / "observer"))
    found = evaluate_dense(whole, config, say=lambda text: None)
    assert set(found.scores[TRUE_COLOURS]) == {"frechet"}
    (batch,) = dense_eval_batches(whole.val, whole.data, batch_size=9)
    colourise, reference = split_reference(batch.keys, 4)
    vectors = load_observer(tmp_path / "observer").vectors
    sets = [GaussianStatistics(32) for _ in range(2)]
    sets[0].update(vectors(GreyMap().predict(batch)[colourise].float() / 127.5 - 1))
    sets[1].update(vectors(batch.planes[reference].float() / 127.5 - 1))
    assert found.scores["grey"]["frechet"] == pytest.approx(frechet_distance(*sets), rel=1e-5)
    again = evaluate_dense(whole, config, say=lambda text: None)  # the observer is read, not trained
    assert again.scores == found.scores
    assert "true colours" in rows_table(found.scores)


def test_too_few_colours_to_compare_are_told() -> None:
    with pytest.raises(GridcodeError, match=r"evaluation\.observer_steps=0"):
        evaluate_dense(subject("colour"), replace(CONFIG, count=3, observer_steps=1), say=lambda text: None)


@pytest.mark.parametrize("task", TASKS)
def test_a_report_shows_rows_and_images(task: Task, tmp_path: Path) -> None:
    whole = subject(task)
    found = evaluate_dense(whole, CONFIG, say=lambda text: None)
    with closing(RunLog(tmp_path / "run")) as log:
        log.write(1, {"val/score": float("nan")})
        log.write(2, {"val/score": 1.0})
    runs = Runs(tokenizer=tmp_path / "run")
    page = publish(dense_findings(found, whole, CONFIG), runs, out=tmp_path, command="gridcode dense eval")
    text = page.read_text()
    assert "Stage I: score" in text, "a curve without the point that was not finite"
    assert all(row.replace("'", "&#39;") in text for row in found.scores)
    assert text.count("data:image/png;base64,") == 3 * len(found.gallery.rows)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["rows"].keys() == found.scores.keys()
    assert content["settings"]["data"]["task"] == task
    assert (tmp_path / "overview.png").stat().st_size > 100


def test_one_image_and_another_size_are_one_line() -> None:
    whole = subject("depth")
    with pytest.raises(GridcodeError, match="needs at least 2 validation images"):
        evaluate_dense(whole, replace(CONFIG, count=1), say=lambda text: None)
    other = replace(whole, data=replace(whole.data, height=24))
    with pytest.raises(GridcodeError, match="is for depth at 16x16, the data for depth at 24x16"):
        evaluate_dense(other, CONFIG, say=lambda text: None)


def test_error_maps_are_black_where_right_and_grey_where_nothing_counts() -> None:
    depth = np.array([[[0.0, 2.0, 4.0, 12.0]]], np.float32)
    found = error_map(np.array([[[3.0, 2.0, 9.0, 12.0]]], np.float32), depth, DenseConfig(task="depth"))
    assert found[0].tolist() == [[128] * 3, [0] * 3, [255] * 3, [128] * 3]
    truth = np.array([[[1, 1, 1, 0, 2, 2]], [[1, 1, 1, 0, 2, 2]], [[0] * 6]], np.int32)
    guess = np.array([[[1, 1, 2, 1, 2, 2]], [[5, 5, 2, 1, 3, 4]]])
    seen = error_map(guess, truth, DenseConfig(task="panoptic"))[0].tolist()
    black, red, yellow, grey = [0, 0, 0], [220, 40, 50], [240, 200, 60], [128, 128, 128]
    assert seen == [black, black, red, grey, yellow, yellow]


@pytest.mark.parametrize("relative", ["scale", "scale_shift"])
def test_relative_depth_is_right_up_to_its_alignment(relative: str) -> None:
    truth = np.array([[[2.0, 4.0, 8.0]]], np.float32)
    data = DenseConfig(task="depth", depth=DepthConfig(relative=relative))  # type: ignore[arg-type]
    guess = truth / 8 if relative == "scale" else (truth - 2) / 6
    assert error_map(guess, truth, data).max() <= 1
