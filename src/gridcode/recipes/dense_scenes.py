"""Dense prediction on the built-in scenes, whose depth and segments are exact: no files needed.

Command: ``gridcode dense train scenes_depth_laptop --out runs/depth``, then ``gridcode dense eval --run runs/depth``.
On other data: ``--data.source PATH``, with the size (``--data.height``, ``--data.width``) and crop that suit it.
"""

from __future__ import annotations

from gridcode.data.labels.config import Task
from gridcode.evaluation.dense_config import DenseEvaluationConfig
from gridcode.prior.conditional.config import ConditionalConfig, ConditionalRun
from gridcode.quantize.config import FSQConfig
from gridcode.recipes.dense_recipe import DenseRecipe
from gridcode.tokenizer.labels import presets
from gridcode.training.config import LoopConfig, OptimConfig


def laptop(task: Task) -> DenseRecipe:
    """64 px, 16 codes of a 240-code book, for one CPU core.

    Expected result: not measured yet. Cost: about 10 minutes on one free core, half of it Stage I.
    """
    return DenseRecipe(
        tokenizer=presets.laptop(task, quantizer=FSQConfig(levels=(8, 6, 5))),
        prior=ConditionalRun(
            model=ConditionalConfig(),
            optim=OptimConfig(lr=1e-3, weight_decay=0.01, warmup=100, ema=0.99),
            loop=LoopConfig(
                steps=2000,
                batch_size=32,
                precision="fp32",
                log_every=50,
                val_every=500,
                val_count=200,
                checkpoint_every=500,
            ),
        ),
        evaluation=DenseEvaluationConfig(count=500, train_count=1000),
    )


def gpu(task: Task) -> DenseRecipe:
    """128 px, 64 codes of the paper's book, for one GPU. Expected result and cost: not measured yet."""
    return DenseRecipe(
        tokenizer=presets.gpu(task),
        prior=ConditionalRun(
            model=ConditionalConfig.gpu(),
            optim=OptimConfig(lr=5e-4, weight_decay=0.01, warmup=1000, ema=0.999),
            loop=LoopConfig(steps=20_000, batch_size=128, val_every=2000, val_count=1000, checkpoint_every=2000),
        ),
    )


def depth_laptop() -> DenseRecipe:
    """Metric depth; see :func:`laptop`."""
    return laptop("depth")


def panoptic_laptop() -> DenseRecipe:
    """Panoptic segments; see :func:`laptop`."""
    return laptop("panoptic")


def colour_laptop() -> DenseRecipe:
    """Colours of grey pictures; see :func:`laptop`."""
    return laptop("colour")


def depth_gpu() -> DenseRecipe:
    """Metric depth; see :func:`gpu`."""
    return gpu("depth")


def panoptic_gpu() -> DenseRecipe:
    """Panoptic segments; see :func:`gpu`."""
    return gpu("panoptic")


def colour_gpu() -> DenseRecipe:
    """Colours of grey pictures; see :func:`gpu`."""
    return gpu("colour")
