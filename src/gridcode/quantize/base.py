"""What every quantizer is: latents in, codes and indices out, and an exact way between the two.

A quantizer without weights records its settings in the state dict, so that loading another one's is refused. The record
is JSON as uint8: exact, readable, and a tensor, so that safetensors holds it. It goes through PyTorch's *extra state*,
not a buffer: a cast to bfloat16 cannot blur it, and ``to_empty`` cannot lose it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.files import from_json, to_json
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
        """The digits of one index, the fastest first; a codebook without structure is the one level (K,)."""

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


def make_record(fields: Mapping[str, Any]) -> Tensor:
    """Fields that JSON can hold, as a uint8 tensor on the CPU.

    >>> bytes(make_record({"name": "lfq", "bits": 18}).tolist())
    b'{"name": "lfq", "bits": 18}'
    """
    return torch.tensor(list(to_json(fields).encode()), dtype=torch.uint8, device="cpu")


def check_record(owner: str, fields: Mapping[str, Any], record: Any) -> None:
    """Refuse a record of other fields than these.

    Args:
        owner: The quantizer's name, for the error.
        fields: What the quantizer that loads would record.
        record: What the state dict holds; a record on the meta device is taken as it is.

    Raises:
        GridcodeError: They differ, or it is no record; the message names both.

    >>> check_record("LFQ", {"name": "lfq", "bits": 18}, make_record({"name": "lfq", "bits": 10}))
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: LFQ: the weights were saved with name 'lfq', bits 10, but this quantizer has ...
    """
    saved = _read(record)
    if saved is None:
        raise GridcodeError(f"{owner}: the weights' record of its settings is not readable; use weights of {owner}")
    if record.is_meta or saved == fields:
        return
    raise GridcodeError(
        f"{owner}: the weights were saved with {_words(saved)}, but this quantizer has {_words(fields)}; build the "
        "quantizer with the saved ones"
    )


def _read(record: Any) -> Mapping[str, Any] | None:
    """The fields of a record; none where it is not one, no fields where it is on the meta device."""
    if not isinstance(record, Tensor) or record.dtype != torch.uint8 or record.ndim != 1:
        return None
    if record.is_meta:
        return {}
    try:
        fields = from_json(bytes(record.tolist()))
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _words(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in fields.items())
