"""The block of vision transformers (pre-norm), and positions on a grid of any size.

    x <- x + attention(norm(x));   x <- x + mlp(norm(x))

Parameters carry the names that timm's models have (``attn.qkv``, ``attn.proj``, ``mlp.fc1``, ``mlp.fc2``), so that
the state dict of such a block loads as it is.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020 (arXiv 2010.11929), section 3.1 and appendix D.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.nn.attention import attend

LAYER_NORM_EPS = 1e-6


class ViTAttention(nn.Module):
    """Multi-head self-attention over all tokens.

    Args:
        width: Features per token, D; a multiple of ``heads``.
        heads: Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(attend(q, k, v).transpose(1, 2).reshape(B, N, D))
        return out


class ViTMLP(nn.Module):
    """Two layers with a GELU (the exact one) between them.

    Args:
        width: Features per token, D.
        hidden: Width of the hidden layer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class ViTBlock(nn.Module):
    """One layer.

    Args:
        width: Features per token, D; a multiple of ``heads``.
        heads: Attention heads.
        mlp: Width of the MLP's hidden layer.

    >>> ViTBlock(16, 4, mlp=32)(torch.zeros(2, 5, 16)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, width: int, heads: int, *, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = ViTAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = ViTMLP(width, mlp)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class GridPositions(nn.Module):
    """Positions learned on one square grid, added on a grid of any shape by bicubic interpolation.

    On the grid they are learned on they are added as they are.

    Args:
        width: Features per token, D.
        side: Tokens a side of the grid they are learned on.

    >>> positions = GridPositions(8, side=4)
    >>> positions(torch.zeros(2, 8, 3, 6)).shape
    torch.Size([2, 8, 3, 6])
    """

    def __init__(self, width: int, *, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, width, side, side))
        nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, D, h, w)."""
        if x.shape[-2:] == self.weight.shape[-2:]:
            return x + self.weight
        size = (x.shape[-2], x.shape[-1])
        return x + F.interpolate(self.weight, size, mode="bicubic", align_corners=False, antialias=True)
