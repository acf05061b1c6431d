"""Run a study: time it, train what is not finished, write what was found.

    out/
      settings.json              what the study compares; another study wants another folder
      machines.json              of cells that were finished elsewhere (``results.py``)
      cells/SETTING-SEED/        one folder a cell; result.json is written last, and ends it
                                 worked.json: seconds of sittings that an error or a signal ended; gone at the end
      study.json, table.md       of the finished cells, written after each
      .lock                      keeps a second process out while one is at work
      plot.svg, images         written at the end

Cells run in processes of one thread each. Killed in whatever way, the same command goes on where it was: finished
cells are skipped, a cell that had begun continues from its newest checkpoint. A cell that fails is reported, and the
others go on; the next call tries it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gridcode.errors import FileError, GridcodeError
from gridcode.evaluation.publish import machine_lines
from gridcode.files import alone_in, from_json, read_json, sweep, to_json, write_json, write_text
from gridcode.studies.plot import save_plot
from gridcode.studies.results import (
    WEIGHTS,
    changed_weights,
    earlier_machines,
    finished_cells,
    read_result,
    take_over,
    write_result,
)
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.summary import Summary, summarised
from gridcode.studies.timing import working_time
from gridcode.training.log import Say
from gridcode.training.processes import processes
from gridcode.training.signals import Stopped

T = TypeVar("T")

WORKED = "worked.json"
"""The file that keeps the seconds a cell has worked so far, where an error or a signal ended it."""


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int = 1,
    say: Say = print,
    only_time: bool = False,
    finished: Path | None = None,
) -> None:
    """Run what is not finished of a study, and write what it found.

    Args:
        study: Which cells, and how large.
        out: The study's folder.
        workers: Processes, of one thread each.
        say: Told what is being done.
        only_time: Say how long it would take, and end.
        finished: A ``study.json`` of the same settings whose cells are not run again.

    Raises:
        GridcodeError: The folder or ``finished`` holds another study, another process is running it there, cells
            failed, or a process was killed.
    """
    if workers < 1:
        raise GridcodeError(f"workers must be at least 1, got {workers}")
    _claim(out, study, write=False)
    if only_time:
        elsewhere = finished_cells(study, finished)[1] if finished is not None else {}
        known = finished_results(study, out) | elsewhere
        pending = _pending(study, known, say)
        if pending:
            with processes(min(workers, len(pending))) as pool:
                _say_time(study, pending, pool, say, workers)
        return
    with alone_in(out, "running the study"):
        _run(study, out, workers, say, finished)


def _run(study: Study, out: Path, workers: int, say: Say, finished: Path | None) -> None:
    """:func:`run_study` in a folder that no other process writes to."""
    sweep(out)
    _claim(out, study, write=True)
    if finished is not None:
        say(f"{take_over(study, out, finished)} cells taken from {finished}")
    known = finished_results(study, out)
    for cell in known:
        _tidy(study, cell, out)  # a process may have been killed right after its result
    cells, pending = study.cells(), _pending(study, known, say)
    failed: dict[Cell, GridcodeError] = {}
    killed: ProcessKilledError | None = None
    if pending:
        with processes(min(workers, len(pending))) as pool:
            _say_time(study, pending, pool, say, workers)
            try:
                failed = _run_cells(study, pending, out, pool, say)
            except ProcessKilledError as stopped:
                killed = stopped
    write_study(study, finished_results(study, out), out)
    if killed is not None:
        raise killed
    if failed:
        cell, error = next(iter(failed.items()))
        raise GridcodeError(
            f"{len(failed)} of {len(cells)} cells failed, {cell.folder} with: {error}; the table has the others, and "
            "the same command tries these again"
        )


def _pending(study: Study, known: Mapping[Cell, Values], say: Say) -> list[Cell]:
    """The cells that are not finished."""
    cells = study.cells()
    pending = [cell for cell in cells if cell not in known]
    say(f"{len(cells)} cells, {len(cells) - len(pending)} finished")
    return pending


def _say_time(study: Study, pending: list[Cell], pool: ProcessPoolExecutor, say: Say, workers: int) -> None:
    """Time each kind of cell, and say how long all will take."""
    say("timing a few steps of each kind of cell")
    seconds = _times(study, pending, pool, say, begun=len(pending) < len(study.cells()))
    timed = [seconds[study.kind(cell)] for cell in pending if study.kind(cell) in seconds]
    at_once = min(workers, len(pending))
    total = sum(timed) / at_once / 3600
    if timed:
        say(f"about {total:.1f} hours ({60 * total:.0f} minutes) for {len(timed)} cells, {at_once} at a time")


def finished_results(study: Study, out: Path) -> dict[Cell, Values]:
    """What the cells that are done have found."""
    return {cell: values for cell in study.cells() if (values := read_result(out, cell)) is not None}


def write_study(study: Study, results: Mapping[Cell, Values], out: Path) -> None:
    """Write ``study.json``, ``table.md``, ``plot.svg`` and images of the cells that are done."""
    summary = write_figures(study, results, out)
    if summary.panels:
        save_plot(summary.panels, out / "plot.svg")
    study.save_images(out)


def write_figures(study: Study, results: Mapping[Cell, Values], out: Path) -> Summary:
    """Write ``study.json`` and ``table.md`` of the cells that are done; what the table says is returned."""
    content: dict[str, Any] = {
        "study": study.name,
        "settings": study.settings(),
        "hours": sum(values.get("seconds") or 0.0 for values in results.values()) / 3600,
        **({WEIGHTS: weights} if (weights := study.weights()) else {}),
        "machine": dict(machine_lines()),
        **({"earlier_machines": machines} if (machines := earlier_machines(out)) else {}),
        "cells": [{"setting": cell.setting, "seed": cell.seed, **values} for cell, values in results.items()],
    }
    write_json(out / "study.json", content)
    summary = summarised(study, results)
    write_text(out / "table.md", summary.markdown())
    return summary


def _claim(out: Path, study: Study, *, write: bool) -> None:
    """Make the study's folder, or check that it is this study's; without ``write`` only check."""
    now = study.weights()
    settings = from_json(to_json({"study": study.name, **study.settings(), **({WEIGHTS: now} if now else {})}))
    file = out / "settings.json"
    if out.is_file():
        raise FileError(f"{out} is a file; give a folder")
    # Names that begin with a dot are ours: the lock, and what a killed process left half-written.
    there = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
    if there in ([], [file.name]):  # where no cell was begun, settings may still change
        if write:
            write_json(file, settings)
        return
    if file.name not in there:
        raise FileError(f"{out} is not empty and holds no study; give another folder")
    before = read_json(file, "settings of a study")
    changed = [
        name for name, value in settings.items() if name not in (*study.choices, WEIGHTS) and before.get(name) != value
    ]
    if (model := changed_weights(before.get(WEIGHTS, {}), now)) is not None:
        raise GridcodeError(f"{out} has measured other weights of {model}; give another folder")
    if not changed and settings != before and write:
        write_json(file, settings | ({WEIGHTS: before.get(WEIGHTS, {}) | now} if now else {}))
    if changed:
        name = changed[0]
        raise GridcodeError(
            f"{out} is a study with {name}={before.get(name)}, now {settings[name]}; give the same settings to go on "
            "with it, or give another folder"
        )


def _times(study: Study, cells: list[Cell], pool: ProcessPoolExecutor, say: Say, *, begun: bool) -> dict[str, float]:
    """Seconds a cell of each kind; all kinds at once, so that processes are in each other's way as they will be.

    A kind that cannot be timed is told of and left out: its cells will say what is wrong, and the others go on.

    Raises:
        GridcodeError: No kind can be timed, of a study of which no cell is finished.
    """
    kinds: dict[str, list[Cell]] = {}
    for cell in cells:
        kinds.setdefault(study.kind(cell), []).append(cell)
    seconds: dict[str, float] = {}
    failure: CellError | None = None
    futures = {kind: pool.submit(_time_cell, study, of_kind[0]) for kind, of_kind in sorted(kinds.items())}
    for kind, future in futures.items():
        try:
            seconds[kind] = outcome(future)
        except CellError as error:
            failure = error
            say(f"{kind}: cannot be timed: {error}")
            continue
        say(f"{kind}: about {seconds[kind]:.0f} s a cell, {len(kinds[kind])} cells")
    if not seconds and not begun:
        raise GridcodeError(f"no cell of the study can be run: {failure}")
    return seconds


def _time_cell(study: Study, cell: Cell) -> float:
    with _as_cell_error():
        return study.time_cell(cell)


def _run_cells(
    study: Study, cells: list[Cell], out: Path, pool: ProcessPoolExecutor, say: Say
) -> dict[Cell, GridcodeError]:
    """Run cells and report each; those that failed, with what they said."""
    outcome(pool.submit(named, study.name, study.prepare, out))
    failed: dict[Cell, GridcodeError] = {}
    futures = {pool.submit(run_cell, study, cell, out): cell for cell in cells}
    for number, future in enumerate(as_completed(futures), 1):
        cell = futures[future]
        try:
            found = outcome(future)
        except CellError as error:
            failed[cell] = error
            say(f"{number}/{len(cells)}  {cell.folder}: failed: {error}")
            continue
        write_figures(study, finished_results(study, out), out)
        say(f"{number}/{len(cells)}  {cell.folder}: {study.headline(found)}, {found['seconds']:.0f} s")
    return failed


class CellError(GridcodeError):
    """A cell could not be trained or measured."""


class ProcessKilledError(GridcodeError):
    """A process of the study was killed, by the system where memory ran out, or by someone."""


@contextmanager
def _as_cell_error() -> Iterator[None]:
    """Any error of a cell in one line; a signal is none."""
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        kind = "" if isinstance(error, GridcodeError) else f"{type(error).__name__}: "
        text = f"{kind}{error}".splitlines() or [kind]
        raise CellError(text[0]) from error


def run_cell(study: Study, cell: Cell, out: Path) -> Values:
    """Run a cell where it is not finished, and write its result.

    Its seconds are those of all sittings, also of those that an error or a signal ended. A sitting whose process was
    killed outright is not counted: by ``kill -9``, by SIGTERM outside a training, or because its parent had ended.

    Raises:
        CellError: It failed, by an error of ours or any other.
        Stopped: A signal ended it.
    """
    with _as_cell_error():
        done = read_result(out, cell)
        if done is None:
            done = _found(study, cell, out)
        _tidy(study, cell, out)
    return done


def _found(study: Study, cell: Cell, out: Path) -> Values:
    """Run a cell and write its result; what it has worked is kept, whatever ends it."""
    folder, start = cell_folder(out, cell), working_time()
    before = _worked(folder)
    try:
        found = study.run_cell(cell, out)
        if (measured_by := study.measured_by(out)) is not None:
            found = {**found, "measured_by": measured_by}
        write_result(out, cell, found, before + working_time() - start)
    except BaseException:  # also Ctrl-C between trainings, and what a signal raises
        write_json(folder / WORKED, {"seconds": before + working_time() - start})
        raise
    result = read_result(out, cell)
    assert result is not None
    return result


def _tidy(study: Study, cell: Cell, out: Path) -> None:
    """Remove what a finished cell needs no longer."""
    (cell_folder(out, cell) / WORKED).unlink(missing_ok=True)
    study.tidy(cell, out)


def _worked(folder: Path) -> float:
    """Seconds that a cell worked before."""
    file = folder / WORKED
    if not file.is_file():
        return 0.0
    seconds = read_json(file, "seconds of a cell").get("seconds")
    if not isinstance(seconds, float):
        raise GridcodeError(f"{file} holds no seconds; remove it, and they are not counted")
    return seconds


def outcome(future: Future[T]) -> T:
    """What a process found; the error that ended its work is raised here as what it was there.

    Raises:
        ProcessKilledError: The process was killed.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        raise ProcessKilledError("a process of the study was killed; the same command goes on with it") from None


def named(work: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function; the text of an error of ours begins with what was being done."""
    try:
        return function(*arguments)
    except GridcodeError as error:
        error.args = (f"{work}: {error}",)
        raise
