"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 px, ten classes (Parquet with train and test files).

Commands::

    gridcode train tokenizer fashion_mnist_laptop --data.source DATA/fashion_mnist --out runs/fashion/tokenizer
    gridcode tokenize --tokenizer runs/fashion/tokenizer --out runs/fashion/tokens
    gridcode train prior fashion_mnist_laptop --tokens runs/fashion/tokens --out runs/fashion/prior
    gridcode eval --tokenizer runs/fashion/tokenizer --prior runs/fashion/prior --out runs/fashion/report
"""

from __future__ import annotations

from dataclasses import replace

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.evaluation.config import EvaluationConfig
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.quantize.config import FSQConfig
from gridcode.recipes.recipe import Recipe
from gridcode.training.config import LoopConfig, OptimConfig


def laptop() -> Recipe:
    """7x7 tokens of the 1000-code book.

    Expect (test set): 26.7 dB, usage 100 %, perplexity 659; 92 % of samples classified as asked (docs/results.md).
    Cost: 11 minutes for the tokenizer and 18 for the prior on one thread of a shared 2-core machine.
    """
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="fashion_mnist", size=28, channels=1, crop=CropPolicy(train="center", flip=True)),
            model=TokenizerConfig.laptop(FSQConfig(levels=(8, 5, 5, 5)), channels=1),
            optim=OptimConfig(lr=2e-3, warmup=200),
            loop=LoopConfig(steps=4000, batch_size=64, val_every=1000, val_count=2000, checkpoint_every=1000),
        ),
        prior=PriorRun(
            model=MaskGITConfig(style="maskgit", width=192, depth=6, heads=4, mlp=768, dropout=0.0),
            optim=OptimConfig(lr=1e-3, betas=(0.9, 0.96), weight_decay=0.045, warmup=300),
            loop=LoopConfig(steps=2500, batch_size=64, val_every=500, val_count=2000, checkpoint_every=500),
        ),
        evaluation=EvaluationConfig(samples=2000, classifier_steps=1500),
        flips=False,
    )


def gpu() -> Recipe:
    """The same book with wider networks and ten times the steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    small = laptop()
    return replace(
        small,
        tokenizer=replace(
            small.tokenizer,
            model=TokenizerConfig(
                quantizer=FSQConfig(levels=(8, 5, 5, 5)),
                channels=1,
                widths=(128, 128, 256),
                encoder_blocks=1,
                decoder_blocks=1,
            ),
            optim=OptimConfig(lr=5e-4, warmup=1000),
            loop=LoopConfig(steps=50_000, batch_size=256, val_every=2500, val_count=10_000, checkpoint_every=2500),
        ),
        prior=replace(
            small.prior,
            model=MaskGITConfig(width=512, depth=12, heads=8, mlp=2048, dropout=0.1),
            optim=OptimConfig(lr=3e-4, betas=(0.9, 0.96), weight_decay=0.045, warmup=2000),
            loop=LoopConfig(steps=60_000, batch_size=256, val_every=2500, val_count=10_000, checkpoint_every=2500),
        ),
        evaluation=replace(small.evaluation, samples=10_000),
    )
