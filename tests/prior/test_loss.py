"""Stage II's loss against a loop over examples and tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gridcode.prior.train import prediction_scores
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.joint import JointVocabulary

V = 6


def scored(logits: Tensor, tokens: Tensor, *, label_smoothing: float) -> TokenScores:
    """The joint vocabulary's scores where the hidden vectors are the logits: codes 0 … 3, one class, MASK."""
    vocabulary = JointVocabulary(4, 1, width=V)
    with torch.no_grad():
        vocabulary.embedding.weight.copy_(torch.eye(V))
    return vocabulary.score(logits, tokens, label_smoothing=label_smoothing)


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
    scores = prediction_scores(scored(logits, tokens[hidden], label_smoothing=smoothing), hidden)

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
    prediction_scores(scored(logits, tokens[masked], label_smoothing=0.0), masked).loss.backward()
    assert logits.grad is not None
    shares = logits.grad.abs().sum(1)
    torch.testing.assert_close(shares[0], shares[1:].sum())


def test_half_precision_logits_are_scored_in_single() -> None:
    logits = torch.randn(3, V).bfloat16()
    tokens = torch.tensor([1, 2, 3])
    with torch.autocast("cpu", torch.bfloat16):
        low = scored(logits, tokens, label_smoothing=0.1).losses
    assert low.dtype == torch.float32
    assert torch.equal(low, scored(logits.float(), tokens, label_smoothing=0.1).losses)
