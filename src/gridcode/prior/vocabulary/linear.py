"""What a linear layer says of tokens, over a codebook so large that its logits are made a block of rows at a time.

    hidden (M, D) ──weight (K, D), bias──> logits (M, K), a block of rows after another ──> draws, log-probabilities

Logits of 64 grids of 49 tokens over 2^14 codes are 200 MiB, and each of the six passes that draw and measure would read
and write them all; of a block they stay in the caches. Guidance costs nothing here: logits are linear in the hidden
vectors, so l + a (l - l_0) is the layer of h + a (h - h_0), one product instead of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.prior.distribution import CategoricalTokens, Choose, TokenDistribution, at_least_float32
from gridcode.prior.noise import Noise

NUMBERS = {"cpu": 2**21}
"""Logits in a block, by device: about what caches hold."""
NUMBERS_ELSEWHERE = 2**27
"""On other devices: enough for all of their cores."""


def at_once(count: int, device: torch.device, *, least: int) -> int:
    """How many rows of ``count`` logits, or columns, make a block: a power of two, so that few kernels are made.

    >>> at_once(2048, torch.device("cpu"), least=16)
    1024
    """
    numbers = NUMBERS.get(device.type, NUMBERS_ELSEWHERE)
    return max(least, 1 << (numbers // max(1, count) | 1).bit_length() - 1)


@final
@dataclass(frozen=True)
class LinearTokens(TokenDistribution):
    """One softmax over the whole codebook, of a linear layer.

    Attributes:
        hidden: (M, D).
        weight: (K, D).
        bias: (K,).

    >>> tokens = LinearTokens(torch.eye(2), torch.eye(2), torch.zeros(2))
    >>> tokens.guide(LinearTokens(torch.zeros(2, 2), torch.eye(2), torch.zeros(2)), 1.0).logits
    tensor([[2., 0.],
            [0., 2.]])
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor

    @property
    def logits(self) -> Tensor:
        """All of them: (M, K) float32; float64 of a prior in float64."""
        return at_least_float32(F.linear(self.hidden, self.weight, self.bias))

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        blocks = [
            block.sample(temperature=temperature, noise=noise[rows], top_k=top_k, top_p=top_p)
            for rows, block in self._blocks()
        ]
        return torch.cat(blocks)

    def sample_with_log_prob(
        self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`gridcode.prior.distribution.TokenDistribution`; the logits are made once for both."""
        blocks = [
            block.sample_with_log_prob(temperature=temperature, noise=noise[rows], top_k=top_k, top_p=top_p)
            for rows, block in self._blocks()
        ]
        drawn, log_prob = zip(*blocks, strict=True)
        return torch.cat(drawn), torch.cat(log_prob)

    def chosen(self, choose: Choose) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`; the token is the one digit."""
        return choose(0, self.logits)

    def digits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return (tokens,)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return torch.cat([block.log_prob(tokens[rows]) for rows, block in self._blocks()])

    def guide(self, unconditional: LinearTokens, scale: float) -> LinearTokens:
        """See :class:`gridcode.prior.distribution.TokenDistribution`; both must be of the same layer."""
        hidden, other = at_least_float32(self.hidden), at_least_float32(unconditional.hidden)
        return LinearTokens(hidden + scale * (hidden - other), self.weight, self.bias)

    def _blocks(self) -> Iterator[tuple[slice, CategoricalTokens]]:
        """Rows and their logits; one block, an empty one, of no rows."""
        count = at_once(len(self.weight), self.hidden.device, least=16)
        for start in range(0, max(1, len(self.hidden)), count):
            rows = slice(start, start + count)
            yield rows, CategoricalTokens(LinearTokens(self.hidden[rows], self.weight, self.bias).logits)
