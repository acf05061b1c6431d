"""The transformer between embedded tokens and what is predicted from them, in three styles.

    maskgit   x + position -> norm -> post-LN blocks                                -> dense, GELU, norm
    modern    x + position -> norm -> pre-norm blocks with rotary positions (modern.py) -> norm
    cross     x + position -> self-attention, attention to another example's features, MLP -> norm

x is the class token, then the N tokens; positions are learned. The modern style keeps them beside the rotary ones:
a token's place in the grid carries information, and a rotary position only gives the distance of two of them.

In the first two, only the places whose output is used go through the last block's MLP and what
follows: nothing reads the others.

Reference: Chang et al., "MaskGIT", 2022 (style maskgit).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias, final

from torch import Tensor, nn

from gridcode.nn.attention import KeyValues, grid_turns
from gridcode.nn.cross import DecoderBlock, Memory
from gridcode.nn.modern import RMS_NORM_EPS, ModernBlock
from gridcode.nn.transformer import LAYER_NORM_EPS, PostNormBlock
from gridcode.nn.vit import LAYER_NORM_EPS as VIT_NORM_EPS
from gridcode.prior.config import AutoregressiveConfig, CrossAttentionConfig, MaskGITConfig, PriorConfig, TokenSpace

Memories: TypeAlias = Sequence[Memory]
Caches: TypeAlias = Sequence[KeyValues] | None


class Trunk(nn.Module, ABC):
    """What a prior's tokens pass through; ``blocks`` are its layers."""

    blocks: nn.ModuleList

    @abstractmethod
    def forward(
        self, x: Tensor, places: Tensor | None = None, memories: Memories = (), caches: Caches = None
    ) -> Tensor:
        """Vectors (B, n, D), of the class (where there is one) and the tokens -> (M, D).

        Args:
            x: (B, n, D), the first places; with caches, the places after those that they hold.
            places: (M,), flat places of the B n; all of them, as (B, n, D), where not given.
            memories: Keys and values that each block attends to, of a trunk that does.
            caches: What a causal trunk keeps of the places before, one for each block.
        """


@final
class MaskGITTrunk(Trunk):
    """BERT's layers, as MaskGIT has them.

    Args:
        config: Widths and depth.
        length: Tokens, N.

    >>> import torch
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

    def forward(
        self, x: Tensor, places: Tensor | None = None, memories: Memories = (), caches: Caches = None
    ) -> Tensor:
        """See :class:`Trunk`."""
        x = self.dropout(self.norm(x + self.positions.weight))
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        out: Tensor = self.head(last(x, places))
        return out


@final
class ModernTrunk(Trunk):
    """Today's layers.

    Args:
        config: Widths and depth.
        grid: The tokens' shape, (h, w) or (h, w, q), of product N.
        causal: A place sees itself and those before it only.
        axes: Sides of the grid that are places.

    >>> import torch
    >>> trunk = ModernTrunk(MaskGITConfig(width=16, depth=1, heads=2, mlp=32, style="modern"), (2, 2))
    >>> trunk(torch.zeros(2, 5, 16), torch.tensor([3, 7])).shape
    torch.Size([2, 16])
    """

    turns: Tensor

    def __init__(
        self,
        config: MaskGITConfig | AutoregressiveConfig,
        grid: tuple[int, ...],
        *,
        causal: bool = False,
        axes: int = 2,
    ) -> None:
        super().__init__()
        width = config.width
        turns = grid_turns(grid, width // config.heads, axes=axes)
        self.register_buffer("turns", turns, persistent=False)
        self.positions = nn.Embedding(turns.shape[1], width)
        self.norm = nn.RMSNorm(width, eps=RMS_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            ModernBlock(width, config.heads, mlp=config.mlp, dropout=config.dropout, causal=causal)
            for _ in range(config.depth)
        )
        self.last_norm = nn.RMSNorm(width, eps=RMS_NORM_EPS)

    def forward(
        self, x: Tensor, places: Tensor | None = None, memories: Memories = (), caches: Caches = None
    ) -> Tensor:
        """See :class:`Trunk`."""
        each: Sequence[KeyValues | None] = caches or [None] * len(self.blocks)
        done = len(caches[0]) if caches else 0
        new = slice(done, done + x.shape[1])
        turns = self.turns[:, new]
        x = self.dropout(self.norm(x + self.positions.weight[new]))
        *blocks, last = zip(self.blocks, each, strict=True)
        for block, cache in blocks:
            x = block(x, turns, None, cache)
        block, cache = last
        out: Tensor = self.last_norm(block(x, turns, places, cache))
        return out


@final
class CrossAttentionTrunk(Trunk):
    """Layers that also attend to another example's features (nn/cross.py); there is no class before the tokens.

    Args:
        config: Widths and depth.
        length: Tokens, N.
        causal: A token sees itself and those before it only.

    >>> import torch
    >>> trunk = CrossAttentionTrunk(CrossAttentionConfig(width=16, depth=1, heads=2, mlp=32), 4, causal=True)
    >>> trunk(torch.zeros(2, 4, 16), memories=trunk.memories(torch.zeros(2, 9, 128))).shape
    torch.Size([2, 4, 16])
    """

    def __init__(self, config: CrossAttentionConfig, length: int, *, causal: bool) -> None:
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
        self.norm = nn.LayerNorm(config.width, eps=VIT_NORM_EPS)

    def memories(self, features: Tensor) -> tuple[Memory, ...]:
        """Every layer's keys and values of an example's features (B, S, D')."""
        found = []
        for block in self.blocks:
            assert isinstance(block, DecoderBlock)
            found.append(block.cross.keys_and_values(features))
        return tuple(found)

    def forward(
        self, x: Tensor, places: Tensor | None = None, memories: Memories = (), caches: Caches = None
    ) -> Tensor:
        """See :class:`Trunk`."""
        each: Sequence[KeyValues | None] = caches or [None] * len(self.blocks)
        done = len(caches[0]) if caches else 0
        x = self.dropout(x + self.positions.weight[done : done + x.shape[1]])
        for block, memory, cache in zip(self.blocks, memories, each, strict=True):
            x = block(x, memory, cache)
        out: Tensor = self.norm(x)
        return out if places is None else out.flatten(0, 1)[places]


def make_trunk(config: PriorConfig, space: TokenSpace, *, causal: bool) -> Trunk:
    """The trunk that a config names, for a grid of tokens."""
    if isinstance(config, CrossAttentionConfig):
        return CrossAttentionTrunk(config, space.length, causal=causal)
    if isinstance(config, MaskGITConfig) and config.style == "maskgit":
        return MaskGITTrunk(config, space.length)
    return ModernTrunk(config, space.grid, causal=causal, axes=space.axes)
