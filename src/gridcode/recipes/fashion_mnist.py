"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 px, ten classes (Parquet with train and test files).

Commands::

    gridcode train tokenizer fashion_mnist_laptop --data.source DATA/fashion_mnist --out runs/fashion/tokenizer
    gridcode tokenize --tokenizer runs/fashion/tokenizer --out runs/fashion/tokens
    gridcode train prior fashion_mnist_laptop --tokens runs/fashion/tokens --out runs/fashion/prior
    gridcode eval --tokenizer runs/fashion/tokenizer --prior runs/fashion/prior --out runs/fashion/report
"""

from __future__ import annotations

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.evaluation_config import EvaluationConfig
from gridcode.recipes.recipe import CODEBOOK_1000, Recipe, large_prior, large_tokenizer, loop, small_prior
from gridcode.training.config import OptimConfig


def laptop() -> Recipe:
    """7x7 tokens of a codebook of 1000 codes.

    Expect (test set): 26.7 dB, usage 100 %, perplexity 659; 92 % of samples of the requested class (docs/results).
    Cost: 11 minutes for the tokenizer and 18 for the prior on one thread of a shared 2-core machine.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="fashion_mnist", size=28, channels=1, crop=CropPolicy(train="center", flip=True)),
            model=TokenizerConfig.laptop(CODEBOOK_1000, channels=1),
            optim=OptimConfig(lr=2e-3, warmup=200),
            loop=loop(4000, 64, every=1000, val_count=2000),
        ),
        prior=small_prior(loop(2500, 64, every=500, val_count=2000), warmup=300),
        evaluation=EvaluationConfig(samples=2000, classifier_steps=1500),
    )


def gpu() -> Recipe:
    """The same codebook with wider networks and ten times the steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    small = laptop()
    stage_one, stage_two = (
        loop(50_000, 256, every=2500, val_count=10_000),
        loop(60_000, 256, every=2500, val_count=10_000),
    )
    return small.enlarged(
        large_tokenizer(small.tokenizer, (128, 128, 256), stage_one, encoder_blocks=1, lr=5e-4),
        large_prior(stage_two, width=512, depth=12, heads=8, lr=3e-4, warmup=2000),
        samples=10_000,
    )
