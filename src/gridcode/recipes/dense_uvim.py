"""The paper's dense prediction: UViM's two stages with FSQ in the place of VQ (section 4.4), at its full size.

Command: ``gridcode dense train uvim_depth_paper --data.source PATH --out runs/depth``; ``--dry-run`` counts parameters.
The image encoder starts from a ViT-L/16 of ImageNet-21k: ``--prior.vit-weights FILE`` in timm's naming.

| task | VQ | FSQ | oracle (Stage I) |
|---|---|---|---|
| NYU depth, RMSE | 0.468 ± 0.012 | 0.473 ± 0.012 | 0.155 |
| COCO panoptic, PQ | 43.4 | 43.2 | 75.8 |
| colorization, FID-5k | 16.90 ± 0.056 | 17.55 ± 0.057 | 15.59 |

Expect (the paper's Table 2; oracle: UViM's repository). Not measured here.
Differs from paper: AdamW instead of a variant of Adafactor. Weight decay is a step's, at the peak of the schedule.
"""

from __future__ import annotations

from typing import Final

from gridcode.data.labels.config import Task
from gridcode.evaluation.dense_config import DenseEvaluationConfig
from gridcode.prior.conditional.config import ConditionalConfig, ConditionalRun
from gridcode.recipes.dense_recipe import DenseRecipe
from gridcode.tokenizer.labels import presets
from gridcode.training.config import LoopConfig, OptimConfig

BATCH: Final = 512
LR: Final = 1e-3
DECAY: Final = 1e-6
EPOCHS: Final[dict[Task, int]] = {"depth": 50, "colour": 50, "panoptic": 200}
PICTURES: Final[dict[Task, int]] = {"depth": 47_584, "panoptic": 114_191, "colour": 1_277_071}
"""Training pictures of NYU depth v2, of COCO and of ImageNet without 4,096 held out each."""


def paper(task: Task) -> DenseRecipe:
    """Both stages at 512 px: 256 codes of [7,5,5,5,5]; ViT-L/16 and a decoder of its size.

    Cost of Stage II: 4,646 steps (depth), 44,605 (panoptic), 124,713 (colour) of 512 pictures each.

    >>> paper("depth").prior.loop.steps
    4646
    """
    return DenseRecipe(
        tokenizer=presets.paper(task),
        prior=ConditionalRun(
            model=ConditionalConfig.paper(),
            encoder_lr=0.1,
            optim=OptimConfig(
                lr=LR, betas=(0.9, 0.95), weight_decay=DECAY / LR, warmup=_warmup(task), final_lr=0.0, ema=0.0
            ),
            loop=LoopConfig(
                steps=_steps(task),
                batch_size=BATCH,
                log_every=50,
                val_every=min(2000, _steps(task)),
                val_count=4096,
                checkpoint_every=1000,
            ),
        ),
        evaluation=DenseEvaluationConfig(count=5000, train_count=5000),
    )


def depth() -> DenseRecipe:
    """NYU depth; see :func:`paper`."""
    return paper("depth")


def panoptic() -> DenseRecipe:
    """COCO panoptic; see :func:`paper`."""
    return paper("panoptic")


def colour() -> DenseRecipe:
    """Colorization of ImageNet; see :func:`paper`."""
    return paper("colour")


def _steps(task: Task) -> int:
    return PICTURES[task] * EPOCHS[task] // BATCH


def _warmup(task: Task) -> int:
    return min(4000, _steps(task) // 2)
