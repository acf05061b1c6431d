"""The term is the weighted mean of the distance; the gradient goes to reconstructions alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gridcode.data.config import DataConfig
from gridcode.domains.image import loss
from gridcode.domains.image.config import LossConfig, PerceptualConfig, TokenizerRun
from gridcode.domains.image.loss import PerceptualLoss, shifted
from gridcode.errors import GridcodeError
from gridcode.features.config import ObserverConfig
from gridcode.features.observer import Observer
from gridcode.tokenizer.domain import Sources
from gridcode.training.fabric import make_fabric
from gridcode.training.run import RunOptions


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


def test_every_shift_comes_and_a_step_has_its_own() -> None:
    x = torch.arange(30).view(1, 1, 5, 6)
    starts = [int(x[shifted(2, seed=1, step=step)][0, 0, 0, 0]) for step in range(200)]
    assert set(starts) == {0, 1, 2, 6, 7, 8, 12, 13, 14}
    assert {x[shifted(2, seed=1, step=step)].shape for step in range(20)} == {(1, 1, 3, 4)}
    assert starts == [int(x[shifted(2, seed=1, step=step)][0, 0, 0, 0]) for step in range(200)]
    assert x[shifted(0, seed=1, step=7)].shape == x.shape


def test_a_step_compares_what_is_shifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Network(torch.nn.Module):
        def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            assert torch.equal(x, y)
            seen.append((x.shape[-2:], float(x[0, 0, 0, 0])))
            return (x - y).mean((1, 2, 3))

    monkeypatch.setattr(loss, "load_efficientnet_lite", lambda name: Network())
    run = TokenizerRun(data=DataConfig(size=16), loss=LossConfig(perceptual=PerceptualConfig(kind="lite0", shift=3)))
    picture = torch.linspace(-1, 1, 256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    objective = loss.ImageObjective(run, Sources(None, None), RunOptions(tmp_path), fabric=make_fabric(run.loop))
    for step in range(40):
        assert set(objective.terms(picture, (picture,), step)) == {"l2", "perceptual"}
    assert {shape for shape, _ in seen} == {(13, 13)}
    assert len({first for _, first in seen}) > 8


def test_a_shift_leaves_half_of_an_image() -> None:
    with pytest.raises(GridcodeError, match=r"loss.perceptual.shift must be >= 0, got -1"):
        PerceptualConfig(shift=-1)
    TokenizerRun(data=DataConfig(size=16), loss=LossConfig(perceptual=PerceptualConfig(shift=8)))
    with pytest.raises(GridcodeError, match="shift=9 leaves less than half of an image of 16 pixels"):
        TokenizerRun(data=DataConfig(size=16), loss=LossConfig(perceptual=PerceptualConfig(shift=9)))
