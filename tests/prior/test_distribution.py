"""One softmax over the codebook: probabilities, draws and guidance by their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.prior.distribution import CategoricalTokens, draw
from gridcode.prior.noise import Noise


def logits(*shape: int, scale: float = 3.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * scale


def rows(count: int, seed: int = 0) -> Noise:
    return Noise.of_examples(seed, torch.arange(count))


def test_log_probabilities_are_normalised_and_right() -> None:
    for scale in (1.0, 300.0):
        table = logits(5, 7, scale=scale)
        distribution = CategoricalTokens(table)
        found = torch.stack([distribution.log_prob(torch.full((5,), token)) for token in range(7)], -1)
        expected = table.double() - table.double().logsumexp(-1, keepdim=True)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(found.exp().sum(-1), torch.ones(5))


@pytest.mark.parametrize("scale", [0.0, 0.2, 1.5])
def test_guidance_is_the_papers_formula(scale: float) -> None:
    with_class, without = logits(4, 6), logits(4, 6).flip(0)
    guided = CategoricalTokens(with_class).guide(CategoricalTokens(without), scale)
    torch.testing.assert_close(guided.logits, (1 + scale) * with_class - scale * without)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_have_the_tempered_probabilities(temperature: float) -> None:
    row = torch.tensor([0.0, 1.0, 2.0, -1.0])
    count = 40_000
    drawn = CategoricalTokens(row.expand(count, 4)).sample(temperature=temperature, noise=rows(count))
    expected = (row / temperature).softmax(0)
    seen = drawn.bincount(minlength=4) / count
    assert ((seen - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt()).all()


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e-7, 0.999e-5])
def test_near_zero_the_most_probable_is_taken_and_of_equal_ones_the_first(temperature: float) -> None:
    table = logits(50, 9)
    table[:, 3] = table[:, 7] = table.amax(1)
    table[7:, 5] = table[7:, 3] - 1e-7
    for seed in range(5):
        drawn = CategoricalTokens(table).sample(temperature=temperature, noise=rows(50, seed))
        assert torch.equal(drawn, torch.from_numpy(table.numpy().argmax(-1)))


def test_of_equal_ones_at_the_cut_the_first_may_be_drawn() -> None:
    table = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0]).expand(2000, -1)
    allowed = [set(draw(table, temperature=1.0, uniform=rows(2000).uniform(), top_k=k).tolist()) for k in (1, 2, 3, 4)]
    assert allowed == [{1}, {1, 3}, {0, 1, 3}, {0, 1, 2, 3}]
    nucleus = draw(torch.zeros(2000, 4), temperature=1.0, uniform=rows(2000).uniform(), top_p=0.5)
    assert set(nucleus.tolist()) == {0, 1}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_tokens_asked_no_tokens_drawn(temperature: float) -> None:
    drawn = CategoricalTokens(torch.empty(0, 5)).sample(temperature=temperature, noise=rows(0))
    assert drawn.shape == (0,)
    assert drawn.dtype == torch.int64


@settings(deadline=None, max_examples=40)
@given(
    row=st.lists(st.integers(-20, 20), min_size=2, max_size=6, unique=True),
    top_k=st.integers(0, 7),
    top_p=st.floats(0.05, 1.0),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_only_the_most_probable_are_drawn(row: list[float], top_k: int, top_p: float, temperature: float) -> None:
    logits = torch.tensor(row) / 4
    drawn = draw(
        logits.expand(300, -1),
        temperature=temperature,
        uniform=rows(300).uniform(),
        top_k=top_k,
        top_p=top_p,
    )
    probabilities = np.exp(logits.double().numpy() / temperature)
    order = np.argsort(-probabilities)[: top_k or None]
    kept = probabilities[order] / probabilities[order].sum()
    # A float32 sum may fall on the other side of a tie.
    allowed = order[: int((np.cumsum(kept) - kept < top_p + 1e-5).sum())]
    assert set(drawn.tolist()) <= set(allowed.tolist())
    certain = [token for token, p in zip(allowed, kept, strict=False) if p > 0.2 and p * 1.0 < top_p]
    assert set(certain[:1]) <= set(drawn.tolist())


def test_cut_draws_keep_the_proportions_of_what_is_left() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0]).expand(40_000, 4)
    drawn = draw(logits, temperature=1.0, uniform=rows(40_000).uniform(), top_k=2)
    seen = drawn.bincount(minlength=4) / 40_000
    torch.testing.assert_close(seen[1:3], torch.tensor([1.0, 2.0]).softmax(0), atol=0.015, rtol=0)
    assert seen[0] == seen[3] == 0


def test_no_draw_of_what_has_no_probability() -> None:
    """At both ends of the row, where rounding would show, and in the middle."""
    table = torch.full((100_000, 5), -torch.inf)
    table[:, [1, 3]] = 0.0
    drawn = draw(table, temperature=1.0, uniform=rows(100_000).uniform())
    assert drawn.unique().tolist() == [1, 3]


def test_logits_that_are_not_finite_are_told() -> None:
    table = logits(3, 4)
    table[1, 2] = torch.nan
    with pytest.raises(GridcodeError, match="not finite"):
        draw(table, temperature=1.0, uniform=rows(3).uniform())
