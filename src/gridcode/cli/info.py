"""``gridcode info PATH``: what a model, a training run, a token store or a compressed file is."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

import tyro

from gridcode.cli.shared.advice import as_flags
from gridcode.cli.shared.folders import PARTS
from gridcode.cli.shared.parse import parse
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import read_json, to_json


@dataclass(frozen=True)
class Arguments:
    """Say what a folder or a compressed file is."""

    path: Annotated[Path, tyro.conf.Positional]
    """A model's, a training run's, or a token store's folder, or a file of gridcode compress."""


def run(arguments: list[str]) -> None:
    """Describe a folder or a file.

    Raises:
        GridcodeError: There is nothing of gridcode's.
    """
    path = parse(Arguments, arguments, prog="gridcode info").path
    if not path.exists():
        raise MissingFileError(f"there is no folder or file {path}")
    if not path.is_dir():
        from gridcode.cli.codec.files import described

        print("\n".join(described(path)))
        return
    lines = _describe(path)
    if not lines:  # the folder of several parts, as gridcode demo and gridcode dense train make it
        for part in PARTS:
            found = _describe(path / part)
            lines += [f"{part}/", *(f"    {line}" for line in found)] if found else []
    if not lines:
        raise GridcodeError(f"{path} is no model, training run or token store of gridcode's")
    print("\n".join(lines))


def _describe(path: Path) -> list[str]:
    """What lies in a folder; nothing where it is none of gridcode's."""
    lines: list[str] = []
    if (path / "run.json").exists():
        lines += _run(path)
    if (path / "manifest.json").exists() or (path / "manifest.partial.json").exists():
        lines += _store(path)
    model = next((p for p in (path, path / "best", path / "last") if (p / "config.json").exists()), None)
    if model is not None:
        lines += _model(model)
    return lines


def _run(path: Path) -> list[str]:
    from gridcode.training.log import read_log

    loop = read_json(path / "run.json", "training run").get("loop")
    if not isinstance(loop, dict) or "steps" not in loop:
        raise GridcodeError(f"{path / 'run.json'} is not a training run's; give a folder that gridcode train wrote")
    log = read_log(path)
    validations = [line for line in log if any(key.startswith("val/") for key in line)]
    warnings = [line["warning"] for line in log if "warning" in line]
    state = "finished" if (path / "done.json").exists() else "unfinished (--resume continues it)"
    lines = [f"training run: step {log[-1]['step'] if log else 0} of {loop['steps']}, {state}"]
    if validations:
        scores = {k.removeprefix("val/"): v for k, v in validations[-1].items() if k != "step"}
        lines.append("last validation: " + "  ".join(f"{k} {_figure(v)}" for k, v in scores.items()))
    return lines + [f"warning: {as_flags(text)}" for text in warnings[-3:]]


def _figure(value: object) -> str:
    return "not a number" if not isinstance(value, int | float) else f"{value:.4g}"


def _store(path: Path) -> list[str]:
    from gridcode.store.reader import TokenStore

    store = TokenStore.open(path, growing=True)
    manifest, data = store.manifest, store.manifest.data
    rows = ", ".join(f"{store.rows(split):,} {split}" for split in store.splits) or "no rows"
    size = sum((path / shard.file).stat().st_size for shard in manifest.shards) / 1e6
    state = (
        "being written, or interrupted: this is what is committed" if (path / "manifest.partial.json").exists() else ""
    )
    return [
        f"token store: {rows}; grid {'x'.join(map(str, manifest.grid))} of {manifest.codebook_size:,} codes",
        f"quantizer: {to_json(manifest.quantizer)}",
        f"made by tokenizer {manifest.tokenizer} from {data.get('dataset')}, crop {data.get('crop')}",
        f"classes: {', '.join(manifest.classes) or 'none'}",
        f"shards: {len(manifest.shards):,}, {size:,.1f} MB",
        *([f"columns: {', '.join(manifest.columns)}"] if manifest.columns else []),
        *([f"state: {state}"] if state else []),
    ]


def _model(path: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    config: dict[str, Any] = read_json(path / "config.json", "model")
    weights = path / "model.safetensors"
    try:
        with safe_open(weights, framework="np") as file:
            tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError) as error:
        raise FileError(f"{weights} cannot be read ({error}); copy or train it again") from None
    # A tokenizer says it itself: its file also holds records of settings, and the statistics of a learned codebook.
    count = config.get("parameters")
    count = count if isinstance(count, int) else sum(prod(tensor.get_shape()) for tensor in tensors)
    lines = [f"{config.get('kind', 'model')}: {path}, {count:,} parameters"]
    parts = (part for part in ("prior", "quantizer", "model", "space") if part in config)
    return lines + [f"{part}: {to_json(config[part])}" for part in parts]
