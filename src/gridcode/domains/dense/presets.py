"""Whole runs of label tokenizers: the paper's, one for a GPU, one for a laptop. No torch here."""

from __future__ import annotations

from typing import Final

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.config import PAPER_BOOK, LabelTokenizerConfig, LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig, DepthConfig, Task
from gridcode.quantize.config import QuantizerConfig
from gridcode.training.config import LoopConfig, OptimConfig

WHOLE: Final = CropPolicy(train="center", flip=False)
"""Scenes are random already; the shadow's side is part of them, so they are not mirrored."""

_PICTURES: Final = {"depth": 47_584, "panoptic": 114_191, "colour": 1_277_071}
"""Training pictures of NYU depth v2, of COCO and of ImageNet without 4,096 held out each."""
_EPOCHS: Final = {"depth": 200, "panoptic": 1000, "colour": 100}
_LR: Final = {"depth": 1e-3, "panoptic": 4e-4, "colour": 4e-4}
_DECAY: Final = {"depth": 1e-5, "panoptic": 4e-5, "colour": 4e-5}
"""Decay a step, at the peak of the schedule; AdamW's is multiplied with the learning rate."""


def paper(
    task: Task, source: str = "scenes", *, quantizer: QuantizerConfig = PAPER_BOOK, context: bool = True
) -> LabelTokenizerRun:
    """The paper's settings (section 4.4; UViM's config files): 512 px, 256 codes, batch 1024.

    Expect (UViM's repository, Stage I alone): depth RMSE 0.155, panoptic PQ 75.8, colour FID-5k 15.59. Not measured
    here. Cost: 9,293 steps (depth), 111,514 (panoptic), 124,713 (colour) of 1024 pictures each.

    Differs from paper: AdamW instead of a variant of Adafactor; training crops keep the shape of the picture, from 22 %
    of its side (Inception's crops, from 5 % of its area, also stretch it).

    >>> paper("depth").loop.steps
    9293
    """
    return LabelTokenizerRun(
        data=DenseConfig(task=task, source=source, height=512, width=512, crop=CropPolicy(min_scale=0.22), workers=16),
        model=LabelTokenizerConfig.paper(quantizer, context=context),
        optim=OptimConfig(
            lr=_LR[task], betas=(0.9, 0.95), weight_decay=_DECAY[task] / _LR[task], warmup=4000, final_lr=0.0, ema=0.0
        ),
        loop=LoopConfig(
            steps=_PICTURES[task] * _EPOCHS[task] // 1024,
            batch_size=1024,
            log_every=50,
            val_every=2000,
            val_count=4096,
            checkpoint_every=1000,
        ),
    )


def gpu(
    task: Task, source: str = "scenes", *, quantizer: QuantizerConfig = PAPER_BOOK, context: bool = True
) -> LabelTokenizerRun:
    """128 px, 64 codes, for one GPU.

    Expected after 800 steps on 15,000 scenes: depth RMSE 0.36 m, PQ 0.85, colours 32.3 dB (docs/results.md); in full
    length not measured. Cost: 1000 (depth), 550 (panoptic), 1900 (colour) pictures a second where three runs share an
    H100.
    """
    return LabelTokenizerRun(
        data=DenseConfig(
            task=task,
            source=source,
            height=128,
            width=128,
            crop=WHOLE if source == "scenes" else CropPolicy(),
            instances=32,
            train_count=50_000,
            val_count=2000,
            workers=8,
        ),
        model=LabelTokenizerConfig.gpu(quantizer, context=context),
        optim=OptimConfig(lr=5e-4, weight_decay=0.01, warmup=1000, ema=0.999),
        loop=LoopConfig(steps=20_000, batch_size=128, val_every=2000, val_count=1000, checkpoint_every=2000),
    )


def laptop(
    task: Task, source: str = "scenes", *, quantizer: QuantizerConfig = PAPER_BOOK, context: bool = True
) -> LabelTokenizerRun:
    """64 px, 16 codes, for one CPU core; 64 bins of depth, 16 instances.

    Expected with 240 codes: the oracle's depth RMSE 0.43 m, PQ 0.63. Cost: about 7 minutes on one core.
    """
    return LabelTokenizerRun(
        data=DenseConfig(
            task=task,
            source=source,
            height=64,
            width=64,
            crop=WHOLE if source == "scenes" else CropPolicy(),
            depth=DepthConfig(bins=64),
            instances=16,
            train_count=5000,
            val_count=500,
        ),
        model=LabelTokenizerConfig.laptop(quantizer, context=context),
        optim=OptimConfig(lr=1e-3, weight_decay=0.01, warmup=100, ema=0.99),
        loop=LoopConfig(
            steps=2000,
            batch_size=16,
            precision="fp32",
            log_every=50,
            val_every=500,
            val_count=200,
            checkpoint_every=500,
        ),
    )
