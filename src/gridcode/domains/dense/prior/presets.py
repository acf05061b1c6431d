"""Whole runs of picture-conditioned priors: the paper's, one for a GPU, one for a laptop. No torch here."""

from __future__ import annotations

from typing import Final

from gridcode.domains.dense.data.config import DenseConfig, Task
from gridcode.domains.dense.prior.config import ConditionalConfig, ConditionalRun, Decoding
from gridcode.training.config import LoopConfig, OptimConfig

_PICTURES: Final = {"depth": 47_584, "panoptic": 114_191, "colour": 1_277_071}
"""Training pictures of NYU depth v2, of COCO and of ImageNet without 4,096 held out each."""
_EPOCHS: Final = {"depth": 50, "panoptic": 200, "colour": 50}


def paper(
    task: Task, source: str = "scenes", *, prior: Decoding = "ar", vit_weights: str | None = None
) -> ConditionalRun:
    """The paper's settings (section 4.4; UViM's): ViT-L/16 and a decoder of its size, 512 px, batch 512.

    The paper's encoder starts from a ViT-L/16 trained on ImageNet-21k, at a tenth of the learning rate; give its file.

    Expect (the paper, Table 2, with FSQ): depth RMSE 0.473, panoptic PQ 43.2, colour FID-5k 17.55. Not measured here.
    Cost: 4,646 steps (depth), 44,605 (panoptic), 124,713 (colour) of 512 pictures each.

    >>> paper("depth").loop.steps, paper("depth").encoder_lr
    (4646, 0.1)
    """
    return ConditionalRun(
        data=DenseConfig(task=task, source=source, height=512, width=512, workers=16),
        prior=prior,
        model=ConditionalConfig.paper(),
        vit_weights=vit_weights,
        encoder_lr=0.1,
        # AdamW's decay is multiplied with the learning rate, the paper's 1e-6 is not.
        optim=OptimConfig(lr=1e-3, weight_decay=1e-3, warmup=4000 if task != "depth" else 1000, final_lr=0.0, ema=0.0),
        loop=LoopConfig(
            steps=_PICTURES[task] * _EPOCHS[task] // 512,
            batch_size=512,
            log_every=50,
            val_every=1000,
            val_count=4096,
            checkpoint_every=1000,
        ),
    )


def gpu(task: Task, source: str = "scenes", *, prior: Decoding = "ar") -> ConditionalRun:
    """128 px, 64 codes, for one GPU; the encoder learns from nothing.

    Expected result: not measured in full length. Cost: 1300 to 2500 pictures a second where three runs share an H100.
    """
    return ConditionalRun(
        data=DenseConfig(
            task=task, source=source, height=128, width=128, train_count=50_000, val_count=2000, workers=8
        ),
        prior=prior,
        model=ConditionalConfig.gpu(),
        optim=OptimConfig(lr=5e-4, weight_decay=0.01, warmup=1000, ema=0.999),
        loop=LoopConfig(steps=30_000, batch_size=256, val_every=2000, val_count=2000, checkpoint_every=2000),
    )


def laptop(task: Task, source: str = "scenes", *, prior: Decoding = "ar") -> ConditionalRun:
    """64 px, 16 codes, for one CPU core; the encoder learns from nothing.

    Expected with 240 codes: depth RMSE 0.83 m (mean of draws 0.67 m), PQ 0.47. Cost: about 7 minutes on one core.
    """
    return ConditionalRun(
        data=DenseConfig(task=task, source=source, height=64, width=64, train_count=5000, val_count=500),
        prior=prior,
        optim=OptimConfig(lr=1e-3, weight_decay=0.01, warmup=100, ema=0.99),
        loop=LoopConfig(
            steps=2000,
            batch_size=32,
            precision="fp32",
            log_every=50,
            val_every=500,
            val_count=200,
            checkpoint_every=500,
        ),
    )
