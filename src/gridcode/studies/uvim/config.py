"""What the study compares, and at which size; no torch here.

    variant            quantizer                        context
    fsq                FSQ                              yes
    vq                 UViM's VQ, with splitting        yes
    vq_unsplit         UViM's VQ, without splitting     yes
    fsq_no_context     FSQ                              no
    vq_no_context      UViM's VQ, with splitting        no

A cell is one task, one variant and one seed, through both stages. Without the context the label tokenizer does not see
the image; Stage II always does. The seed is that of weights and order, not of the data.

    size      images           codes             for
    smoke     32 px, 48        4 of 24           seeing that it runs, in a minute
    laptop    64 px, 9000      16 of 64          about four minutes a cell on one CPU core; colours, with 20,000
                                                 images and over twice the steps, about seven
    gpu       128 px, 50,000   64 of 4375, 4096  one GPU

On a GPU a size may be ``--length`` times as long: a small one leaves it idle most of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from gridcode.domains.dense.config import PAPER_CODEBOOK, DenseEvaluationConfig, LabelTokenizerConfig, LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig, DepthConfig, Task
from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.domains.dense.recipes import WHOLE, DenseRun
from gridcode.domains.dense.recipes import gpu as gpu_recipe
from gridcode.errors import GridcodeError
from gridcode.prior.config import CrossAttentionConfig, FeatureEncoderConfig
from gridcode.quantize.config import FSQConfig, QuantizerConfig, VQConfig
from gridcode.studies.config import Size, check_chosen, check_seeds
from gridcode.studies.study import Cell
from gridcode.training.config import LoopConfig, OptimConfig

Variant: TypeAlias = Literal["fsq", "vq", "vq_unsplit", "fsq_no_context", "vq_no_context"]
NAMES: Final[dict[Variant, str]] = {
    "fsq": "FSQ",
    "vq": "VQ",
    "vq_unsplit": "VQ without splitting",
    "fsq_no_context": "FSQ without context",
    "vq_no_context": "VQ without context",
}
"""What the table calls each variant."""


def task_and_variant(cell: Cell) -> tuple[Task, Variant]:
    """What a cell's setting stands for.

    >>> task_and_variant(Cell("depth-vq_no_context", 0))
    ('depth', 'vq_no_context')
    """
    task, _, variant = cell.setting.partition("-")
    return task, variant  # type: ignore[return-value]


@dataclass(frozen=True)
class UvimConfig:
    """Which cells, and how large.

    >>> len(UvimConfig().cells())
    45
    """

    size: Size = "laptop"
    """Images, networks and lengths: smoke, laptop or gpu."""
    tasks: tuple[Task, ...] = ("depth", "panoptic", "colour")
    """What is predicted."""
    variants: tuple[Variant, ...] = get_args(Variant)
    """What is compared."""
    seeds: int = 3
    """Runs of each, seeds 0, 1, …"""
    length: float = 1.0
    """Both stages' steps and the training images, times this."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Where cells are trained: a GPU, which --workers share, or the CPU; auto takes the first that there is."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, of one thing twice, or of no length."""
        check_seeds(self)
        check_chosen(tasks=self.tasks, variants=self.variants)
        if not 0 < self.length < math.inf:
            raise GridcodeError(f"a study's length must be above 0 and finite, got {self.length}")

    def cells(self) -> list[Cell]:
        """All cells, a task's together: its images are rendered once."""
        seeds = range(self.seeds)
        return [Cell(f"{task}-{variant}", seed) for task in self.tasks for seed in seeds for variant in self.variants]

    def run(self, cell: Cell) -> DenseRun:
        """The settings of both stages of a cell."""
        task, variant = task_and_variant(cell)
        base = {"smoke": _smoke, "laptop": _laptop, "gpu": _gpu}[self.size](task)
        stage_one, stage_two = base.tokenizer, base.prior
        data = replace(base.data, train_count=math.ceil(self.length * base.data.train_count))
        quantizer = _quantizer(stage_one.model.quantizer, variant, channels=stage_one.model.width)
        model = replace(stage_one.model, quantizer=quantizer, context=not variant.endswith("no_context"))
        return DenseRun(
            replace(stage_one, data=data, model=model, loop=self._loop(stage_one.loop, cell)),
            replace(stage_two, data=data, loop=self._loop(stage_two.loop, cell)),
        )

    def _loop(self, loop: LoopConfig, cell: Cell) -> LoopConfig:
        """A stage's loop, longer; what it does on the way it does as often."""

        def times(steps: int) -> int:
            return math.ceil(self.length * steps)

        return replace(
            loop,
            seed=cell.seed,
            steps=times(loop.steps),
            log_every=times(loop.log_every),
            val_every=times(loop.val_every),
            checkpoint_every=times(loop.checkpoint_every),
            accelerator=self.accelerator,
        )

    def evaluation(self) -> DenseEvaluationConfig:
        """How every cell is measured."""
        count, train_count, draws, steps = {
            "smoke": (8, 16, 2, 3),
            "laptop": (600, 1000, 16, 300),
            "gpu": (2000, 5000, 16, 2000),
        }[self.size]
        return DenseEvaluationConfig(count, train_count, batch_size=50, draws=draws, shown=8, observer_steps=steps)


def _quantizer(fsq: QuantizerConfig, variant: Variant, *, channels: int) -> QuantizerConfig:
    """FSQ, or UViM's VQ with as many codes as the power of two nearest to FSQ's codebook."""
    assert isinstance(fsq, FSQConfig)
    if variant.startswith("fsq"):
        return fsq
    size = {24: 24, 64: 64, 4375: 4096}[_size(fsq)]
    return VQConfig("uvim_unsplit" if variant == "vq_unsplit" else "uvim", size=size, channels=channels)


def _size(fsq: FSQConfig) -> int:
    size = 1
    for level in fsq.levels:
        size *= level
    return size


def _laptop(task: Task) -> DenseRun:
    """64 px, 16 codes of 64, width 64.

    Colours hardly follow from grey: a prior that is to know how little needs more images than depth or segments do.
    """
    images, steps_one, steps_two = (20_000, 1500, 4000) if task == "colour" else (9000, 700, 1600)
    data = DenseConfig(
        task=task,
        height=64,
        width=64,
        crop=WHOLE,
        depth=DepthConfig(bins=32),
        instances=12,
        train_count=images,
        val_count=600,
        workers=0,
    )
    stage_one = LabelTokenizerRun(
        data=data,
        model=_tokenizer((8, 8), codes=(4, 4), width=64, depth=2),
        optim=OptimConfig(lr=2e-3, weight_decay=0.01, warmup=50, ema=0.98),
        loop=_loop(steps=steps_one, batch_size=16),
    )
    encoder = FeatureEncoderConfig(width=64, depth=3, heads=2, mlp=128)
    stage_two = DensePriorRun(
        data=data,
        # Six epochs, or seven, are too few to overfit: without dropout.
        model=CrossAttentionConfig(encoder=encoder, width=64, depth=2, heads=2, mlp=128, dropout=0.0),
        optim=OptimConfig(lr=2e-3, weight_decay=0.01, warmup=50, ema=0.98),
        loop=_loop(steps=steps_two, batch_size=32),
    )
    return DenseRun(stage_one, stage_two)


def _smoke(task: Task) -> DenseRun:
    """32 px, 4 codes of 24, a few steps."""
    base = _laptop(task)
    data = replace(base.data, height=32, width=32, train_count=40, val_count=8)
    stage_one = replace(
        base.tokenizer,
        data=data,
        model=_tokenizer((6, 4), codes=(2, 2), width=16, depth=1),
        loop=_loop(steps=6, batch_size=8),
    )
    encoder = FeatureEncoderConfig(width=16, depth=1, heads=2, mlp=32)
    stage_two = replace(
        base.prior,
        data=data,
        model=CrossAttentionConfig(encoder=encoder, width=16, depth=1, heads=2, mlp=32),
        loop=_loop(steps=6, batch_size=8),
    )
    return DenseRun(stage_one, stage_two)


def _tokenizer(levels: tuple[int, ...], *, codes: tuple[int, int], width: int, depth: int) -> LabelTokenizerConfig:
    """A tokenizer of two heads and an MLP of twice the width, the encoder as deep as the decoder."""
    fsq = FSQConfig(levels=levels)
    return LabelTokenizerConfig(fsq, True, codes, 8, width, depth, depth, heads=2, mlp=2 * width)


def _gpu(task: Task) -> DenseRun:
    """The GPU recipe of the built-in scenes with the paper's codebook."""
    run = gpu_recipe(task).run
    assert run.tokenizer.model.quantizer == PAPER_CODEBOOK
    return run


def _loop(*, steps: int, batch_size: int) -> LoopConfig:
    return LoopConfig(
        steps=steps,
        batch_size=batch_size,
        precision="fp32",
        log_every=max(2, steps // 20),
        val_every=max(3, steps // 2),
        val_count=100,
        checkpoint_every=max(3, steps // 4),
    )
