"""The transformer block of BERT: attention and a two-layer MLP, each followed by its layer norm (post-LN).

x <- norm(x + dropout(attention(x)));  x <- norm(x + dropout(mlp(x)))

Reference:
    Devlin et al., "BERT", 2018, as configured by Chang et al., "MaskGIT", 2022 (layer-norm eps 1e-12,
    tanh-GELU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYER_NORM_EPS = 1e-12


PLAIN_UP_TO = 512
"""Tokens up to which attention on a CPU is two plain products: PyTorch's CPU kernel takes 2 to 10 times as long there
(LOG.md). Beyond, its memory, linear in the tokens, counts for more."""


def attend_plainly(q: Tensor, k: Tensor, v: Tensor, *, dropout_p: float = 0.0) -> Tensor:
    """``dropout(softmax(q k^T / sqrt(E))) v``, written out; what ``scaled_dot_product_attention`` computes.

    Args:
        q: (B, heads, N, E).
        k: (B, heads, N, E).
        v: (B, heads, N, E).
        dropout_p: Dropout on the weights.

    Returns:
        (B, heads, N, E), in the dtype of ``q``.
    """
    # Autocast would send the softmax to float32 and back; in bf16 it already sums in float32.
    with torch.autocast(q.device.type, enabled=False):
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1)
        return F.dropout(weights, dropout_p) @ v


class SelfAttention(nn.Module):
    """Multi-head self-attention over all positions, on PyTorch's fused kernel where that is the faster way.

    Args:
        width: Features per token, D; a multiple of ``heads``.
        heads: Attention heads.
        dropout: Dropout on the attention weights while training.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attend = attend_plainly if x.device.type == "cpu" and N <= PLAIN_UP_TO else F.scaled_dot_product_attention
        y = attend(q, k, v, dropout_p=dropout)
        out: Tensor = self.out(y.transpose(1, 2).reshape(B, N, D))
        return out


class PostNormBlock(nn.Module):
    """One BERT layer.

    Args:
        width: Features per token, D.
        heads: Attention heads.
        mlp: Width of the MLP's hidden layer.
        dropout: Dropout on attention weights and on each branch's output.

    >>> import torch
    >>> PostNormBlock(16, 4, mlp=32, dropout=0.0)(torch.zeros(2, 5, 16)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, width: int, heads: int, *, mlp: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.GELU(approximate="tanh"), nn.Linear(mlp, width))
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = self.norm1(x + self.dropout(self.attention(x)))
        out: Tensor = self.norm2(x + self.dropout(self.mlp(x)))
        return out


def truncated_normal_(module: nn.Module, std: float = 0.02) -> None:
    """Initialise linear and embedding weights as BERT does: normal, truncated at two deviations; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
