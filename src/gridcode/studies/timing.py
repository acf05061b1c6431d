"""How long a training takes, told from a few of its steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from gridcode.training.config import LoopConfig
from gridcode.training.log import read_log

STEPS: Final = 6
"""Steps that are taken, of which the second half is timed."""


def short_loop(loop: LoopConfig) -> LoopConfig:
    """The same loop, cut after a few steps.

    >>> short_loop(LoopConfig(steps=500)).steps
    6
    """
    half = STEPS // 2
    return replace(loop, steps=STEPS, log_every=half, val_every=STEPS, val_count=2, checkpoint_every=STEPS)


def seconds_of_steps(run: Path, loop: LoopConfig) -> float:
    """How long all steps of a loop take, by the speed that a short run of it has logged.

    Args:
        run: The short run's folder.
        loop: The whole loop.
    """
    lines = [line for line in read_log(run) if "train/images_per_s" in line]
    return loop.steps * loop.batch_size / float(lines[-1]["train/images_per_s"])
