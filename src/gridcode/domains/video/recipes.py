"""Recipes of clips: the built-in moving scenes.

Commands::

    gridcode train tokenizer video_laptop --out runs/video/tokenizer
    gridcode tokenize --tokenizer runs/video/tokenizer --out runs/video/tokens
    gridcode train prior video_laptop --tokens runs/video/tokens --out runs/video/prior
    gridcode sample video_laptop --prior runs/video/prior --tokenizer runs/video/tokenizer --out runs/video/samples
    gridcode eval video_laptop --tokenizer runs/video/tokenizer --prior runs/video/prior --out runs/video/report
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from gridcode.domains.video.config import VideoConfig, VideoEvaluationConfig, VideoTokenizerConfig, VideoTokenizerRun
from gridcode.prior.config import laptop_prior
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.recipe import TwoStages
from gridcode.training.config import LoopConfig, OptimConfig

VideoRecipe: TypeAlias = TwoStages[VideoTokenizerRun, VideoEvaluationConfig]
"""From clips to new clips."""


def laptop() -> VideoRecipe:
    """17 frames of 32x32 pixels, two seconds, in 5x4x4 tokens of a codebook of 4375 codes: 968 bits.

    Expected result: 25.6 dB, and 64 % of samples are recognised as the motion asked for.
    Cost: 17 minutes of CPU time on one core: the tokenizer 8 (0.32 s per step), its tokens 1, the prior 9.
    """
    return VideoRecipe(
        tokenizer=VideoTokenizerRun(
            data=VideoConfig(crop=5, train_count=1000, objects=1),
            model=VideoTokenizerConfig(quantizer=FSQConfig(levels=(7, 5, 5, 5, 5))),
            optim=OptimConfig(lr=2e-3, warmup=100, ema=0.995),
            loop=LoopConfig(steps=1500, batch_size=14, val_every=300, val_count=100, checkpoint_every=100),
        ),
        prior=laptop_prior(LoopConfig(steps=800, batch_size=32, val_every=200, val_count=200, checkpoint_every=100)),
        evaluation=VideoEvaluationConfig(guidance=1.0),
        classes=4,
    )


def smoke() -> VideoRecipe:
    """A few steps of tiny networks: every part runs, nothing is learned. Seconds."""
    return laptop().smoke(
        data={"frames": 5, "size": 16, "train_count": 24, "val_count": 12},
        model={"widths": (8, 8)},
        evaluation=VideoEvaluationConfig(count=12, samples=4, classifier_steps=2, batch_size=6, given=1, continued=3),
    )


VIDEO_RECIPES: Final[dict[str, Callable[[], VideoRecipe]]] = {"video_laptop": laptop, "video_smoke": smoke}
"""Each by name."""
