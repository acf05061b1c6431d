"""Losses on label maps against numpy, from their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.domains.dense.loss import ColourLoss, DepthLoss, PanopticLoss, make_label_loss


def nats(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """-log softmax at each label, in float64."""
    x = logits.double().numpy()
    log_sum = np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1)) + x.max(-1)
    return log_sum - np.take_along_axis(x, labels.numpy()[..., None], -1)[..., 0]


@settings(max_examples=25, deadline=None)
@given(bins=st.integers(2, 9), seed=st.integers(0, 1000), invalid=st.floats(0, 1))
def test_depth_is_cross_entropy_that_leaves_the_masked_bin_out(bins: int, seed: int, invalid: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 9, bins, generator=generator)
    labels = torch.randint(bins, (2, 4, 9), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < invalid] = 0
    seen = DepthLoss(masked=0)([logits], [labels])
    wanted = np.where(labels.numpy() > 0, nats(logits, labels), 0).mean()
    assert list(seen) == ["depth"]
    assert float(seen["depth"]) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


def test_masked_pixels_have_no_gradient() -> None:
    logits = torch.randn(1, 2, 4, 5, requires_grad=True)
    labels = torch.tensor([[[0, 1, 2, 0], [3, 0, 0, 4]]])
    DepthLoss(masked=0)([logits], [labels])["depth"].backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(-1) > 0, labels > 0)


def test_panoptic_is_the_sum_of_two_cross_entropies_void_included() -> None:
    classes, instances = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 4, 9)
    labels = torch.randint(6, (2, 3, 4)), torch.randint(9, (2, 3, 4))
    labels[0][0], labels[1][0] = 0, 0
    terms = PanopticLoss()([classes, instances], labels)
    assert float(terms["class"]) == pytest.approx(nats(classes, labels[0]).mean(), rel=1e-5)
    assert float(terms["instance"]) == pytest.approx(nats(instances, labels[1]).mean(), rel=1e-5)


def test_colour_is_the_mean_squared_error() -> None:
    values, truth = torch.randn(2, 3, 4, 3), torch.rand(2, 3, 4, 3) * 2 - 1
    wanted = ((values.double().numpy() - truth.double().numpy()) ** 2).mean()
    assert float(ColourLoss()([values], [truth])["colour"]) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("task", ["depth", "panoptic", "colour"])
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(task: str) -> None:
    loss = make_label_loss(task, 0 if task == "depth" else None)  # type: ignore[arg-type]
    if task == "colour":
        outputs, labels = [torch.randn(6, 4, 9, 3)], [torch.rand(6, 4, 9, 3)]
    else:
        sizes = [7] if task == "depth" else [7, 5]
        outputs = [torch.randn(6, 4, 9, K) for K in sizes]
        labels = [torch.randint(K, (6, 4, 9)) for K in sizes]
        labels[0][:2] = 0
    parts = [
        sum(loss([o[part] for o in outputs], [o[part] for o in labels]).values()) for part in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(sum(parts) / 2, sum(loss(outputs, labels).values()))


def test_a_bfloat16_output_is_scored_in_float32() -> None:
    logits, labels = torch.randn(3, 4, 5).bfloat16(), torch.randint(1, 5, (3, 4))
    seen = DepthLoss(masked=0)([logits], [labels])["depth"]
    assert seen.dtype == torch.float32
    assert float(seen) == pytest.approx(nats(logits, labels).mean(), rel=1e-5)
