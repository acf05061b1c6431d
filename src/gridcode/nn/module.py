"""What is done to a whole module: weights are initialised, loaded or counted, or it is in evaluation mode for a while.

Initial weights keep the size of what goes through them, at any width:

    linear, convolution: W ~ N(0, 1 / inputs), biases 0;    vectors that are looked up: N(0, 1 / D)

A fixed deviation of 0.02, as BERT has it, is that of 2500 inputs: in a narrow network positions and attention are then
too weak to begin with, and it learns slowly which token belongs to which patch of an image.

Reference: LeCun et al., "Efficient BackProp", 1998, section 4.6; Flax's defaults, which UViM's published code has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], *, origin: str | Path) -> None:
    """Replace every weight of a model.

    Args:
        module: The model; changed in place. A part of it may have ``renamed_parts``, what an older version called its
            own parts, and their names now.
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
    own, tensors = module.state_dict(), _renamed(module, tensors)
    missing = sorted(own.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - own.keys())
    # A quantizer's record of its settings is no weight: it has any length, and the quantizer says what differs.
    shared = {name for name in own.keys() & tensors.keys() if not name.endswith("_extra_state")}
    reshaped = sorted(name for name in shared if own[name].shape != tensors[name].shape)
    retyped = sorted(name for name in shared if own[name].is_floating_point() != tensors[name].is_floating_point())
    if missing or unknown or reshaped or retyped:
        kinds = f", {len(retyped)} of another type" if retyped else ""
        raise GridcodeError(
            f"{origin} does not fit this model: {len(missing)} weights missing, {len(unknown)} unknown, "
            f"{len(reshaped)} of another shape{kinds} (the first: {(missing + unknown + reshaped + retyped)[0]}); "
            "give a model of the same settings, saved by this version of gridcode"
        )
    module.load_state_dict(tensors)


def _renamed(module: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights under the names that a module's parts have now."""
    for name, part in module.named_modules():
        for old, new in getattr(part, "renamed_parts", {}).items():
            before, now = (f"{name}.{one}.".lstrip(".") for one in (old, new))
            tensors = {now + one[len(before) :] if one.startswith(before) else one: x for one, x in tensors.items()}
    return tensors


def scaled_normal_(module: nn.Module) -> None:
    """Initialise linear, convolution and embedding weights, in place.

    >>> torch.manual_seed(0) and None
    >>> layer = nn.Linear(400, 400)
    >>> scaled_normal_(layer)
    >>> round(layer.weight.std().item(), 2), layer.bias.abs().max().item()
    (0.05, 0.0)
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            inputs = part.weight[0].numel()
            nn.init.normal_(part.weight, std=inputs**-0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            scaled_vectors_(part.weight)


@torch.no_grad()
def scaled_vectors_(vectors: Tensor) -> None:
    """Initialise vectors (…, D) of squared length 1 on average, in place.

    >>> vectors = torch.empty(500, 16)
    >>> scaled_vectors_(vectors)
    >>> 0.9 < vectors.square().sum(-1).mean() < 1.1
    tensor(True)
    """
    nn.init.normal_(vectors, std=vectors.shape[-1] ** -0.5)


@contextmanager
def in_evaluation(module: nn.Module) -> Iterator[None]:
    """A module in evaluation mode; afterwards in the mode it was in.

    >>> module = nn.Linear(1, 1)
    >>> with in_evaluation(module):
    ...     module.training
    False
    >>> module.training
    True
    """
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def count_parameters(*modules: nn.Module) -> int:
    """Learned numbers of modules."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
