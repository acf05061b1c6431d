"""Trivial predictions against numpy: means, counts, and grey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gridcode.domains.dense.baselines import fit_baselines
from gridcode.domains.dense.data.config import Categories, DenseConfig, DepthConfig
from gridcode.domains.dense.data.loader import DenseBatch
from gridcode.errors import GridcodeError


def batches(planes: Tensor, size: int = 3) -> list[DenseBatch]:
    images, labels = torch.zeros(len(planes), 3, *planes.shape[2:]), torch.zeros(len(planes))
    parts = torch.arange(len(planes)).split(size)
    return [DenseBatch(images[part], labels[part], planes[part], tuple(map(str, part.tolist()))) for part in parts]


def test_the_mean_depth_counts_what_is_in_range() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(-2, 14, (7, 1, 4, 5)).clip(0).astype(np.float32)
    depth[:, 0, 2, 3] = 0.0
    (baseline,) = fit_baselines(DenseConfig(task="depth"), None, batches(torch.from_numpy(depth))).values()
    counted = np.where((depth > 1e-3) & (depth < 10), depth, np.nan)[:, 0].astype(np.float64)
    counted[:, 2, 3] = np.nanmean(counted)
    found = baseline.predict(batches(torch.from_numpy(depth))[0])
    assert found.shape == (3, 1, 4, 5)
    np.testing.assert_allclose(found[1, 0].numpy(), np.nanmean(counted, axis=0), rtol=1e-6)


def test_relative_depth_is_averaged_after_its_normalisation() -> None:
    depth = torch.tensor([[[[2.0, 4.0]]], [[[30.0, 10.0]]]])
    data = DenseConfig(task="depth", depth=DepthConfig(relative="scale"))
    (baseline,) = fit_baselines(data, None, batches(depth)).values()
    torch.testing.assert_close(baseline.predict(batches(depth)[0])[0, 0, 0], torch.tensor([0.75, (1 + 1 / 3) / 2]))


def test_the_commonest_class_and_that_of_each_pixel() -> None:
    classes = torch.tensor([[[1, 2, 2, 0]], [[1, 2, 3, 0]], [[1, 3, 3, 0]], [[0, 2, 2, 3]]])
    planes = torch.stack([classes, torch.ones_like(classes), torch.zeros_like(classes)], dim=1)
    found = fit_baselines(
        DenseConfig(task="panoptic"), Categories(("a", "b", "c"), (False, True, True)), batches(planes)
    )
    one, each = (baseline.predict(batches(planes)[0])[2] for baseline in found.values())
    assert list(found) == ["commonest class", "commonest class per pixel"]
    assert one.tolist() == [[[2, 2, 2, 2]], [[1, 1, 1, 1]]]
    assert each.tolist() == [[[1, 2, 2, 3]], [[1, 2, 2, 3]]]


def test_nothing_to_learn_from_is_one_line() -> None:
    with pytest.raises(GridcodeError, match="no training pixel has a depth in range; check depth"):
        fit_baselines(DenseConfig(task="depth"), None, batches(torch.zeros(2, 1, 3, 3)))
    nothing = torch.zeros(2, 3, 3, 3, dtype=torch.int32)
    with pytest.raises(GridcodeError, match="no training pixel is labelled"):
        fit_baselines(DenseConfig(task="panoptic"), Categories(("a",), (True,)), batches(nothing))
