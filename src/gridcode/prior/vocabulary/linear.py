"""What a linear layer says of tokens, over a codebook so large that its logits are made a block of codes at a time.

    log m_b = logsumexp of block b's logits / T          one pass over all blocks
    b ~ m_b / Σ m,  then  token ~ softmax of block b     each row's block again, and no other

So the weight is read once, and no more than a block of logits is held. One uniform number draws both, in float64: which
part of all probability it falls into says the block, and where within it the token, as if the blocks were one. Only
top_k and top_p need all codes of a row at once, and take a few rows at a time.

Guidance costs nothing here: logits are linear in the hidden vectors, so l + a (l - l_0) are those of h + a (h - h_0),
by one product instead of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.prior.distribution import (
    SMALL,
    CategoricalTokens,
    Choose,
    TokenDistribution,
    at_least_float32,
    check_logits,
    draw,
    invert,
    uniform_for,
)
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import GREEDY_BELOW
from gridcode.prior.vocabulary.blocks import blocks_of_logits, codes_at_once, logits_of, logsumexp, rows_at_once
from gridcode.prior.vocabulary.cross_entropy import linear_cross_entropy

ROUND_TO = 64
"""Rows that drew a block come in multiples of this: oneDNN compiles and caches a kernel for each shape."""


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
        return logits_of(self.hidden, self.weight, self.bias)

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return self.sample_with_log_prob(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)[0]

    def sample_with_log_prob(
        self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`gridcode.prior.distribution.TokenDistribution`; both of one pass."""
        if len(self.weight) <= SMALL or 0 < top_k < len(self.weight) or top_p < 1:
            parts = [
                part.sample_with_log_prob(temperature=temperature, noise=noise[rows], top_k=top_k, top_p=top_p)
                for rows, part in self._parts()
            ]
            tokens, log_probs = zip(*parts, strict=True)
            return torch.cat(tokens), torch.cat(log_probs)
        if temperature < GREEDY_BELOW:
            return self._most_probable()
        size = codes_at_once(len(self.hidden), self.hidden.device)
        masses, totals = [], []
        for _, logits in blocks_of_logits(self.hidden, self.weight, self.bias, size):
            totals.append(logsumexp(logits))
            masses.append(totals[-1] if temperature == 1 else logsumexp(logits.div_(temperature)))
        uniform = uniform_for(noise, len(self.weight))
        block, within = invert(torch.stack(masses, 1).to(uniform.dtype).softmax(1), uniform[:, None])
        drawn, found = self._drawn(block, within, size, temperature)
        return drawn, (found - torch.stack(totals, 1).logsumexp(1)).float()

    def chosen(self, choose: Choose) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`; the token is the one digit."""
        return choose(0, self.logits)

    def digits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return (tokens,)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """See :class:`gridcode.prior.distribution.TokenDistribution`."""
        return -linear_cross_entropy(self.hidden, self.weight, self.bias, tokens).losses.float()

    def guide(self, unconditional: LinearTokens, scale: float) -> LinearTokens:
        """See :class:`gridcode.prior.distribution.TokenDistribution`; both must be of the same layer."""
        hidden, other = at_least_float32(self.hidden), at_least_float32(unconditional.hidden)
        return LinearTokens(hidden + scale * (hidden - other), self.weight, self.bias)

    def _drawn(self, block: Tensor, within: Tensor, size: int, temperature: float) -> tuple[Tensor, Tensor]:
        """One token a row, of its block; the tokens and their logits, (M,) both.

        Args:
            block: The numbers of the blocks (M,).
            within: Which part of its block's probability a row draws, in [0, 1), (M,).
            size: Codes in a block.
            temperature: As for :meth:`sample`.
        """
        tokens, found = torch.empty_like(block), at_least_float32(self.hidden).new_empty(len(block))
        for number in sorted(set(block.tolist())):
            rows = (block == number).nonzero()[:, 0]
            codes = slice(number * size, (number + 1) * size)
            hidden = self.hidden[F.pad(rows, (0, -len(rows) % ROUND_TO))]
            logits = logits_of(hidden, self.weight[codes], self.bias[codes])[: len(rows)]
            places = draw(logits, temperature=temperature, uniform=within[rows])
            tokens[rows] = places + codes.start
            found[rows] = logits.gather(1, places[:, None])[:, 0]
        return tokens, found

    def _most_probable(self) -> tuple[Tensor, Tensor]:
        """The token with the largest logit, of equal ones the first, and its log-probability."""
        values, places, totals = [], [], []
        for start, logits in blocks_of_logits(self.hidden, self.weight, self.bias):
            value, place = logits.max(1)
            values.append(value)
            places.append(place + start)
            totals.append(logsumexp(logits))
        largest, block = torch.stack(values, 1).max(1)
        check_logits(largest)
        log_probs = largest - torch.stack(totals, 1).logsumexp(1)
        return torch.stack(places, 1).gather(1, block[:, None])[:, 0], log_probs.float()

    def _parts(self) -> Iterator[tuple[slice, CategoricalTokens]]:
        """Some rows at a time, with all of their logits; one part, an empty one, of no rows."""
        count = rows_at_once(len(self.weight), self.hidden.device)
        for start in range(0, max(1, len(self.hidden)), count):
            rows = slice(start, start + count)
            yield rows, CategoricalTokens(LinearTokens(self.hidden[rows], self.weight, self.bias).logits)
