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

from gridcode.nn.attention import KeyValues, attend

LAYER_NORM_EPS = 1e-6


class ViTAttention(nn.Module):
    """Multi-head self-attention over all tokens, or causal, then also with a cache of keys and values.

    Args:
        width: Features per token, D; a multiple of ``heads``.
        heads: Attention heads.
        causal: A token sees itself and those before it only.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, cache: KeyValues | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); with a cache, x holds the tokens after those in it."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        if cache is None:
            y = attend(q, k, v, causal=self.causal)
        else:
            k, v, seen = cache.extend(k, v)
            y = attend(q, k, v, seen=seen)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(B, N, D))
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
        side: Tokens per side of the grid they are learned on.

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
        side, (h, w) = self.weight.shape[-1], x.shape[-2:]
        if (h, w) == (side, side):
            return x + self.weight
        with torch.autocast(x.device.type, enabled=False):
            down, across = (bicubic(side, length).to(self.weight) for length in (h, w))
            return x + down @ self.weight @ across.mT


def bicubic(length: int, wanted: int) -> Tensor:
    """The matrix (wanted, length) that resamples a row of values, on the CPU: bicubic, widened where it shortens.

        W[i, j] = k((j + 1/2 - (i + 1/2) s) / max(s, 1)), each row divided by its sum;  s = length / wanted
        k(x) = 1.5 |x|^3 - 2.5 |x|^2 + 1 up to 1,  -0.5 |x|^3 + 2.5 |x|^2 - 4 |x| + 2 up to 2,  0 beyond

    What ``F.interpolate(mode="bicubic", antialias=True)`` does in each direction, save that PyTorch 2.13 gives wrong
    values on a CPU where the result is one column wide.

    Reference: Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981.

    >>> bicubic(4, 2)
    tensor([[ 0.4587,  0.4587,  0.1198, -0.0372],
            [-0.0372,  0.1198,  0.4587,  0.4587]])
    """
    scale = length / wanted
    centres = (torch.arange(wanted, dtype=torch.float64, device="cpu")[:, None] + 0.5) * scale
    x = (torch.arange(length, dtype=torch.float64, device="cpu") + 0.5 - centres).abs() / max(scale, 1.0)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return (weights / weights.sum(1, keepdim=True)).float()
