"""One vector and one logit for each code: MaskGIT's vocabulary.

    logits = hidden E^T + b        E: K codes, then the classes, then MASK, which stands for a hidden token and for a
                                   hidden class alike

All of it is in the training loss, as in the original, and label smoothing spreads over all of it; samplers see the
codes only.

Reference: Chang et al., "MaskGIT", 2022, and its published code.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.prior.vocabulary.base import TokenScores, Vocabulary
from gridcode.prior.vocabulary.cross_entropy import linear_cross_entropy
from gridcode.prior.vocabulary.linear import LinearTokens

LARGEST = 2**24
"""Codes, at most: beyond, the vectors alone are tens of gigabytes."""


@final
class JointVocabulary(Vocabulary):
    """One softmax over the whole codebook.

    Args:
        codes: K.
        classes: How many there are.
        width: Features per token, D.

    Raises:
        GridcodeError: The codebook is too large to be laid out.

    >>> vocabulary = JointVocabulary(8, 2, width=4)
    >>> vocabulary.mask, vocabulary.distribution(torch.zeros(3, 4)).logits.shape
    (10, torch.Size([3, 8]))
    """

    def __init__(self, codes: int, classes: int, *, width: int) -> None:
        super().__init__()
        if codes > LARGEST:
            raise GridcodeError(
                f"a joint head over {codes:,} codes does not fit into memory; use model.head=chain or independent"
            )
        self.codes = codes
        self.mask = codes + classes
        self.embedding = nn.Embedding(codes + classes + 1, width)
        self.bias = nn.Parameter(torch.zeros(codes + classes + 1))

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """See :class:`Vocabulary`."""
        x: Tensor = self.embedding(tokens)
        return x

    def embed_labels(self, labels: Tensor) -> Tensor:
        """See :class:`Vocabulary`."""
        return self.embed_tokens(torch.where(labels < 0, self.mask, labels + self.codes))

    def score(self, hidden: Tensor, tokens: Tensor, *, label_smoothing: float) -> TokenScores:
        """See :class:`Vocabulary`; over codes, classes and MASK."""
        # All rows, also the padding: kernels are made once, not for every number of rows.
        padded = F.pad(tokens, (0, len(hidden) - len(tokens)))
        losses, right = linear_cross_entropy(
            hidden, self.embedding.weight, self.bias, padded, label_smoothing=label_smoothing
        )
        return TokenScores(losses[: len(tokens)], right[: len(tokens)])

    def distribution(self, hidden: Tensor) -> LinearTokens:
        """See :class:`Vocabulary`."""
        return LinearTokens(hidden, self.embedding.weight[: self.codes], self.bias[: self.codes])
