"""The task's figures are the metrics' own, perfect maps get perfect ones, and the strip shows what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig, DepthConfig, Task
from gridcode.domains.dense.data.loader import dense_eval_batches
from gridcode.domains.dense.data.open import make_label_map, open_dense
from gridcode.domains.dense.data.scenes import SCENE_CATEGORIES
from gridcode.domains.dense.domain import DenseDomain
from gridcode.domains.dense.measure import TaskMeter
from gridcode.domains.dense.show import save_strip
from gridcode.metrics.depth import DepthErrors
from gridcode.tokenizer.model import Tokenizer

TinyRun = Callable[[Task], LabelTokenizerRun]


def categories(task: Task):  # type: ignore[no-untyped-def]
    return SCENE_CATEGORIES if task == "panoptic" else None


@pytest.mark.parametrize(("task", "best"), [("panoptic", {"pq": 1.0, "sq": 1.0, "rq": 1.0}), ("colour", {"mse": 0.0})])
def test_the_truth_gets_perfect_figures(task: Task, best: dict[str, float], tiny_run: TinyRun) -> None:
    data = tiny_run(task).data
    meter = TaskMeter(data, categories(task))
    for batch in dense_eval_batches(open_dense(data, "val"), data, batch_size=3):
        meter.update(batch.planes[:, :2] if task == "panoptic" else batch.planes, batch.planes)
    assert {name: meter.compute()[name] for name in best} == best


def test_depth_of_the_right_bins_is_off_by_less_than_half_a_bin(tiny_run: TinyRun) -> None:
    data = tiny_run("depth").data
    label_map = make_label_map(data, None)
    meter = TaskMeter(data, None)
    for batch in dense_eval_batches(open_dense(data, "val"), data, batch_size=3):
        logits = torch.nn.functional.one_hot(batch.labels[:, 0], 16).movedim(-1, 1).float()
        meter.update(label_map.decode([logits]), batch.planes)
    assert 0 < meter.compute()["rmse"] <= 40.0 / 16 / 2


@pytest.mark.parametrize("relative", ["scale", "scale_shift"])
def test_relative_depth_is_measured_up_to_what_it_lost(relative: str) -> None:
    data = DenseConfig(depth=DepthConfig(bins=200, relative=relative))  # type: ignore[arg-type]
    truth = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 30 + 20
    label_map = make_label_map(data, None)
    labels = torch.from_numpy(np.stack([label_map.encode(planes) for planes in truth.numpy()]))
    decoded = label_map.decode([torch.nn.functional.one_hot(labels[:, 0], 200).movedim(-1, 1).float()])
    meter = TaskMeter(data, None)
    meter.update(decoded, truth)
    figures = meter.compute()
    assert list(figures) == ["si_log", "abs_rel", "delta", "delta_2", "delta_3", "rmse_log"]
    assert figures["abs_rel"] < 1 / 200
    assert figures["delta"] == 1
    plain = DepthErrors(far=100.0)
    plain.update(decoded, truth)
    assert plain.compute().rmse > 20


@pytest.mark.parametrize("task", ["depth", "panoptic", "colour"])
def test_figures_do_not_depend_on_the_batches(task: Task, tiny_run: TinyRun) -> None:
    run = tiny_run(task)
    torch.manual_seed(0)
    tokenizer = Tokenizer(run.model, DenseDomain(run.data, categories(task))).eval()
    for head in tokenizer.decoder.heads:
        torch.nn.init.normal_(head.weight, std=0.3)
    val = open_dense(run.data, "val")
    measured = [
        tokenizer.domain.measure(tokenizer, dense_eval_batches(val, run.data, batch_size=size)) for size in (8, 3)
    ]
    assert measured[0].scores == pytest.approx(measured[1].scores, rel=1e-5)
    assert measured[0].usage.pooled.count == 8 * 2 * 3
    name = {"depth": "rmse", "panoptic": "pq", "colour": "psnr"}[task]
    sign = -1 if task == "depth" else 1
    assert measured[0].score == sign * measured[0].scores[name]


def test_relative_depth_is_compared_by_its_scale_invariant_error(tiny_run: TinyRun) -> None:
    run = tiny_run("depth")
    data = replace(run.data, depth=DepthConfig(bins=16, relative="scale"))
    tokenizer = Tokenizer(run.model, DenseDomain(data)).eval()
    measured = tokenizer.domain.measure(tokenizer, dense_eval_batches(open_dense(data, "val"), data, batch_size=8))
    assert measured.score == -measured.scores["si_log"]


@pytest.mark.parametrize("task", ["depth", "panoptic", "colour"])
def test_the_strip_shows_image_truth_and_what_was_decoded(task: Task, tiny_run: TinyRun, tmp_path: Path) -> None:
    data = tiny_run(task).data
    label_map = make_label_map(data, categories(task))
    batch = next(dense_eval_batches(open_dense(data, "val"), data, batch_size=3))
    decoded = batch.planes.roll(1, 0)
    save_strip(tmp_path / "strip.png", batch, decoded, label_map)
    with Image.open(tmp_path / "strip.png") as strip:
        seen = np.asarray(strip)
    assert seen.shape == (3 * 16, 3 * 24, 3)
    tiles = [seen[16 * row : 16 * row + 16, 24:48] for row in range(3)]
    wanted = ((batch.images[1].expand(3, -1, -1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(tiles[0], wanted)
    assert np.array_equal(tiles[1], label_map.image(batch.planes[1].numpy()))
    assert np.array_equal(tiles[2], label_map.image(batch.planes[0].numpy()))
