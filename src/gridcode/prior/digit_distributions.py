r"""Distributions that digit heads predict for tokens: the three methods of ``distribution.py``, without K numbers.

Independent digits. Temperature and guidance act on each digit's logits, l' = l + a (l - l_0), and that is the same as
acting on the whole codebook: a product's power, normalised, is the product of the powers, normalised.

Chained digits. Temperature and guidance act on each conditional, given the same digits before it in both halves,

    l'_i(g_i given g_<i) = l_i + a (l_i - l0_i),      p'(token) = Π_i softmax(l'_i / T)[g_i]

normalised digit by digit: a proper distribution, that of what is drawn, but not the guided or tempered distribution
over the codebook, whose normalisation would look ahead to the digits to come. They agree at a = 0, T = 1, and where
digits are independent. Temperature 0 takes the most probable digit at each step, not the most probable token.

top_k and top_p cut each digit's conditional, in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from gridcode.prior.distribution import Choose, TokenDistribution, draw
from gridcode.prior.noise import Noise
from gridcode.quantize.radix import join_digits, split_indices


@final
@dataclass(frozen=True)
class IndependentDigits(TokenDistribution):
    """One softmax for each digit.

    Attributes:
        logits: (M, Σ L_i) float32; float64 of a prior in float64.
        levels: [L_1 … L_d].

    >>> one = IndependentDigits(torch.tensor([[0.0, 9.0, 9.0, 0.0, 0.0]]), (2, 3))
    >>> one.sample(temperature=0.0, noise=Noise(torch.tensor([5])))         # digits 1 and 0
    tensor([1])
    """

    logits: Tensor
    levels: tuple[int, ...]

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return _draw_digits(self, self.levels, noise, temperature=temperature, top_k=top_k, top_p=top_p)

    def chosen(self, choose: Choose) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        parts = torch.split(self.logits, list(self.levels), -1)
        return join_digits(torch.stack([choose(i, part) for i, part in enumerate(parts)], -1), self.levels)

    def digits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return split_indices(tokens, self.levels)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return _log_prob(torch.split(self.logits, list(self.levels), -1), split_indices(tokens, self.levels))

    def guide(self, unconditional: IndependentDigits, scale: float) -> IndependentDigits:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return IndependentDigits(self.logits + scale * (self.logits - unconditional.logits), self.levels)


class Chain(Protocol):
    """The head of ``vocabulary/chain.py``."""

    @property
    def levels(self) -> tuple[int, ...]:
        """[L_1 … L_d]."""

    def all_logits(self, context: Tensor, digits: Tensor) -> list[Tensor]:
        """Every digit's logits, given the ones before it."""

    def logits(self, state: Tensor, digit: int) -> Tensor:
        """One digit's logits, given a state."""

    def append(self, state: Tensor, digit: int, values: Tensor) -> Tensor:
        """The state once a digit is known."""


@final
@dataclass(frozen=True)
class ChainedDigits(TokenDistribution):
    """A softmax for each digit, given those before it.

    Attributes:
        chain: The head.
        contexts: What it starts from, (M, C) each: one, or under guidance several.
        weights: Of each context's logits in the sum; they add up to 1.
    """

    chain: Chain
    contexts: tuple[Tensor, ...]
    weights: tuple[float, ...]

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return _draw_digits(self, self.chain.levels, noise, temperature=temperature, top_k=top_k, top_p=top_p)

    def chosen(self, choose: Choose) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        digits: list[Tensor] = []
        states = list(self.contexts)
        for i in range(len(self.chain.levels)):
            if digits:
                states = [self.chain.append(state, i - 1, digits[-1]) for state in states]
            digits.append(choose(i, self._summed([self.chain.logits(state, i) for state in states])))
        return join_digits(torch.stack(digits, -1), self.chain.levels)

    def digits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return split_indices(tokens, self.chain.levels)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        digits = split_indices(tokens, self.chain.levels)
        every = [self.chain.all_logits(context, torch.stack(digits, -1)) for context in self.contexts]
        return _log_prob([self._summed(parts) for parts in zip(*every, strict=True)], digits)

    def guide(self, unconditional: ChainedDigits, scale: float) -> ChainedDigits:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        weights = [(1 + scale) * weight for weight in self.weights]
        weights += [-scale * weight for weight in unconditional.weights]
        return ChainedDigits(self.chain, self.contexts + unconditional.contexts, tuple(weights))

    def _summed(self, logits: Sequence[Tensor]) -> Tensor:
        """The logits of all contexts as one: l + a (l - l_0), and the like."""
        return torch.stack([weight * one for weight, one in zip(self.weights, logits, strict=True)]).sum(0)


def _draw_digits(
    distribution: TokenDistribution,
    levels: Sequence[int],
    noise: Noise,
    *,
    temperature: float,
    top_k: int,
    top_p: float,
) -> Tensor:
    """One draw of each digit."""
    uniform = noise.spread(len(levels)).uniform()
    return distribution.chosen(
        lambda i, logits: draw(logits, temperature=temperature, uniform=uniform[:, i], top_k=top_k, top_p=top_p)
    )


def _log_prob(logits: Sequence[Tensor], digits: Sequence[Tensor]) -> Tensor:
    """The digits' log-probabilities (M,) float32, added up."""
    parts = [one.log_softmax(-1).gather(-1, digit[:, None])[:, 0] for one, digit in zip(logits, digits, strict=True)]
    return torch.stack(parts).sum(0).float()
