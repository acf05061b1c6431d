"""Studies of any kind: cells are run once, in processes; killed or broken, the rest stays, and the end is the same."""

from __future__ import annotations

import json
import math
import pickle
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import alone_in, write_json
from gridcode.studies.domains.config import DomainsConfig
from gridcode.studies.domains.study import DomainsStudy
from gridcode.studies.engine import CellError, named, outcome, run_cell, run_study
from gridcode.studies.intervals import Difference, answered, difference, paired
from gridcode.studies.plot import save_plot
from gridcode.studies.results import read_result, read_study, take_over
from gridcode.studies.study import Cell, cell_folder
from gridcode.studies.summary import Bars, Spread, summarised
from gridcode.training.signals import Stopped

sys.path.insert(0, str(Path(__file__).parent))  # worker processes import the study by its module's name
from toy import Toy


@pytest.mark.usefixtures("threads")
def test_cells_are_run_once_and_what_they_found_is_written(tmp_path: Path) -> None:
    told: list[str] = []
    run_study(Toy(), tmp_path, workers=2, say=told.append)
    assert told[0] == "4 cells, 0 finished"
    assert "about 1.0 hours (60 minutes) for 4 cells, 2 at a time" in told
    table = (tmp_path / "table.md").read_text()
    assert "- **Seen**: squares grow. 4 cells." in table
    assert "| 3 | 9.05 ± 0.07 |" in table
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")
    content, results = read_study(tmp_path / "study.json")
    assert content["settings"] == {"numbers": [2, 3]}
    assert results[Cell("3", 1)]["square"] == 9.1
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/result.json")}
    assert len(written) == 4
    run_study(Toy(), tmp_path, say=told.append)
    assert told[-1] == "4 cells, 4 finished"
    assert {path: path.stat().st_mtime_ns for path in written} == written
    with pytest.raises(GridcodeError, match=r"is a study with numbers=\[2, 3\], now \[2\]; give the same settings"):
        run_study(Toy((2,)), tmp_path)


@pytest.mark.usefixtures("threads")
def test_table_and_figures_have_each_cell_as_soon_as_it_is_told_of(tmp_path: Path) -> None:
    found = []

    def say(text: str) -> None:
        if re.match(r"\d/4", text):
            found.append(len(read_study(tmp_path / "study.json")[1]))
            assert f"{found[-1]} cells." in (tmp_path / "table.md").read_text()
            assert not (tmp_path / "plot.svg").exists()

    run_study(Toy(), tmp_path, say=say)
    assert all(number >= told for told, number in enumerate(found, 1))
    assert found[-1] == 4


@pytest.mark.usefixtures("threads")
def test_the_time_is_told_without_a_folder_being_made(tmp_path: Path) -> None:
    told: list[str] = []
    run_study(Toy(), tmp_path / "out", say=told.append, only_time=True)
    assert told[-1].startswith("about 2.0 hours")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("threads")
def test_a_broken_cell_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[str] = []
    study = Toy(fails=(2,), mended=str(tmp_path / "mended"))
    with pytest.raises(GridcodeError, match="2 of 4 cells failed, 2-"):
        run_study(study, tmp_path / "out", say=told.append)
    text = "\n".join(told)
    assert "even: cannot be timed: ValueError: the number is bad" in text
    assert "about 1.0 hours (60 minutes) for 2 cells, 1 at a time" in text
    assert "2-0: failed: ZeroDivisionError: no" in text
    assert "2-1: failed: the number is bad" in text
    assert "| 3 | 9.05 ± 0.07 |" in (tmp_path / "out/table.md").read_text()
    (tmp_path / "mended").touch()
    run_study(study, tmp_path / "out", say=told.append)
    assert told[-4:-2] != told[-2:]
    assert "4 cells, 2 finished" in told


@pytest.mark.usefixtures("threads")
def test_a_study_of_which_nothing_can_be_run_ends_at_once_and_its_folder_takes_another(tmp_path: Path) -> None:
    out, told = tmp_path / "out", list[str]()
    with pytest.raises(GridcodeError, match="no cell of the study can be run: ValueError: the number is bad"):
        run_study(Toy((2, 4), fails=(2, 4)), out, say=told.append)
    assert not any("hours" in line for line in told)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == ["settings.json"]
    run_study(Toy((3,)), out, say=told.append)
    with pytest.raises(GridcodeError, match=r"is a study with numbers=\[3\], now \[2\]"):
        run_study(Toy((2,)), out, say=told.append)


def test_a_study_whose_processes_are_killed_ends_with_the_same_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Toy(kills=(3,), mended=str(tmp_path / "mended"))
    with pytest.raises(GridcodeError, match="a process of the study was killed; the same command goes on with it"):
        run_study(study, tmp_path / "killed", say=lambda text: None)
    assert "2-0" not in (tmp_path / "killed/table.md").read_text(), "what is finished has its table"
    (tmp_path / "mended").touch()
    monkeypatch.setattr("gridcode.studies.engine.processes", ThreadPoolExecutor)
    for name in ("killed", "straight"):
        run_study(study, tmp_path / name, say=lambda text: None)
    contents = [json.loads((tmp_path / name / "study.json").read_text()) for name in ("straight", "killed")]
    for content in contents:
        assert content.pop("hours") >= 0
        for cell in content["cells"]:
            cell.pop("seconds")
    assert contents[0] == contents[1]


def test_a_study_killed_while_it_wrote_goes_on_and_tidies_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridcode.studies.engine.processes", ThreadPoolExecutor)
    left = tmp_path / ".settings.json.77.tmp"
    left.touch()
    run_study(Toy(), tmp_path, say=lambda text: None)
    assert not left.exists()
    worked, tidied = cell_folder(tmp_path, Cell("2", 0)) / "worked.json", list[Cell]()
    worked.write_text('{"seconds": 1.0}')
    monkeypatch.setattr(Toy, "tidy", lambda _, cell, out: tidied.append(cell))
    run_study(Toy(), tmp_path, say=lambda text: None)
    assert len(tidied) == 4
    assert not worked.exists()


def test_two_processes_do_not_run_one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridcode.studies.engine.processes", ThreadPoolExecutor)
    with (
        alone_in(tmp_path, "running the study"),
        pytest.raises(GridcodeError, match=r"another process is running the study in .*; wait for it"),
    ):
        run_study(Toy(), tmp_path, say=lambda text: None)
    run_study(Toy(), tmp_path, say=lambda text: None)


def test_a_result_that_cannot_be_written_is_its_cells_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridcode.studies.engine.processes", ThreadPoolExecutor)
    good = Toy.run_cell
    monkeypatch.setattr(
        Toy, "run_cell", lambda self, cell, out: {"square": {1}} if cell == Cell("3", 1) else good(self, cell, out)
    )
    with pytest.raises(GridcodeError, match="1 of 4 cells failed, 3-1 with: TypeError"):
        run_study(Toy(), tmp_path, say=lambda text: None)
    assert len(read_study(tmp_path / "study.json")[1]) == 3
    assert (cell_folder(tmp_path, Cell("3", 1)) / "worked.json").is_file()


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    cell = Cell("2", 0)
    assert read_result(tmp_path, cell) is None
    cell_folder(tmp_path, cell).mkdir(parents=True)
    (cell_folder(tmp_path, cell) / "result.json").write_text('{"cell": {}}')
    with pytest.raises(GridcodeError, match=r"result\.json is no result of cell 2-0; remove it"):
        read_result(tmp_path, cell)


ERRORS = [GridcodeError("a: no; try b"), MissingFileError("a: not there"), Stopped("stopped", 15), RuntimeError("c")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_in_a_process_of_the_study_is_raised_as_what_it_was(error: Exception) -> None:
    def fail() -> None:
        raise pickle.loads(pickle.dumps(error))

    future: Future[object] = Future()
    try:
        named("depth", fail)
    except Exception as raised:
        future.set_exception(pickle.loads(pickle.dumps(raised)))  # as between processes
    with pytest.raises(type(error)) as caught:
        outcome(future)
    assert type(caught.value) is type(error)
    assert str(caught.value) == (f"depth: {error}" if isinstance(error, GridcodeError) else str(error))
    assert getattr(caught.value, "number", None) == getattr(error, "number", None)


def test_a_signal_is_no_fault_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Stopped("stopped", 15)

    monkeypatch.setattr(Toy, "run_cell", stop)
    with pytest.raises(Stopped):
        run_cell(Toy(), Cell("2", 0), tmp_path)


def test_a_cells_seconds_are_those_of_all_sittings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, cell = iter([0.0, 2.0, 10.0, 13.0, 20.0, 24.0]), Cell("2", 0)
    monkeypatch.setattr("gridcode.studies.engine.working_time", lambda: next(clock))
    kept = cell_folder(tmp_path, cell) / "worked.json"
    (tmp_path / "prepared").touch()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(CellError, match="ZeroDivisionError: no"):
        run_cell(Toy(fails=(2,)), cell, tmp_path)
    assert json.loads(kept.read_text()) == {"seconds": 2.0}
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "run_cell", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_cell(Toy(), cell, tmp_path)
    assert json.loads(kept.read_text()) == {"seconds": 5.0}
    assert run_cell(Toy(), cell, tmp_path)["seconds"] == 9.0
    assert not kept.exists()


@pytest.mark.parametrize("text", ["{", "{}", '{"seconds": "1"}'])
def test_damaged_seconds_are_named(tmp_path: Path, text: str) -> None:
    folder = cell_folder(tmp_path, Cell("2", 0))
    folder.mkdir(parents=True)
    (folder / "worked.json").write_text(text)
    with pytest.raises(CellError, match=r"2-0/worked\.json"):
        run_cell(Toy(), Cell("2", 0), tmp_path)


STUDY = """
from pathlib import Path
from gridcode.training.processes import processes

with processes(1) as pool:
    Path({told!r}).write_text(str(pool.submit(os.getpid).result()))
    os.kill(os.getpid(), 9)
"""


def test_processes_end_with_the_study(tmp_path: Path, start_python: Callable[[str, Path], BaseProcess]) -> None:
    told = tmp_path / "told"
    study = start_python(STUDY.format(told=str(told)), tmp_path / "errors")
    study.join()
    assert study.exitcode == -signal.SIGKILL, (tmp_path / "errors").read_text()
    command = Path(f"/proc/{int(told.read_text())}/cmdline")
    deadline = time.monotonic() + 60
    while _spawned(command) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _spawned(command)


def _spawned(command: Path) -> bool:
    try:
        return b"spawn_main" in command.read_bytes()
    except OSError:
        return False


def test_a_spread_is_numpys_mean_and_sample_deviation() -> None:
    values = [0.3, 0.9, 0.4]
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    assert spread.text(2) == "0.53 ± 0.32"
    assert Spread.of([0.5]).text(1, scale=100) == "50.0"


def test_a_difference_counts_each_list_once_and_needs_two_seeds() -> None:
    a, b = [1.0, 1.3, 1.1], [0.2, 0.5, 0.3, 0.1]
    found = difference(a, b)
    assert found.sign == 1
    wider = difference(a, b, groups=[[5.0, 9.0]])
    assert wider.high - wider.low > found.high - found.low
    assert wider.value == found.value
    assert difference(a, b, groups=[a, b]) == found, "a group that is compared is counted once"
    chosen = difference(a, b, comparisons=4)
    assert chosen.high - chosen.low > found.high - found.low
    assert difference([1.0], [2.0]) == Difference(-1.0, -np.inf, np.inf)
    assert difference([1.0, 1.0], [2.0, 2.0]) == Difference(-1.0, -1.0, -1.0)
    assert difference([1.0, 1.0], [2.0, 2.0]).text(1) == "-1.0 (no seed differs)"


def test_measurements_of_the_same_trainings_are_compared_in_pairs() -> None:
    a, b = [1.0, 5.0, 9.1], [0.0, 4.1, 8.0]
    expected = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired(a, b)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert difference(a, b).sign == 0
    with pytest.raises(GridcodeError, match="as many values on both sides, got 1 and 2"):
        paired([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("interval", "expected", "answer"),
    [((1, 0.5, 2), 1, "seen"), ((1, 0.5, 2), -1, "opposite"), ((1, -0.5, 2), 1, "open"), ((-1, -2, -0.1), -1, "seen")],
)
def test_an_interval_answers_a_claim(interval: tuple[float, float, float], expected: int, answer: str) -> None:
    assert answered(Difference(*interval), expected=expected) == answer  # type: ignore[arg-type]


@pytest.mark.usefixtures("threads")
def test_a_study_goes_on_from_the_figures_of_an_earlier_one(tmp_path: Path) -> None:
    file, told = tmp_path / "one/study.json", list[str]()
    run_study(Toy(), tmp_path / "one", say=told.append)
    content = json.loads(file.read_text())
    content["cells"] = content["cells"][:3]
    content["machine"] = {"torch": "1.0"}
    write_json(file, content)
    run_study(Toy(), tmp_path / "two", say=told.append, finished=file)
    assert f"3 cells taken from {file}" in told
    assert "4 cells, 3 finished" in told
    again, results = read_study(tmp_path / "two/study.json")
    assert again["earlier_machines"] == [{"torch": "1.0"}]
    assert results == read_study(tmp_path / "two/study.json")[1]
    assert [results[Cell("3", seed)]["square"] for seed in (0, 1)] == [9.0, 9.1]
    run_study(Toy(), tmp_path / "two", say=told.append, finished=file)
    assert told[-2:] == [f"0 cells taken from {file}", "4 cells, 4 finished"]
    run_study(Toy(), tmp_path / "none", say=told.append, finished=file, only_time=True)
    assert told[-1] == "about 0.5 hours (30 minutes) for 1 cells, 1 at a time"
    assert not (tmp_path / "none").exists()
    for broken in ({}, {"cells": 3}, {"cells": [{"seed": 0}]}, {"cells": [], "settings": [], "machine": {}}):
        write_json(file, broken)
        with pytest.raises(GridcodeError, match=r"is no study\.json"):
            run_study(Toy(), tmp_path / "three", finished=file)
    for change, said in (
        ({"study": "levels"}, "holds the study 'levels', not 'toy'"),
        ({"settings": {"numbers": [2]}}, r"is a study with numbers=\[2\], now \[2, 3\]"),
    ):
        write_json(file, content | change)
        with pytest.raises(GridcodeError, match=said):
            run_study(Toy(), tmp_path / "three", finished=file)


@pytest.mark.usefixtures("threads")
def test_a_study_of_a_model_does_not_go_on_with_other_weights_of_it(tmp_path: Path) -> None:
    model = tmp_path / "model"
    for name, content in (("best", b"one"), ("state/step-1", b"two")):
        (model / name).mkdir(parents=True)
        (model / name / "model.safetensors").write_bytes(content)
    study = Toy(model=str(model))
    run_study(study, tmp_path / "out", say=lambda text: None)
    (model / "state/step-1/model.safetensors").write_bytes(b"three")
    run_study(study, tmp_path / "out", say=lambda text: None)
    (model / "best/model.safetensors").write_bytes(b"four")
    with pytest.raises(GridcodeError, match="out has measured other weights of model; give another folder"):
        run_study(study, tmp_path / "out", say=lambda text: None)
    with pytest.raises(GridcodeError, match=r"study\.json has measured other weights of model"):
        run_study(study, tmp_path / "other", say=lambda text: None, finished=tmp_path / "out/study.json")


def test_a_summary_tells_what_is_missing_and_what_does_not_quite_compare(tmp_path: Path) -> None:
    results: dict[Cell, dict[str, Any]] = {
        Cell("2", 0): {"square": 4.0, "measured_by": "classifier a"},
        Cell("2", 1): {"square": 4.1, "measured_by": "classifier b"},
        Cell("3", 0): {"diverged": True},
    }
    notes = "\n".join(summarised(Toy(), results).notes)
    assert "±: standard deviation over seeds." in notes
    assert "Not finished: 3-1." in notes
    assert "Diverged, without figures: 3-0." in notes
    assert "measured by 2 networks that were trained apart" in notes
    alone = summarised(Toy((2,)), {Cell("2", seed): {"square": 4.0, "measured_by": "a"} for seed in (0, 1)})
    assert alone.notes == ["±: standard deviation over seeds."]
    assert alone.found() == "1 seen"


def test_another_machines_paths_and_a_choice_of_cells_are_no_other_study(tmp_path: Path) -> None:
    earlier = DomainsStudy(DomainsConfig(text="/there/plays.txt", seeds=1, kinds=("text",)))
    cells = [{"setting": "text-fsq", "seed": 0, "usage": 1.0, "seconds": 3.0}]
    file = tmp_path / "study.json"
    write_json(file, {"study": "domains", "settings": earlier.settings(), "machine": {"torch": "1"}, "cells": cells})
    study = DomainsStudy(DomainsConfig(text="here/plays.txt", seeds=3))
    assert take_over(study, tmp_path / "out", file) == 1
    assert read_result(tmp_path / "out", Cell("text-fsq", 0)) == {"usage": 1.0, "seconds": 3.0}
    with pytest.raises(GridcodeError, match="is a study with steps=400, now 200"):
        take_over(DomainsStudy(DomainsConfig(text="here/plays.txt", steps=200)), tmp_path / "out", file)


def test_bars_of_one_name_look_alike_in_every_panel(tmp_path: Path) -> None:
    both = {"FSQ": {"here": [1.0, 2.0], "there": [3.0]}, "VQ": {"there": [2.0, math.nan]}}
    panels = [Bars("usage", both), Bars("distance", {"VQ": both["VQ"]}, log=True)]
    save_plot(panels, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    assert all(word in text for word in ("usage", "distance", "here", "there"))
    colours = Counter(re.findall(r"fill: (#[0-9a-f]{6}); opacity: 0.5", text))
    # A bar a group and a square in the legend: two and one of FSQ's colour, two and one of VQ's.
    assert sorted(colours.values()) == [3, 3]
