"""The block of a decoder that also attends to a memory, such as another example; norms first, as in vision
transformers.

    x <- x + attention(norm(x));   x <- x + cross(norm(x), memory);   x <- x + mlp(norm(x))
    cross(x, memory) = softmax(q k^T / sqrt(E)) v,    q of x, k and v of the memory

The memory does not depend on x: its keys and values are computed once for all passes of a decoder.

Reference: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.3; Dosovitskiy et al., 2020 (norms first).
"""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn

from gridcode.nn.attention import KeyValues, attend
from gridcode.nn.vit import LAYER_NORM_EPS, ViTAttention, ViTMLP

Memory: TypeAlias = tuple[Tensor, Tensor]
"""Keys and values that one layer attends to, each (B, heads, S, E)."""


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to a memory.

    Args:
        width: Features per token, D; a multiple of ``heads``.
        heads: Attention heads.
        memory: Features per token of the memory.

    >>> import torch
    >>> cross = CrossAttention(16, 4, memory=24)
    >>> cross(torch.zeros(2, 5, 16), cross.keys_and_values(torch.zeros(2, 9, 24))).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, width: int, heads: int, *, memory: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(memory, 2 * width)
        self.proj = nn.Linear(width, width)

    def keys_and_values(self, features: Tensor) -> Memory:
        """Keys and values of a memory's features (B, S, D')."""
        B, S, _ = features.shape
        k, v = self.kv(features).view(B, S, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        B, N, D = x.shape
        q = self.q(x).view(B, N, self.heads, -1).transpose(1, 2)
        out: Tensor = self.proj(attend(q, *memory).transpose(1, 2).reshape(B, N, D))
        return out


class DecoderBlock(nn.Module):
    """One layer.

    Args:
        width: Features per token, D; a multiple of ``heads``.
        heads: Attention heads.
        mlp: Width of the MLP's hidden layer.
        memory: Features per token of the memory.
        dropout: Dropout on each branch's output.
        causal: A token sees itself and those before it only.

    >>> import torch
    >>> block = DecoderBlock(16, 4, mlp=32, memory=24, dropout=0.0, causal=True)
    >>> block(torch.zeros(2, 5, 16), block.cross.keys_and_values(torch.zeros(2, 9, 24))).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, width: int, heads: int, *, mlp: int, memory: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = ViTAttention(width, heads, causal=causal)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.cross = CrossAttention(width, heads, memory=memory)
        self.norm3 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = ViTMLP(width, mlp)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Memory, cache: KeyValues | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); with a cache, x holds the tokens after those in it."""
        x = x + self.dropout(self.attn(self.norm1(x), cache))
        x = x + self.dropout(self.cross(self.norm2(x), memory))
        out: Tensor = x + self.dropout(self.mlp(self.norm3(x)))
        return out
