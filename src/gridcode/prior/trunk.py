"""The transformer between embedded tokens and what is predicted from them, in two styles of about equal size.

    maskgit   x + position -> norm -> post-LN blocks                                -> dense, GELU, norm
    modern    x + position -> norm -> pre-norm blocks with rotary positions (modern.py) -> norm

x is the class token, then the N tokens; positions are learned. The modern style keeps them beside the rotary ones:
where on a picture a token lies says much, and a rotary position only tells how far apart two of them are.

Only the places that are asked for go through the last block's MLP and what follows: nothing reads the others.

Reference: Chang et al., "MaskGIT", 2022 (style maskgit).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from gridcode.nn.attention import KeyValues, grid_turns
from gridcode.nn.modern import RMS_NORM_EPS, ModernBlock
from gridcode.nn.transformer import LAYER_NORM_EPS, PostNormBlock
from gridcode.prior.config import MaskGITConfig, PriorConfig


class Trunk(nn.Module, ABC):
    """What a prior's tokens pass through; ``blocks`` are its layers."""

    blocks: nn.ModuleList

    @abstractmethod
    def forward(self, x: Tensor, asked: Tensor) -> Tensor:
        """Embedded class and tokens (B, N + 1, D) -> (M, D): the flat places ``asked`` (M,) of the B (N + 1)."""


@final
class MaskGITTrunk(Trunk):
    """BERT's layers, as MaskGIT has them.

    Args:
        config: Widths and depth.
        length: Tokens, N.

    >>> trunk = MaskGITTrunk(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), 4)
    >>> trunk(torch.zeros(2, 5, 16), torch.tensor([3, 7])).shape
    torch.Size([2, 16])
    """

    def __init__(self, config: MaskGITConfig, length: int) -> None:
        super().__init__()
        width = config.width
        self.positions = nn.Embedding(length + 1, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(width, config.heads, mlp=config.mlp, dropout=config.dropout) for _ in range(config.depth)
        )
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(approximate="tanh"), nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        )

    def forward(self, x: Tensor, asked: Tensor) -> Tensor:
        """See :class:`Trunk`."""
        x = self.dropout(self.norm(x + self.positions.weight))
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        out: Tensor = self.head(last(x, asked))
        return out


@final
class ModernTrunk(Trunk):
    """Today's layers.

    Args:
        config: Widths and depth.
        grid: The tokens' shape, (h, w) or (h, w, q), of product N.
        causal: A place sees itself and those before it only.

    >>> trunk = ModernTrunk(MaskGITConfig(width=16, depth=1, heads=2, mlp=32, style="modern"), (2, 2))
    >>> trunk(torch.zeros(2, 5, 16), torch.tensor([3, 7])).shape
    torch.Size([2, 16])
    """

    turns: Tensor

    def __init__(self, config: PriorConfig, grid: tuple[int, ...], *, causal: bool = False) -> None:
        super().__init__()
        width = config.width
        turns = grid_turns(grid, width // config.heads)
        self.register_buffer("turns", turns, persistent=False)
        self.positions = nn.Embedding(turns.shape[1], width)
        self.norm = nn.RMSNorm(width, eps=RMS_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            ModernBlock(width, config.heads, mlp=config.mlp, dropout=config.dropout, causal=causal)
            for _ in range(config.depth)
        )
        self.last_norm = nn.RMSNorm(width, eps=RMS_NORM_EPS)

    def forward(self, x: Tensor, asked: Tensor | None = None, caches: Sequence[KeyValues] | None = None) -> Tensor:
        """See :class:`Trunk`.

        Args:
            x: (B, n, D), the class and the first tokens; with caches, the places after those that they hold.
            asked: (M,), flat places of the B n; all of them, as (B, n, D), where not given.
            caches: What a causal trunk keeps of the places before, one for each block.
        """
        kept: Sequence[KeyValues | None] = caches or [None] * len(self.blocks)
        done = len(caches[0]) if caches else 0
        places = slice(done, done + x.shape[1])
        turns = self.turns[:, places]
        x = self.dropout(self.norm(x + self.positions.weight[places]))
        *blocks, last = zip(self.blocks, kept, strict=True)
        for block, cache in blocks:
            x = block(x, turns, None, cache)
        block, cache = last
        out: Tensor = self.last_norm(block(x, turns, asked, cache))
        return out


def make_trunk(config: MaskGITConfig, grid: tuple[int, ...]) -> Trunk:
    """The trunk of the style that a config names, for a grid of tokens."""
    if config.style == "modern":
        return ModernTrunk(config, grid)
    return MaskGITTrunk(config, torch.Size(grid).numel())
