"""Tokens of a linear layer, a block of rows at a time: against all logits at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.prior import distribution
from gridcode.prior.distribution import CategoricalTokens
from gridcode.prior.noise import Noise
from gridcode.prior.vocabulary import blocks, linear
from gridcode.prior.vocabulary.blocks import codes_at_once, rows_at_once
from gridcode.prior.vocabulary.linear import LinearTokens

K = 50


def tokens_of(rows: int, seed: int) -> LinearTokens:
    """Of random hidden vectors; all are of the same layer."""
    layer, generator = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(K, 8, generator=layer, dtype=torch.float64), torch.randn(K, generator=layer)
    return LinearTokens(torch.randn(rows, 8, generator=generator, dtype=torch.float64), weight, bias.double())


@settings(deadline=None)
@given(
    rows=st.integers(0, 70),
    seed=st.integers(0, 100),
    temperature=st.sampled_from([0.0, 0.5, 1.0]),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([1.0, 0.7]),
    scale=st.sampled_from([0.0, 2.5]),
    small=st.sampled_from([1, K]),
)
def test_blocks_give_what_all_logits_at_once_give(
    rows: int, seed: int, temperature: float, top_k: int, top_p: float, scale: float, small: int
) -> None:
    ours, other = tokens_of(rows, seed), tokens_of(rows, seed + 1)
    expected = CategoricalTokens(ours.logits).guide(CategoricalTokens(other.logits), scale)
    guided, noise = ours.guide(other, scale), Noise.of_examples(seed, torch.arange(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "LEAST_CODES", 16)
        patch.setattr(blocks, "LEAST_ROWS", 16)
        patch.setitem(blocks.NUMBERS, "cpu", 1)  # blocks of 16 codes, or of 16 rows
        patch.setattr(linear, "SMALL", small)
        patch.setattr(distribution, "SMALL", small)
        theirs = expected.sample(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)
        drawn, log_prob = guided.sample_with_log_prob(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)
        alone = guided.sample(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)
        torch.testing.assert_close(log_prob, guided.log_prob(drawn))
    torch.testing.assert_close(guided.logits, expected.logits)
    assert torch.equal(drawn, theirs)
    assert torch.equal(drawn, alone)
    assert log_prob.dtype == torch.float32
    torch.testing.assert_close(log_prob, expected.log_prob(drawn))


@given(rows=st.integers(0, 2**30))
def test_a_block_is_a_power_of_two_and_no_larger_than_it_may_be(rows: int) -> None:
    for found, least in (
        (codes_at_once(rows, torch.device("cpu")), blocks.LEAST_CODES),
        (rows_at_once(rows, torch.device("cpu")), blocks.LEAST_ROWS),
    ):
        assert found.bit_count() == 1
        assert found >= least
        assert found == least or found * max(1, rows) <= blocks.NUMBERS["cpu"]


@pytest.mark.parametrize("top_k", [0, 2**22 - 1])
def test_every_code_of_a_large_codebook_may_be_drawn(top_k: int) -> None:
    codes, noise = 2**22, Noise.of_examples(0, torch.arange(3))
    even = LinearTokens(torch.zeros(3, 1), torch.zeros(codes, 1), torch.zeros(codes))
    uniform = noise.uniform(torch.float64)
    assert (
        even.sample(temperature=1.0, noise=noise, top_k=top_k).tolist() == (uniform * (top_k or codes)).long().tolist()
    )


@pytest.mark.parametrize("small", [1, K])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_layer_in_half_precision_is_guided_in_float32(
    dtype: torch.dtype, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "SMALL", small)
    halves = [
        LinearTokens(tokens.hidden.to(dtype), tokens.weight.to(dtype), tokens.bias.to(dtype))
        for tokens in (tokens_of(9, 1), tokens_of(9, 2))
    ]
    guided = halves[0].guide(halves[1], 2.5)
    exact, other = (LinearTokens(t.hidden.double(), t.weight.double(), t.bias.double()) for t in halves)
    torch.testing.assert_close(guided.logits.double(), exact.guide(other, 2.5).logits, atol=1e-4, rtol=1e-5)
    drawn, log_prob = guided.sample_with_log_prob(temperature=1.0, noise=Noise.of_examples(0, torch.arange(9)))
    torch.testing.assert_close(log_prob, exact.guide(other, 2.5).log_prob(drawn), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("small", [1, K])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_not_finite_is_refused(temperature: float, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "SMALL", small)
    tokens = tokens_of(3, 0)
    tokens.hidden[1] = torch.nan
    with pytest.raises(GridcodeError, match="not finite"):
        tokens.sample(temperature=temperature, noise=Noise.of_examples(0, torch.arange(3)))
