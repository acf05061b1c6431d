"""How much of a tokenizer's codebooks is used: each of the q indices of a place has a codebook of its own.

A residual or grouped quantizer gives several indices a place. They are counted one by one, and *pooled*, as tokens of
one codebook, which is how a prior sees them. Where a place has one index the two are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import final

from torch import Tensor

from gridcode.quantize.base import Quantizer
from gridcode.quantize.usage import Usage, UsageMeter


@dataclass(frozen=True)
class TokenUsage:
    """What the tokens seen so far use.

    Attributes:
        pooled: Of all tokens together, as if they came from one codebook.
        codebooks: Of each of the q indices of a place, in their order; one where there is one.
    """

    pooled: Usage
    codebooks: tuple[Usage, ...]

    @property
    def least(self) -> Usage:
        """The usage of the least used codebook, by what its tokens could show."""
        return min(self.codebooks, key=lambda usage: usage.usage_of_ceiling)

    def by_book(self) -> dict[str, float]:
        """``usage_book_1`` … ``usage_book_q`` where there are several codebooks, else nothing."""
        if len(self.codebooks) == 1:
            return {}
        return {f"usage_book_{number}": usage.usage for number, usage in enumerate(self.codebooks, 1)}

    def figures(self) -> dict[str, float | int]:
        """``codebook_size``, ``usage``, that of each codebook where there are several, ``perplexity``."""
        pooled = self.pooled
        sizes = {"codebook_size": pooled.codebook_size, "usage": pooled.usage}
        return {**sizes, **self.by_book(), "perplexity": pooled.perplexity}


@final
class TokenUsageMeter:
    """Counts a quantizer's indices as they come, on the CPU.

    Args:
        quantizer: Whose indices they are.

    >>> import torch
    >>> from gridcode.quantize.fsq.quantizer import FSQ
    >>> meter = TokenUsageMeter(FSQ([8, 5]))
    >>> meter.update(torch.tensor([[[0, 1], [1, -1]]]))
    >>> meter.compute().pooled.used, meter.compute().pooled.count
    (2, 3)
    """

    def __init__(self, quantizer: Quantizer) -> None:
        self._levels = quantizer.levels
        self._meters = [UsageMeter(self._levels) for _ in range(prod(quantizer.index_shape))]

    def update(self, indices: Tensor) -> None:
        """Count indices (…, *index_shape) in [0, K); -1, a dropped stage or a masked place, is not counted.

        Raises:
            GridcodeError: They are not integers, or one is K or above, or below -1.
        """
        codebooks = indices.reshape(-1, len(self._meters))
        for meter, column in zip(self._meters, codebooks.unbind(1), strict=True):
            meter.update(column[column != -1])

    def compute(self) -> TokenUsage:
        """The usage so far."""
        codebooks = tuple(meter.compute() for meter in self._meters)
        if len(codebooks) == 1:
            return TokenUsage(codebooks[0], codebooks)
        pooled = UsageMeter(self._levels)
        for meter in self._meters:
            pooled.merge(meter)
        return TokenUsage(pooled.compute(), codebooks)
