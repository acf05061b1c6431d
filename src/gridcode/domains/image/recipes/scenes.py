"""The built-in scenes: rendered images of five solids, no files needed.

Command (all of it, of ``scenes_demo``): ``gridcode demo``
Or stage by stage: ``gridcode train tokenizer scenes_laptop --out runs/scenes/tokenizer`` and so on (README).
"""

from __future__ import annotations

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.domains.image.recipes.base import Recipe, large_prior, large_tokenizer, loop, small_prior
from gridcode.prior.config import AutoregressiveConfig, MaskGITConfig, MaskingConfig, PriorRun
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig
from gridcode.training.config import LoopConfig, OptimConfig

WHOLE = CropPolicy(train="center", flip=False)
"""Scenes are random already; the shadow's side is part of them, so they are not mirrored."""


def demo() -> Recipe:
    """32 px, one object on a plain floor, 8x8 tokens of a codebook of 125 codes; what ``gridcode demo`` runs.

    The prior is autoregressive: in so few steps it learns far more than a masked one of its size (docs/results).

    Expect: 28.9 dB, usage 100 %, 93 % of samples of the requested class, Fréchet distance 1.2 to 1.9.
    Cost: 5 min 11 s on two CPU cores without bf16, all stages and the report; 1 GB.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="scenes", size=32, crop=WHOLE, objects=1, tiles=False),
            model=TokenizerConfig(
                quantizer=FSQConfig(levels=(5, 5, 5)), widths=(40, 80), encoder_blocks=1, decoder_blocks=1, patch=2
            ),
            optim=OptimConfig(lr=2e-3, warmup=80, ema=0.99),
            loop=loop(800, 16, every=400, val_count=500),
        ),
        prior=PriorRun(
            model=AutoregressiveConfig(width=96, depth=4, heads=3, mlp=384, dropout=0.0),
            masking=MaskingConfig(label_smoothing=0.0),
            optim=OptimConfig(lr=6e-3, betas=(0.9, 0.99), weight_decay=0.045, warmup=100, ema=0.99),
            loop=LoopConfig(steps=2400, batch_size=16, val_every=800, val_count=500, checkpoint_every=1200),
        ),
        evaluation=EvaluationConfig(
            count=1000,
            samples=500,
            guidance=1.25,
            classifier_steps=200,
        ),
        classes=5,
    )


def laptop() -> Recipe:
    """32 px, up to three objects, 8x8 tokens of a codebook of 240 codes.

    Expect: 28.7 dB, usage 99.6 %, 92 % of samples of the requested class (docs/results).
    Cost: 4 min 23 s on two CPU cores, all stages and the report; 1.1 GB.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="scenes", size=32, crop=WHOLE),
            model=TokenizerConfig.laptop(FSQConfig(levels=(8, 6, 5))),
            optim=OptimConfig(lr=2e-3, warmup=100, ema=0.99),
            loop=LoopConfig(steps=800, batch_size=64, val_every=200, val_count=500, checkpoint_every=400),
        ),
        prior=small_prior(
            LoopConfig(steps=1000, batch_size=64, val_every=250, val_count=500, checkpoint_every=500),
            depth=4,
            lr=2e-3,
            warmup=100,
            ema=0.99,
        ),
        evaluation=EvaluationConfig(
            count=1000,
            samples=500,
            sampler=SamplerConfig(steps=18, choice_temperature=2.0),
            guidance=1.5,
            classifier_steps=200,
        ),
        classes=5,
    )


def smoke() -> Recipe:
    """The laptop recipe cut to seconds: every part runs, nothing is learned. For tests and continuous integration."""
    length = LoopConfig(steps=60, batch_size=32, log_every=10, val_every=30, val_count=64, checkpoint_every=30)
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="scenes", size=32, crop=WHOLE, train_count=256, val_count=64),
            model=TokenizerConfig(
                quantizer=FSQConfig(levels=(8, 6, 5)), widths=(16, 32), encoder_blocks=1, decoder_blocks=1, patch=2
            ),
            loop=length,
        ),
        prior=PriorRun(
            model=MaskGITConfig(style="maskgit", width=64, depth=2, heads=2, mlp=128, dropout=0.0), loop=length
        ),
        evaluation=EvaluationConfig(count=64, samples=40, classifier_steps=20),
        classes=5,
    )


def gpu() -> Recipe:
    """64 px, 16x16 tokens of a codebook of 1000 codes, for one GPU.

    Expected result and cost: not measured yet.
    """
    data = DataConfig(source="scenes", size=64, crop=WHOLE, train_count=100_000, val_count=5000, workers=8)
    stage_one, stage_two = (
        loop(40_000, 256, every=2000, val_count=5000),
        loop(60_000, 256, every=2000, val_count=5000),
    )
    return Recipe(
        tokenizer=large_tokenizer(
            TokenizerRun(data), (128, 128, 256), stage_one, encoder_blocks=2, decoder_blocks=2, lr=4e-4
        ),
        prior=large_prior(stage_two, width=512, depth=12, heads=8, lr=3e-4, warmup=2000),
        evaluation=EvaluationConfig(count=5000, samples=5000),
        classes=5,
    )
