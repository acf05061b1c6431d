"""Putting weights into a model: all of them, or one line that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from gridcode.errors import GridcodeError


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], *, origin: str | Path) -> None:
    """Replace every weight of a model.

    Args:
        module: The model; changed in place.
        tensors: Its weights by name, any memory layout and device.
        origin: Where they come from, named in the error.

    Raises:
        GridcodeError: A name is missing or unknown, a shape differs, or numbers are to become counts or the other way
            round (any floating-point type is taken); the model is as it was.

    >>> import torch
    >>> model = nn.Linear(2, 3)
    >>> load_weights(model, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, origin="runs/a")
    >>> model(torch.ones(1, 2)).tolist()
    [[2.0, 2.0, 2.0]]
    """
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - own.keys())
    reshaped = sorted(name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape)
    retyped = sorted(
        name
        for name in own.keys() & tensors.keys()
        if own[name].is_floating_point() != tensors[name].is_floating_point()
    )
    if missing or unknown or reshaped or retyped:
        kinds = f", {len(retyped)} of another type" if retyped else ""
        raise GridcodeError(
            f"{origin} does not fit this model: {len(missing)} weights missing, {len(unknown)} unknown, "
            f"{len(reshaped)} of another shape{kinds} (the first: {(missing + unknown + reshaped + retyped)[0]}); "
            "give a model of the same settings, saved by this version of gridcode"
        )
    module.load_state_dict(tensors)
