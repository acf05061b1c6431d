"""The transformer block of BERT: attention and a two-layer MLP, each followed by its layer norm (post-LN).

x <- norm(x + dropout(attention(x)));  x <- norm(x + dropout(mlp(x)))

Reference:
    Devlin et al., "BERT", 2018, as configured by Chang et al., "MaskGIT", 2022 (layer-norm eps 1e-12,
    tanh-GELU).
"""

from __future__ import annotations

from torch import Tensor, nn

from gridcode.nn.attention import attend
from gridcode.nn.gelu import TanhGELU

LAYER_NORM_EPS = 1e-12


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

    def forward(self, x: Tensor, asked: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or (M, D): the flat places ``asked`` (M,) of the B N alone."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        y = attend(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        y = y.transpose(1, 2).reshape(B, N, D)
        out: Tensor = self.out(y if asked is None else y.flatten(0, 1)[asked])
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
        self.mlp = nn.Sequential(nn.Linear(width, mlp), TanhGELU(), nn.Linear(mlp, width))
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, asked: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or (M, D): the flat places ``asked`` (M,) of the B N alone, as a last block needs."""
        own = x if asked is None else x.flatten(0, 1)[asked]
        own = self.norm1(own + self.dropout(self.attention(x, asked)))
        out: Tensor = self.norm2(own + self.dropout(self.mlp(own)))
        return out


def truncated_normal_(module: nn.Module, std: float = 0.02) -> None:
    """Initialise linear and embedding weights as BERT does: normal, truncated at two deviations; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
