"""Digits one after another: each one's softmax knows the digits before it, so that it can be any distribution.

    s_i = A hidden + P_i + Σ_{j<i} C_j[g_j]                 what digit i is predicted from, of half the width
    p(g_i given g_1 … g_{i-1}) = softmax((s_i + MLP(norm(s_i))) W_i + b_i)

In training the true digits are given, and all d steps are one pass; a sampler takes them in turn. The transformer runs
once for a token either way, and the small MLP costs little beside it.

Label smoothing acts on each digit, as in ``independent.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.nn.modern import RMS_NORM_EPS
from gridcode.prior.digit_distributions import ChainedDigits
from gridcode.prior.distribution import at_least_float32
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.embedding import DigitVocabulary
from gridcode.prior.vocabulary.independent import score_digits


@final
class ChainVocabulary(DigitVocabulary):
    """A short autoregressive chain over the digits inside a token; its arguments are :class:`DigitVocabulary`'s.

    >>> import torch
    >>> vocabulary = ChainVocabulary((8, 5), 2, width=16)
    >>> answer = vocabulary.distribution(torch.zeros(40, 16))
    >>> round(answer.log_prob(torch.arange(40)).exp().sum().item(), 4)
    1.0
    """

    def __init__(self, levels: Sequence[int], classes: int, *, width: int) -> None:
        super().__init__(levels, classes, width=width)
        inner = max(width // 2, 1)
        self.enter = nn.Linear(width, inner)
        self.places = nn.Embedding(len(levels), inner)
        self.before = nn.Embedding(sum(levels), inner)
        self.mlp = nn.Sequential(
            nn.RMSNorm(inner, eps=RMS_NORM_EPS), nn.Linear(inner, 2 * inner), nn.SiLU(), nn.Linear(2 * inner, inner)
        )
        self.out = nn.Linear(inner, sum(levels))

    def score(self, hidden: Tensor, tokens: Tensor, *, label_smoothing: float) -> TokenScores:
        """See :class:`Vocabulary`."""
        digits = self.embedding.split(tokens)
        # The padding goes along, for the sake of the shapes.
        padded = F.pad(digits, (0, 0, 0, len(hidden) - len(digits)))
        logits = [one[: len(tokens)] for one in self.all_logits(self.enter(hidden), padded)]
        return score_digits(logits, digits, label_smoothing=label_smoothing)

    def distribution(self, hidden: Tensor) -> ChainedDigits:
        """See :class:`Vocabulary`."""
        return ChainedDigits(self, (self.enter(hidden),), (1.0,))

    def all_logits(self, context: Tensor, digits: Tensor) -> list[Tensor]:
        """Every digit's logits, given the true ones before it.

        Args:
            context: A hidden, (M, D / 2).
            digits: (M, d) int64; the last one does not count.

        Returns:
            d tensors (M, L_i).
        """
        added = self.before(digits[:, :-1] + self.embedding.first[:-1]).cumsum(1)
        states = context[:, None] + self.places.weight + F.pad(added, (0, 0, 1, 0))
        states = states + self.mlp(states)
        return [self._out(state, digit) for digit, state in enumerate(states.unbind(1))]

    def logits(self, state: Tensor, digit: int) -> Tensor:
        """One digit's logits (M, L_i), where ``state`` (M, D / 2) is the context and all that was appended to it."""
        state = state + self.places.weight[digit]
        return self._out(state + self.mlp(state), digit)

    def append(self, state: Tensor, digit: int, values: Tensor) -> Tensor:
        """The state once digit number ``digit`` is known to be ``values`` (M,)."""
        appended: Tensor = state + self.before(values + self.embedding.first[digit])
        return appended

    def _out(self, state: Tensor, digit: int) -> Tensor:
        first = sum(self.levels[:digit])
        rows = slice(first, first + self.levels[digit])
        return at_least_float32(F.linear(state, self.out.weight[rows], self.out.bias[rows]))
