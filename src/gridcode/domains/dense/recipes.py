"""Both stages of dense prediction as one frozen value, and recipes: the paper's, for one GPU, for a laptop. No torch.

Commands, on the built-in scenes, whose depth and segments are exact and need no files::

    gridcode train tokenizer scenes_depth_laptop --out runs/depth/tokenizer
    gridcode tokenize --tokenizer runs/depth/tokenizer --out runs/depth/tokens
    gridcode train prior scenes_depth_laptop --tokens runs/depth/tokens --out runs/depth/prior
    gridcode eval --tokenizer runs/depth/tokenizer --prior runs/depth/prior --out runs/depth/report

On other data: ``--data.source PATH``, with the size (``--data.height``, ``--data.width``) and crop that suit it.

``uvim_*_paper`` are UViM's two stages with FSQ in the place of VQ (section 4.4), at full size; ``--dry-run`` counts
parameters. The image encoder starts from a ViT-L/16 of ImageNet-21k, at a tenth of the learning rate:
``--vit-weights FILE`` in timm's naming.

| task | VQ | FSQ | oracle (Stage I) |
|---|---|---|---|
| NYU depth, RMSE | 0.468 ± 0.012 | 0.473 ± 0.012 | 0.155 |
| COCO panoptic, PQ | 43.4 | 43.2 | 75.8 |
| colorization, FID-5k | 16.90 ± 0.056 | 17.55 ± 0.057 | 15.59 |

Expect (the paper's Table 2; oracle: UViM's repository). Not measured here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Final, Literal, TypeAlias

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.config import PAPER_CODEBOOK, DenseEvaluationConfig, LabelTokenizerConfig, LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig, DepthConfig, Task
from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.prior.config import CrossAttentionConfig
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.training.config import LoopConfig, OptimConfig

Stage: TypeAlias = Literal["tokenizer", "tokens", "prior", "all"]
"""A part of the way from label maps to predictions."""

STAGES: Final = ("tokenizer", "tokens", "prior")
"""The parts in their order; each makes a folder of its name."""


@dataclass(frozen=True)
class DenseRun:
    """Everything that determines a predictor of label maps.

    Attributes:
        tokenizer: Stage I, and the data of both stages.
        prior: Stage II; its own ``data`` does not count.

    >>> from dataclasses import replace
    >>> run = DenseRun(LabelTokenizerRun(), DensePriorRun())
    >>> changed = replace(run, tokenizer=replace(run.tokenizer, data=DenseConfig(task="colour")))
    >>> changed.stage_two().data.task
    'colour'
    """

    tokenizer: LabelTokenizerRun
    prior: DensePriorRun

    @property
    def data(self) -> DenseConfig:
        """What both stages learn from."""
        return self.tokenizer.data

    def stage_two(self) -> DensePriorRun:
        """Stage II on Stage I's data.

        Raises:
            GridcodeError: The images' size does not fit the image encoder.
        """
        self.prior.model.encoder.grid(*self.data.shape)
        return replace(self.prior, data=self.data)


@dataclass(frozen=True)
class DenseRecipe:
    """Full settings for both stages and the measurement, under one name.

    Attributes:
        tokenizer: Stage I, and the data of both stages.
        prior: Stage II.
        evaluation: How the result is measured.
    """

    kind: ClassVar[Literal["dense"]] = "dense"
    """The kind of data."""

    tokenizer: LabelTokenizerRun
    prior: DensePriorRun
    evaluation: DenseEvaluationConfig = field(default_factory=DenseEvaluationConfig)

    @property
    def run(self) -> DenseRun:
        """Both stages."""
        return DenseRun(self.tokenizer, self.prior)


WHOLE: Final = CropPolicy(train="center", flip=False)
"""Scenes are random already; the shadow's side is part of them, so they are not mirrored."""

_IMAGES: Final = {"depth": 47_584, "panoptic": 114_191, "colour": 1_277_071}
"""Training images of NYU depth v2, of COCO and of ImageNet without 4,096 held out each."""
_EPOCHS: Final = {"depth": (200, 50), "panoptic": (1000, 200), "colour": (100, 50)}
"""Epochs of Stage I and of Stage II."""
_LR: Final = {"depth": 1e-3, "panoptic": 4e-4, "colour": 4e-4}
_DECAY: Final = {"depth": 1e-5, "panoptic": 4e-5, "colour": 4e-5}
"""Stage I's decay a step, at the peak of the schedule; AdamW's is multiplied with the learning rate."""


def paper(task: Task, *, quantizer: QuantizerConfig = PAPER_CODEBOOK, context: bool = True) -> DenseRecipe:
    """The paper's settings (section 4.4; UViM's config files): 512 px, 256 codes of [7,5,5,5,5]; a ViT-L/16.

    Expect (not measured here): depth RMSE 0.473, panoptic PQ 43.2, colour FID-5k 17.55, of Stage I alone 0.155, 75.8
    and 15.59. Cost: 9,293 steps (depth), 111,514 (panoptic), 124,713 (colour) of 1024 images each, then 4,646, 44,605
    and 124,713 of 512.

    Differs from paper: AdamW instead of a variant of Adafactor; training crops keep the shape of the image, from 22 %
    of its side (Inception's crops, from 5 % of its area, also stretch it).

    >>> paper("depth").tokenizer.loop.steps, paper("depth").prior.loop.steps, paper("depth").prior.encoder_lr
    (9293, 4646, 0.1)
    """
    first, second = _EPOCHS[task]
    return DenseRecipe(
        tokenizer=LabelTokenizerRun(
            data=DenseConfig(task=task, height=512, width=512, crop=CropPolicy(min_scale=0.22), workers=16),
            model=LabelTokenizerConfig.paper(quantizer, context=context),
            optim=OptimConfig(
                lr=_LR[task],
                betas=(0.9, 0.95),
                weight_decay=_DECAY[task] / _LR[task],
                warmup=4000,
                final_lr=0.0,
                ema=0.0,
            ),
            loop=_paper_loop(_IMAGES[task] * first // 1024, 1024, val_every=2000),
        ),
        prior=DensePriorRun(
            data=DenseConfig(task=task, height=512, width=512, workers=16),
            model=CrossAttentionConfig.paper(),
            encoder_lr=0.1,
            # AdamW's decay is multiplied with the learning rate, the paper's 1e-6 is not.
            optim=OptimConfig(
                lr=1e-3, weight_decay=1e-3, warmup=4000 if task != "depth" else 1000, final_lr=0.0, ema=0.0
            ),
            loop=_paper_loop(_IMAGES[task] * second // 512, 512, val_every=1000),
        ),
        evaluation=DenseEvaluationConfig(count=5000, train_count=5000),
    )


def _paper_loop(steps: int, batch_size: int, *, val_every: int) -> LoopConfig:
    return LoopConfig(steps, batch_size, log_every=50, val_every=val_every, val_count=4096, checkpoint_every=1000)


def gpu(task: Task) -> DenseRecipe:
    """128 px, 64 codes of the paper's codebook, for one GPU; the image encoder learns from nothing.

    Expected after 800 steps of Stage I on 15,000 scenes: depth RMSE 0.36 m, PQ 0.85, colours 32.3 dB; in full length
    not measured (docs/results). Cost: about two hours of an H100 that three runs share (depth); in Stage I 1000
    (depth), 550 (panoptic) or 1900 (colour), in Stage II 1300 to 2500 images per second.
    """
    scenes = DenseConfig(task=task, height=128, width=128, train_count=50_000, val_count=2000, workers=8)
    return DenseRecipe(
        tokenizer=LabelTokenizerRun(
            data=replace(scenes, crop=WHOLE, instances=32),
            model=LabelTokenizerConfig.gpu(),
            optim=OptimConfig(lr=5e-4, weight_decay=0.01, warmup=1000, ema=0.999),
            loop=LoopConfig(steps=20_000, batch_size=128, val_every=2000, val_count=1000, checkpoint_every=2000),
        ),
        prior=DensePriorRun(
            data=scenes,
            model=CrossAttentionConfig.gpu(),
            optim=OptimConfig(lr=5e-4, weight_decay=0.01, warmup=1000, ema=0.999),
            loop=LoopConfig(steps=30_000, batch_size=256, val_every=2000, val_count=2000, checkpoint_every=2000),
        ),
    )


def laptop(task: Task) -> DenseRecipe:
    """64 px, 16 codes of a codebook of 240 codes, for one CPU core; 64 bins of depth, 16 instances.

    Expected, both stages and (oracle): depth RMSE 0.83 m, by the mean of draws 0.67 m (0.43 m); PQ 0.47 (0.63); colours
    not measured. Cost: about 14 minutes on one core, half of it Stage I.
    """
    scenes = DenseConfig(task=task, height=64, width=64, train_count=5000, val_count=500)
    loop = LoopConfig(
        steps=2000,
        batch_size=16,
        precision="fp32",
        log_every=50,
        val_every=500,
        val_count=200,
        checkpoint_every=500,
    )
    optim = OptimConfig(lr=1e-3, weight_decay=0.01, warmup=100, ema=0.99)
    return DenseRecipe(
        tokenizer=LabelTokenizerRun(
            data=replace(scenes, crop=WHOLE, depth=DepthConfig(bins=64), instances=16),
            model=LabelTokenizerConfig.laptop(FSQConfig(levels=(8, 6, 5))),
            optim=optim,
            loop=loop,
        ),
        prior=DensePriorRun(data=scenes, optim=optim, loop=replace(loop, batch_size=32)),
        evaluation=DenseEvaluationConfig(count=500, train_count=1000),
    )


DENSE_RECIPES: Final[dict[str, Callable[[], DenseRecipe]]] = {
    "scenes_depth_laptop": partial(laptop, "depth"),
    "scenes_panoptic_laptop": partial(laptop, "panoptic"),
    "scenes_colour_laptop": partial(laptop, "colour"),
    "scenes_depth_gpu": partial(gpu, "depth"),
    "scenes_panoptic_gpu": partial(gpu, "panoptic"),
    "scenes_colour_gpu": partial(gpu, "colour"),
    "uvim_depth_paper": partial(paper, "depth"),
    "uvim_panoptic_paper": partial(paper, "panoptic"),
    "uvim_colour_paper": partial(paper, "colour"),
}
"""Each task at each size, by name."""
