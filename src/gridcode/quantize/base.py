"""What every quantizer is: latents in, codes and indices out, and an exact way between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gridcode.quantize.fsq.levels import codebook_size


@dataclass(frozen=True)
class Quantized:
    """What a quantizer returns.

    Attributes:
        codes: Quantized vectors, the shape and dtype of the latents; differentiable with respect to them.
        indices: Integers in [0, K), int64: the shape of the latents without the channel dimension, then the
            quantizer's ``index_shape``.
        loss: A float32 scalar to add to the training loss; 0 where the quantizer needs none, and in evaluation mode.
    """

    codes: Tensor
    indices: Tensor
    loss: Tensor


class Quantizer(nn.Module, ABC):
    """Maps latents to the nearest of K codes, in a quantizer's own sense of near.

    ```
    latents ── forward ──> codes ── codes_to_indices ──> indices ── indices_to_codes ──> the same codes
    ```
    """

    channel_dim: int
    """The dimension of latents and codes that holds the channels."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """d, the size of the channel dimension of latents and codes."""

    @property
    @abstractmethod
    def levels(self) -> tuple[int, ...]:
        """The digits of one index, the fastest first; a book without structure is the one level (K,)."""

    @property
    @abstractmethod
    def index_shape(self) -> tuple[int, ...]:
        """What indices have beyond the latents' places: () for one index a vector, (q,) for q of them."""

    @property
    def codebook_size(self) -> int:
        """K, the number of values of one index, a Python integer."""
        return codebook_size(self.levels)

    @abstractmethod
    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents of any rank with d channels in the channel dimension."""

    @abstractmethod
    def relax(self, latents: Tensor) -> Tensor:
        """The continuous values that ``forward`` takes to the nearest code, in the latents' shape; differentiable."""

    @abstractmethod
    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of integer indices in [0, K); the channel dimension is put in."""

    @abstractmethod
    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The int64 indices of codes; the exact inverse of ``indices_to_codes``."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """What names this quantizer in a manifest or config: plain values that JSON can hold."""
