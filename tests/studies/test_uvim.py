"""The study of Table 2: which cells, what a table says of them, and that a killed cell goes on with what it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from gridcode.cli.main import main
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.evaluate import BOTH, DRAW, MEAN, NONE, ORACLE, OTHERS
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.studies.study import Cell, Values
from gridcode.studies.uvim.config import Size, UvimConfig, Variant
from gridcode.studies.uvim.study import UvimStudy
from gridcode.studies.uvim.table import study_rows, uvim_summary, uvim_verdicts
from gridcode.training.run import OpenRun

SMOKE = ["study", "uvim", "--size", "smoke", "--tasks", "depth", "--variants", "fsq", "--seeds", "1"]


def result(mean: float | None, oracle: float, others: float) -> Values:
    rows = {ORACLE: oracle, OTHERS: others, NONE: 0.7, BOTH: 2.0, DRAW: 3.0, MEAN: mean, "mean depth": 1.0}
    scores = {name: {"rmse": value} for name, value in rows.items()}
    return {"scores": scores, "usage": 0.5, "perplexity": 20.0, "codebook_size": 64, "token_accuracy": 0.25}


@pytest.mark.parametrize("size", get_args(Size))
@pytest.mark.parametrize("task", get_args(Task))
def test_cells_differ_in_their_variant_and_seed_alone(size: Size, task: Task) -> None:
    study = UvimConfig(size=size)
    runs = {variant: study.run(Cell(f"{task}-{variant}", 2)) for variant in study.variants}
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


def test_a_longer_study_has_more_steps_and_images_and_does_the_rest_as_often() -> None:
    cell = Cell("depth-vq", 1)
    run, longer = (UvimConfig(length=length, accelerator="cpu").run(cell) for length in (1.0, 2.5))
    assert longer.data == replace(run.data, train_count=22_500)
    for short, long in ((run.tokenizer, longer.tokenizer), (run.prior, longer.prior)):
        for name in ("steps", "log_every", "val_every", "checkpoint_every"):
            assert getattr(long.loop, name) == np.ceil(2.5 * getattr(short.loop, name))
        assert (long.loop.batch_size, long.loop.seed, long.loop.accelerator) == (short.loop.batch_size, 1, "cpu")
    for length in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(GridcodeError, match="length must be above 0 and finite"):
            UvimConfig(length=length)


def test_the_table_says_on_how_many_seeds_both_stages_beat_the_rest() -> None:
    study = UvimConfig(tasks=("depth",), variants=("fsq", "vq"), seeds=2)
    found = {
        Cell("depth-fsq", 0): result(0.8, 0.5, 1.2),
        Cell("depth-fsq", 1): result(0.9, 0.5, 0.85),
        Cell("depth-vq", 0): result(1.1, 0.5, 1.2),
    }
    rows = {row.name: row for row in study_rows(study, found)}
    assert list(rows) == ["FSQ", "VQ", "mean depth"]
    assert (rows["FSQ"].beats, rows["FSQ"].seeds) == (1, 2)
    assert (rows["VQ"].beats, rows["VQ"].seeds) == (0, 1)
    lines = uvim_summary(study, found).markdown().splitlines()
    assert (
        "| FSQ | 2.000 ± 0.000 | 3.000 ± 0.000 | 0.850 ± 0.071 | 0.500 ± 0.000 | 1.025 ± 0.247 | 0.700 ± 0.000 "
        "| 25.0 ± 0.0 % | 50.0 ± 0.0 % | 1 of 2 |" in lines
    )
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_colours_are_to_beat_grey_and_other_codes_as_a_set_and_by_pixels() -> None:
    study = UvimConfig(tasks=("colour",), variants=("fsq",), seeds=1)
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
    values = result(0.0, 0.0, 0.0) | {"scores": scores | {"true colours": {"frechet": 0.05}}}
    found = [(row.figure, row.name, row.beats) for row in study_rows(study, {Cell("colour-fsq", 0): values})]
    frechet, psnr = "colour, Fréchet distance", "colour, PSNR (dB)"
    assert found[:3] == [(frechet, "FSQ", 1), (frechet, "grey", None), (frechet, "true colours", None)]
    assert found[3:] == [(psnr, "FSQ", 0), (psnr, "grey", None)]


def test_cells_of_a_task_and_a_family_take_the_same_time() -> None:
    variants: tuple[Variant, ...] = ("fsq", "vq", "vq_no_context")
    study = UvimStudy(UvimConfig(tasks=("depth", "colour"), variants=variants, seeds=2))
    assert {study.kind(cell) for cell in study.cells()} == {"colour-fsq", "colour-vq", "depth-fsq", "depth-vq"}


def test_a_cell_that_died_ends_with_the_figures_of_one_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = UvimStudy(UvimConfig(size="smoke", tasks=("panoptic",), variants=("vq",), seeds=1))
    (cell,) = study.cells()
    straight = study.run_cell(cell, tmp_path / "straight")
    end_step = OpenRun.end_step

    def die(self: OpenRun, step: int, *, save: Callable[[Path], None]) -> None:
        end_step(self, step, save=save)
        if self.out.name == "prior" and step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OpenRun, "end_step", die)
        with pytest.raises(KeyboardInterrupt):
            study.run_cell(cell, tmp_path / "died")
    assert study.run_cell(cell, tmp_path / "died") == straight


@pytest.mark.usefixtures("threads")
def test_a_study_from_the_command_line_leaves_table_images_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    assert main([*SMOKE, "--out", str(out)]) == 0
    seen = capsys.readouterr()
    assert "about 0.0 hours" in seen.err
    assert (out / "table.md").read_text() in seen.out
    content = json.loads((out / "study.json").read_text())
    assert [(cell["setting"], cell["seed"]) for cell in content["cells"]] == [("depth-fsq", 0)]
    with Image.open(out / "depth.png") as picture, Image.open(out / "cells/depth-fsq-0/images/truth.png") as row:
        assert picture.size == (row.width, 3 * row.height)
    written = (out / "cells/depth-fsq-0/result.json").stat().st_mtime_ns
    assert main([*SMOKE, "--out", str(out)]) == 0
    assert "1 cells, 1 finished" in capsys.readouterr().err
    assert (out / "cells/depth-fsq-0/result.json").stat().st_mtime_ns == written
    assert main([*SMOKE, "--out", str(out), "--length", "2"]) == 2
    assert "is a study with length=1.0, now 2.0; give the same settings" in capsys.readouterr().err


def test_a_figure_that_was_not_finite_is_null_in_a_cells_file_and_nan_in_the_table() -> None:
    study = UvimConfig(tasks=("depth",), variants=("fsq",), seeds=2)
    found = {Cell("depth-fsq", 0): result(None, 0.5, 1.2), Cell("depth-fsq", 1): result(0.8, 0.5, 1.2)}
    assert study_rows(study, found)[0].beats == 1
    assert "| FSQ | 2.000 ± 0.000 | 3.000 ± 0.000 | nan | 0.500" in uvim_summary(study, found).markdown()


def test_verdicts_on_table_2() -> None:
    def of(fsq: float, vq: float, unsplit: float, fsq_alone: float, vq_alone: float) -> dict[Variant, list[float]]:
        means = (fsq, vq, unsplit, fsq_alone, vq_alone)
        return {
            variant: [mean, 1.001 * mean, 1.003 * mean] for variant, mean in zip(get_args(Variant), means, strict=True)
        }

    seen = {"depth, RMSE (m)": of(0.7, 0.7, 0.8, 0.9, 0.9), "colour, PSNR (dB)": of(22.3, 22.0, 20, 18, 18)}
    found = uvim_verdicts(seen)
    assert [verdict.answer for verdict in found] == ["seen"] * 8
    assert found[0].claim == "depth, RMSE (m): FSQ is level with VQ, within 10 %"
    assert found[4].claim == "colour, PSNR (dB): FSQ is level with VQ, within 0.5 dB"
    turned = {"depth, RMSE (m)": of(0.7, 0.9, 0.8, 0.6, 0.6), "colour, PSNR (dB)": of(20, 22.0, 23, 24, 24)}
    assert [verdict.answer for verdict in uvim_verdicts(turned)] == ["not seen", *["opposite"] * 3] * 2
    one = {"depth, RMSE (m)": {variant: values[:1] for variant, values in of(1, 1, 1, 1, 1).items()}}
    assert {verdict.answer for verdict in uvim_verdicts(one)} == {"open"}
    assert uvim_verdicts({"depth, RMSE (m)": {"fsq": [0.7, 0.8]}}) == []
