"""A recipe of images: full settings for both stages and the measurement, and what most recipes share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.recipe import TwoStages
from gridcode.training.config import LoopConfig, OptimConfig


@dataclass(frozen=True)
class Recipe(TwoStages[TokenizerRun, EvaluationConfig]):
    """From images to new images.

    Attributes:
        flips: Whether the token store also holds mirrored training images.
    """

    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    classes: int = 10
    flips: bool = False

    def enlarged(self, tokenizer: TokenizerRun, prior: PriorRun, *, samples: int) -> Recipe:
        """The same data, measured in the same way with more samples, with other networks and longer training."""
        evaluation = replace(self.evaluation, samples=samples)
        return replace(self, tokenizer=tokenizer, prior=prior, evaluation=evaluation)


CODEBOOK_1000: Final = FSQConfig(levels=(8, 5, 5, 5))
"""The paper's codebook of 1000 codes (Table 1)."""


def loop(steps: int, batch_size: int, *, every: int, val_count: int) -> LoopConfig:
    """A training loop that validates and writes a checkpoint at the same steps."""
    return LoopConfig(steps=steps, batch_size=batch_size, val_every=every, val_count=val_count, checkpoint_every=every)


def maskgit_optim(lr: float, *, warmup: int, ema: float = 0.999) -> OptimConfig:
    """The optimiser of MaskGIT's transformer, at another learning rate."""
    return OptimConfig(lr=lr, betas=(0.9, 0.96), weight_decay=0.045, warmup=warmup, ema=ema)


def small_prior(loop: LoopConfig, *, warmup: int, depth: int = 6, lr: float = 1e-3, ema: float = 0.999) -> PriorRun:
    """A masked prior of MaskGIT's layers for a laptop: width 192, no dropout."""
    return PriorRun(
        model=MaskGITConfig(style="maskgit", width=192, depth=depth, heads=4, mlp=768, dropout=0.0),
        optim=maskgit_optim(lr, warmup=warmup, ema=ema),
        loop=loop,
    )


def large_prior(loop: LoopConfig, *, width: int, depth: int, heads: int, lr: float, warmup: int) -> PriorRun:
    """A masked prior of modern layers for a GPU: an MLP of four times the width, dropout 0.1."""
    return PriorRun(
        model=MaskGITConfig(width=width, depth=depth, heads=heads, mlp=4 * width, dropout=0.1),
        optim=maskgit_optim(lr, warmup=warmup),
        loop=loop,
    )


def large_tokenizer(
    run: TokenizerRun,
    widths: tuple[int, ...],
    loop: LoopConfig,
    *,
    encoder_blocks: int,
    decoder_blocks: int = 1,
    lr: float,
) -> TokenizerRun:
    """A run on the same data for a GPU: wider networks without patches, 1000 codes, 1000 steps of warm-up."""
    model = TokenizerConfig(
        quantizer=CODEBOOK_1000,
        channels=run.data.channels,
        widths=widths,
        encoder_blocks=encoder_blocks,
        decoder_blocks=decoder_blocks,
    )
    return replace(run, model=model, optim=OptimConfig(lr=lr, warmup=1000), loop=loop)
