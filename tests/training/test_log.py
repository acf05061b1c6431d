"""A run's log survives kills: no line twice, no torn line."""

from __future__ import annotations

import json
import math
from pathlib import Path

from gridcode.training.log import RunLog, read_log


def written(run: Path, steps: range, *, start: int = 0) -> None:
    log = RunLog(run, start=start)
    for step in steps:
        log.write(step, {"train/loss": 1 / step})
    log.close()


def test_lines_come_back(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
    log = RunLog(tmp_path)
    log.write(1, {"train/loss": 0.1 + 0.2, "train/usage": 1})
    log.write(2, {"warning": "Vorsicht – „α“"})
    # Every line is on disk at once: a kill loses none.
    assert read_log(tmp_path) == [
        {"step": 1, "train/loss": 0.1 + 0.2, "train/usage": 1},
        {"step": 2, "warning": "Vorsicht – „α“"},
    ]
    log.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_resumed_run_cuts_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    written(tmp_path, range(1, 8))
    written(tmp_path, range(4, 6), start=3)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_torn_last_line_is_left_out_and_mended(tmp_path: Path) -> None:
    written(tmp_path, range(1, 4))
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2]
    written(tmp_path, range(3, 5), start=3)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_a_new_run_starts_an_empty_log(tmp_path: Path) -> None:
    written(tmp_path, range(1, 4))
    written(tmp_path, range(1, 2))
    assert [line["step"] for line in read_log(tmp_path)] == [1]


def test_a_value_that_is_not_finite_is_null(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write(1, {"val/psnr": math.inf, "val/pq": math.nan, "val/loss": 1.0})
    log.close()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "val/psnr": null, "val/pq": null, "val/loss": 1.0}\n'
    assert read_log(tmp_path) == [{"step": 1, "val/psnr": None, "val/pq": None, "val/loss": 1.0}]


def test_any_text_is_one_line_and_half_a_letter_costs_its_line_alone(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write(1, {"warning": "one\ntwo\u2028three\x85four"})
    log.write(2, {"warning": "größe"})
    log.close()
    assert [line["warning"] for line in read_log(tmp_path)] == ["one\ntwo\u2028three\x85four", "größe"]
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes()[: -len('ße"}\n'.encode()) + 1])
    assert [line["step"] for line in read_log(tmp_path)] == [1]
