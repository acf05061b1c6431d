"""Attention by the kernel that is the fastest where it runs.

softmax(q k^T / sqrt(E)) v,  with what a query may not see left out of the softmax
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PLAIN_UP_TO = 512
"""Tokens up to which attention on a CPU is two plain products: PyTorch's CPU kernel takes 2 to 10 times as long there
(LOG.md). Beyond, its memory, linear in the tokens, counts for more."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, dropout_p: float = 0.0, seen: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Attention, written out for short rows on a CPU, else on PyTorch's fused kernel.

    Args:
        q: (B, heads, N, E).
        k: (B, heads, S, E).
        v: (B, heads, S, E).
        dropout_p: Dropout on the weights.
        seen: (N, S) bool, which keys a query sees; all of them where not given.
        causal: Instead of ``seen``: a query sees the keys up to its own place; S = N.

    Returns:
        (B, heads, N, E), in the dtype of ``q``.

    >>> q = k = v = torch.eye(3)[None, None]
    >>> attend(q, k, v, causal=True)[0, 0, 0]
    tensor([1., 0., 0.])
    """
    if q.device.type != "cpu" or k.shape[-2] > PLAIN_UP_TO:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout_p, is_causal=causal)
    if causal:
        seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
    return attend_plainly(q, k, v, dropout_p=dropout_p, seen=seen)


def attend_plainly(q: Tensor, k: Tensor, v: Tensor, *, dropout_p: float = 0.0, seen: Tensor | None = None) -> Tensor:
    """What ``scaled_dot_product_attention`` computes, as two products and a softmax; arguments as :func:`attend`'s."""
    # Autocast would send the softmax to float32 and back; in bf16 it already sums in float32.
    with torch.autocast(q.device.type, enabled=False):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if seen is not None:
            scores = scores.masked_fill(~seen, -torch.inf)
        return F.dropout(scores.softmax(-1), dropout_p) @ v
