"""Checkpoints to resume from: safetensors for every tensor, JSON for the rest, no pickles.

    <run>/state/step-00000500/state.safetensors     "model/…", "ema/…", "optimizer/<parameter>/exp_avg", …
                              state.json            step, best score, optimiser's groups

A checkpoint appears under its name by one rename, and the one before it goes only then: whenever the process
dies, one whole checkpoint is there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.files import folder_atomic, read_json, write_json
from gridcode.nn.weights import load_weights


@dataclass(frozen=True)
class Trainee:
    """The three things that training changes."""

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer


def save_state(run: Path, step: int, trainee: Trainee, values: dict[str, Any]) -> Path:
    """Write a checkpoint, then drop older ones.

    Args:
        run: The run's folder.
        step: Steps taken so far.
        trainee: What to save.
        values: Anything JSON can hold that the loop wants back.
    """
    optimizer = trainee.optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    for part, module in (("model", trainee.model), ("ema", trainee.ema)):
        tensors |= {f"{part}/{name}": tensor for name, tensor in module.state_dict().items()}
    for index, entries in optimizer["state"].items():
        tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in entries.items()}
    folder = run / "state" / f"step-{step:08d}"
    with folder_atomic(folder) as temporary:
        # safetensors refuses shared and non-contiguous memory, so every tensor goes as a copy of its own.
        copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        save_file(copies, temporary / "state.safetensors")
        write_json(temporary / "state.json", {"step": step, "groups": optimizer["param_groups"], **values})
    # Older checkpoints, and what a kill in the midst of one left behind.
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir():
            shutil.rmtree(other)
    return folder


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted((run / "state").glob("step-*"))


def load_state(run: Path, trainee: Trainee) -> dict[str, Any]:
    """Restore the newest checkpoint in place.

    Returns:
        The values that were saved with it, ``step`` among them.

    Raises:
        GridcodeError: There is no checkpoint, or it does not fit this model.
    """
    found = checkpoints(run)
    if not found:
        raise GridcodeError(f"{run} has no checkpoint to resume from: start it again with --force")
    folder = found[-1]
    values = read_json(folder / "state.json", "checkpoint")
    try:
        tensors = load_file(folder / "state.safetensors")
    except (SafetensorError, OSError) as error:
        raise GridcodeError(f"the checkpoint {folder} cannot be read ({error}); delete it, or use --force") from None
    load_weights(trainee.model, _part(tensors, "model"), origin=folder)
    load_weights(trainee.ema, _part(tensors, "ema"), origin=folder)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer").items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    trainee.optimizer.load_state_dict({"state": state, "param_groups": values.pop("groups")})
    _match_layout(trainee.optimizer)
    return values


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give Adam's moments their parameter's memory layout: files do not keep it, fused kernels need it."""
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                entries[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors under one prefix, without it."""
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
