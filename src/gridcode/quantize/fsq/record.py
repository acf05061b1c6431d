"""What a state dict records of a quantizer without weights, so that loading another one's is refused.

The record is JSON as uint8: exact, readable, and a tensor, so that safetensors holds it. It goes through PyTorch's
*extra state*, not a buffer: a cast to bfloat16 cannot blur it, and ``to_empty`` cannot lose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.files import from_json, to_json


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
