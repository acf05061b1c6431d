"""Fashion-MNIST and CIFAR-10: sets of 28 and 32 px with ten classes (Parquet with train and test files).

Fashion-MNIST has 70,000 grey images of clothes, CIFAR-10 60,000 colour images of animals and vehicles. Commands::

    gridcode train tokenizer fashion_mnist_laptop --data.source DATA/fashion_mnist --out runs/fashion/tokenizer
    gridcode tokenize --tokenizer runs/fashion/tokenizer --out runs/fashion/tokens
    gridcode train prior fashion_mnist_laptop --tokens runs/fashion/tokens --out runs/fashion/prior
    gridcode eval --tokenizer runs/fashion/tokenizer --prior runs/fashion/prior --out runs/fashion/report

The same with ``cifar10``, whose tokens are written with ``--flips``.
"""

from __future__ import annotations

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.domains.image.recipes.base import CODEBOOK_1000, Recipe, large_prior, large_tokenizer, loop, small_prior
from gridcode.training.config import LoopConfig, OptimConfig


def fashion_mnist_laptop() -> Recipe:
    """7x7 tokens of a codebook of 1000 codes.

    Expect (test set): 26.7 dB, usage 100 %, perplexity 659; 92 % of samples of the requested class (docs/results).
    Cost: 11 minutes for the tokenizer and 18 for the prior on one thread of a shared 2-core machine.
    """
    data = DataConfig(source="fashion_mnist", size=28, channels=1, crop=CropPolicy(train="center", flip=True))
    return _laptop(data, prior_steps=2500, evaluation=EvaluationConfig(samples=2000, classifier_steps=1500))


def cifar10_laptop() -> Recipe:
    """8x8 tokens of a codebook of 1000 codes.

    Expect (test set, JPEG copies): 25.9 dB, usage 100 %, perplexity 692; 41 % of samples of the requested class by a
    classifier that is right on 67 % of real images (docs/results).
    Cost: 9 minutes for the tokenizer and 6 for the prior on two CPU cores.
    """
    data = DataConfig(source="cifar10", size=32, crop=CropPolicy(train="center", flip=True))
    return _laptop(data, prior_steps=1500, evaluation=EvaluationConfig(samples=2000), flips=True)


def _laptop(data: DataConfig, *, prior_steps: int, evaluation: EvaluationConfig, flips: bool = False) -> Recipe:
    """4 pixels per token, a side; 4000 steps of Stage I."""
    return Recipe(
        tokenizer=TokenizerRun(
            data=data,
            model=TokenizerConfig.laptop(CODEBOOK_1000, channels=data.channels),
            optim=OptimConfig(lr=2e-3, warmup=200),
            loop=loop(4000, 64, every=1000, val_count=2000),
        ),
        prior=small_prior(loop(prior_steps, 64, every=500, val_count=2000), warmup=300),
        evaluation=evaluation,
        flips=flips,
    )


def fashion_mnist_gpu() -> Recipe:
    """The same codebook with wider networks and ten times the steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    stages = loop(50_000, 256, every=2500, val_count=10_000), loop(60_000, 256, every=2500, val_count=10_000)
    return _gpu(fashion_mnist_laptop(), stages, widths=(128, 128, 256), blocks=1, lr=5e-4, depth=12)


def cifar10_gpu() -> Recipe:
    """Wider networks and ten times the steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    stages = loop(60_000, 256, every=2500, val_count=10_000), loop(100_000, 256, every=5000, val_count=10_000)
    return _gpu(cifar10_laptop(), stages, widths=(128, 256, 256), blocks=2, lr=4e-4, depth=16)


def _gpu(
    small: Recipe,
    stages: tuple[LoopConfig, LoopConfig],
    *,
    widths: tuple[int, ...],
    blocks: int,
    lr: float,
    depth: int,
) -> Recipe:
    """The data and the measurement of a smaller recipe; a prior of width 512."""
    first, second = stages
    return small.enlarged(
        large_tokenizer(small.tokenizer, widths, first, encoder_blocks=blocks, lr=lr),
        large_prior(second, width=512, depth=depth, heads=8, lr=3e-4, warmup=2000),
        samples=10_000,
    )
