"""Other people's tokenizers on this disk: which project's they are, their tensors by name, their settings.

    folder/config.json + diffusion_pytorch_model.safetensors (or .bin)    diffusers' VQModel
    file.safetensors, .ckpt, .pt, .pth                                    taming-transformers' VQGAN, a state dict

A pickle (everything but .safetensors) is read only when the caller says so, and even then as tensors alone: PyTorch
refuses what would run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from gridcode.convert.names import Project, todays_name
from gridcode.convert.parts import find_part
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import read_json

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
"""What diffusers calls its weights, the preferred first."""
LIGHTNING = ("pytorch_lightning.", "lightning.pytorch.")
"""The trainer whose classes may be named in a checkpoint, under both of its names; they are ignored."""


@dataclass(frozen=True)
class Source:
    """A tokenizer as another project saved it.

    Attributes:
        path: Its folder or file.
        project: Whose it is.
        tensors: Its tensors by the project's names of today, on the CPU, as they were saved.
        config: What its config.json says; empty where the project writes none.
        set_aside: Names that only training needs.
        prefix: What stood before the names in the file.
        others: How many tensors and values of the file belong to other models.
    """

    path: Path
    project: Project
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    set_aside: tuple[str, ...] = ()
    prefix: str = ""
    others: int = 0


def read_source(path: str | Path, *, allow_pickle: bool = False) -> Source:
    """Read a tokenizer of another project.

    Args:
        path: A folder of diffusers' or a file of taming-transformers'.
        allow_pickle: Also read pickles.

    Raises:
        GridcodeError: There is none, it is a pickle and these are not allowed, or it cannot be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _diffusers(path, allow_pickle=allow_pickle)
    if not path.is_file():
        raise MissingFileError(f"there is no file or folder {path}; download the model first")
    part = find_part(_read(path, allow_pickle=allow_pickle), path)
    return Source(path, "taming", _tensors(part.tensors, path), {}, part.set_aside, part.prefix, part.others)


def _diffusers(folder: Path, *, allow_pickle: bool) -> Source:
    if not (folder / "config.json").is_file():
        inner = sorted(place.parent.name for place in folder.glob("*/config.json"))
        hint = (
            f"perhaps {folder / inner[0]} was meant" if inner else "give a folder that diffusers' VQModel was saved to"
        )
        raise MissingFileError(f"{folder} has no config.json; {hint}")
    config = read_json(folder / "config.json", "convert")
    if config.get("_class_name") != "VQModel":
        raise GridcodeError(
            f"{folder} holds {config.get('_class_name', 'no model of diffusers')}, not a VQModel; of "
            "diffusers' autoencoders only that one has a codebook"
        )
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        others = sorted(place.name for place in folder.glob("diffusion_pytorch_model*"))
        raise MissingFileError(
            f"{folder} has no {WEIGHTS[0]} ({', '.join(others) or 'no weights at all'}); save the model "
            "whole, without variant and shards"
        )
    found = _tensors(_read(weights, allow_pickle=allow_pickle), weights)
    return Source(folder, "diffusers", {todays_name(name): tensor for name, tensor in found.items()}, config)


def _read(path: Path, *, allow_pickle: bool) -> dict[str, Any]:
    """What a file of weights holds; a pickle's classes of PyTorch Lightning's become empty ones."""
    pickled = path.suffix != ".safetensors"
    if pickled and not allow_pickle:
        raise GridcodeError(
            f"{path} is a pickle; if you trust where it comes from, set allow_pickle=True (tensors alone are read)"
        )
    try:
        found = _unpickle(path) if pickled else load_file(path)
    except Exception as error:  # a damaged pickle makes the unpickler raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileError(
            f"{path} cannot be read as weights ({reason}); save its state_dict alone, best as .safetensors"
        ) from None
    if not isinstance(found, dict):
        raise GridcodeError(f"{path} holds a {type(found).__name__}, no tensors by name; save its state_dict")
    return found


def _unpickle(path: Path) -> Any:
    # The published checkpoints name PyTorch Lightning's callbacks beside the weights. An empty class of that name is
    # harmless in their place, and Lightning need not be installed. Any other class is refused.
    if not is_zipfile(path):
        raise ValueError("it is no archive as PyTorch 1.6 and later write")
    names = get_unsafe_globals_in_checkpoint(path)
    if other := next((name for name in names if not name.startswith(LIGHTNING)), None):
        raise ValueError(f"it needs {other}, which could run code")
    parts = [name.rpartition(".") for name in names]
    empty: list[Any] = [type(name, (), {"__module__": module}) for module, _, name in parts]
    with safe_globals(empty):
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(found: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    other = next((name for name, value in found.items() if not isinstance(value, Tensor)), None)
    if other is not None or not found:
        seen = f"{other!r} is a {type(found[other]).__name__}" if found else "it is empty"
        raise GridcodeError(f"{path} holds no tensors by name ({seen}); save its state_dict alone")
    whole = next((name for name, value in found.items() if not value.is_floating_point()), None)
    if whole is not None:
        raise GridcodeError(
            f"{path}: {whole} holds {str(found[whole].dtype).removeprefix('torch.')}, not floats; give weights that "
            "were not quantized, and without further buffers"
        )
    return {str(name): value for name, value in found.items()}
