"""Checkpoints to resume from: safetensors for every tensor, JSON for the rest, no pickles.

    <run>/state/step-00000500/state.safetensors     "model/…", "ema/…", "optimizer/<parameter>/exp_avg", …
                                                    "discriminator/model/…", "discriminator/optimizer/…"
                              state.json            step, best score, optimisers' groups, what the alarms have seen

A checkpoint appears under its name by one rename, and the one before it goes only then: whenever the process
dies, one whole checkpoint is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gridcode.errors import FileError, MissingFileError
from gridcode.files import folder_atomic, read_json, to_json
from gridcode.hub import save_tensors
from gridcode.nn.module import load_weights


@runtime_checkable
class SharedMemory(Protocol):
    """A :class:`Memory` of which every process has a part."""

    def gather(self, fabric: Any) -> None:
        """Take in the parts of the other processes; all call it, before one of them writes a checkpoint."""


class Memory(Protocol):
    """What remembers something between steps that is no tensor; its state is made of JSON values."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take up what a checkpoint kept."""


@dataclass(frozen=True)
class Learner:
    """A network and the optimiser that changes it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Trainee:
    """Everything that training changes.

    Attributes:
        model: The model that is the run's result.
        ema: The moving average of its weights.
        optimizer: The model's.
        others: Further networks that learn beside it, such as a discriminator, by name.
        memories: What else goes on from one step to the next, by name.
    """

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    others: Mapping[str, Learner] = field(default_factory=dict)
    memories: Mapping[str, Memory] = field(default_factory=dict)

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Every network, with the prefix of its tensors in a checkpoint."""
        yield "model", self.model
        yield "ema", self.ema
        for name, learner in self.others.items():
            yield f"{name}/model", learner.model

    def optimizers(self) -> Iterator[tuple[str, str, torch.optim.Optimizer]]:
        """Every optimiser, with the prefix of its tensors and the name of its groups in a checkpoint."""
        yield "optimizer", "groups", self.optimizer
        for name, learner in self.others.items():
            yield f"{name}/optimizer", f"{name}/groups", learner.optimizer


def save_state(run: Path, step: int, trainee: Trainee, values: dict[str, Any]) -> Path:
    """Write a checkpoint, then drop older ones.

    Args:
        run: The run's folder.
        step: Steps taken so far.
        trainee: What to save.
        values: Anything JSON can hold that the loop wants back.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {"step": step}
    for part, module in trainee.modules():
        tensors |= {f"{part}/{name}": tensor for name, tensor in module.state_dict().items()}
    for part, groups, optimizer in trainee.optimizers():
        state = optimizer.state_dict()
        for index, entries in state["state"].items():
            tensors |= {f"{part}/{index}/{name}": torch.as_tensor(value) for name, value in entries.items()}
        plain[groups] = state["param_groups"]
    if trainee.memories:
        plain["memories"] = {name: memory.state_dict() for name, memory in trainee.memories.items()}
    folder = run / "state" / f"step-{step:08d}"
    with folder_atomic(folder) as temporary:
        save_tensors(temporary / "state.safetensors", tensors)
        (temporary / "state.json").write_text(to_json(plain | values, indent=2) + "\n", encoding="utf-8")
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
        raise MissingFileError(f"{run} has no checkpoint to resume from; start it again with force=True")
    folder = found[-1]
    values = read_json(folder / "state.json", "checkpoint")
    try:
        tensors = load_file(folder / "state.safetensors")
    except (SafetensorError, OSError) as error:
        raise FileError(f"the checkpoint {folder} cannot be read ({error}); delete it, or set force=True") from None
    for part, module in trainee.modules():
        load_weights(module, _part(tensors, part), origin=folder)
    for part, groups, optimizer in trainee.optimizers():
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, part).items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": values.pop(groups, [])})
    kept = values.pop("memories", {})
    for name, memory in trainee.memories.items():
        if name in kept:
            memory.load_state_dict(kept[name])
    return values


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors under one prefix, without it."""
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
