"""How long will the cells take? A few steps of each kind of cell, at its full size, tell.

    seconds of a cell = pictures of both stages / (pictures/s) + pictures that are measured * (seconds each)

Variants of one quantizer cost about the same; rendering is paid once for each task and process.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.evaluate import DenseSubject, StageTwo, evaluate_dense
from gridcode.domains.dense.predictor import DensePredictor
from gridcode.domains.dense.recipes import DenseRun
from gridcode.domains.dense.train import DenseOptions, train_dense
from gridcode.tokenizer.domain import Sources
from gridcode.training.config import LoopConfig
from gridcode.training.fabric import loop_device
from gridcode.training.log import read_log

STEPS: Final = 6
"""Steps of each stage, of which the second half is timed."""
SCENES: Final = 48
"""Training scenes that are rendered."""
HELD: Final = 8
"""Validation scenes."""
LOADING: Final = 2.0
"""Seconds that opening, saving and loading take."""


@dataclass(frozen=True)
class Timing:
    """What a cell costs.

    Attributes:
        cell: Seconds of a cell, its pictures being there.
        pictures: Seconds to render the pictures.
    """

    cell: float
    pictures: float


def time_cell(run: DenseRun, evaluation: DenseEvaluationConfig) -> Timing:
    """Run a few steps of a cell in a folder that is thrown away."""
    short = _shortened(run)
    start = time.perf_counter()
    sources = Sources(open_dense(short.data, "train"), open_dense(short.data, "val"))
    scene = (time.perf_counter() - start) / (SCENES + HELD)
    with tempfile.TemporaryDirectory(prefix="gridcode-") as folder:
        out = Path(folder)
        train_dense(short, DenseOptions(out, show=False), sources=sources)
        training = sum(
            loop.steps * loop.batch_size / _images_per_second(out / part)
            for part, loop in (("tokenizer", run.tokenizer.loop), ("prior", run.prior.loop))
        )
        predictor = DensePredictor.from_pretrained(out / "prior", out / "tokenizer", device=loop_device(run.prior.loop))
    stage_two = StageTwo(predictor.predict_codes, predictor.draw_codes)
    subject = DenseSubject(predictor.tokenizer, stage_two, short.data, sources.train, sources.val)
    start = time.perf_counter()
    # Without the network that compares colours: the study trains it once.
    few = replace(evaluation, count=HELD, train_count=HELD, observer_steps=0)
    evaluate_dense(subject, few, say=lambda text: None)
    picture = (time.perf_counter() - start) / HELD
    # A validation while training decodes each picture once, the final measurement four times and each draw.
    decoded = 4 + evaluation.draws
    validated = sum(_validations(loop) * loop.val_count / decoded for loop in (run.tokenizer.loop, run.prior.loop))
    count = run.data.train_count + run.data.val_count
    return Timing(LOADING + training + picture * (min(evaluation.count, run.data.val_count) + validated), scene * count)


def _shortened(run: DenseRun) -> DenseRun:
    data = replace(run.data, train_count=SCENES, val_count=HELD)
    stage_one = replace(run.tokenizer, data=data, loop=_short(run.tokenizer.loop))
    return DenseRun(stage_one, replace(run.prior, loop=_short(run.prior.loop)))


def _short(loop: LoopConfig) -> LoopConfig:
    half = STEPS // 2
    return replace(loop, steps=STEPS, log_every=half, val_every=STEPS, val_count=2, checkpoint_every=STEPS)


def _validations(loop: LoopConfig) -> int:
    return -(-loop.steps // loop.val_every)


def _images_per_second(run: Path) -> float:
    lines = [line for line in read_log(run) if "train/images_per_s" in line]
    return float(lines[-1]["train/images_per_s"])
