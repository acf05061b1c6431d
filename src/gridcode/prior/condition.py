"""What a prior is conditioned on: nothing, a class, or another example's features.

nothing, a class     label -> the vocabulary's vector, put before the tokens
another example      example -> encoder (encoder.py) -> features -> keys and values that each layer attends to
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gridcode.nn.cross import Memory


@dataclass(frozen=True)
class Condition:
    """The conditions of B token grids.

    Attributes:
        labels: (B,) int64 class indices; -1 for none.
        memories: Keys and values of other examples' features, one pair for each layer, (B, heads, S, E) each; empty
            for a prior that attends to none.
    """

    labels: Tensor
    memories: tuple[Memory, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_class(self) -> bool:
        """Whether any grid has a class, so that there is something to guide by."""
        return bool((self.labels >= 0).any())

    def repeat(self, count: int) -> Condition:
        """The conditions ``count`` times, one batch after another.

        >>> Condition(torch.tensor([3, -1])).repeat(2).labels
        tensor([ 3, -1,  3, -1])
        """
        if count == 1:
            return self
        memories = tuple((keys.repeat(count, 1, 1, 1), values.repeat(count, 1, 1, 1)) for keys, values in self.memories)
        return Condition(self.labels.repeat(count), memories)

    def with_unconditional(self) -> Condition:
        """Twice as many: with their classes, then without, for classifier-free guidance."""
        twice = self.repeat(2)
        return Condition(torch.cat([self.labels, torch.full_like(self.labels, -1)]), twice.memories)


Given: TypeAlias = Tensor | Condition
"""Labels (B,) int64, -1 for no class; or examples (B, C, H, W) in [-1, 1]; or the condition that was made of them."""
