"""The factorised entropy loss against a codebook laid out in float64, its bounds, its gradient and its memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from gridcode.quantize.binary.bsq import BSQ
from gridcode.quantize.binary.entropy import entropy_loss, mean_entropy, sample_entropy
from gridcode.quantize.binary.lfq import LFQ

Floats = NDArray[np.float64]


def draw(count: int, bits: int, scale: float = 2.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(count, bits, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def laid_out(logits: Floats) -> Floats:
    """p(c|z) of every vector over the whole codebook, (N, 2^d), from distances: σ(a) is a softmax over ± a / 2."""
    bits = logits.shape[1]
    book = 2 * ((np.arange(2**bits)[:, None] >> np.arange(bits)) & 1) - 1.0
    scores = logits @ book.T / 2
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def entropy(p: Floats) -> Floats:
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(-1))


@settings(max_examples=50, deadline=None)
@given(
    bits=st.integers(1, 7),
    count=st.integers(1, 9),
    group=st.integers(1, 9),
    scale=st.sampled_from([0.1, 1.0, 20.0]),
    seed=st.integers(0, 99),
)
def test_both_terms_are_those_of_the_book_laid_out(bits: int, count: int, group: int, scale: float, seed: int) -> None:
    logits = draw(count, bits, scale, seed)
    rows = logits.numpy()
    samples = entropy(laid_out(rows)).mean()
    mean = sum(entropy(laid_out(rows[:, i : i + group]).mean(0)) for i in range(0, bits, group))
    np.testing.assert_allclose(float(sample_entropy(logits)), samples, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(float(mean_entropy(logits, group)), mean, rtol=1e-9, atol=1e-9)
    loss = entropy_loss(logits, diversity=0.7, group=group)
    np.testing.assert_allclose(float(loss), samples - 0.7 * mean, rtol=1e-9, atol=1e-9)


def test_larger_groups_come_closer_to_the_whole_books_entropy_from_above() -> None:
    logits = draw(40, 8, 6.0)
    values = [float(mean_entropy(logits, group)) for group in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 0.1
    assert float(sample_entropy(logits)) < values[-1] < 8 * math.log(2)


def test_float32_agrees_with_float64() -> None:
    logits = draw(500, 12, 100.0)
    for group in (1, 5, 12):
        exact = float(entropy_loss(logits, diversity=1.0, group=group))
        assert float(entropy_loss(logits.float(), diversity=1.0, group=group)) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("group", [1, 2, 3])
def test_gradient(group: int) -> None:
    logits = draw(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: entropy_loss(a, diversity=0.5, group=group), (logits,))


@pytest.mark.parametrize("size", [0.0, 1e3, 1e30, math.inf])
def test_no_logit_makes_nan(size: float) -> None:
    logits = torch.tensor([[size, -size, size], [-size, size, 0.0]], requires_grad=True)
    loss = entropy_loss(logits, diversity=1.0, group=2)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_an_empty_batch_has_no_loss() -> None:
    for group in (1, 4, 9):
        assert float(entropy_loss(torch.zeros(0, 9), diversity=1.0, group=group)) == 0


def test_autocast_keeps_float32() -> None:
    logits = draw(300, 8, 3.0).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = entropy_loss(logits, diversity=1.0, group=8)
    assert lowered.dtype == torch.float32
    assert torch.equal(lowered, entropy_loss(logits, diversity=1.0, group=8))


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return out


@pytest.mark.parametrize(
    ("bits", "group", "count"),
    [(18, 1, 3000), (18, 9, 50), (18, 9, 3000), (18, 18, 50), (18, 18, 3000), (63, 9, 3000), (20, 20, 50), (13, 5, 50)],
)
def test_no_tensor_is_larger_than_documented(bits: int, group: int, count: int) -> None:
    for quantizer in (LFQ(bits, group=group), BSQ(bits, group=group, commitment=0.1)):
        z = draw(count, bits).float().requires_grad_()
        with Largest() as largest:
            out = quantizer(z)
            (out.loss + out.codes.sum()).backward()
        assert largest.elements <= max(count * bits, count * 2 ** ((group + 1) // 2), 2**group)


def test_a_term_of_weight_zero_is_not_computed() -> None:
    z = draw(200, 10).float()
    sizes = []
    for entropy_weight, diversity in ((0.1, 1.0), (0.1, 0.0), (0.0, 1.0)):
        with Largest() as largest:
            LFQ(10, entropy=entropy_weight, diversity=diversity, group=10)(z)
        sizes.append(largest.elements)
    assert sizes == [200 * 32, 200 * 10, 200 * 10]
