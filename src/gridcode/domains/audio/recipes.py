"""Recipes of sounds: spoken digits of 8 kHz (Free Spoken Digit Dataset, 3,000 recordings of six speakers).

Commands::

    gridcode train tokenizer fsdd_laptop --data.source DATA/fsdd --out runs/digits/tokenizer
    gridcode tokenize --tokenizer runs/digits/tokenizer --out runs/digits/tokens
    gridcode train prior fsdd_laptop --tokens runs/digits/tokens --out runs/digits/prior
    gridcode sample fsdd_laptop --prior runs/digits/prior --tokenizer runs/digits/tokenizer --out runs/digits/samples
    gridcode eval fsdd_laptop --tokenizer runs/digits/tokenizer --prior runs/digits/prior --out runs/digits/report
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Literal

from gridcode.domains.audio.config import AudioConfig, AudioEvaluationConfig, AudioTokenizerRun, CodecConfig
from gridcode.prior.config import MaskGITConfig, MaskingConfig, PriorRun
from gridcode.quantize.config import FSQConfig
from gridcode.training.config import LoopConfig, OptimConfig


@dataclass(frozen=True)
class AudioRecipe:
    """What one command line after another needs to go from sounds to new sounds.

    Attributes:
        tokenizer: Stage I.
        prior: Stage II.
        evaluation: How the result is measured.
        classes: Classes that the sounds have.
    """

    kind: ClassVar[Literal["audio"]] = "audio"
    """The kind of data."""

    tokenizer: AudioTokenizerRun
    prior: PriorRun
    evaluation: AudioEvaluationConfig = field(default_factory=AudioEvaluationConfig)
    classes: int = 10


def laptop() -> AudioRecipe:
    """125 tokens a second of a codebook of 1000 codes: 1,246 bits a second; 96 tokens an example of 0.77 s.

    Expected result: not measured at full length yet; shorter runs are in LOG.md.
    Cost: 15 minutes of CPU time for the tokenizer (0.45 s a step).
    """
    return AudioRecipe(
        tokenizer=AudioTokenizerRun(
            data=AudioConfig(source="fsdd", samples=6144),
            model=CodecConfig(quantizer=FSQConfig(levels=(8, 5, 5, 5))),
            optim=OptimConfig(lr=1e-3, warmup=100, ema=0.995),
            loop=LoopConfig(steps=2000, batch_size=16, val_every=500, val_count=300, checkpoint_every=250),
        ),
        prior=PriorRun(
            model=MaskGITConfig(width=128, depth=4, heads=4, mlp=512, dropout=0.1),
            masking=MaskingConfig(min_masked=0.0),
            optim=OptimConfig(lr=1e-3, betas=(0.9, 0.96), weight_decay=0.045, warmup=200),
            loop=LoopConfig(steps=2000, batch_size=32, val_every=250, val_count=300, checkpoint_every=250),
        ),
        evaluation=AudioEvaluationConfig(guidance=1.0),
    )


def smoke() -> AudioRecipe:
    """A few steps of tiny networks: every part runs, nothing is learned. Seconds."""
    full = laptop()
    loop = LoopConfig(steps=4, batch_size=4, log_every=2, val_every=4, val_count=8, checkpoint_every=4)
    return replace(
        full,
        tokenizer=replace(
            full.tokenizer,
            data=replace(full.tokenizer.data, samples=2048, crop=1024),
            model=replace(full.tokenizer.model, widths=(8, 8, 8), dilations=(1,), head=4),
            loop=loop,
        ),
        prior=replace(full.prior, model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32), loop=loop),
        evaluation=AudioEvaluationConfig(count=20, samples=10, classifier_steps=4, batch_size=10),
    )


AUDIO_RECIPES: Final[dict[str, Callable[[], AudioRecipe]]] = {"fsdd_laptop": laptop, "fsdd_smoke": smoke}
"""Each by name."""
