"""What cells found, on disk: one file a cell, one of the whole study; and how a study goes on from an earlier one's.

    result.json of each cell ─> study.json ─take_over─> result.json of each cell in another folder

A study of many hours may so take several machines, or several sittings on machines that keep nothing. What such cells
leave beside their figures, images and models, stays where they ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from gridcode.errors import GridcodeError
from gridcode.files import make_folder, read_json, sha256, write_json
from gridcode.hub import WEIGHTS as WEIGHTS_FILE
from gridcode.studies.study import Cell, Study, Values, cell_folder

RESULT: Final = "result.json"
"""The file that ends a cell."""
WEIGHTS: Final = "weights"
"""Where settings and ``study.json`` keep the weights of models that were trained elsewhere."""
MACHINES: Final = "machines.json"
"""Where a study's folder keeps the machines of cells that were finished elsewhere."""


def read_result(out: Path, cell: Cell) -> Values | None:
    """What a cell found; None where it is not finished.

    Raises:
        GridcodeError: The file is damaged.
    """
    file = cell_folder(out, cell) / RESULT
    if not file.is_file():
        return None
    values: Values = read_json(file, "result of a cell")
    if values.get("cell") != {"setting": cell.setting, "seed": cell.seed} or not isinstance(values.get("found"), dict):
        raise GridcodeError(f"{file} is no result of cell {cell.folder}; remove it, and the study makes it again")
    found: Values = values["found"] | {"seconds": values.get("seconds")}
    return found


def write_result(out: Path, cell: Cell, found: Values, seconds: float | None) -> None:
    """Write what a cell found; with it the cell is finished."""
    folder = cell_folder(out, cell)
    make_folder(folder)
    named = {"setting": cell.setting, "seed": cell.seed}
    write_json(folder / RESULT, {"cell": named, "found": found, "seconds": seconds})


def read_study(file: Path) -> tuple[Values, dict[Cell, Values]]:
    """The settings and every cell's figures from a ``study.json``.

    Raises:
        GridcodeError: It cannot be read, or holds no study.
    """
    content, results = read_json(file, "study"), {}
    try:
        for values in content["cells"]:
            found = dict(values)
            results[Cell(found.pop("setting"), found.pop("seed"))] = found
        if not all(isinstance(content[part], dict) for part in ("settings", "machine")):
            raise TypeError("settings and machine are no objects")
    except (KeyError, TypeError, ValueError) as error:
        raise GridcodeError(f"{file} is no study.json ({error!r}); give another file") from None
    return content, results


def weights_below(folder: str) -> str:
    """A hash of all weights in a model's folder and below, for :meth:`Study.weights`; of a hub id its name.

    Checkpoints, by which a training goes on, are none.
    """
    files = sorted(path for path in Path(folder).rglob(WEIGHTS_FILE) if "state" not in path.relative_to(folder).parts)
    digests = "".join(f"{path.relative_to(folder)} {sha256(path)}\n" for path in files)
    return hashlib.sha256(digests.encode()).hexdigest()[:16] if files else folder


def changed_weights(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first model that both name with other weights."""
    return next((name for name, weights in now.items() if before.get(name, weights) != weights), None)


def trained_network(folder: Path) -> str | None:
    """The name of a network's folder and the hash of its weights, for :meth:`Study.measured_by`; None without it."""
    weights = folder / WEIGHTS_FILE
    return f"{folder.name} {sha256(weights)[:16]}" if weights.is_file() else None


def finished_cells(study: Study, file: Path) -> tuple[dict[str, Any], dict[Cell, Values]]:
    """A ``study.json`` of an earlier run, and what it holds of a study's cells.

    Raises:
        GridcodeError: The file cannot be read, or is of another study, of other settings or of other weights.
    """
    content, results = read_study(file)
    if content.get("study") != study.name:
        raise GridcodeError(f"{file} holds the study {content.get('study')!r}, not {study.name!r}; give another file")
    before, now = (_comparable(study, settings) for settings in (content["settings"], study.settings()))
    for name, value in now.items():
        if before.get(name) != value:
            raise GridcodeError(
                f"{file} is a study with {name}={before.get(name)}, now {value}; give the same settings to go on"
            )
    weights = study.weights()
    if weights and WEIGHTS not in content:
        raise GridcodeError(f"{file} does not say which weights it has measured; measure these from the start")
    if (model := changed_weights(content.get(WEIGHTS, {}), weights)) is not None:
        raise GridcodeError(f"{file} has measured other weights of {model}; measure these from the start")
    return content, {cell: results[cell] for cell in study.cells() if cell in results}


def take_over(study: Study, out: Path, file: Path) -> int:
    """Take the cells of a ``study.json`` for finished, but for those that are so already.

    Args:
        study: Which cells are wanted.
        out: The study's folder, made.
        file: The figures of an earlier run.

    Returns:
        How many cells were taken.

    Raises:
        GridcodeError: See :func:`finished_cells`.
    """
    content, cells = finished_cells(study, file)
    taken = {cell: values for cell, values in cells.items() if read_result(out, cell) is None}
    if taken:  # first of all, so that no cell of another machine is ever without its mark
        machines = [*earlier_machines(out), content["machine"], *content.get("earlier_machines", [])]
        write_json(out / MACHINES, {"machines": [one for n, one in enumerate(machines) if one not in machines[:n]]})
    for cell, values in taken.items():
        found = dict(values)
        seconds = found.pop("seconds", None)
        write_result(out, cell, found, seconds)
    return len(taken)


def earlier_machines(out: Path) -> list[dict[str, str]]:
    """The machines of the cells that were taken over into a study's folder."""
    file = out / MACHINES
    found: list[dict[str, str]] = read_json(file, "machines of a study")["machines"] if file.is_file() else []
    return found


def _comparable(study: Study, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that choose cells alone, and without this machine's paths."""
    return {name: value for name, value in without_paths(study, settings).items() if name not in study.choices}


def without_paths(study: Study | type[Study], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the last part alone of every path, for machines have their own."""

    def last(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [last(one) for one in value]
        return PurePath(value).name if isinstance(value, str) else value

    found = dict(settings)
    found |= {name: last(found[name]) for name in study.paths if name in found}
    if isinstance(data := found.get("data"), Mapping):
        found["data"] = {**data, **{name: last(data.get(name)) for name in ("source", "val_source")}}
    return found
