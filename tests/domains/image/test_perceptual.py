"""The term is the weighted mean of the distance; the gradient goes to reconstructions alone."""

from __future__ import annotations

import pytest
import torch

from gridcode.domains.image.loss import PerceptualLoss
from gridcode.features.config import ObserverConfig
from gridcode.features.observer import Observer


def test_the_term_is_the_weighted_mean_and_only_reconstructions_learn() -> None:
    torch.manual_seed(0)
    observer = Observer(ObserverConfig(targets=4, widths=(8, 8))).eval().requires_grad_(False)
    x = torch.rand(3, 3, 8, 8) * 2 - 1
    y = (torch.rand(3, 3, 8, 8) * 2 - 1).requires_grad_(True)
    terms = PerceptualLoss(observer.distance, weight=0.3)(y, x)
    expected = 0.3 * float(observer.distance(x, y.detach()).double().mean())
    assert list(terms) == ["perceptual"]
    assert float(terms["perceptual"].detach()) == pytest.approx(expected, rel=1e-5)
    terms["perceptual"].backward()
    assert y.grad is not None
    assert float(y.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in observer.parameters())
