r"""ImageNet at 128 and 256 px, 1.28 million photographs of 1000 classes, with the paper's own settings (4.1-4.3, 5.1).

Commands, for 8 GPUs of 80 GB; 128 may stand for 256. Without data and machine, ``--dry-run`` says what would run::

    gridcode train tokenizer imagenet256_paper --dry-run
    gridcode train prior imagenet256_paper --dry-run

    LPIPS="--loss.perceptual.vgg vgg16.pth --loss.perceptual.heads vgg.pth"    # or --loss.perceptual.download
    torchrun --nproc-per-node 8 -m gridcode train tokenizer imagenet256_paper --data.source DATA/imagenet $LPIPS \
        --loop.accumulate 2 --out runs/imagenet256/tokenizer
    gridcode tokenize --tokenizer runs/imagenet256/tokenizer --flips --out runs/imagenet256/tokens
    torchrun --nproc-per-node 8 -m gridcode train prior imagenet256_paper --tokens runs/imagenet256/tokens \
        --out runs/imagenet256/prior
    gridcode eval imagenet256_paper --tokenizer runs/imagenet256/tokenizer --prior runs/imagenet256/prior \
        --out runs/imagenet256/report

The VQ baseline is ``--quantizer vq --model.quantizer.channels 256``, sampled with ``--guidance 0.1``.

Differs from paper: moving averages begin with a lower decay (``OptimConfig.ema``); networks compute in bf16 where the
hardware does; weight decay spares biases and norms; the prior has a moving average too, and learns from stored tokens
of centre crops and their mirror images, where the original encodes random crops as it goes. The paper does not tell the
crop of the images, here at least 0.8 of the shorter side at a random place, nor the tokens of a 128-pixel image:
here the networks are those of 256 pixels, so there are 8x8. The weights of L2 and R1 are the paper's numbers, on pixels
in [-1, 1]; MaskGIT's are in [0, 1], where L2 counts a quarter of what it does here, and R1 four times as much.
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
from gridcode.domains.image.recipes.base import CODEBOOK_1000, Recipe, loop
from gridcode.prior.config import MaskGITConfig, MaskingConfig, PriorRun
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.training.config import OptimConfig

CONSTANT = 1.0
"""``OptimConfig.final_lr`` of a rate that stays where it is once the warm-up is over."""


def at_256() -> Recipe:
    """16x16 tokens of a codebook of 1000 codes: 52,962,951 parameters in Stage I, 172.44M in Stage II.

    Expect (the paper's Fig. 4, not measured here): FID 4.534, precision 0.864, recall 0.453 with guidance 0.2, and
    usage 100 %. Cost (estimate by arithmetic, not measured): Stage I 1.4 TFLOP an image and 512 million of them, Stage
    II 0.28 and 640 million; at 100 TFLOP/s a GPU 2,000 and 500 GPU-hours.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(
                source="imagenet", size=256, crop=CropPolicy(train="random", flip=True, min_scale=0.8), workers=16
            ),
            model=TokenizerConfig.maskgit(CODEBOOK_1000),
            loss=LossConfig(
                l2=1.0,
                perceptual=PerceptualConfig(kind="lpips", weight=0.1),
                adversarial=AdversarialConfig(
                    kind="non-saturating", weight=0.1, width=512, lr=1e-4, betas=(0.0, 0.99), r1=10.0
                ),
            ),
            # AdamW without decay, warm-up, cosine or clipping is Adam at a constant rate.
            optim=OptimConfig(
                lr=1e-4, betas=(0.0, 0.99), weight_decay=0.0, warmup=0, final_lr=CONSTANT, clip=0.0, ema=0.999
            ),
            loop=replace(loop(1_000_000, 512, every=10_000, val_count=10_000), log_every=100),
        ),
        prior=PriorRun(
            model=MaskGITConfig.maskgit(),
            masking=MaskingConfig(min_masked=0.45, label_dropout=0.1, label_smoothing=0.1),
            optim=OptimConfig(
                lr=1e-4, betas=(0.9, 0.96), weight_decay=0.045, warmup=5000, final_lr=CONSTANT, clip=0.0, ema=0.999
            ),
            loop=replace(loop(2_500_000, 256, every=10_000, val_count=10_000), log_every=100),
        ),
        evaluation=EvaluationConfig(
            count=50_000,
            samples=50_000,
            sampler=SamplerConfig(steps=12, choice_temperature=4.5),
            guidance=0.2,
        ),
        flips=True,
        classes=1000,
    )


def at_128() -> Recipe:
    """The paper's study of codebook sizes (Fig. 3): 100 epochs in Stage I, 200 in Stage II, batches of 256.

    Expect: the paper has no table for it; Fig. 3 has usage near 100 % at 1000 codes. Not measured here.
    Cost (estimate by arithmetic, not measured): Stage I 0.55 TFLOP an image and 128 million of them, Stage II
    0.07 and 256 million; at 100 TFLOP/s a GPU 190 and 50 GPU-hours.
    """
    large = at_256()
    tokenizer, prior = large.tokenizer, large.prior
    return replace(
        large,
        tokenizer=replace(
            tokenizer,
            data=replace(tokenizer.data, size=128),
            loop=replace(tokenizer.loop, steps=500_000, batch_size=256),
        ),
        prior=replace(prior, loop=replace(prior.loop, steps=1_000_000)),
    )
