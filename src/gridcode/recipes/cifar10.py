"""CIFAR-10: 60,000 colour pictures, 32 px, ten classes (Parquet with train and test files).

Commands::

    gridcode train tokenizer cifar10_laptop --data.source DATA/cifar10 --out runs/cifar10/tokenizer
    gridcode tokenize --tokenizer runs/cifar10/tokenizer --flips --out runs/cifar10/tokens
    gridcode train prior cifar10_laptop --tokens runs/cifar10/tokens --out runs/cifar10/prior
    gridcode eval --tokenizer runs/cifar10/tokenizer --prior runs/cifar10/prior --out runs/cifar10/report
"""

from __future__ import annotations

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.evaluation_config import EvaluationConfig
from gridcode.recipes.recipe import CODEBOOK_1000, Recipe, large_prior, large_tokenizer, loop, small_prior
from gridcode.training.config import OptimConfig


def laptop() -> Recipe:
    """8x8 tokens of a codebook of 1000 codes.

    Expect (test set, JPEG copies): 25.9 dB, usage 100 %, perplexity 692; 41 % of samples of the requested class by a
    classifier that is right on 67 % of real pictures (docs/results).
    Cost: 9 minutes for the tokenizer and 6 for the prior on two CPU cores.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="cifar10", size=32, crop=CropPolicy(train="center", flip=True)),
            model=TokenizerConfig.laptop(CODEBOOK_1000),
            optim=OptimConfig(lr=2e-3, warmup=200),
            loop=loop(4000, 64, every=1000, val_count=2000),
        ),
        prior=small_prior(loop(1500, 64, every=500, val_count=2000), warmup=300),
        evaluation=EvaluationConfig(samples=2000),
        flips=True,
    )


def gpu() -> Recipe:
    """Wider networks and ten times the steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    small = laptop()
    stage_one, stage_two = (
        loop(60_000, 256, every=2500, val_count=10_000),
        loop(100_000, 256, every=5000, val_count=10_000),
    )
    return small.enlarged(
        large_tokenizer(small.tokenizer, (128, 256, 256), stage_one, encoder_blocks=2, lr=4e-4),
        large_prior(stage_two, width=512, depth=16, heads=8, lr=3e-4, warmup=2000),
        samples=10_000,
    )
