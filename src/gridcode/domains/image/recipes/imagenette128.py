"""Imagenette at 128 px: 13,394 photographs of ten ImageNet classes (Parquet, or folders of JPEG files).

Commands::

    gridcode train tokenizer imagenette128_laptop --data.source DATA/imagenette128 --out runs/imagenette/tokenizer
    gridcode tokenize --tokenizer runs/imagenette/tokenizer --flips --out runs/imagenette/tokens
    gridcode train prior imagenette128_laptop --tokens runs/imagenette/tokens --out runs/imagenette/prior
    gridcode eval --tokenizer runs/imagenette/tokenizer --prior runs/imagenette/prior --out runs/imagenette/report

``imagenette128_gan_laptop`` and ``imagenette128_gan_gpu`` add the paper's other two losses, perceptual and adversarial.
The same run on pixels alone, to compare with::

    gridcode train tokenizer imagenette128_gan_laptop --data.source DATA/imagenette128 --loss.perceptual.kind none \
        loss.adversarial.kind none --out runs/imagenette/l2
"""

from __future__ import annotations

from dataclasses import replace

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import (
    AdversarialConfig,
    EvaluationConfig,
    LossConfig,
    PerceptualConfig,
    TokenizerRun,
)
from gridcode.domains.image.recipes.base import CODEBOOK_1000, Recipe, large_prior, large_tokenizer, loop, small_prior
from gridcode.training.config import OptimConfig


def _small(widths: tuple[int, ...]) -> TokenizerConfig:
    """16x16 tokens of a codebook of 1000 codes; squares of 4 pixels enter and leave."""
    return TokenizerConfig(quantizer=CODEBOOK_1000, widths=widths, encoder_blocks=1, decoder_blocks=1, patch=4)


def laptop() -> Recipe:
    """16x16 tokens of a codebook of 1000 codes; images are blurred without an adversarial loss.

    Expect (validation set): 22.6 dB, usage 100 %, perplexity 533; samples have layout and light and no objects
    (docs/results). Cost: 25 minutes for the tokenizer and 16 for the prior on one thread of a shared 2-core machine.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="imagenette128", size=128, crop=CropPolicy(train="random", min_scale=0.8)),
            model=_small((64, 128)),
            optim=OptimConfig(lr=1e-3, warmup=200),
            loop=loop(2000, 32, every=500, val_count=500),
        ),
        prior=small_prior(loop(1000, 32, every=500, val_count=500), warmup=200),
        evaluation=EvaluationConfig(samples=500),
        flips=True,
    )


def gpu() -> Recipe:
    """Two more downsampling stages instead of large patches, and many more steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    small, length = laptop(), loop(100_000, 128, every=5000, val_count=3925)
    return small.enlarged(
        large_tokenizer(small.tokenizer, (128, 128, 256, 256), length, encoder_blocks=2, lr=2e-4),
        large_prior(length, width=768, depth=16, heads=12, lr=2e-4, warmup=3000),
        samples=5000,
    )


def gan_laptop() -> Recipe:
    """Half the laptop's width, a self-made perceptual loss and a small discriminator, 500 steps.

    The discriminator sees 2x2 squares as channels, has a sixteenth of MaskGIT's width, joins at step 100 with a higher
    learning rate than MaskGIT's, and its gradient penalty is due at every sixteenth step. Beside it the perceptual loss
    leads: an adversarial weight of MaskGIT's 0.1 left a checkerboard in so short a run.

    Expect (500 validation images): 17.5 dB and a perceptual distance of 0.661, pixels alone 19.2 dB and 0.772; the
    alarm of poor reconstruction rings at step 250 (docs/results). Cost: about 10 minutes on one AVX2 core.
    """
    small = laptop()
    return replace(
        small,
        tokenizer=replace(
            small.tokenizer,
            model=_small((32, 64)),
            loss=LossConfig(
                perceptual=PerceptualConfig(kind="self", weight=0.5, widths=(8, 16, 32, 64), steps=250, batch_size=32),
                adversarial=AdversarialConfig(
                    kind="non-saturating", weight=0.02, start=100, width=32, patch=2, lr=4e-4, r1_every=16
                ),
            ),
            optim=OptimConfig(lr=1e-3, warmup=50, ema=0.99),
            loop=replace(loop(500, 16, every=250, val_count=100), checkpoint_every=100),
        ),
    )


def gan_gpu() -> Recipe:
    """The GPU's networks with a self-made perceptual loss and a discriminator of half MaskGIT's width.

    Expected result and cost: not measured yet.
    """
    large = gpu()
    return replace(
        large,
        tokenizer=replace(
            large.tokenizer,
            loss=LossConfig(
                perceptual=PerceptualConfig(kind="self", widths=(32, 64, 128, 256), steps=3000),
                adversarial=AdversarialConfig(kind="non-saturating", start=5000, width=256, r1_every=16),
            ),
        ),
    )
