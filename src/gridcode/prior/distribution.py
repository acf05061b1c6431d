"""What a prior says of the tokens it was asked about.

A sampler never sees logits: it draws, asks for log-probabilities, and guides. So a head that never forms K
logits (digits, a chain) can answer the same three questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor


class TokenDistribution(Protocol):
    """Independent distributions over [0, K) for M tokens."""

    def sample(self, *, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw one token each: (M,) int64; temperature 0 takes the most probable."""

    def log_prob(self, tokens: Tensor) -> Tensor:
        """Log-probability, in nats, of tokens (M,): (M,) float32."""

    def guide(self, unconditional: Self, scale: float) -> Self:
        """Push away from ``unconditional``: l' = l + scale (l - l_0) (paper, 4.3)."""


@dataclass(frozen=True)
class CategoricalTokens:
    """One softmax over the whole book.

    Attributes:
        logits: (M, K) float32.

    >>> with_class, without = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]])
    >>> CategoricalTokens(with_class).guide(CategoricalTokens(without), 0.5).logits
    tensor([[0.0000, 2.5000]])
    """

    logits: Tensor

    def sample(self, *, temperature: float, generator: torch.Generator) -> Tensor:
        """See :class:`TokenDistribution`."""
        if temperature == 0:
            return self.logits.argmax(-1)
        probabilities = (self.logits / temperature).softmax(-1)
        if not len(probabilities):
            return torch.empty(0, dtype=torch.int64, device=self.logits.device)
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]

    def log_prob(self, tokens: Tensor) -> Tensor:
        """See :class:`TokenDistribution`."""
        return self.logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]

    def guide(self, unconditional: CategoricalTokens, scale: float) -> CategoricalTokens:
        """See :class:`TokenDistribution`."""
        return CategoricalTokens(self.logits + scale * (self.logits - unconditional.logits))
