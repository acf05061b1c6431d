"""The optimiser's groups, the learning rate's curve, and the moving average against a hand-written loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.optim import learning_rate, make_ema, make_optimizer


def test_weight_decay_spares_vectors_and_frozen_weights() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, OptimConfig(lr=0.5, weight_decay=0.1))
    for p in model[:2].parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        factor = 1 - 0.5 * 0.1 if name == "0.weight" else 1.0
        torch.testing.assert_close(p.detach(), before[name] * factor)


def test_weight_decay_spares_a_part_on_demand() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Embedding(5, 2))
    decayed, spared = make_optimizer(model, OptimConfig(weight_decay=0.1), no_decay=model[1]).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert [p.shape for p in spared["params"]] == [(4,), (5, 2)]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


@given(steps=st.integers(1, 300), warmup=st.integers(0, 300), final=st.floats(0, 1))
def test_learning_rate_rises_then_falls_within_its_bounds(steps: int, warmup: int, final: float) -> None:
    config = OptimConfig(lr=2.0, warmup=warmup, final_lr=final)
    rates = [learning_rate(step, steps=steps, config=config) for step in range(steps)]
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == pytest.approx([2.0 * (step + 1) / warmup for step in range(len(rising))])
    assert falling == sorted(falling, reverse=True)
    assert all(2.0 * final - 1e-9 <= rate <= 2.0 for rate in falling)
    if falling:
        assert falling[0] == pytest.approx(2.0)


def test_learning_rate_is_a_half_cosine() -> None:
    config = OptimConfig(lr=1.0, warmup=10, final_lr=0.1)
    for step in range(10, 60):
        share = (1 + math.cos(math.pi * (step - 10) / 50)) / 2
        assert learning_rate(step, steps=60, config=config) == pytest.approx(0.1 + 0.9 * share)


@pytest.mark.parametrize("most", [0.0, 0.3, 0.9])
def test_moving_average_is_the_hand_written_loop(most: float) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    ema = make_ema(model, OptimConfig(ema=most))
    expected: list[torch.Tensor] | None = None
    for updates in range(40):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        ema.update_parameters(model)
        now = [p.detach().double() for p in model.parameters()]
        decay = min(most, (1 + updates) / (10 + updates))
        # The first update copies: random initial weights leave no trace.
        expected = (
            now if expected is None else [decay * e + (1 - decay) * p for e, p in zip(expected, now, strict=True)]
        )
        for averaged, e in zip(ema.module.parameters(), expected, strict=True):
            torch.testing.assert_close(averaged.double(), e, rtol=1e-5, atol=1e-6)


def test_moving_average_is_in_evaluation_mode_and_has_no_gradients() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    ema = make_ema(model, OptimConfig())
    assert model.training
    assert not any(part.training for part in ema.module.modules())
    assert not any(p.requires_grad for p in ema.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, r"optim\.lr must be > 0 and finite, got 0\.0"),
        ({"lr": float("nan")}, r"optim\.lr must be > 0 and finite, got nan"),
        ({"ema": 1.0}, r"optim\.ema must be in \[0, 1\), got 1\.0"),
        ({"betas": (1.5, 0.9)}, r"optim\.betas must be in \[0, 1\), got \(1\.5, 0\.9\)"),
        ({"clip": -1.0}, r"optim\.clip must be >= 0 and finite, got -1\.0"),
        ({"weight_decay": float("nan")}, r"optim\.weight_decay must be >= 0 and finite, got nan"),
        ({"warmup": -1}, r"optim\.warmup must be >= 0 and finite, got -1"),
        ({"final_lr": float("inf")}, r"optim\.final_lr must be >= 0 and finite, got inf"),
    ],
)
def test_optimiser_settings_that_cannot_train_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        OptimConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["steps", "batch_size", "devices", "log_every", "val_every", "val_count", "checkpoint_every"]
)
def test_loop_counts_are_at_least_one(name: str) -> None:
    with pytest.raises(GridcodeError, match=rf"loop\.{name} must be at least 1, got 0"):
        LoopConfig(**{name: 0})
    with pytest.raises(GridcodeError, match=r"loop\.seed must be >= 0, got -1"):
        LoopConfig(seed=-1)
