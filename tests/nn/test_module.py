"""Weights go in whole, or one line says why not."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.nn.module import load_weights


def test_every_weight_is_replaced_in_the_models_own_layout() -> None:
    one, two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    load_weights(two, one.state_dict(), origin="one")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert two.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("bias"), r"1 weights missing, 0 unknown, 0 of .*\(the first: bias\)"),
        (lambda w: w.update(scale=w["bias"]), r"0 weights missing, 1 unknown, 0 of .* \(the first: scale\)"),
        (lambda w: w.update(bias=torch.ones(9)), r"0 unknown, 1 of another shape.* \(the first: bias\)"),
        (lambda w: w.update(bias=torch.ones(3, dtype=torch.int64)), r"1 of another type \(the first: bias\)"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, message: str) -> None:  # type: ignore[no-untyped-def]
    model = nn.Linear(2, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = nn.Linear(2, 3).state_dict()
    change(tensors)
    with pytest.raises(GridcodeError, match=f"runs/a does not fit this model: .*{message}") as caught:
        load_weights(model, tensors, origin="runs/a")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Renamed(nn.Module):
    renamed_parts: ClassVar[dict[str, str]] = {"decoder": "trunk"}

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(1, 2)


@pytest.mark.parametrize("wrapped", [False, True])
def test_parts_are_loaded_under_the_names_of_older_versions(wrapped: bool) -> None:
    model, prefix = (nn.Sequential(Renamed()), "0.") if wrapped else (Renamed(), "")
    old = {f"{prefix}decoder.weight": torch.full((2, 1), 3.0), f"{prefix}decoder.bias": torch.zeros(2)}
    load_weights(model, old, origin="runs/a")
    assert model.state_dict()[f"{prefix}trunk.weight"].tolist() == [[3.0], [3.0]]
