"""Cross-entropy of a linear layer over a large codebook, without its logits in memory.

    logits z = hidden weight^T + bias    (M, K), never whole: block after block of codes

    forward     a running logsumexp over the blocks, the logit of the true token, the largest
    backward    of each block again: z, p = exp(z - logsumexp), and from p - target its rows of the weight's gradient
                and its share of the hidden vectors'

A block is a range of codes and not of tokens, so each row of the weight's gradient, which is as large as the weight, is
written once. One more product than by ``torch.nn.functional.cross_entropy`` pays for seven passes over (M, K) numbers
less, in cache; memory beyond inputs and gradients is that of a few blocks, and under autocast that of the weight in
its precision. ``torch.compile`` and the transforms of ``torch.func`` take :func:`plain_cross_entropy` instead, which
holds all logits.

``torch.nn.functional.linear_cross_entropy`` of PyTorch 2.13 has blocks too, but of tokens, and no label smoothing then.

Reference: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2025 (arXiv 2411.09009).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.prior.distribution import at_least_float32
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.blocks import blocks_of_logits, logits_of, logsumexp
from gridcode.quantize.radix import transforming

SMALLEST = -87.0
"""The logarithm of about the smallest probability that float32 holds; ``exp`` of less takes forty times as long."""


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    tokens: Tensor,
    *,
    label_smoothing: float = 0.0,
    block: int | None = None,
) -> TokenScores:
    """Cross-entropy of ``hidden weight^T + bias`` and tokens.

    Args:
        hidden: (M, D); under autocast the products are in its precision.
        weight: (K, D).
        bias: (K,).
        tokens: (M,) int64 in [0, K), the truth.
        label_smoothing: Share of the target that is spread evenly, in [0, 1).
        block: Codes at once; None for what suits the device.

    Returns:
        Losses and hits of each token. Differentiable once.

    >>> hidden, weight = torch.eye(2), torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    >>> linear_cross_entropy(hidden, weight, torch.zeros(3), torch.tensor([0, 2])).right
    tensor([ True, False])
    """
    if torch.compiler.is_compiling() or transforming():
        return plain_cross_entropy(hidden, weight, bias, tokens, label_smoothing=label_smoothing)
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        # As a linear layer does: float64 stays what it is.
        hidden, weight, bias = (
            tensor if tensor.dtype == torch.float64 else tensor.to(dtype) for tensor in (hidden, weight, bias)
        )
    with torch.autocast(hidden.device.type, enabled=False):
        losses, right = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, tokens, label_smoothing, block
        )
    return TokenScores(losses, right)


def plain_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, tokens: Tensor, *, label_smoothing: float = 0.0
) -> TokenScores:
    """:func:`linear_cross_entropy` by all logits at once: the reference."""
    logits = logits_of(hidden, weight, bias)
    losses = F.cross_entropy(logits, tokens, reduction="none", label_smoothing=label_smoothing)
    return TokenScores(losses, logits.argmax(-1) == tokens)


class _LinearCrossEntropy(torch.autograd.Function):
    """Both passes, over blocks of codes."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, tokens: Tensor, smoothing: float, block: int | None
    ) -> tuple[Tensor, Tensor]:
        """Losses (M,), at least float32, and whether the most probable token is the true one, (M,) bool."""
        exact = at_least_float32(hidden[:0]).dtype
        largest, truth, total = (
            torch.full(tokens.shape, -torch.inf, dtype=exact, device=hidden.device) for _ in range(3)
        )
        right = torch.zeros_like(tokens, dtype=torch.bool)
        for start, logits in blocks_of_logits(hidden, weight, bias, block):
            place, here = _places(tokens, start, logits)
            truth = torch.where(here, logits.gather(1, place[:, None])[:, 0], truth)
            most = logits.amax(1)
            # The first of equal ones is the prediction; only rows whose true token may be it are searched.
            rows = (here & (truth == most) & (most > largest)).nonzero()[:, 0]
            right[rows] = logits[rows].argmax(1) == place[rows]
            largest = torch.maximum(largest, most)
            total = torch.logaddexp(total, logsumexp(logits))
        losses = total - truth
        if smoothing:
            mean = at_least_float32(hidden) @ weight.mean(0, dtype=exact) + bias.mean(dtype=exact)
            losses = losses + smoothing * (truth - mean)
        ctx.save_for_backward(hidden, weight, bias, tokens, total)
        ctx.smoothing, ctx.block = smoothing, block
        right &= truth == largest
        ctx.mark_non_differentiable(right)
        return losses, right

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of hidden, weight and bias; as exact where it is called under autocast."""
        with torch.autocast(upstream.device.type, enabled=False):
            return (*_gradients(ctx, upstream), None, None, None)


def _gradients(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of hidden, weight and bias."""
    hidden, weight, bias, tokens, total = ctx.saved_tensors
    upstream = upstream.to(total.dtype)
    scale, even = upstream[:, None], (-ctx.smoothing / len(weight) * upstream)[:, None]
    of_hidden = torch.zeros(hidden.shape, dtype=total.dtype, device=hidden.device)
    of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
    for start, logits in blocks_of_logits(hidden, weight, bias, ctx.block):
        end = start + logits.shape[1]
        wrong = torch.addcmul(even, logits.sub_(total[:, None]).clamp_(min=SMALLEST).exp_(), scale, out=logits)
        place, here = _places(tokens, start, logits)
        target = torch.where(here, (ctx.smoothing - 1) * upstream, 0)
        wrong.scatter_add_(1, place[:, None], target[:, None])
        of_bias[start:end] = wrong.sum(0)
        wrong = wrong.to(hidden.dtype)
        torch.mm(wrong.T, hidden, out=of_weight[start:end])
        of_hidden += wrong @ weight[start:end]
    return of_hidden.to(hidden.dtype), of_weight, of_bias


def _places(tokens: Tensor, start: int, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Where the tokens (M,) are in a block, and whether they are; a token that is not has any place."""
    place = tokens - start
    return place.clamp(0, logits.shape[1] - 1), (place >= 0) & (place < logits.shape[1])
