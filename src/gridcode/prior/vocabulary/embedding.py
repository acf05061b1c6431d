"""What the heads by digits share: a token's vector is the sum of its digits', so that codes that share digits share
what is learned of them.

    x = Σ_i E_i[g_i]        g: the digits of the index (quantize/radix.py), Σ L_i vectors instead of Π L_i

MASK and the classes have vectors of their own; a hidden class is MASK, as in the joint vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.prior.vocabulary.base import Vocabulary
from gridcode.quantize.radix import split_indices

MASK = -1
"""The id of a hidden token: a codebook of 2^63 codes leaves no other."""


@final
class DigitEmbedding(nn.Module):
    """Vectors of tokens by their digits, and of classes.

    Args:
        levels: [L_1 … L_d].
        classes: How many there are.
        width: Features per token, D.

    >>> embedding = DigitEmbedding((3, 2), 0, width=4)
    >>> x = embedding.of_tokens(torch.tensor([0, 1, 3, 4]))          # digits 00, 10, 01, 11
    >>> torch.allclose(x[0] + x[3], x[1] + x[2])
    True
    """

    first: Tensor

    def __init__(self, levels: Sequence[int], classes: int, *, width: int) -> None:
        super().__init__()
        self.levels, self.classes = tuple(levels), classes
        self.digits = nn.Embedding(sum(levels), width)
        self.others = nn.Embedding(classes + 1, width)
        self.register_buffer("first", torch.tensor([0, *accumulate(levels[:-1])]), persistent=False)

    def of_tokens(self, tokens: Tensor) -> Tensor:
        """(…) int64 in [0, K), or MASK -> (…, D)."""
        rows = (self.split(tokens.clamp_min(0)) + self.first).view(-1, len(self.levels))
        x = F.embedding_bag(rows, self.digits.weight, mode="sum").view(*tokens.shape, self.digits.embedding_dim)
        return torch.where((tokens == MASK)[..., None], self.others.weight[self.classes], x)

    def of_labels(self, labels: Tensor) -> Tensor:
        """(B,) int64, -1 for none -> (B, D)."""
        x: Tensor = self.others(torch.where(labels < 0, self.classes, labels))
        return x

    def split(self, tokens: Tensor) -> Tensor:
        """Indices (…) -> digits (…, d)."""
        return torch.stack(split_indices(tokens, self.levels), -1)


class DigitVocabulary(Vocabulary):
    """A vocabulary of digits: vectors as their sums, and a head that each subclass has of its own.

    Args:
        levels: [L_1 … L_d].
        classes: How many there are.
        width: Features per token, D.
    """

    mask = MASK

    def __init__(self, levels: Sequence[int], classes: int, *, width: int) -> None:
        super().__init__()
        self.embedding = DigitEmbedding(levels, classes, width=width)

    @property
    def levels(self) -> tuple[int, ...]:
        """[L_1 … L_d]."""
        return self.embedding.levels

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """See :class:`Vocabulary`."""
        return self.embedding.of_tokens(tokens)

    def embed_labels(self, labels: Tensor) -> Tensor:
        """See :class:`Vocabulary`."""
        return self.embedding.of_labels(labels)
