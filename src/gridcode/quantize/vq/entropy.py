r"""MaskGIT's entropy loss: each latent should be sure of its codeword, and the batch should use them all.

For N latents z_n, codewords e_k and a temperature τ (its "softmax" kind):

    p_nk = softmax_k( -|z_n - e_k|² / τ )            a_k = mean_n p_nk
    loss = mean_n H(p_n) - H(a),      H(p_n) = -Σ_k p_nk log p_nk,      H(a) = -Σ_k a_k log(a_k + 1e-5)

in nats, in [-log K, log K] but for the 1e-5. |z_n|² cancels in the softmax and is left out.

The N x K matrix is never held. Forward goes over blocks of rows and keeps a (K,); backward goes over them again with

    G_nj = p_nj / N · (t_nj - Σ_k p_nk t_nk),      t_nk = log(a_k + 1e-5) + a_k / (a_k + 1e-5) - log p_nk
    d loss / d z_n = 2/τ Σ_j G_nj e_j,             d loss / d e_j = 2/τ Σ_n G_nj (z_n - e_j)

where G is the gradient with respect to the softmax's logits (its rows sum to 0, so z_n drops out of its own gradient).
All that has the size of a block stays within ``BLOCK_BYTES`` together, or is one row where K is that large; besides,
backward saves latents and codebook and makes their gradients.

In a run of several processes each takes the mean over its own batch, as the original does.

Reference: Chang et al. 2022 (arXiv 2202.04200), code; the idea is Jansen et al. 2019 (arXiv 1911.05894).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_BYTES = 2**26
"""What the blocks of the N x K matrix take together: 64 MiB."""

_EPS = 1e-5
_BLOCKS_AT_A_TIME = 4


def entropy_loss(latents: Tensor, codewords: Tensor, *, temperature: float, limit: int = BLOCK_BYTES) -> Tensor:
    """Mean entropy of the soft choices less the entropy of the mean choice.

    Args:
        latents: (N, d); an empty batch gives 0.
        codewords: (K, d), of the same dtype.
        temperature: τ, above 0, in the unit of squared distances.
        limit: Bytes for everything that has the size of a block.

    Returns:
        A scalar in nats, differentiable once in both arguments.

    >>> codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> entropy_loss(codebook, codebook, temperature=0.01)  # sure of each, and both are used: -log 2
    tensor(-0.6931)
    """
    if len(latents) == 0:
        return latents.sum()
    rows = max(1, limit // (_BLOCKS_AT_A_TIME * len(codewords) * latents.element_size()))
    # A copy, since statistics may change the codebook in place before backward reads it.
    loss: Tensor = _EntropyLoss.apply(latents, codewords.clone(), temperature, rows)  # type: ignore[no-untyped-call]
    return loss


class _EntropyLoss(torch.autograd.Function):
    """The two passes of the module's docstring."""

    @staticmethod
    def forward(ctx: Any, latents: Tensor, codewords: Tensor, temperature: float, rows: int) -> Tensor:
        sample = latents.new_zeros(())
        average = latents.new_zeros(len(codewords))
        for part in torch.split(latents, rows):
            log_p = _log_choices(part, codewords, temperature)
            p = log_p.softmax(1)  # exp() of what underflows takes forty times as long on a CPU
            average += p.sum(0)
            sample -= p.mul_(log_p).sum()
        average /= len(latents)
        ctx.save_for_backward(latents, codewords, average)
        ctx.temperature, ctx.rows = temperature, rows
        return sample / len(latents) + (average * (average + _EPS).log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        latents, codewords, average = ctx.saved_tensors
        push = (average + _EPS).log() + average / (average + _EPS)
        scale = upstream * (2 / (ctx.temperature * len(latents)))
        to_latents, to_codewords = torch.empty_like(latents), torch.zeros_like(codewords)
        for part, gradient in zip(torch.split(latents, ctx.rows), torch.split(to_latents, ctx.rows), strict=True):
            log_p = _log_choices(part, codewords, ctx.temperature)
            p = log_p.softmax(1)
            t = push - log_p
            # G N = p (t - Σ p t)
            g = t.sub_((p * t).sum(1, keepdim=True)).mul_(p)
            gradient.copy_(g @ codewords)
            to_codewords.addmm_(g.t(), part).sub_(g.sum(0)[:, None] * codewords)
        return to_latents.mul_(scale), to_codewords.mul_(scale), None, None


def _log_choices(latents: Tensor, codewords: Tensor, temperature: float) -> Tensor:
    # -|z - e|² / τ without |z|², as one product.
    norms = codewords.square().sum(1) / -temperature
    return torch.addmm(norms, latents, codewords.t(), alpha=2 / temperature).log_softmax(1)
