"""The discriminator beside the tokenizer: who learns from what, and when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image import loss
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import AdversarialConfig, LossConfig, TokenizerRun
from gridcode.domains.image.loss import make_discriminator
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.tokenizer.adversarial import Adversary, Hinge, NonSaturating, gradient_penalty, make_learner
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import make_fabric
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions
from gridcode.training.state import Learner

CPU = torch.device("cpu")
ADVERSARIAL = AdversarialConfig(kind="non-saturating", width=8, lr=1e-3)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=32, val_count=8, workers=0, crop=CropPolicy(train="center", flip=False)),
    model=TokenizerConfig(quantizer=FSQConfig(levels=(5, 4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1),
    loss=LossConfig(adversarial=ADVERSARIAL),
    optim=OptimConfig(lr=1e-3, warmup=2),
    loop=LoopConfig(steps=4, batch_size=8, log_every=1, accelerator="cpu", precision="fp32"),
)


def with_adversary(**settings: object) -> TokenizerRun:
    return replace(RUN, loss=replace(RUN.loss, adversarial=replace(ADVERSARIAL, **settings)))  # type: ignore[arg-type]


def learner_of(run: TokenizerRun) -> Learner:
    return make_learner(lambda: make_discriminator(run), run.loss.adversarial, run.loop, CPU)


def opponent(run: TokenizerRun) -> tuple[Learner, Adversary]:
    learner, config = learner_of(run), run.loss.adversarial
    return learner, Adversary(learner, config, accumulate=run.loop.accumulate, fabric=make_fabric(run.loop))


def pictures(seed: int) -> Tensor:
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_judging_gives_its_gradient_to_the_reconstructions_alone() -> None:
    learner, adversary = opponent(RUN)
    before = weights(learner.model)
    fake = pictures(1).requires_grad_(True)
    terms = adversary.terms(fake, pictures(2), step=0)
    terms["adversarial"].backward()
    alone = pictures(1).requires_grad_(True)
    (expected,) = torch.autograd.grad(0.1 * nn.functional.softplus(-learner.model(alone)).mean(), alone)
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, expected)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in learner.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights(learner.model), before, strict=True))
    assert not learner.optimizer.state


class Layered(nn.Module):
    """A discriminator of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.score = nn.Linear(768, 5), nn.Linear(5, 1)

    def layers(self, x: Tensor) -> list[Tensor]:
        hidden = self.first(x.flatten(1)).tanh()
        return [hidden, self.score(hidden)]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[-1]


def test_features_pull_the_reconstructions_alone() -> None:
    config = replace(ADVERSARIAL, kind="hinge", weight=0.5)
    learner = make_learner(Layered, config, RUN.loop, CPU)
    adversary = Adversary(learner, config, features=2.0, fabric=make_fabric(RUN.loop))
    fake, real = pictures(1).requires_grad_(True), pictures(2).requires_grad_(True)
    terms = adversary.terms(fake, real, step=0)
    (a, scores), (b, _) = (learner.model.layers(x) for x in (fake.detach(), real.detach()))
    torch.testing.assert_close(terms["adversarial"].detach(), -0.5 * scores.detach().mean())
    torch.testing.assert_close(terms["features"].detach(), (2 * (a - b).abs().mean() / b.abs().mean()).detach())
    (terms["adversarial"] + terms["features"]).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None and parameter.requires_grad for parameter in learner.model.parameters())


@pytest.mark.parametrize("kind", ["non-saturating", "hinge"])
def test_learning_is_one_adam_step_on_the_loss_and_the_penalty(kind: str) -> None:
    run = with_adversary(kind=kind, r1=3.0)
    learner, adversary = opponent(run)
    twin = learner_of(run)
    assert all(torch.equal(a, b) for a, b in zip(weights(twin.model), weights(learner.model), strict=True))
    real, fake = pictures(1), pictures(2)
    seen = adversary.learn(real, fake, step=0)

    x = real.clone().requires_grad_(True)
    scores, other = twin.model(x), twin.model(fake)
    loss = (NonSaturating if kind == "non-saturating" else Hinge)(0.1).discriminator(scores, other)
    penalty = gradient_penalty(scores, x)
    (loss + 3.0 * penalty).backward()
    norm = nn.utils.get_total_norm([p.grad for p in twin.model.parameters() if p.grad is not None])
    torch.optim.Adam(twin.model.parameters(), lr=1e-3, betas=(0.0, 0.99)).step()
    expected = {
        "discriminator": loss,
        "real_score": scores.mean(),
        "fake_score": other.mean(),
        "r1": penalty,
        "discriminator_gradient_norm": norm,
    }
    assert seen.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(seen[name].detach(), value.detach(), msg=name)
    for ours, theirs in zip(learner.model.parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        assert ours.grad is None


@pytest.mark.parametrize("every", [1, 3, 4])
def test_a_lazy_penalty_has_the_same_mean(every: int) -> None:
    """Over every · n steps on the same images, with the weights held still."""
    run = with_adversary(r1_every=every, lr=1e-30)
    _, adversary = opponent(run)
    seen = [float(adversary.learn(pictures(1), pictures(2), step)["r1"]) for step in range(12)]
    _, plain = opponent(with_adversary(lr=1e-30))
    expected = float(plain.learn(pictures(1), pictures(2), 0)["r1"])
    assert sum(seen) / 12 == pytest.approx(expected, rel=1e-4)
    assert [step for step, value in enumerate(seen) if value] == list(range(0, 12, every))


def test_without_r1_there_is_no_penalty() -> None:
    _, adversary = opponent(with_adversary(r1=0.0))
    assert float(adversary.learn(pictures(1), pictures(2), 0)["r1"]) == 0


def test_clipping_bounds_the_step_and_tells_the_norm_before() -> None:
    learner, adversary = opponent(with_adversary(clip=1e-12, r1=0.0))
    before = weights(learner.model)
    seen = adversary.learn(pictures(1), pictures(2), 0)
    assert float(seen["discriminator_gradient_norm"]) > 1e-3
    # Adam divides by the gradient's size, but not below its epsilon of 1e-8.
    moved = max(float((a - b).detach().abs().max()) for a, b in zip(learner.model.parameters(), before, strict=True))
    assert moved < 1e-3 * 1e-3


@pytest.mark.parametrize("count", [2, 3])
def test_a_batch_in_parts_gives_the_same_step(count: int) -> None:
    learner, adversary = opponent(RUN)
    parted, other = opponent(replace(RUN, loop=replace(RUN.loop, accumulate=count)))
    one, two = (a.learn(pictures(1), pictures(2), 0) for a in (adversary, other))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6, msg=name)
    for ours, theirs in zip(learner.model.parameters(), parted.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def recorded(run: TokenizerRun, out: Path) -> list[dict[str, float]]:
    train_tokenizer(run, RunOptions(out, show=False))
    return [line for line in read_log(out) if "train/loss" in line]


def test_it_joins_at_its_start(tmp_path: Path) -> None:
    lines = recorded(with_adversary(start=2), tmp_path)
    assert ["train/adversarial" in line for line in lines] == [False, False, True, True]
    assert ["train/discriminator" in line for line in lines] == [False, False, True, True]
    plain = recorded(replace(RUN, loss=LossConfig()), tmp_path / "plain")
    same = [ours["train/loss"] == theirs["train/loss"] for ours, theirs in zip(lines, plain, strict=True)]
    assert same == [True, True, False, False]


def test_the_terms_and_the_quantizers_own_loss_add_up(tmp_path: Path) -> None:
    run = replace(RUN, model=replace(RUN.model, quantizer=VQConfig(size=16, channels=4)))
    run = replace(run, loss=LossConfig(l2=1.0, l1=0.5, adversarial=ADVERSARIAL))
    for line in recorded(run, tmp_path):
        terms = [line[f"train/{name}"] for name in ("l2", "l1", "adversarial", "quantizer")]
        assert all(terms), "each takes part; the quantizer's own may be negative"
        assert line["train/loss"] == pytest.approx(sum(terms), rel=1e-5)


@pytest.fixture
def learners(monkeypatch: pytest.MonkeyPatch) -> list[Learner]:
    """The discriminators that training makes."""
    made: list[Learner] = []

    def make(*settings: Any) -> Learner:
        made.append(make_learner(*settings))
        return made[-1]

    monkeypatch.setattr(loss, "make_learner", make)
    return made


def test_each_networks_optimiser_leaves_the_other_network_alone(
    tmp_path: Path, learners: list[Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer's optimiser steps over its own weights; the discriminator only moves when it learns."""
    moved: list[bool] = []
    learn = Adversary.learn

    def watched(self: Adversary, images: Tensor, reconstructions: Tensor, step: int) -> dict[str, Tensor]:
        model = learners[0].model
        now = weights(model)
        if moved:
            assert all(torch.equal(a, b) for a, b in zip(now, after[-1], strict=True))
        assert all(parameter.grad is None for parameter in model.parameters())
        assert not reconstructions.requires_grad
        seen = learn(self, images, reconstructions, step)
        after.append(weights(model))
        moved.append(not all(torch.equal(a, b) for a, b in zip(now, after[-1], strict=True)))
        return seen

    after: list[list[Tensor]] = []
    monkeypatch.setattr(Adversary, "learn", watched)
    train_tokenizer(RUN, RunOptions(tmp_path, show=False))
    assert moved == [True] * 4
    ours = {id(p) for group in learners[0].optimizer.param_groups for p in group["params"]}
    assert ours == {id(p) for p in learners[0].model.parameters()}
    assert {group["lr"] for group in learners[0].optimizer.param_groups} == {1e-3}


def test_a_bfloat16_game_keeps_float32_weights_and_finite_scores(tmp_path: Path, learners: list[Learner]) -> None:
    run = replace(RUN, loop=replace(RUN.loop, precision="bf16", steps=2))
    lines = recorded(run, tmp_path)
    assert len(lines) == 2
    assert {parameter.dtype for parameter in learners[0].model.parameters()} == {torch.float32}
    assert isinstance(Tokenizer.from_pretrained(tmp_path), Tokenizer)
