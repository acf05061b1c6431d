"""Today's transformer block: norms first, RMS norm, rotary positions, SwiGLU, QK-norm, no biases.

    x <- x + dropout(attention(norm(x)));   x <- x + dropout(swiglu(norm(x)))
    attention: q and k of each head are RMS-normed, then turned by their place (``rotary.py``)
    swiglu(x) = (silu(x A) * x B) C

Reference: Touvron et al., "LLaMA", 2023 (arXiv 2302.13971), section 2.2; Shazeer, "GLU Variants Improve Transformer",
2020; Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters", 2023 (QK-norm).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.nn.attention import KeyValues, attend

RMS_NORM_EPS = 1e-6


def swiglu_width(mlp: int) -> int:
    """The hidden width of a SwiGLU with as many weights as a two-layer MLP: 3 D H = 2 D M, so H = 2 M / 3.

    Rounded to a multiple of 8, for the sake of matrix products.

    >>> swiglu_width(3072), swiglu_width(1024)
    (2048, 680)
    """
    return max(8, round(mlp / 12) * 8)


class RotaryAttention(nn.Module):
    """Multi-head self-attention with normed and turned queries and keys.

    Args:
        width: Features per token, D; a multiple of ``heads``, whose width E is a multiple of 4.
        heads: Attention heads.
        dropout: Dropout on the attention weights while training.
        causal: A token sees itself and those before it only.
    """

    def __init__(self, width: int, heads: int, *, dropout: float, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_gain = nn.Parameter(torch.ones(width // heads))
        self.k_gain = nn.Parameter(torch.ones(width // heads))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, turns: Tensor, places: Tensor | None = None, cache: KeyValues | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or (M, D): the flat ``places`` (M,) alone; ``turns`` (2, N, E / 2)."""
        B, N, D = x.shape
        E = D // self.heads
        qkv = self.qkv(x).view(B, N, 3, self.heads, E).permute(2, 0, 3, 1, 4)
        both, v = qkv.split([2, 1])  # going back, the parts are joined, not added up
        (q, k), v = self._prepared(both, turns), v[0]
        dropout = self.dropout if self.training else 0.0
        if cache is None:
            y = attend(q, k, v, dropout_p=dropout, causal=self.causal)
        else:
            k, v, seen = cache.extend(k, v)
            y = attend(q, k, v, dropout_p=dropout, seen=seen)
        y = y.transpose(1, 2).reshape(B, N, D)
        out: Tensor = self.out(y if places is None else y.flatten(0, 1)[places])
        return out

    def _prepared(self, x: Tensor, turns: Tensor) -> Tensor:
        """Queries and keys (2, B, heads, N, E), normed, scaled, turned: both at once, half the calls.

        Gain and turn are one linear map; folded, they cost one pass over x less.
        """
        a, b = F.rms_norm(x, x.shape[-1:], eps=RMS_NORM_EPS).chunk(2, -1)
        cos, sin = turns
        first, second = torch.stack([self.q_gain, self.k_gain])[:, None, None, None].chunk(2, -1)
        maps = torch.stack([cos * first, sin * second, cos * second, sin * first]).to(x.dtype)
        return torch.cat([a * maps[0] - b * maps[1], b * maps[2] + a * maps[3]], -1)


class SwiGLU(nn.Module):
    """A gated MLP.

    Args:
        width: Features per token, D.
        hidden: Width of the hidden layer, H.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        gate, value = self.gate_and_value(x).chunk(2, -1)
        out: Tensor = self.out(F.silu(gate) * value)
        return out


class ModernBlock(nn.Module):
    """One layer.

    Args:
        width: Features per token, D.
        heads: Attention heads, of a width that is a multiple of 4.
        mlp: Hidden width of the two-layer MLP whose number of weights the SwiGLU has (:func:`swiglu_width`).
        dropout: Dropout on attention weights and on each branch's output.
        causal: A token sees itself and those before it only.

    >>> from gridcode.nn.attention import grid_turns
    >>> block = ModernBlock(16, 4, mlp=32, dropout=0.0, causal=False)
    >>> block(torch.zeros(2, 5, 16), grid_turns((2, 2), 4)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, width: int, heads: int, *, mlp: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(width, eps=RMS_NORM_EPS)
        self.attention = RotaryAttention(width, heads, dropout=dropout, causal=causal)
        self.norm2 = nn.RMSNorm(width, eps=RMS_NORM_EPS)
        self.mlp = SwiGLU(width, swiglu_width(mlp))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, turns: Tensor, places: Tensor | None = None, cache: KeyValues | None = None) -> Tensor:
        """As :class:`RotaryAttention`: (B, N, D) -> (B, N, D), or (M, D) where places are given."""
        own = x if places is None else x.flatten(0, 1)[places]
        own = own + self.dropout(self.attention(self.norm1(x), turns, places, cache))
        out: Tensor = own + self.dropout(self.mlp(self.norm2(own)))
        return out
