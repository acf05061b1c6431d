"""Cross-entropy in blocks of codes: against all logits at once, in values and gradients, and what it never holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gridcode.prior.vocabulary import blocks
from gridcode.prior.vocabulary.cross_entropy import linear_cross_entropy, plain_cross_entropy


def layer(
    rows: int, codes: int, width: int = 8, *, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden vectors, weight and bias that want gradients, and tokens."""
    generator = torch.Generator().manual_seed(rows * 1000 + codes)
    shapes = ((rows, width), (codes, width), (codes,))
    numbers = [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]
    hidden, weight, bias = numbers
    return hidden, weight, bias, torch.randint(0, codes, (rows,), generator=generator)


def gradients(losses: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of a sum in which every row weighs something else, one of them nothing."""
    return torch.autograd.grad((losses * torch.arange(len(losses))).sum(), inputs)


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    codes=st.integers(1, 40),
    block=st.integers(1, 50),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
)
def test_blocks_give_what_all_logits_at_once_give(rows: int, codes: int, block: int, smoothing: float) -> None:
    *inputs, tokens = layer(rows, codes, dtype=torch.float64)
    plain = plain_cross_entropy(*inputs, tokens, label_smoothing=smoothing)
    blocks = linear_cross_entropy(*inputs, tokens, label_smoothing=smoothing, block=block)
    torch.testing.assert_close(blocks.losses, plain.losses)
    assert torch.equal(blocks.right, plain.right)
    for ours, reference in zip(gradients(blocks.losses, inputs), gradients(plain.losses, inputs), strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_its_gradient_is_that_of_its_loss(smoothing: float) -> None:
    *inputs, tokens = layer(4, 11, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *layer: linear_cross_entropy(*layer, tokens, label_smoothing=smoothing, block=4).losses, inputs
    )


@pytest.mark.parametrize("tied", [0, 5])
def test_of_equal_logits_the_first_is_the_prediction(tied: int) -> None:
    hidden, weight, bias = torch.ones(8, 2), torch.zeros(8, 2), torch.zeros(8)
    weight[[tied, tied + 1, tied + 2]] = 1.0
    scores = linear_cross_entropy(hidden, weight, bias, torch.arange(8), block=2)
    assert scores.right.tolist() == [token == tied for token in range(8)]
    assert torch.equal(scores.right, plain_cross_entropy(hidden, weight, bias, torch.arange(8)).right)


def test_logits_far_from_zero_neither_overflow_nor_vanish() -> None:
    hidden, weight = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1e4], [0.0], [-1e4]])
    tokens = torch.tensor([2, 2])
    scores = linear_cross_entropy(hidden, weight, torch.zeros(3), tokens, block=1)
    torch.testing.assert_close(scores.losses, plain_cross_entropy(hidden, weight, torch.zeros(3), tokens).losses)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(bad: float) -> None:
    hidden, weight, bias, tokens = (tensor.detach() for tensor in layer(3, 9))
    hidden[1] = bad
    losses = linear_cross_entropy(hidden, weight, bias, tokens, block=4).losses
    assert losses.isfinite().tolist() == [True, False, True]


def test_under_autocast_it_rounds_as_a_linear_layer_does() -> None:
    *inputs, tokens = layer(64, 700, 32)
    with torch.autocast("cpu", torch.bfloat16):
        blocks = linear_cross_entropy(*inputs, tokens, label_smoothing=0.1, block=256)
        plain = plain_cross_entropy(*inputs, tokens, label_smoothing=0.1)
    assert blocks.losses.dtype == torch.float32
    torch.testing.assert_close(blocks.losses, plain.losses, atol=0.02, rtol=0.02)
    for ours, reference in zip(gradients(blocks.losses, inputs), gradients(plain.losses, inputs), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - reference).norm() < 0.02 * reference.norm()


def test_float64_stays_exact_under_autocast() -> None:
    *inputs, tokens = layer(8, 30, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_cross_entropy(*inputs, tokens)
    assert torch.equal(found.losses, linear_cross_entropy(*inputs, tokens).losses)


def test_a_backward_pass_under_autocast_is_as_exact() -> None:
    *inputs, tokens = layer(16, 60)
    losses = linear_cross_entropy(*inputs, tokens, block=16).losses
    expected = torch.autograd.grad(losses.sum(), inputs, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(losses.sum(), inputs)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_transforms_of_functions_take_it() -> None:
    hidden, weight, bias, tokens = layer(4, 20)
    expected = gradients(linear_cross_entropy(hidden, weight, bias, tokens).losses, (hidden,))[0]
    found = torch.func.grad(
        lambda h: (linear_cross_entropy(h, weight, bias, tokens).losses * torch.arange(len(tokens))).sum()
    )(hidden)
    torch.testing.assert_close(found, expected)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called for each operation."""
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple) else (made,):
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


def test_no_tensor_is_larger_than_a_block_or_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(blocks.NUMBERS, "cpu", 256 * 64)
    *inputs, tokens = layer(64, 4096)
    with Largest() as largest:
        gradients(linear_cross_entropy(*inputs, tokens, label_smoothing=0.1).losses, inputs)
    assert largest.numbers == 4096 * 8
    assert largest.numbers < 64 * 4096
