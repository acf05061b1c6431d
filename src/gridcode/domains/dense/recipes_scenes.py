"""Dense prediction on the built-in scenes, whose depth and segments are exact: no files needed.

Command: ``gridcode dense train scenes_depth_laptop --out runs/depth``, then ``gridcode dense eval --run runs/depth``.
On other data: ``--data.source PATH``, with the size (``--data.height``, ``--data.width``) and crop that suit it.
"""

from __future__ import annotations

from gridcode.domains.dense import presets as label_presets
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.evaluation_config import DenseEvaluationConfig
from gridcode.domains.dense.prior import presets as prior_presets
from gridcode.domains.dense.recipe import DenseRecipe
from gridcode.quantize.config import FSQConfig


def laptop(task: Task) -> DenseRecipe:
    """64 px, 16 codes of a 240-code book, for one CPU core.

    Expected, both stages and (oracle): depth RMSE 0.83 m, by the mean of draws 0.67 m (0.43 m); PQ 0.47 (0.63); colours
    not measured. Cost: about 14 minutes on one core, half of it Stage I.
    """
    return DenseRecipe(
        tokenizer=label_presets.laptop(task, quantizer=FSQConfig(levels=(8, 6, 5))),
        prior=prior_presets.laptop(task),
        evaluation=DenseEvaluationConfig(count=500, train_count=1000),
    )


def gpu(task: Task) -> DenseRecipe:
    """128 px, 64 codes of the paper's book, for one GPU.

    Expected result: not measured in full length; docs/results.md has a run of five minutes. Cost: about two hours of
    an H100 that three runs share (depth).
    """
    return DenseRecipe(tokenizer=label_presets.gpu(task), prior=prior_presets.gpu(task))


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
