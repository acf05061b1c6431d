r"""MaskGIT's entropy loss: each latent should be sure of its codeword, and the batch should use them all.

For N latents z_n, codewords e_k and a temperature τ (its "softmax" kind):

    p_nk = softmax_k( -|z_n - e_k|² / τ )            a_k = mean_n p_nk
    loss = mean_n H(p_n) - H(a),      H(p_n) = -Σ_k p_nk log p_nk,      H(a) = -Σ_k a_k log(a_k + 1e-5)

in nats, in [-log K, log K] but for the 1e-5. |z_n|² cancels in the softmax and is left out.

The N x K matrix is never held. Forward goes over blocks of rows and keeps a (K,); backward goes over them again with

    G_nj = p_nj / N · (t_nj - Σ_k p_nk t_nk),      t_nk = log(a_k + 1e-5) + a_k / (a_k + 1e-5) - log p_nk
    d loss / d z_n = 2/τ Σ_j G_nj e_j,             d loss / d e_j = 2/τ Σ_n G_nj (z_n - e_j)

where G is the gradient with respect to the softmax's logits (its rows sum to 0, so z_n drops out of its own gradient,
and so does whatever is added to all t of a row). A block takes at most ``BLOCK_BYTES``, or is one row where K is that
large: enough rows for the products to be fast. Between the products it is worked on a few rows at a time, which caches
hold. Besides, backward saves latents and codebook and makes their gradients.

In a run of several processes each takes the mean over its own batch, as the original does.

Reference: Chang et al. 2022 (arXiv 2202.04200), code; the idea is Jansen et al. 2019 (arXiv 1911.05894).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_BYTES = 2**24
"""What a block of the N x K matrix takes: 16 MiB."""
PART_BYTES = {"cpu": 2**20, "other": BLOCK_BYTES}
"""What its rows take that are worked on at a time, by device: 1 MiB, which caches hold, or all of it."""

_EPS = 1e-5


def entropy_loss(latents: Tensor, codewords: Tensor, *, temperature: float, limit: int = BLOCK_BYTES) -> Tensor:
    """Mean entropy of the soft choices less the entropy of the mean choice.

    Args:
        latents: (N, d); an empty batch gives 0.
        codewords: (K, d), of the same dtype.
        temperature: τ, above 0, in the unit of squared distances.
        limit: Bytes for a block of the N x K matrix.

    Returns:
        A scalar in nats, differentiable once in both arguments.

    >>> codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> entropy_loss(codebook, codebook, temperature=0.01)  # sure of each, and both are used: -log 2
    tensor(-0.6931)
    """
    if len(latents) == 0:
        return latents.sum()
    rows = max(1, limit // (len(codewords) * latents.element_size()))
    # A copy, since statistics may change the codebook in place before backward reads it.
    with torch.autocast(latents.device.type, enabled=False):
        loss: Tensor = _EntropyLoss.apply(  # type: ignore[no-untyped-call]
            latents, codewords.clone(), temperature, rows
        )
    return loss


class _EntropyLoss(torch.autograd.Function):
    """The two passes of the module's docstring."""

    @staticmethod
    def forward(ctx: Any, latents: Tensor, codewords: Tensor, temperature: float, rows: int) -> Tensor:
        sample = latents.new_zeros(())
        average = latents.new_zeros(len(codewords))
        for _, block in _blocks(latents, codewords, temperature, rows):
            for logits, p in _choices(block):
                average += p.sum(0)
                # The largest logit is 0, so log p = logits + log max p.
                sample -= (p.amax(1).log() + torch.linalg.vecdot(p, logits)).sum()
        average /= len(latents)
        ctx.save_for_backward(latents, codewords, average)
        ctx.temperature, ctx.rows = temperature, rows
        return sample / len(latents) + (average * (average + _EPS).log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        latents, codewords, average = ctx.saved_tensors
        with torch.autocast(latents.device.type, enabled=False):
            return (*_gradients(latents, codewords, average, upstream, ctx.temperature, ctx.rows), None, None)


def _gradients(
    latents: Tensor, codewords: Tensor, average: Tensor, upstream: Tensor, temperature: float, count: int
) -> tuple[Tensor, Tensor]:
    """Of latents and codewords."""
    push = (average + _EPS).log() + average / (average + _EPS)
    scale = upstream * (2 / (temperature * len(latents)))
    to_latents, to_codewords = torch.empty_like(latents), torch.zeros_like(codewords)
    total = torch.zeros_like(average)
    for rows, block in _blocks(latents, codewords, temperature, count):
        for logits, p in _choices(block):
            # G N = p (t - Σ p t), of t but for what is the same all along a row
            t = torch.sub(push, logits, out=logits)
            total += t.sub_(torch.linalg.vecdot(p, t)[:, None]).mul_(p).sum(0)
        torch.mm(block, codewords, out=to_latents[rows])
        to_codewords.addmm_(block.t(), latents[rows])
    to_codewords.sub_(total[:, None] * codewords)
    return to_latents.mul_(scale), to_codewords.mul_(scale)


def _blocks(latents: Tensor, codewords: Tensor, temperature: float, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """-|z - e|² / τ without |z|², of some rows at a time, in the same memory: the rows, and their block."""
    norms = codewords.square().sum(1) / -temperature
    memory = latents.new_empty(min(rows, len(latents)), len(codewords))
    for start in range(0, len(latents), rows):
        part = slice(start, min(start + rows, len(latents)))
        block = memory[: part.stop - start]
        yield part, torch.addmm(norms, latents[part], codewords.t(), alpha=2 / temperature, out=block)


def _choices(block: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of a block, less each row's largest, to be overwritten; and their softmax, until the next are asked for."""
    limit = PART_BYTES.get(block.device.type, PART_BYTES["other"])
    count = max(1, limit // (block.shape[1] * block.element_size()))
    memory = torch.empty_like(block[:count])
    for logits in torch.split(block, count):
        logits.sub_(logits.amax(1, keepdim=True))
        # exp() of what underflows takes forty times as long on a CPU as softmax().
        yield logits, torch.softmax(logits, 1, out=memory[: len(logits)])
