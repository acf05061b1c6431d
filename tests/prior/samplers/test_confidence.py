"""Parallel decoding against MaskGIT's published loop, written again in numpy, slowly, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.distribution import CategoricalTokens, TokenDistribution
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.fill import fill_masked
from gridcode.prior.samplers.loop import TokenModel

K, MASK = 7, 9
GRID = (1, 1)  # only Halton looks at it


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 1, seed: int = 0) -> Noise:
    return Noise.of_examples(seed, torch.arange(count))


@dataclass(frozen=True)
class Scripted(TokenDistribution):
    """A distribution whose draws and log-probabilities are written down beforehand."""

    drawn: Tensor
    log_probs: Tensor

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        return self.drawn

    def log_prob(self, tokens: Tensor) -> Tensor:
        assert torch.equal(tokens, self.drawn)
        return self.log_probs

    def guide(self, unconditional: Self, scale: float) -> Self:
        raise AssertionError("a sampler does not guide")


def maskgit(
    tokens: NDArray[np.int64],
    draws: NDArray[np.int64],
    log_probs: NDArray[np.float64],
    noise: NDArray[np.float64],
    *,
    steps: int,
    choice: float,
) -> NDArray[np.int64]:
    """`parallel_decode` of the original code for one row (N,); tables are (steps, N)."""
    at_start = int((tokens == MASK).sum())
    for step in range(steps):
        unknown = tokens == MASK
        if not unknown.any():
            break
        sampled = np.where(unknown, draws[step], tokens)
        if step == steps - 1:
            return sampled
        ratio = (step + 1) / steps
        mask_len = np.floor(at_start * np.cos(np.pi / 2 * ratio))
        mask_len = int(max(1, min(unknown.sum() - 1, mask_len)))
        confidence = np.where(unknown, log_probs[step] + choice * (1 - ratio) * noise[step], np.inf)
        for place in np.argsort(confidence)[:mask_len]:
            sampled[place] = MASK
        tokens = sampled
    return tokens


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4),
    steps=st.integers(1, 7),
    choice=st.sampled_from([0.0, 1.0, 4.5]),
    seed=st.integers(0, 10**6),
)
def test_it_is_maskgits_loop(rows: list[list[bool]], steps: int, choice: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    known = chance.integers(0, K, (len(rows), 15))
    start = np.where(np.repeat(rows, 3, axis=1), MASK, known)
    draws = chance.integers(0, K, (steps, *start.shape))
    log_probs = -chance.exponential(size=draws.shape)
    noise = chance.gumbel(size=draws.shape)
    expected = [
        maskgit(start[r].copy(), draws[:, r], log_probs[:, r], noise[:, r], steps=steps, choice=choice)
        for r in range(len(rows))
    ]
    step = -1
    asked = torch.zeros(0)

    def model(tokens: Tensor, positions: Tensor, guidance: float) -> Scripted:
        nonlocal step, asked
        step, asked = step + 1, positions
        assert torch.equal(positions, tokens == MASK)
        return Scripted(torch.tensor(draws[step])[positions], torch.tensor(log_probs[step])[positions].float())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Noise, "gumbel", lambda self: torch.tensor(noise[step])[asked].float())
        found = fill_masked(
            model,
            torch.tensor(start),
            mask=MASK,
            grid=GRID,
            config=SamplerConfig(steps=steps, choice_temperature=choice),
            noise=pictures(len(rows)),
        )
    np.testing.assert_array_equal(found.numpy(), expected)


def from_table(table: Tensor) -> TokenModel:
    """A model that says the same whatever the tokens are; logits (B, N, K)."""
    return lambda tokens, positions, guidance: CategoricalTokens(table[positions])


@settings(max_examples=40, deadline=None)
@given(
    masked=st.lists(st.booleans(), min_size=12, max_size=12),
    steps=st.integers(1, 15),
    temperature=st.sampled_from([0.0, 1.0]),
)
def test_known_tokens_stay_and_no_mask_is_left(masked: list[bool], steps: int, temperature: float) -> None:
    known = torch.randint(0, K, (3, 12), generator=generator())
    hidden = torch.stack([torch.tensor(masked).roll(shift) for shift in range(3)])
    hidden[2] = False
    table = torch.randn(3, 12, K, generator=generator())
    filled = fill_masked(
        from_table(table),
        known.masked_fill(hidden, MASK),
        mask=MASK,
        grid=GRID,
        config=SamplerConfig(steps=steps, temperature=temperature),
        noise=pictures(3),
    )
    assert torch.equal(filled[~hidden], known[~hidden])
    assert ((filled >= 0) & (filled < K)).all()
    if temperature == 0:
        assert torch.equal(filled[hidden], table.argmax(-1)[hidden])


def test_the_input_is_left_alone() -> None:
    start = torch.full((1, 4), MASK)
    config = SamplerConfig(steps=2)
    fill_masked(from_table(torch.zeros(1, 4, K)), start, mask=MASK, grid=GRID, config=config, noise=pictures())
    assert (start == MASK).all()


def test_the_model_sees_the_papers_counts() -> None:
    seen = []

    def spy(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
        seen.append(int((tokens == MASK).sum()))
        return CategoricalTokens(torch.zeros(int(positions.sum()), K))

    start = torch.full((1, 256), MASK)
    fill_masked(spy, start, mask=MASK, grid=GRID, config=SamplerConfig(steps=12), noise=pictures())
    fixed = [before - after for before, after in zip(seen, [*seen[1:], 0], strict=True)]
    assert fixed == [3, 6, 11, 15, 18, 22, 26, 27, 31, 31, 33, 33]


def test_without_noise_the_surest_tokens_stay() -> None:
    # Position n is certain of its token to the degree n.
    sure = torch.arange(16.0)
    table = torch.zeros(1, 16, K)
    table[..., 3] = sure
    states = []

    def spy(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
        states.append((tokens[0] != MASK).nonzero().flatten().tolist())
        return CategoricalTokens(table[positions])

    config = SamplerConfig(steps=4, temperature=0.0, choice_temperature=0.0)
    fill_masked(spy, torch.full((1, 16), MASK), mask=MASK, grid=GRID, config=config, noise=pictures())
    # 16 cos(pi/2 t/4) floored leaves 14, 11 and 6 masked.
    assert states == [[], [14, 15], list(range(11, 16)), list(range(6, 16))]


def test_same_seed_same_tokens() -> None:
    table = torch.randn(2, 30, K, generator=generator())
    start = torch.full((2, 30), MASK)
    config = SamplerConfig(steps=5)
    one, two, three = (
        fill_masked(from_table(table), start, mask=MASK, grid=GRID, config=config, noise=pictures(2, seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_one_step_draws_from_the_models_distribution() -> None:
    row = torch.tensor([0.0, 1.0, 2.0])
    start = torch.full((1, 30_000), MASK)
    table = row.expand(1, 30_000, 3)
    drawn = fill_masked(
        from_table(table), start, mask=MASK, grid=GRID, config=SamplerConfig(steps=1), noise=pictures()
    ).flatten()
    torch.testing.assert_close(drawn.bincount() / 30_000, row.softmax(0), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "sampling takes at least 1 step, got steps=0"),
        ({"temperature": -1.0}, r"temperatures must be >= 0 and finite, got temperature=-1\.0"),
        ({"choice_temperature": -0.5}, r"choice_temperature=-0\.5"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature_from": float("inf")}, "temperature_from=inf"),
        ({"guidance_from": float("nan")}, "guidance must be >= 0 and finite, got guidance_from=nan"),
    ],
)
def test_what_cannot_be_sampled_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        SamplerConfig(**settings)  # type: ignore[arg-type]
