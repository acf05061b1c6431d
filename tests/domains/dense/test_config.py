"""Settings of label tokenizers: what cannot be built is refused in one line, JSON gives back what was written."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.config import (
    LabelTokenizerConfig,
    LabelTokenizerRun,
    categories_from_json,
    dense_from_json,
)
from gridcode.domains.dense.data.config import Categories, DenseConfig, DepthConfig
from gridcode.domains.dense.recipes import gpu, laptop, paper
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 30}, "width must be a multiple of heads, got width=30 and heads=4"),
        ({"patch": 0}, "label tokenizer patch must be at least 1, got 0"),
        ({"decoder_depth": 0}, "label tokenizer decoder_depth must be at least 1, got 0"),
        ({"codes": (4, 0)}, r"codes must be two counts, rows and columns, got \(4, 0\)"),
        ({"codes": (4,)}, r"codes must be two counts, rows and columns, got \(4,\)"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        replace(LabelTokenizerConfig(), **change)  # type: ignore[arg-type]


def test_maps_that_are_no_multiple_of_the_patch_are_refused() -> None:
    with pytest.raises(GridcodeError, match=r"multiples of its patch, 8; got 60x64; set 64x64 or another patch"):
        LabelTokenizerRun(data=DenseConfig(height=60))


def test_json_gives_back_what_was_written() -> None:
    model = LabelTokenizerConfig(quantizer=VQConfig("uvim", size=16, channels=4), codes=(2, 5), context=False)
    data = DenseConfig(
        task="depth", height=32, crop=CropPolicy(flip=False), depth=DepthConfig(bins=9, relative="scale")
    )
    categories = Categories(("sky", "cup"), (False, True), (184, 44))
    plain = json.loads(json.dumps([asdict(model), asdict(data), asdict(categories)]))
    assert LabelTokenizerConfig.from_json(plain[0]) == model
    assert dense_from_json(plain[1]) == data
    read = categories_from_json(plain[2])
    assert read is not None
    assert asdict(read) == asdict(categories), "ids too, which do not count for equality"
    older = {name: value for name, value in plain[1].items() if name not in ("orientation", "ignore_value")}
    assert dense_from_json(older) == data
    assert categories_from_json(None) is None


@pytest.mark.parametrize("task", ["depth", "panoptic", "colour"])
def test_recipes_differ_in_size_and_keep_the_task(task: str) -> None:
    runs = [size(task).tokenizer for size in (laptop, gpu, paper)]  # type: ignore[operator]
    assert [run.data.task for run in runs] == [task] * 3
    assert [run.data.shape for run in runs] == [(64, 64), (128, 128), (512, 512)]
    assert all(run.model.context for run in runs)
    assert not paper(task, context=False).tokenizer.model.context  # type: ignore[arg-type]
    assert [run.model.codes for run in runs] == [(4, 4), (8, 8), (16, 16)]


def test_the_papers_decay_is_that_of_its_code_at_the_peak_of_the_schedule() -> None:
    for task, decay in (("depth", 1e-5), ("panoptic", 4e-5), ("colour", 4e-5)):
        optim = paper(task).tokenizer.optim  # type: ignore[arg-type]
        assert optim.lr * optim.weight_decay == pytest.approx(decay)


def test_settings_import_no_torch() -> None:
    code = "import sys, gridcode.domains.dense.recipes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
