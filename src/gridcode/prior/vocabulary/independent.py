"""Digits that know nothing of each other: one small softmax for each.

    p(token) = Π_i softmax(hidden W_i + b_i)[g_i]

The loss is the sum of the digits' cross-entropies. Label smoothing s acts on each of the d digits, by a share r that
together leaves as much with the true token as s does in the joint vocabulary:

    1 - r = (1 - s)^(1/d),      target_i = (1 - r) onehot(g_i) + r / L_i

With s itself for r, a token of 7 digits would keep 48 % of its target at s = 0.1, and be drawn as seldom. What is
spread lands on codes that share most digits with the truth, not on the whole codebook alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.prior.digit_distributions import IndependentDigits
from gridcode.prior.distribution import at_least_float32
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.embedding import DigitVocabulary


@final
class IndependentVocabulary(DigitVocabulary):
    """A product of softmaxes; its arguments are :class:`DigitVocabulary`'s.

    >>> vocabulary = IndependentVocabulary((8, 5), 2, width=4)
    >>> answer = vocabulary.distribution(torch.zeros(40, 4))
    >>> answer.logits.shape, round(answer.log_prob(torch.arange(40)).exp().sum().item(), 4)
    (torch.Size([40, 13]), 1.0)
    """

    def __init__(self, levels: Sequence[int], classes: int, *, width: int) -> None:
        super().__init__(levels, classes, width=width)
        self.out = nn.Linear(width, sum(levels))

    def score(self, hidden: Tensor, tokens: Tensor, *, label_smoothing: float) -> TokenScores:
        """See :class:`Vocabulary`."""
        logits = self.out(hidden)[: len(tokens)].split(self.embedding.levels, -1)
        return score_digits(logits, self.embedding.split(tokens), label_smoothing=label_smoothing)

    def distribution(self, hidden: Tensor) -> IndependentDigits:
        """See :class:`Vocabulary`."""
        return IndependentDigits(at_least_float32(self.out(hidden)), self.embedding.levels)


def score_digits(logits: Sequence[Tensor], digits: Tensor, *, label_smoothing: float) -> TokenScores:
    """The digits' cross-entropies, added up.

    Args:
        logits: d tensors (M, L_i).
        digits: (M, d) int64, the truth.
        label_smoothing: s, of the whole token's target.

    >>> score_digits([torch.zeros(1, 8), torch.zeros(1, 5)], torch.tensor([[0, 0]]), label_smoothing=0.0)
    TokenScores(losses=tensor([3.6889]), right=tensor([True]))
    """
    share = 1 - (1 - label_smoothing) ** (1 / len(logits))
    parts = [
        F.cross_entropy(one.float(), digit, reduction="none", label_smoothing=share)
        for one, digit in zip(logits, digits.unbind(-1), strict=True)
    ]
    guesses = torch.stack([one.argmax(-1) for one in logits], -1)
    return TokenScores(torch.stack(parts).sum(0), (guesses == digits).all(-1))
