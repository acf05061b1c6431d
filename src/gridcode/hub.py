"""Models as folders: safetensors, a config and a card, on this disk or on the Hugging Face hub.

    folder/
      model.safetensors    the weights, by name
      config.json          "kind", "format_version" and what the kind's builder needs
      README.md            the model card

Bytes and names only: nothing here knows a model. No pickle is ever read, so that a stranger's folder runs no
code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import folder_atomic, read_json, to_json, write_text

FORMAT_VERSION = 1
"""The version of the folder's layout that this gridcode writes, and the newest that it reads."""

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelFolder:
    """A loaded model folder.

    Attributes:
        path: The folder that was read, on this disk.
        tensors: The weights by name, on the CPU.
        config: What config.json holds, "kind" and "format_version" included.
    """

    path: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any]


def save_model(folder: Path, *, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: str) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: The folder to make. An earlier model folder there is replaced, but not one with other files in it.
        tensors: The weights by name, from any device; tied ones are written once for each name.
        config: JSON values with at least ``"kind"``; ``"format_version"`` is added.
        card: The model card, Markdown.

    Raises:
        GridcodeError: ``config`` has no kind or is no JSON, or the folder holds other files.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "model"
    >>> save_model(folder, tensors={"w": torch.ones(2)}, config={"kind": "toy"}, card="# A toy")
    >>> load_model(folder, kind="toy").tensors["w"]
    tensor([1., 1.])
    """
    if not isinstance(config.get("kind"), str):
        raise GridcodeError(f'save_model: config["kind"] is {config.get("kind")!r}; name what the model is')
    _refuse_other_files(folder)
    written = {"kind": config["kind"], "format_version": FORMAT_VERSION, **config}
    try:
        text = to_json(written, indent=2)
    except (TypeError, ValueError) as error:
        raise GridcodeError(f"save_model: the config cannot be written as JSON ({error}); use plain values") from None
    with folder_atomic(folder) as temporary:
        (temporary / CONFIG).write_text(text + "\n", encoding="utf-8")
        write_text(temporary / CARD, card)
        save_tensors(temporary / WEIGHTS, tensors)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device and layout as safetensors.

    Raises:
        OSError: The system refuses.
    """
    # A copy each: safetensors refuses tensors that share memory, as tied weights do.
    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    try:
        save_file(copies, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load_model(source: str | Path, *, kind: str | Sequence[str]) -> ModelFolder:
    """Read a model folder.

    Args:
        source: A local folder, a training run's folder (its ``best/``, else its ``last/`` is read), or, as a
            string that names no local folder, a hub id such as ``"org/name"``.
        kind: What ``config["kind"]`` must be, or may be: the first is today's name, others are older ones.

    Returns:
        The weights on the CPU, the config and the folder they came from.

    Raises:
        GridcodeError: There is no such folder or hub model, a file is missing or damaged, or the kind is another.
    """
    folder = find_model(source)
    config = read_json(folder / CONFIG, f"the config of model {source}")
    found, version, kinds = config.get("kind"), config.get("format_version"), (kind,) if isinstance(kind, str) else kind
    if found not in kinds:
        raise GridcodeError(f"load_model: {folder} holds a {found!r}, not a {kinds[0]!r}; give another folder")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise GridcodeError(
            f"load_model: {folder / CONFIG} has format_version {version!r}, this gridcode reads up to "
            f"{FORMAT_VERSION}; upgrade gridcode"
        )
    try:
        tensors = load_file(folder / WEIGHTS, device="cpu")
    except (SafetensorError, OSError) as error:
        raise FileError(
            f"load_model: {folder / WEIGHTS} cannot be read ({error}); it is damaged or incomplete, copy or "
            "train it again"
        ) from None
    return ModelFolder(path=folder, tensors=tensors, config=config)


def find_model(source: str | Path) -> Path:
    """The local folder that holds a model's files; a hub id is downloaded first.

    Raises:
        GridcodeError: Nothing was found; the message lists the places that were tried.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        for candidate in (folder, folder / "best", folder / "last"):
            if (candidate / WEIGHTS).is_file():
                return candidate
        raise MissingFileError(
            f"load_model: there is no {WEIGHTS} in {folder}, nor in its best/ or last/; give a model's or a "
            "training run's folder"
        )
    if isinstance(source, str) and _HUB_ID.fullmatch(source):
        return _download(source)
    raise MissingFileError(f"load_model: no folder {folder}, and it is no hub id (org/name); check the path")


def push_model(source: str | Path, repo_id: str, *, private: bool = True) -> str:
    """Upload a model folder to the Hugging Face hub.

    Args:
        source: A local model folder or training run's folder.
        repo_id: ``"org/name"``; made if it is not there.
        private: Whether a repository that is made now is private.

    Returns:
        The address of the model on the hub.

    Raises:
        GridcodeError: The folder is no complete model, or the hub refused.
    """
    if not Path(source).expanduser().is_dir():
        raise MissingFileError(f"push_model: there is no folder {source}; check the path")
    folder = find_model(source)
    config = read_json(folder / CONFIG, f"the config of model {source}")
    load_model(folder, kind=str(config.get("kind")))
    if not (folder / CARD).is_file():
        raise MissingFileError(f"push_model: {folder} has no {CARD}; write the model card first")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its own, or its client's

    try:
        address = HfApi().create_repo(repo_id, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=[WEIGHTS, CONFIG, CARD])
    except (HTTPError, OSError, ValueError) as error:
        raise FileError(
            f"push_model: the hub did not take {folder} as {repo_id} ({_one_line(error)}); log in with `hf "
            "auth login` and check the name"
        ) from error
    return str(address)


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """What names a set of weights: 16 hexadecimal digits of the SHA-256 of names, dtypes, shapes and bytes.

    Independent of order and device; any changed bit changes it.

    >>> weights_hash({"w": torch.zeros(2)}) == weights_hash({"w": torch.zeros(2)})
    True
    >>> weights_hash({"w": torch.zeros(2)}) == weights_hash({"w": torch.zeros(1, 2)})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _download(repo_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its own, or its client's

    try:
        folder = Path(snapshot_download(repo_id, allow_patterns=[WEIGHTS, CONFIG, CARD]))
    except (HTTPError, OSError, ValueError) as error:
        raise FileError(
            f"load_model: there is no folder {repo_id} here, and the hub gave no model {repo_id} "
            f"({_one_line(error)}); check the path or the id"
        ) from error
    if not (folder / WEIGHTS).is_file():
        raise GridcodeError(f"load_model: the hub's {repo_id} has no {WEIGHTS}; it is not a model of gridcode")
    return folder


def _refuse_other_files(folder: Path) -> None:
    """A model folder is replaced whole, so nothing else may lie in it."""
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if path.name not in (WEIGHTS, CONFIG, CARD))
        if others:
            raise FileError(
                f"save_model: {folder} also holds {others[0]} ({len(others)} other files), which replacing "
                "it would delete; choose a folder of its own"
            )
    elif folder.exists():
        raise FileError(f"save_model: {folder} is a file; choose another folder")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
