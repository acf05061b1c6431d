"""Stage II's loss against a loop over examples and tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.prior.loss import masked_token_loss

V = 6


@settings(deadline=None)
@given(
    masked=st.lists(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), min_size=1, max_size=4),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    seed=st.integers(0, 1000),
)
def test_it_is_the_mean_of_each_examples_mean(masked: list[list[bool]], smoothing: float, seed: int) -> None:
    hidden = torch.tensor(masked)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, V, hidden.shape, generator=generator)
    logits = torch.randn(int(hidden.sum()), V, generator=generator)
    scores = masked_token_loss(logits, tokens, hidden, label_smoothing=smoothing)

    rows, examples, right = iter(logits.double().numpy()), [], []
    for b in range(len(hidden)):
        losses = []
        for n in range(hidden.shape[1]):
            if not hidden[b, n]:
                continue
            row, truth = next(rows), int(tokens[b, n])
            log_p = row - np.log(np.exp(row).sum())
            target = np.full(V, smoothing / V)
            target[truth] += 1 - smoothing
            losses.append(-(target * log_p).sum())
            right.append(row.argmax() == truth)
        examples.append(np.mean(losses))
    assert scores.loss.item() == pytest.approx(np.mean(examples), rel=1e-5)
    assert scores.accuracy.item() == pytest.approx(np.mean(right))


def test_an_example_counts_the_same_however_much_of_it_is_hidden() -> None:
    tokens = torch.zeros(2, 4, dtype=torch.int64)
    masked = torch.tensor([[True, False, False, False], [True, True, True, True]])
    logits = torch.zeros(5, V, requires_grad=True)
    masked_token_loss(logits, tokens, masked, label_smoothing=0.0).loss.backward()
    assert logits.grad is not None
    shares = logits.grad.abs().sum(1)
    torch.testing.assert_close(shares[0], shares[1:].sum())


def test_half_precision_logits_are_scored_in_single() -> None:
    logits = torch.randn(3, V).bfloat16()
    tokens, masked = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    low = masked_token_loss(logits, tokens, masked, label_smoothing=0.1).loss
    assert low.dtype == torch.float32
    assert torch.equal(low, masked_token_loss(logits.float(), tokens, masked, label_smoothing=0.1).loss)
