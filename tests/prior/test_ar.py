"""The autoregressive prior: causal, exact, and the same with its cache as without."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.ar import Autoregressive
from gridcode.prior.bits import measure_bits
from gridcode.prior.config import AutoregressiveConfig, Head, MaskGITConfig, PriorRun, TokenSpace, autoregressive
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.make import load_prior, make_prior
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.train import held_out_tokens, measure_prior
from gridcode.store.reader import TokenTable

LEVELS, K, GRID, N = (4, 3), 12, (2, 3), 6
CONFIG = AutoregressiveConfig(width=16, depth=2, heads=2, mlp=32, dropout=0.1)
HEADS: tuple[Head, ...] = ("joint", "independent", "chain")
LABELS = torch.tensor([0, 1, -1])


def make(head: Head, grid: tuple[int, ...] = GRID) -> Autoregressive:
    torch.manual_seed(0)
    prior = Autoregressive(replace(CONFIG, head=head), TokenSpace(K, grid, ("a", "b"), "0123", {}, LEVELS)).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return prior


@pytest.fixture(scope="module", params=HEADS)
def prior(request: pytest.FixtureRequest) -> Autoregressive:
    return make(request.param)


@pytest.fixture(scope="module")
def fine(prior: Autoregressive) -> Autoregressive:
    """The prior in float64, where products of other shapes, rounded otherwise, leave the most probable token alone."""
    return copy.deepcopy(prior).double()


def tokens(rows: int = 3, *, length: int = N, seed: int = 0) -> Tensor:
    return torch.randint(0, K, (rows, length), generator=torch.Generator().manual_seed(seed))


def draw(seed: int = 0, rows: int = 3) -> Noise:
    return Noise.of_examples(seed, torch.arange(rows))


def test_a_token_is_said_from_the_class_and_the_tokens_before_it_alone(prior: Autoregressive) -> None:
    seen: dict[str, Tensor] = {}
    hook = prior.trunk.norm.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    hidden = prior.hidden(tokens(1), LABELS[:1])
    hook.remove()
    assert hidden.shape == (1, N, 16)
    for place in range(N):
        (gradient,) = torch.autograd.grad(hidden[0, place].square().sum(), seen["x"], retain_graph=True)
        # Place m of the input is token m - 1, and the class where m = 0.
        assert (gradient[0].abs().sum(-1) > 0).tolist() == [m <= place for m in range(N)]


def test_the_loss_is_of_the_same_distribution_as_the_bits(prior: Autoregressive) -> None:
    truth, everything = tokens(), torch.ones(3, N, dtype=torch.bool)
    log_p = prior.log_probs(truth, LABELS, steps=12)
    losses = prior(truth, LABELS, everything).losses.view(3, N)
    if prior.config.head == "joint":  # whose loss is over classes and MASK too
        assert (losses > -log_p).all()
    else:
        torch.testing.assert_close(losses, -log_p)
    some = everything.clone()
    some[0, 2:], some[2, :5] = False, False
    torch.testing.assert_close(prior(truth, LABELS, some).losses, losses[some])


@torch.no_grad()
def slow_answer(prior: Autoregressive, known: Tensor, labels: Tensor) -> TokenDistribution:
    """What is said of the token after those known (B, n): a whole pass over a grid filled up with zeros."""
    padded = torch.zeros(len(known), N, dtype=torch.int64)
    padded[:, : known.shape[1]] = known
    return prior.vocabulary.distribution(prior.hidden(padded, labels)[:, known.shape[1]])


@torch.no_grad()
def test_bits_are_those_of_a_slow_oracle(prior: Autoregressive) -> None:
    truth = tokens(5)
    labels = torch.tensor([0, 1, -1, 0, 1])
    costs = np.zeros((5, N))
    for n in range(N):
        every = slow_answer(prior, truth[:, :n], labels)
        costs[:, n] = -every.log_prob(truth[:, n]).double().numpy() / math.log(2)
    found = measure_bits(prior, TokenTable(truth, labels, ()), batch_size=2)
    assert found.per_token == pytest.approx(costs.mean(), rel=5e-3)  # bf16 where the hardware has it
    np.testing.assert_allclose(found.by_step, costs.reshape(5, *GRID).mean((0, 2)), rtol=3e-2)
    assert found.groups == (3, 3)


def test_probabilities_of_whole_grids_add_up_to_1() -> None:
    torch.manual_seed(0)
    prior = Autoregressive(replace(CONFIG, head="chain"), TokenSpace(4, (1, 3), (), "", {}, (2, 2))).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        every = torch.cartesian_prod(*[torch.arange(4)] * 3)
        log_p = prior.log_probs(every, torch.full((64,), -1), steps=12).sum(1)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert log_p.exp().std() > 1e-3


@pytest.mark.parametrize("guidance", [0.0, 0.8])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_cache_changes_no_token(fine: Autoregressive, guidance: float, temperature: float) -> None:
    config = SamplerConfig(temperature=temperature, top_k=5, top_p=0.9)
    hidden = torch.full((3, N), fine.mask)
    cached = fine.fill(hidden, LABELS, config=config, guidance=guidance, noise=draw(4))
    noises, known = draw(4).spread(N), torch.empty(3, 0, dtype=torch.int64)
    for n in range(N):
        answer = slow_answer(fine, known, LABELS)
        if guidance:
            answer = answer.guide(slow_answer(fine, known, torch.full_like(LABELS, -1)), guidance)
        drawn = answer.sample(temperature=temperature, noise=noises[:, n], top_k=5, top_p=0.9)
        known = torch.cat([known, drawn[:, None]], 1)
    assert torch.equal(cached, known)


def test_what_is_known_stays_and_is_conditioned_on_once_passed(fine: Autoregressive) -> None:
    truth = tokens()
    holes = torch.zeros(3, N, dtype=torch.bool)
    holes[0, 2:4] = True
    holes[1, 3] = True
    config = SamplerConfig(temperature=0.0)
    found = fine.fill(truth.masked_fill(holes, fine.mask), LABELS, config=config, guidance=0.0, noise=draw())
    assert torch.equal(found[~holes], truth[~holes])
    expected = truth.clone()
    for n in (2, 3):
        likely = slow_answer(fine, expected[:, :n], LABELS).sample(temperature=0.0, noise=draw())
        expected[:, n] = torch.where(holes[:, n], likely, truth[:, n])
    assert torch.equal(found, expected)
    assert torch.equal(fine.fill(truth, LABELS, config=config, guidance=0.0, noise=draw()), truth)


def test_temperature_and_guidance_move_from_the_first_token_to_the_last(
    prior: Autoregressive, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    answer = prior._answer
    monkeypatch.setattr(prior, "_answer", lambda hidden, scale: (asked.append(scale), answer(hidden, scale))[1])
    hidden = torch.full((3, N), prior.mask)
    config = SamplerConfig(steps=2, guidance_from=0.0)
    prior.fill(hidden, LABELS, config=config, guidance=1.0, noise=draw())
    np.testing.assert_allclose(asked, np.arange(N) / (N - 1))


def test_draws_follow_the_first_tokens_probabilities(prior: Autoregressive) -> None:
    rows = 4000
    hidden = torch.full((rows, N), prior.mask)
    config, labels = SamplerConfig(), torch.zeros(rows, dtype=torch.int64)
    first = prior.fill(hidden, labels, config=config, guidance=0.0, noise=draw(rows=rows))[:, 0]
    expected = slow_answer(prior, torch.empty(K, 0, dtype=torch.int64), torch.zeros(K, dtype=torch.int64))
    chance = expected.log_prob(torch.arange(K)).exp()
    seen = first.bincount(minlength=K) / rows
    assert ((seen - chance).abs() < 5 * (chance * (1 - chance) / rows).sqrt() + 1e-3).all()


def test_the_tokens_of_a_place_are_told_apart() -> None:
    prior = make("chain", (2, 2, 3))
    same = torch.zeros(1, 12, dtype=torch.int64)
    log_p = prior.log_probs(same, LABELS[:1], steps=12)[0]
    assert len(set(log_p.tolist())) == 12
    hidden = torch.full((3, 12), prior.mask)
    filled = prior.fill(hidden, LABELS, config=SamplerConfig(), guidance=0.5, noise=draw())
    assert filled.min() >= 0
    assert [len(group) for group in prior.groups(12)] == [6, 6]


def test_validation_asks_for_every_token(prior: Autoregressive) -> None:
    table = TokenTable(tokens(5), torch.tensor([0, 1, -1, 0, 1]), ())
    scores = prior(table.tokens, table.labels, torch.ones(5, N, dtype=torch.bool))
    found = measure_prior(prior, held_out_tokens(table, batch_size=2), min_masked=0.45)
    assert found["loss"] == pytest.approx(scores.losses.mean().item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(scores.right.float().mean().item())


def test_a_saved_prior_is_the_same_prior(prior: Autoregressive, tmp_path: Path) -> None:
    prior.save_pretrained(tmp_path / "ar")
    loaded = load_prior(tmp_path / "ar")
    assert isinstance(loaded, Autoregressive)
    assert (loaded.config, loaded.space) == (prior.config, prior.space)
    assert torch.equal(loaded.log_probs(tokens(), LABELS, steps=1), prior.log_probs(tokens(), LABELS, steps=1))
    assert "A gridcode prior (autoregressive)" in (tmp_path / "ar" / "README.md").read_text()
    with pytest.raises(GridcodeError, match="is of a prior 'ar', not 'maskgit'; give another folder"):
        MaskGIT.from_pretrained(tmp_path / "ar")
    config = tmp_path / "ar" / "config.json"
    config.write_text(config.read_text().replace('"ar"', '"diffusion"'))
    with pytest.raises(GridcodeError, match="a prior 'diffusion', which this gridcode does not know"):
        load_prior(tmp_path / "ar")


def test_a_config_says_which_prior_it_is_of() -> None:
    space = TokenSpace(K, GRID, (), "", {}, LEVELS)
    assert isinstance(make_prior(CONFIG, space), Autoregressive)
    run = PriorRun(model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32, head="chain"))
    assert isinstance(make_prior(run.model, space), MaskGIT)
    other = autoregressive(run)
    assert other.model == AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32, head="chain")
    assert (other.masking.label_smoothing, other.masking.label_dropout) == (0.0, run.masking.label_dropout)
    assert (other.optim, other.loop) == (run.optim, run.loop)
    with pytest.raises(GridcodeError, match="a multiple of 4, not 12 / 2 = 6"):
        AutoregressiveConfig(width=12, heads=2)
