"""Tiny label tokenizers and dense runs of each task, and one that is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.config import LabelTokenizerConfig, LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig, DepthConfig, Task
from gridcode.domains.dense.recipes import DenseRun
from gridcode.domains.dense.train import DenseOptions, train_dense
from gridcode.quantize.config import FSQConfig
from gridcode.studies.study import Cell
from gridcode.studies.uvim.config import UvimConfig
from gridcode.training.config import LoopConfig, OptimConfig


@pytest.fixture(scope="session")
def tiny_run() -> Callable[[Task], LabelTokenizerRun]:
    """A run of 16 x 24 pixels and 2 x 3 codes, for seconds."""

    def make(task: Task) -> LabelTokenizerRun:
        return LabelTokenizerRun(
            data=DenseConfig(
                task=task,
                height=16,
                width=24,
                crop=CropPolicy(train="center", flip=False),
                depth=DepthConfig(bins=16, far=40.0),
                instances=12,
                train_count=32,
                val_count=8,
                workers=0,
            ),
            model=LabelTokenizerConfig(
                quantizer=FSQConfig(levels=(5, 5, 3)),
                codes=(2, 3),
                patch=4,
                width=32,
                encoder_depth=1,
                decoder_depth=1,
                heads=2,
                mlp=64,
            ),
            optim=OptimConfig(lr=3e-3, warmup=5, ema=0.9),
            loop=LoopConfig(
                steps=4,
                batch_size=8,
                log_every=2,
                val_every=4,
                val_count=8,
                checkpoint_every=2,
                accelerator="cpu",
                precision="fp32",
            ),
        )

    return make


@pytest.fixture(scope="session")
def tiny() -> Callable[[Task], DenseRun]:
    """The study's smallest size: 32 px, 2 x 2 codes, six steps."""
    return lambda task: UvimConfig(size="smoke").run(Cell(f"{task}-fsq", 0))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[[Task], DenseRun]) -> Callable[[Task], Path]:
    """The folder of a run of each task, trained once."""
    folders: dict[Task, Path] = {}

    def folder(task: Task) -> Path:
        if task not in folders:
            folders[task] = tmp_path_factory.mktemp("dense") / task
            train_dense(tiny(task), DenseOptions(folders[task], show=False))
        return folders[task]

    return folder
