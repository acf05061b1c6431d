"""The state of a book in training: what its start, its update and its revival read and change in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BookState:
    """References to a quantizer's tensors; whoever changes them does so in place and without gradient.

    Attributes:
        codebook: Raw codewords e_k, float32, (K, d), before the distance's ``codewords``.
        counts: How much each was used lately, c_k, float32, (K,); None where nothing asks for it.
        sums: The sums s_k that the codewords are means of, e_k = s_k / c_k, float32, (K, d); None where gradients move
            the codewords.
    """

    codebook: Tensor
    counts: Tensor | None
    sums: Tensor | None

    def known_counts(self) -> Tensor:
        """The counts; asking where there are none is our own mistake."""
        assert self.counts is not None
        return self.counts

    def known_sums(self) -> Tensor:
        """The sums; asking where there are none is our own mistake."""
        assert self.sums is not None
        return self.sums

    @torch.no_grad()
    def begin(self, codebook: Tensor) -> None:
        """Take a new book (K, d): every count is 1, so that a sum is its codeword."""
        self.codebook.copy_(codebook)
        if self.counts is not None:
            self.counts.fill_(1)
        if self.sums is not None:
            self.sums.copy_(codebook)

    @torch.no_grad()
    def put(self, places: Tensor, codewords: Tensor, count: float) -> None:
        """Replace codewords at ``places`` (m,) by ``codewords`` (m, d), as if each had been used ``count`` times."""
        self.codebook[places] = codewords.to(self.codebook.dtype)
        self.known_counts()[places] = count
        if self.sums is not None:
            self.sums[places] = codewords.to(self.sums.dtype) * count
