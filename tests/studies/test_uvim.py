"""The study: which cells, what a table says of them, and that a killed study goes on with what it has."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from gridcode.cli.main import main
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.evaluate import BOTH, DRAW, MEAN, NONE, ORACLE, OTHERS
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import write_json
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.studies.uvim.cell import CellResult, run_cell
from gridcode.studies.uvim.config import Cell, Size, StudyConfig, Variant
from gridcode.studies.uvim.run import _run, _time, _value
from gridcode.studies.uvim.table import Spread, study_rows, study_table
from gridcode.studies.uvim.timing import Timing, hours, kinds
from gridcode.training.run import OpenRun
from gridcode.training.signals import Stopped

SMOKE = ["study", "uvim", "--size", "smoke", "--tasks", "depth", "--variants", "fsq", "--seeds", "1"]


def result(cell: Cell, mean: float, oracle: float, others: float) -> CellResult:
    rows = {ORACLE: oracle, OTHERS: others, NONE: 0.7, BOTH: 2.0, DRAW: 3.0, MEAN: mean, "mean depth": 1.0}
    scores = {name: {"rmse": value} for name, value in rows.items()}
    return CellResult(cell, scores, 0.5, 20.0, 64, 0.25, 1.0)


@pytest.mark.parametrize("size", get_args(Size))
@pytest.mark.parametrize("task", get_args(Task))
def test_cells_differ_in_their_variant_and_seed_alone(size: Size, task: Task) -> None:
    study = StudyConfig(size=size)
    runs = {variant: study.run(Cell(task, variant, 2)) for variant in study.variants}
    books = {variant: run.tokenizer.model.quantizer for variant, run in runs.items()}
    assert books["fsq"] == books["fsq_no_context"]
    assert books["vq"] == books["vq_no_context"]
    book, split, unsplit = books["fsq"], books["vq"], books["vq_unsplit"]
    assert isinstance(book, FSQConfig)
    assert isinstance(split, VQConfig)
    assert unsplit == replace(split, preset="uvim_unsplit")
    assert abs(np.log2(split.size) - np.log2(np.prod(book.levels))) < 0.1
    for variant, run in runs.items():
        assert run.tokenizer.model.context == (not variant.endswith("no_context"))
        assert (run.tokenizer.loop.seed, run.prior.loop.seed) == (2, 2)
        assert run.data == runs["fsq"].data
        same = replace(run.tokenizer, model=replace(run.tokenizer.model, quantizer=book, context=True))
        assert same == runs["fsq"].tokenizer
        assert run.stage_two() == runs["fsq"].stage_two()


def test_a_longer_study_has_more_steps_and_pictures_and_does_the_rest_as_often() -> None:
    cell = Cell("depth", "vq", 1)
    run, longer = (StudyConfig(length=length, accelerator="cpu").run(cell) for length in (1.0, 2.5))
    assert longer.data == replace(run.data, train_count=22_500)
    for short, long in ((run.tokenizer, longer.tokenizer), (run.prior, longer.prior)):
        for name in ("steps", "log_every", "val_every", "checkpoint_every"):
            assert getattr(long.loop, name) == np.ceil(2.5 * getattr(short.loop, name))
        assert (long.loop.batch_size, long.loop.seed, long.loop.accelerator) == (short.loop.batch_size, 1, "cpu")
    for length in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(GridcodeError, match="length must be above 0 and finite"):
            StudyConfig(length=length)


def test_a_spread_is_numpys_mean_and_sample_deviation() -> None:
    values = [0.3, 0.9, 0.4]
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    assert spread.text(2) == "0.53 ± 0.32"
    assert Spread.of([0.5]).text(1, scale=100) == "50.0"


def test_the_table_says_on_how_many_seeds_both_stages_beat_the_rest() -> None:
    study = StudyConfig(tasks=("depth",), variants=("fsq", "vq"), seeds=2)
    found = [
        result(Cell("depth", "fsq", 0), 0.8, 0.5, 1.2),
        result(Cell("depth", "fsq", 1), 0.9, 0.5, 0.85),
        result(Cell("depth", "vq", 0), 1.1, 0.5, 1.2),
    ]
    rows = {row.name: row for row in study_rows(study, found)}
    assert list(rows) == ["FSQ", "VQ", "mean depth"]
    assert (rows["FSQ"].beats, rows["FSQ"].seeds) == (1, 2)
    assert (rows["VQ"].beats, rows["VQ"].seeds) == (0, 1)
    lines = study_table(study, found).splitlines()
    assert (
        "| FSQ | 2.000 ± 0.000 | 3.000 ± 0.000 | 0.850 ± 0.071 | 0.500 ± 0.000 | 1.025 ± 0.247 | 0.700 ± 0.000 "
        "| 25.0 ± 0.0 % | 50.0 ± 0.0 % | 1 of 2 |" in lines
    )
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_colours_are_to_beat_grey_and_other_codes_as_a_set_and_by_pixels() -> None:
    study = StudyConfig(tasks=("colour",), variants=("fsq",), seeds=1)
    rows = {
        ORACLE: (25.0, 0.1),
        OTHERS: (19.0, 0.4),
        NONE: (22.0, 0.5),
        BOTH: (20.0, 0.9),
        DRAW: (18.0, 0.3),  # as a set, draws answer
        MEAN: (20.5, 0.8),  # by pixels, their mean
        "grey": (21.0, 0.6),
    }
    scores = {name: {"psnr": psnr, "frechet": frechet} for name, (psnr, frechet) in rows.items()}
    cell = CellResult(Cell("colour", "fsq", 0), scores | {"true colours": {"frechet": 0.05}}, 0.5, 20.0, 64, 0.25, 1.0)
    found = [(row.figure, row.name, row.beats) for row in study_rows(study, [cell])]
    frechet, psnr = "colour, Fréchet distance", "colour, PSNR (dB)"
    assert found[:3] == [(frechet, "FSQ", 1), (frechet, "grey", None), (frechet, "true colours", None)]
    assert found[3:] == [(psnr, "FSQ", 0), (psnr, "grey", None)]


def test_hours_add_cells_over_processes_and_pictures_once_a_task() -> None:
    variants: tuple[Variant, ...] = ("fsq", "vq", "vq_no_context")
    cells = StudyConfig(tasks=("depth", "colour"), variants=variants, seeds=2).cells()
    assert sorted(kinds(cells)) == ["colour-fsq", "colour-vq", "depth-fsq", "depth-vq"]
    timings = {kind: Timing(100.0 if kind.endswith("vq") else 50.0, 30.0) for kind in kinds(cells)}
    assert hours(cells, timings, workers=2) == pytest.approx(((4 * 50 + 8 * 100) / 2 + 2 * 30) / 3600)


def test_a_cell_that_died_ends_with_the_figures_of_one_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyConfig(size="smoke", tasks=("panoptic",), variants=("vq",), seeds=1)
    (cell,) = study.cells()
    run = study.run(cell)
    straight = run_cell(cell, run, study.evaluation(), tmp_path / "straight")
    assert run_cell(cell, run, study.evaluation(), tmp_path / "straight") == straight
    end_step = OpenRun.end_step

    def die(self: OpenRun, step: int, *, save: Callable[[Path], None]) -> None:
        end_step(self, step, save=save)
        if self.out.name == "prior" and step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OpenRun, "end_step", die)
        with pytest.raises(KeyboardInterrupt):
            run_cell(cell, run, study.evaluation(), tmp_path / "died")
    again = run_cell(cell, run, study.evaluation(), tmp_path / "died")
    assert replace(again, seconds=0.0) == replace(straight, seconds=0.0)


def test_a_study_from_the_command_line_leaves_table_pictures_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    assert main([*SMOKE, "--out", str(out)]) == 0
    seen = capsys.readouterr()
    assert "about 0.0 hours" in seen.err
    assert (out / "table.md").read_text() in seen.out
    content = json.loads((out / "study.json").read_text())
    assert [cell["cell"] for cell in content["cells"]] == [{"task": "depth", "variant": "fsq", "seed": 0}]
    with Image.open(out / "depth.png") as picture, Image.open(out / "cells/depth-fsq-0/pictures/truth.png") as row:
        assert picture.size == (row.width, 3 * row.height)
    (out / "cells/broken").mkdir()
    (out / "cells/broken/result.json").write_text('{"cell": {}}')
    with pytest.raises(GridcodeError, match="is no result of a cell"):
        CellResult.read(out / "cells/broken")
    written = (out / "cells/depth-fsq-0/result.json").stat().st_mtime_ns
    assert main([*SMOKE, "--out", str(out)]) == 0
    assert "1 cells, 1 finished" in capsys.readouterr().err
    assert (out / "cells/depth-fsq-0/result.json").stat().st_mtime_ns == written
    assert main([*SMOKE, "--out", str(out), "--seeds", "2"]) == 2
    assert "is a study with seeds=1, now 2; give the same settings" in capsys.readouterr().err


ERRORS = [GridcodeError("a: no; try b"), MissingFileError("a: not there"), Stopped("stopped", 15), RuntimeError("c")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_in_a_process_of_the_study_is_raised_as_what_it_was(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise pickle.loads(pickle.dumps(error))

    monkeypatch.setattr("gridcode.studies.uvim.run.run_cell", fail)
    monkeypatch.setattr("gridcode.studies.uvim.run.time_cell", fail)
    study = StudyConfig(size="smoke", tasks=("depth",), variants=("fsq",), seeds=1)
    (cell,) = study.cells()
    run, evaluation = study.run(cell), study.evaluation()
    for work, name in (
        (partial(_run, cell, run, evaluation, Path("x")), cell.name),
        (partial(_time, run, evaluation), "depth"),
    ):
        future: Future[object] = Future()
        try:
            work()
        except Exception as raised:
            future.set_exception(pickle.loads(pickle.dumps(raised)))  # as between processes
        with pytest.raises(type(error)) as caught:
            _value(future)
        assert type(caught.value) is type(error)
        assert str(caught.value) == (f"{name}: {error}" if isinstance(error, GridcodeError) else str(error))
        assert getattr(caught.value, "number", None) == getattr(error, "number", None)


DRIVER = """
import os
from gridcode.studies.uvim.run import _processes

if __name__ == "__main__":
    with _processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        os.kill(os.getpid(), 9)
"""


def test_processes_end_with_the_study(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    killed = subprocess.run([sys.executable, str(tmp_path / "driver.py")], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    command = Path(f"/proc/{int(killed.stdout)}/cmdline")
    deadline = time.monotonic() + 60
    while _spawned(command) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _spawned(command)


def _spawned(command: Path) -> bool:
    try:
        return b"spawn_main" in command.read_bytes()
    except OSError:
        return False


def test_a_figure_that_was_not_finite_goes_through_a_cells_file_into_the_table(tmp_path: Path) -> None:
    study = StudyConfig(tasks=("depth",), variants=("fsq",), seeds=2)
    back = []
    for seed, rmse in enumerate((float("nan"), 0.8)):
        cell = Cell("depth", "fsq", seed)
        write_json(tmp_path / cell.name / "result.json", asdict(result(cell, rmse, 0.5, 1.2)))
        found = CellResult.read(tmp_path / cell.name)
        assert found is not None
        back.append(found)
    assert [found.scores[MEAN]["rmse"] for found in back] == [pytest.approx(float("nan"), nan_ok=True), 0.8]
    assert study_rows(study, back)[0].beats == 1
    assert "| FSQ | 2.000 ± 0.000 | 3.000 ± 0.000 | nan | 0.500" in study_table(study, back)
