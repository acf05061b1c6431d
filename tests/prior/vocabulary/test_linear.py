"""Tokens of a linear layer, a block of rows at a time: against all logits at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.prior.distribution import CategoricalTokens
from gridcode.prior.noise import Noise
from gridcode.prior.vocabulary import blocks, linear
from gridcode.prior.vocabulary.blocks import at_once
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
        patch.setattr(blocks, "LEAST", 16)
        patch.setitem(blocks.NUMBERS, "cpu", 1)  # blocks of 16 codes, or of 16 rows
        patch.setattr(linear, "SMALL", small)
        drawn, log_prob = guided.sample_with_log_prob(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)
        alone = guided.sample(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)
        torch.testing.assert_close(log_prob, guided.log_prob(drawn))
    torch.testing.assert_close(guided.logits, expected.logits)
    assert torch.equal(drawn, expected.sample(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p))
    assert torch.equal(drawn, alone)
    assert log_prob.dtype == torch.float32
    torch.testing.assert_close(log_prob, expected.log_prob(drawn))


@given(rows=st.integers(0, 2**30))
def test_a_block_is_a_power_of_two_and_no_larger_than_it_may_be(rows: int) -> None:
    found = at_once(rows, torch.device("cpu"))
    assert found.bit_count() == 1
    assert found >= blocks.LEAST
    assert found == blocks.LEAST or found * max(1, rows) <= blocks.NUMBERS["cpu"]
