"""Image-conditioned priors: causal, the same with their cache as without, and led by the image."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.errors import GridcodeError
from gridcode.prior.ar import Autoregressive
from gridcode.prior.base import Prior
from gridcode.prior.condition import Condition
from gridcode.prior.config import CrossAttentionConfig, FeatureEncoderConfig, Head, TokenSpace
from gridcode.prior.encoder import FeatureEncoder
from gridcode.prior.make import load_prior, make_prior, prior_class
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import GREEDY, PROPORTIONAL, SamplerConfig

LEVELS, K, GRID, N = (4, 3), 12, (2, 3), 6
IMAGE = (3, 16, 24)
CONFIG = CrossAttentionConfig(
    encoder=FeatureEncoderConfig(patch=8, width=24, depth=1, heads=2, mlp=32), width=16, depth=2, heads=2, mlp=32
)
HEADS: tuple[Head, ...] = ("joint", "independent", "chain")
KINDS = ("ar", "maskgit")


def make(kind: str, head: Head = "joint", grid: tuple[int, ...] = GRID) -> Prior:
    torch.manual_seed(0)
    space = TokenSpace(K, grid, (), "0123", {"task": "depth"}, LEVELS)
    prior = make_prior(replace(CONFIG, head=head), space, IMAGE, decoding="ar" if kind == "ar" else "maskgit").eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.6)
    return prior


# Where the same tokens are computed in two ways (with the cache, beside other images) a prior is cast to float64:
# products of other shapes are rounded otherwise, and in float32 that may decide between two tokens.


def autoregressive(head: Head = "joint", grid: tuple[int, ...] = GRID) -> Autoregressive:
    prior = make("ar", head, grid)
    assert isinstance(prior, Autoregressive)
    return prior


def pictures(count: int = 3, *, seed: int = 0) -> Tensor:
    return torch.rand(count, *IMAGE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tokens(rows: int = 3, *, seed: int = 0) -> Tensor:
    return torch.randint(0, K, (rows, N), generator=torch.Generator().manual_seed(seed))


def draw(seed: int = 0, rows: int = 3) -> Noise:
    return Noise.of_examples(seed, torch.arange(rows))


def fill(prior: Prior, given: Tensor | Condition, *, config: SamplerConfig, noise: Noise) -> Tensor:
    start = torch.full((len(given), prior.space.length), prior.mask)
    return prior.fill(start, given, config=config, guidance=0.0, noise=noise)


def fill_from(prior: Prior, start: Tensor, given: Tensor) -> Tensor:
    return prior.fill(start, given, config=SamplerConfig(steps=3), guidance=0.0, noise=draw(rows=len(start)))


@pytest.mark.parametrize("head", HEADS)
def test_a_token_is_said_from_the_image_and_the_tokens_before_it_alone(head: Head) -> None:
    prior, images = autoregressive(head), pictures(1).requires_grad_()
    seen: dict[str, Tensor] = {}
    hook = prior.trunk.dropout.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    hidden = prior.hidden(tokens(1), images)
    hook.remove()
    assert hidden.shape == (1, N, 16)
    for place in range(N):
        found = torch.autograd.grad(hidden[0, place].square().sum(), (seen["x"], images), retain_graph=True)
        # Place m of the input is token m - 1, and the start where m = 0.
        assert (found[0][0].abs().sum(-1) > 0).tolist() == [m <= place for m in range(N)]
        patches = found[1][0].unfold(1, 8, 8).unfold(2, 8, 8).abs().sum((0, 3, 4))
        assert (patches > 0).all(), "every patch of the image reaches every token"


def test_a_masked_token_is_said_from_all_others_and_the_image() -> None:
    prior, images = make("maskgit"), pictures(1).requires_grad_()
    assert isinstance(prior, MaskGIT)
    seen: dict[str, Tensor] = {}
    hook = prior.trunk.dropout.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    positions = torch.zeros(1, N, dtype=torch.bool)
    positions[0, 2] = True
    hidden = prior.hidden(tokens(1).masked_fill(positions, prior.mask), images, positions)
    hook.remove()
    found = torch.autograd.grad(hidden[0].square().sum(), (seen["x"], images))
    assert (found[0][0].abs().sum(-1) > 0).all()
    assert (found[1][0].abs().sum(0) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_hidden_in_training_is_not_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, truth = make(kind), tokens()
    asked = torch.zeros(3, N, dtype=torch.bool)
    asked[:, -1], asked[1, 3] = True, kind == "maskgit"
    seen: list[Tensor] = []
    score = prior.vocabulary.score
    monkeypatch.setattr(prior.vocabulary, "score", lambda x, *a, **k: (seen.append(x), score(x, *a, **k))[1])
    for guess in (truth, torch.where(asked, (truth + 1) % K, truth), torch.where(asked, truth, (truth + 1) % K)):
        prior(guess, pictures(), asked)
    first, same, other = (x[: int(asked.sum())] for x in seen)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("head", ["independent", "chain"])
def test_probabilities_of_whole_grids_add_up_to_1(head: Head) -> None:
    torch.manual_seed(0)
    space = TokenSpace(4, (1, 3), (), "", {}, (2, 2))
    prior = Autoregressive(replace(CONFIG, head=head), space, IMAGE).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        every = torch.cartesian_prod(*[torch.arange(4)] * 3)
        images = pictures(1).expand(64, -1, -1, -1)
        losses = prior(every, images, torch.ones(64, 3, dtype=torch.bool)).losses.view(64, 3)
    assert (-losses.sum(1)).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("config", [GREEDY, SamplerConfig(temperature=0.0), SamplerConfig(top_k=5, top_p=0.9)])
def test_the_cache_changes_no_token(head: Head, config: SamplerConfig) -> None:
    prior = autoregressive(head).double()
    condition, noise = prior.condition(pictures(12).double()), draw(4, 12)
    cached = fill(prior, condition, config=config, noise=noise)
    slow = torch.zeros(12, N, dtype=torch.int64)
    for n, one in enumerate(noise.spread(N)[:, n] for n in range(N)):
        answer = prior.vocabulary.distribution(prior.hidden(slow[:, : n + 1], condition)[:, -1])
        temperature = replace(config, steps=N).temperature_at(n)
        slow[:, n] = answer.sample(temperature=temperature, noise=one, top_k=config.top_k, top_p=config.top_p)
    assert torch.equal(cached, slow)
    assert len(set(map(tuple, cached.tolist()))) > 1, "images have tokens of their own"


@pytest.mark.parametrize("head", HEADS)
def test_near_greedy_takes_the_most_probable_token_each_time(head: Head) -> None:
    prior, images = autoregressive(head).double(), pictures().double()
    near = fill(prior, images, config=SamplerConfig(temperature=1e-7, choice_temperature=0.0), noise=draw())
    assert torch.equal(near, fill(prior, images, config=GREEDY, noise=draw(7)))
    # An oracle: whole passes over grids filled up with zeros.
    known = torch.zeros(3, N, dtype=torch.int64)
    for n in range(N):
        hidden = prior.hidden(known, images)[:, n]
        if head == "chain":  # whose greedy token is that of its digits, one after another
            known[:, n] = prior.vocabulary.distribution(hidden).sample(temperature=0.0, noise=draw())
        else:
            answer = prior.vocabulary.distribution(hidden)
            known[:, n] = torch.stack([answer.log_prob(torch.full((3,), k)) for k in range(K)]).argmax(0)
    assert torch.equal(near, known)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(3, 1.0, 1.0), (0, 0.7, 1.0), (0, 1.0, 0.5), (4, 0.8, 2.0)]
)
def test_draws_follow_a_numpy_oracle_of_top_k_and_top_p(top_k: int, top_p: float, temperature: float) -> None:
    prior, rows = autoregressive(grid=(1, 1)), 4000
    condition = prior.condition(pictures(1))
    hidden = prior.hidden(torch.zeros(1, 1, dtype=torch.int64), condition)[:, 0]
    log_p = prior.vocabulary.distribution(hidden.expand(K, -1)).log_prob(torch.arange(K)).double().detach().numpy()
    order = np.argsort(-log_p)
    p = np.exp(log_p[order] / temperature)
    p /= p.sum()
    p[top_k or K :] = 0
    p /= p.sum()
    kept = int(np.searchsorted(np.cumsum(p), top_p * (1 - 1e-9))) + 1
    p[kept:] = 0
    p /= p.sum()
    config = SamplerConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    found = fill(prior, condition.repeat(rows), config=config, noise=draw(rows=rows))[:, 0]
    found = found.bincount(minlength=K).numpy()[order] / rows
    assert (found[p == 0] == 0).all()
    assert (np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / rows) + 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", [(2, 3), (1, 3, 2)])
def test_predictions_are_grids_of_codes_that_depend_on_the_image(kind: str, grid: tuple[int, ...]) -> None:
    prior = make(kind, grid=grid)
    found = prior.predict(pictures(8))
    assert found.shape == (8, *grid)
    assert found.min() >= 0
    assert found.max() < K
    assert len(set(map(tuple, found.flatten(1).tolist()))) > 1
    assert torch.equal(found, prior.predict(pictures(8), seed=5)), "near-greedy is greedy: it draws nothing"
    other = SamplerConfig(steps=3)
    assert torch.equal(prior.predict(pictures(8), other, seed=1), prior.predict(pictures(8), other, seed=1))
    assert not torch.equal(prior.predict(pictures(8), other, seed=1), prior.predict(pictures(8), other, seed=2))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_those_of_as_many_images(kind: str) -> None:
    prior, images = make(kind).double(), pictures(2).double()
    seen: list[int] = []
    assert prior.encoder is not None
    prior.encoder.register_forward_hook(lambda module, given, found: seen.append(len(given[0])))
    found = prior.draw(images, 5, seed=3)
    assert seen == [2], "an image is looked at once"
    assert found.shape == (5, 2, *prior.space.grid)
    assert torch.equal(found, prior.draw(images, 5, seed=3))
    assert len(set(map(tuple, found[:, 0].flatten(1).tolist()))) > 1
    assert torch.equal(found[0], prior.predict(images, PROPORTIONAL, seed=3)), "the first draw is the prediction"
    assert torch.equal(found[:2], prior.draw(images, 2, seed=3)), "more draws leave the first ones alone"
    assert torch.equal(found[:, 1:], prior.draw(images[1:], 5, seed=3, first=1)), "whatever is beside it"
    with pytest.raises(GridcodeError, match="at least 1 grid of a condition, got count=0"):
        prior.draw(images, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_prior_is_the_same_prior(kind: str, tmp_path: Path) -> None:
    prior = make(kind, "chain")
    prior.save_pretrained(tmp_path / "prior")
    loaded = load_prior(tmp_path / "prior")
    assert type(loaded) is type(prior)
    assert (loaded.config, loaded.space, loaded.example_shape) == (prior.config, prior.space, prior.example_shape)
    assert torch.equal(loaded.predict(pictures()), prior.predict(pictures()))
    card = (tmp_path / "prior" / "README.md").read_text()
    assert "tags: [conditional-prior, depth, " in card
    assert f"| parameters | {prior.parameter_count:,} |" in card
    other = prior_class(CONFIG, "maskgit" if kind == "ar" else "ar")
    with pytest.raises(GridcodeError, match=f"is of a prior '{kind}', not '{other.name}'; give another folder"):
        other.from_pretrained(tmp_path / "prior")
    config = tmp_path / "prior" / "config.json"
    config.write_text(config.read_text().replace(f'"{kind}"', '"diffusion"'))
    with pytest.raises(GridcodeError, match="a prior 'diffusion', which this gridcode does not know"):
        load_prior(tmp_path / "prior")


def test_log_probabilities_of_an_autoregressive_prior_are_its_losses() -> None:
    prior, every = autoregressive("independent"), torch.ones(3, N, dtype=torch.bool)
    with torch.no_grad():
        losses, found = prior(tokens(), pictures(), every).losses, prior.log_probs(tokens(), pictures(), steps=2)
    torch.testing.assert_close(-found.flatten(), losses)


@pytest.mark.parametrize("kind", KINDS)
def test_known_tokens_stay_and_the_others_follow_the_image(kind: str) -> None:
    prior, known = make(kind).double(), tokens(8)
    start = known.masked_fill(torch.arange(N) % 2 == 1, prior.mask)
    found = fill_from(prior, start, pictures(8).double())
    assert torch.equal(found[:, ::2], known[:, ::2])
    assert found[:, 1::2].min() >= 0
    assert not torch.equal(found, fill_from(prior, start, pictures(8, seed=1).double()))
    with torch.no_grad():
        log_probs = prior.log_probs(known, pictures(8).double(), steps=3)
    assert log_probs.shape == (8, N)
    assert (log_probs < 0).all()


def test_knowing_nothing_costs_the_whole_vocabulary() -> None:
    prior = autoregressive()
    with torch.no_grad():
        prior.vocabulary.embedding.weight.zero_()  # type: ignore[union-attr, operator]
        prior.vocabulary.bias.zero_()  # type: ignore[union-attr, operator]
    losses = prior(tokens(), pictures(), torch.ones(3, N, dtype=torch.bool)).losses
    torch.testing.assert_close(losses, torch.full((18,), math.log(K + 1)))


class TestRefused:
    def test_an_image_of_another_shape(self) -> None:
        with pytest.raises(GridcodeError, match=r"takes examples \(B, 3, 16, 24\), got shape \(1, 3, 16, 16\); resize"):
            make("ar").predict(torch.zeros(1, 3, 16, 16))

    def test_digits_of_a_book_without_any(self) -> None:
        space = TokenSpace(4096, (4, 4), (), "", {})
        with pytest.raises(
            GridcodeError, match="the chain head predicts digits, and this codebook of 4,096 codes has none"
        ):
            Autoregressive(replace(CONFIG, head="chain"), space, IMAGE)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"width": 10}, "prior sizes .* a multiple of heads, got width=10, depth=2, heads=4 and mlp=512"),
            ({"dropout": 1.0}, r"prior dropout must be in \[0, 1\), got 1.0"),
            ({"depth": 0}, "prior sizes must be positive"),
        ],
    )
    def test_a_decoder_that_cannot_be(self, settings: dict[str, float], message: str) -> None:
        with pytest.raises(GridcodeError, match=message):
            CrossAttentionConfig(**settings)  # type: ignore[arg-type]

    def test_an_encoder_that_cannot_be(self) -> None:
        with pytest.raises(GridcodeError, match="encoder patch must be at least 1, got 0"):
            FeatureEncoderConfig(patch=0)
        with pytest.raises(GridcodeError, match="multiples of its patch, 8; got 64x60: set another size"):
            FeatureEncoder(FeatureEncoderConfig(), 3, (64, 60))

    def test_shares_out_of_range(self) -> None:
        with pytest.raises(GridcodeError, match=r"min_masked must be in \[0, 1\), got 1.0"):
            DensePriorRun(min_masked=1.0)
        with pytest.raises(GridcodeError, match=r"encoder_lr must be >= 0, got -0\.1"):
            DensePriorRun(encoder_lr=-0.1)
