"""The decoder of a picture-conditioned prior: tokens that look at each other and at the picture's features.

tokens' vectors + position -> blocks: self-attention, cross-attention to the features, MLP (nn/cross.py) -> norm
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from gridcode.domains.dense.prior.config import ConditionalConfig
from gridcode.nn.attention import KeyValues
from gridcode.nn.cross import DecoderBlock, Memory
from gridcode.nn.vit import LAYER_NORM_EPS


@final
class ConditionalDecoder(nn.Module):
    """The transformer between tokens' vectors and what is predicted from them.

    Args:
        config: Widths and depth.
        length: Tokens, N.
        causal: A token sees itself and those before it only.

    >>> import torch
    >>> decoder = ConditionalDecoder(ConditionalConfig(width=16, depth=1, heads=2, mlp=32), 4, causal=True)
    >>> decoder(torch.zeros(2, 4, 16), decoder.remember(torch.zeros(2, 9, 128))).shape
    torch.Size([2, 4, 16])
    """

    def __init__(self, config: ConditionalConfig, length: int, *, causal: bool) -> None:
        super().__init__()
        self.positions = nn.Embedding(length, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            DecoderBlock(
                config.width,
                config.heads,
                mlp=config.mlp,
                memory=config.encoder.width,
                dropout=config.dropout,
                causal=causal,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def remember(self, features: Tensor) -> list[Memory]:
        """Every layer's keys and values of a picture's features (B, S, D')."""
        memories = []
        for block in self.blocks:
            assert isinstance(block, DecoderBlock)
            memories.append(block.cross.remember(features))
        return memories

    def forward(self, x: Tensor, memories: Sequence[Memory], caches: Sequence[KeyValues] | None = None) -> Tensor:
        """Vectors (B, n, D) -> (B, n, D).

        Args:
            x: The first n tokens; with caches, the n after those that they hold.
            memories: What :meth:`remember` returned.
            caches: What a causal decoder keeps of the tokens before, one for each block.
        """
        kept: Sequence[KeyValues | None] = caches or [None] * len(self.blocks)
        done = len(caches[0]) if caches else 0
        x = self.dropout(x + self.positions.weight[done : done + x.shape[1]])
        for block, memory, cache in zip(self.blocks, memories, kept, strict=True):
            x = block(x, memory, cache)
        out: Tensor = self.norm(x)
        return out
