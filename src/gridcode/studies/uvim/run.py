"""The study as a program: time it, train what is not finished, write the table.

    out/
      settings.json              what the study compares; another study wants another folder
      cells/TASK-VARIANT-SEED/   one folder a cell (cell.py)
      observer/                  the network whose features compare colours
      table.md, study.json, TASK.png

Cells run in processes of one thread each. Killed in whatever way, the same command goes on where it was: finished
cells are skipped, a cell that had begun continues from its newest checkpoint.

Reference: the paper, Table 2.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

import torch

from gridcode.domains.dense.colour_sets import colour_observer
from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.evaluate import BOTH
from gridcode.domains.dense.recipes import DenseRun
from gridcode.errors import FileError, GridcodeError
from gridcode.files import from_json, make_folder, read_json, to_json, write_json
from gridcode.studies.uvim.cell import CellResult, rendered, run_cell
from gridcode.studies.uvim.config import Cell, StudyConfig
from gridcode.studies.uvim.table import SHOWN, write_study
from gridcode.studies.uvim.timing import Timing, hours, kinds, time_cell
from gridcode.training.fabric import loop_device
from gridcode.training.log import Say

T = TypeVar("T")


def run_study(config: StudyConfig, out: Path, *, workers: int = 1, say: Say = print, only_time: bool = False) -> None:
    """Run what is not finished of a study, and write its table.

    Args:
        config: Which cells, and how large.
        out: The study's folder.
        workers: Processes, of one thread each.
        say: Told what is being done.
        only_time: Say how long it would take, and end.

    Raises:
        GridcodeError: The folder holds another study, a cell cannot be trained, or a process was killed.
    """
    if workers < 1:
        raise GridcodeError(f"workers must be at least 1, got {workers}")
    _claim(out, config, write=not only_time)
    cells = config.cells()
    pending = [cell for cell in cells if CellResult.read(_folder(out, cell)) is None]
    say(f"{len(cells)} cells, {len(cells) - len(pending)} finished")
    if pending:
        with _processes(min(workers, len(pending))) as pool:
            say("timing a few steps of each kind of cell")
            timings = _timings(config, pending, pool)
            for name, timing in timings.items():
                say(f"{name}: about {timing.cell:.0f} s a cell, {timing.pictures:.0f} s for pictures")
            total = hours(pending, timings, workers=min(workers, len(pending)))
            say(f"about {total:.1f} hours ({60 * total:.0f} minutes) for {len(pending)} cells, {workers} at a time")
            if only_time:
                return
            _run_cells(config, pending, out, pool, say)
    if only_time:
        return
    found = (CellResult.read(_folder(out, cell)) for cell in cells)
    write_study(config, [result for result in found if result is not None], out)


def _claim(out: Path, config: StudyConfig, *, write: bool) -> None:
    """Make the study's folder, or check that it is this study's; without ``write`` only check."""
    settings = from_json(to_json(asdict(config)))
    file = out / "settings.json"
    if out.is_file():
        raise FileError(f"{out} is a file; give a folder")
    if not file.exists():
        if out.exists() and any(out.iterdir()):
            raise FileError(f"{out} is not empty and holds no study; give another folder")
        if write:
            make_folder(out)
            write_json(file, settings)
        return
    before = read_json(file, "settings of a study")
    changed = [name for name, value in settings.items() if before.get(name) != value]
    if changed:
        name = changed[0]
        raise GridcodeError(
            f"{out} is a study with {name}={before.get(name)}, now {settings[name]}; give the same settings to go on "
            "with it, or give another folder"
        )


def _folder(out: Path, cell: Cell) -> Path:
    return out / "cells" / cell.name


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each; those that wait for work are dropped when the block ends early."""
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """What a process does first: take one thread, and watch for the end of the process that gives it work."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _timings(config: StudyConfig, cells: list[Cell], pool: ProcessPoolExecutor) -> dict[str, Timing]:
    """All kinds at once, so that processes are in each other's way as they will be."""
    evaluation = config.evaluation()
    futures = {kind: pool.submit(_time, config.run(cell), evaluation) for kind, cell in sorted(kinds(cells).items())}
    return {kind: _value(future) for kind, future in futures.items()}


def _run_cells(config: StudyConfig, cells: list[Cell], out: Path, pool: ProcessPoolExecutor, say: Say) -> None:
    evaluation = replace(config.evaluation(), observer=str(out / "observer"))
    colours = [cell for cell in cells if cell.task == "colour"]
    if colours and not (out / "observer").exists():
        say("the network whose features compare colours")
        _value(pool.submit(_observe, config.run(colours[0]), evaluation))
    futures = [pool.submit(_run, cell, config.run(cell), evaluation, _folder(out, cell)) for cell in cells]
    for number, future in enumerate(as_completed(futures), 1):
        result = _value(future)
        name = SHOWN[result.cell.task][0].name
        figure = result.scores[BOTH][name]
        say(f"{number}/{len(cells)}  {result.cell.name}: {name} {figure:.4g}, {result.seconds:.0f} s")


def _value(future: Future[T]) -> T:
    """What a process found; the error that ended its work is raised here as what it was there.

    Raises:
        GridcodeError: The process was killed.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        raise GridcodeError("a process of the study was killed; the same command goes on with it") from None


@contextmanager
def _named(work: str) -> Iterator[None]:
    """Put what was being done before the text of an error of ours, which stays of its kind."""
    try:
        yield
    except GridcodeError as error:
        error.args = (f"{work}: {error}",)
        raise


def _run(cell: Cell, run: DenseRun, evaluation: DenseEvaluationConfig, folder: Path) -> CellResult:
    with _named(cell.name):
        return run_cell(cell, run, evaluation, folder)


def _observe(run: DenseRun, evaluation: DenseEvaluationConfig) -> None:
    """Train the observer and leave it in its folder, for the cells of all processes."""
    with _named("observer"):
        colour_observer(
            rendered(run.data).train,
            run.data,
            steps=evaluation.observer_steps,
            device=loop_device(run.prior.loop),
            folder=evaluation.observer,
        )


def _time(run: DenseRun, evaluation: DenseEvaluationConfig) -> Timing:
    with _named(run.data.task):
        return time_cell(run, evaluation)
