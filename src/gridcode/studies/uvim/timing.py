"""How long will the cells take? A few steps of each kind of cell, at its full size, tell.

    seconds of a cell = images of both stages / (images/s) + images that are measured * (seconds each)

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
from gridcode.studies.timing import seconds_of_steps, short_loop
from gridcode.tokenizer.domain import Sources
from gridcode.training.config import LoopConfig
from gridcode.training.fabric import loop_device

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
        cell: Seconds of a cell, its images being there.
        images: Seconds to render the images.
    """

    cell: float
    images: float


def time_cell(run: DenseRun, evaluation: DenseEvaluationConfig) -> Timing:
    """Run a few steps of a cell in a folder that is thrown away."""
    short = _shortened(run)
    start = time.perf_counter()
    sources = Sources(open_dense(short.data, "train"), open_dense(short.data, "val"))
    scene = (time.perf_counter() - start) / (SCENES + HELD)
    with tempfile.TemporaryDirectory(prefix="gridcode-") as folder:
        out = Path(folder)
        train_dense(short, DenseOptions(out, show=False), sources=sources)
        training = seconds_of_steps(out / "tokenizer", run.tokenizer.loop) + seconds_of_steps(
            out / "prior", run.prior.loop
        )
        predictor = DensePredictor.from_pretrained(out / "prior", out / "tokenizer", device=loop_device(run.prior.loop))
    stage_two = StageTwo(predictor.predict_codes, predictor.draw_codes)
    subject = DenseSubject(predictor.tokenizer, stage_two, short.data, sources.train, sources.val)
    start = time.perf_counter()
    # Without the network that compares colours: the study trains it once.
    few = replace(evaluation, count=HELD, train_count=HELD, observer_steps=0)
    evaluate_dense(subject, few, say=lambda text: None)
    image = (time.perf_counter() - start) / HELD
    # A validation while training decodes each image once, the final measurement four times and each draw.
    decoded = 4 + evaluation.draws
    validated = sum(_validations(loop) * loop.val_count / decoded for loop in (run.tokenizer.loop, run.prior.loop))
    count = run.data.train_count + run.data.val_count
    return Timing(LOADING + training + image * (min(evaluation.count, run.data.val_count) + validated), scene * count)


def _shortened(run: DenseRun) -> DenseRun:
    data = replace(run.data, train_count=SCENES, val_count=HELD)
    stage_one = replace(run.tokenizer, data=data, loop=short_loop(run.tokenizer.loop))
    return DenseRun(stage_one, replace(run.prior, loop=short_loop(run.prior.loop)))


def _validations(loop: LoopConfig) -> int:
    return -(-loop.steps // loop.val_every)
