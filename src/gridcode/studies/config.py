"""What the studies on pictures compare, and at which size, as frozen values; no torch here.

size      pictures    network                         steps          measured on
smoke     48          8 and 8 channels, width 16      4, 4           12 pictures, 10 samples
laptop    20,000      0.5M parameters, 4 px a token   400, 400       2000 pictures, 1000 samples
gpu       1,000,000   recipes' GPU networks           20,000 each    10,000 pictures and samples
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.errors import GridcodeError
from gridcode.prior.config import Head, MaskGITConfig, PriorRun
from gridcode.prior.samplers.config import SamplerName
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.training.config import LoopConfig, OptimConfig

Size: TypeAlias = Literal["smoke", "laptop", "gpu"]

Family: TypeAlias = Literal["fsq", "vq", "vq_entropy", "vq_splitting"]

CLASSIFIER: Final = "classifier"
"""The folder of the network that measures, in a study's folder."""


@dataclass(frozen=True)
class ImageStudyConfig:
    """The data of a study on pictures, and how large its networks are."""

    data: DataConfig = field(default_factory=lambda: DataConfig(workers=0))
    """The pictures."""
    size: Size = "laptop"
    """Networks, steps and counts: smoke, laptop or gpu."""
    seeds: int = 2
    """Runs of each setting, seeds 0, 1, …"""
    laptop_steps: ClassVar[int] = 400
    """Steps of each stage at laptop size."""
    points: ClassVar[int] = 2
    """How often a stage is measured while it is trained."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Where cells are trained: a GPU, which --workers share, or the CPU; auto takes the first that there is."""

    @property
    def train_pictures(self) -> int:
        """Training pictures, at most: more than a short run sees are not read."""
        return {"smoke": 48, "laptop": 20_000, "gpu": 1_000_000}[self.size]

    @property
    def val_pictures(self) -> int:
        """Validation pictures, at most."""
        return {"smoke": 12, "laptop": 2000, "gpu": 10_000}[self.size]

    def tokenizer(self, quantizer: QuantizerConfig, seed: int) -> TokenizerRun:
        """Stage I of a cell."""
        channels = self.data.channels
        if self.size == "gpu":
            model = TokenizerConfig(quantizer=quantizer, channels=channels, widths=(128, 128, 256), encoder_blocks=1)
            optim, loop = OptimConfig(lr=5e-4, warmup=500), self._loop(20_000, 256, seed)
        elif self.size == "laptop":
            model = replace(TokenizerConfig.laptop(quantizer, channels=channels), widths=(32, 64))
            optim, loop = OptimConfig(lr=2e-3, warmup=50, ema=0.98), self._loop(self.laptop_steps, 64, seed)
        else:
            model = TokenizerConfig(
                quantizer=quantizer, channels=channels, widths=(8, 8), encoder_blocks=1, decoder_blocks=1, patch=2
            )
            optim, loop = OptimConfig(lr=2e-3, warmup=2, ema=0.9), self._loop(4, 8, seed)
        return TokenizerRun(data=self.data, model=model, optim=optim, loop=loop)

    def prior(self, seed: int, head: Head = "joint") -> PriorRun:
        """Stage II of a cell: MaskGIT, of MaskGIT's layers as in the paper."""
        width, depth, heads = {"smoke": (16, 1, 2), "laptop": (128, 4, 4), "gpu": (512, 12, 8)}[self.size]
        steps, batch, warmup = {"smoke": (4, 8, 2), "laptop": (self.laptop_steps, 64, 50), "gpu": (20_000, 256, 1000)}[
            self.size
        ]
        return PriorRun(
            model=MaskGITConfig(
                head=head, style="maskgit", width=width, depth=depth, heads=heads, mlp=4 * width, dropout=0.0
            ),
            optim=OptimConfig(
                lr=3e-4 if self.size == "gpu" else 1e-3, betas=(0.9, 0.96), weight_decay=0.045, warmup=warmup, ema=0.98
            ),
            loop=self._loop(steps, batch, seed),
        )

    def steps(self) -> str:
        """How long a cell's stages are trained, in words.

        >>> ImageStudyConfig().steps()
        '400 and 400 steps of 64 pictures'
        """
        first, second = self.tokenizer(FSQConfig(), 0).loop, self.prior(0).loop
        return f"{first.steps} and {second.steps} steps of {first.batch_size} pictures"

    def evaluation(self, out: Path, seed: int) -> EvaluationConfig:
        """How a cell of the study in ``out`` is measured."""
        samples, steps = {"smoke": (10, 2), "laptop": (1000, 600), "gpu": (10_000, 4000)}[self.size]
        return EvaluationConfig(
            count=self.val_pictures,
            samples=samples,
            neighbours=min(self.val_pictures, 1000),
            seed=seed,
            classifier_steps=steps,
            classifier=str(out / CLASSIFIER),
        )

    def _loop(self, steps: int, batch_size: int, seed: int) -> LoopConfig:
        return LoopConfig(
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            accelerator=self.accelerator,
            log_every=max(2, steps // 20),
            val_every=max(2, steps // self.points),
            val_count=500 if steps > 100 else 8,
            checkpoint_every=max(2, steps // 4),
        )


def check_chosen(least: int | None = None, most: int | None = None, /, **settings: Sequence[Any]) -> None:
    """Refuse a setting that names nothing, one thing twice, or a number out of its range.

    Args:
        least: The smallest number; with ``most``.
        most: The largest.
        settings: What is chosen, by name.

    Raises:
        GridcodeError: A setting is refused.
    """
    for name, chosen in settings.items():
        if not chosen or len(set(chosen)) != len(chosen):
            raise GridcodeError(f"{name} must name at least one, each once, got {chosen}")
        for number in chosen if least is not None and most is not None else ():
            if not least <= number <= most:
                raise GridcodeError(f"{name} must be from {least} to {most}, got {number}")


def check_seeds(config: ImageStudyConfig) -> None:
    """Refuse a study without seeds.

    Raises:
        GridcodeError: There are fewer than one.
    """
    if config.seeds < 1:
        raise GridcodeError(f"a study needs at least 1 seed, got {config.seeds}")


Grades: TypeAlias = Literal["classifier", "lite0"]


@dataclass(frozen=True)
class CheckpointConfig(ImageStudyConfig):
    """A study that trains one checkpoint a quantizer and seed, and measures it in many ways."""

    families: tuple[Family, ...] = ("fsq", "vq_entropy")
    """What is compared; vq_entropy is MaskGIT's VQ, which the paper compares with."""
    bits: int = 10
    """Size of the codebook, log2."""
    features: Grades = "classifier"
    """Whose features distances, precision and recall are measured on: the data's own classifier's, which needs labels,
    or those of EfficientNet-lite0, which needs the extra ``pretrained``."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        if self.seeds < 1:
            raise GridcodeError(f"a study needs at least 1 seed, got {self.seeds}")
        check_chosen(families=self.families)
        if not 4 <= self.bits <= 16:
            raise GridcodeError(f"bits must be from 4 to 16, got {self.bits}")


@dataclass(frozen=True)
class SamplersConfig(CheckpointConfig):
    """Which samplers, with how many steps."""

    seeds: int = 3
    """Checkpoints of each quantizer, seeds 0, 1, …"""
    families: tuple[Family, ...] = ("fsq",)
    """The quantizers whose tokens are sampled."""
    samplers: tuple[SamplerName, ...] = get_args(SamplerName)
    """What is compared."""
    steps_of: tuple[int, ...] = (4, 8, 12, 16, 32)
    """Numbers of sampling steps."""
    temperatures: tuple[float, ...] = (0.7, 0.85, 1.0, 1.15)
    """Among these each sampler's best is searched, for each number of steps."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        super().__post_init__()
        check_chosen(samplers=self.samplers, steps_of=self.steps_of, temperatures=self.temperatures)
        if min(self.steps_of) < 1 or not min(self.temperatures) > 0:
            raise GridcodeError(
                f"steps_of must be at least 1 and temperatures above 0, got {self.steps_of} and {self.temperatures}"
            )


@dataclass(frozen=True)
class GuidanceConfig(CheckpointConfig):
    """Which scales of guidance."""

    alphas: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    """The paper's alpha in l' = l + alpha (l - l_0)."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, of one thing twice, or of a negative scale."""
        super().__post_init__()
        check_chosen(alphas=self.alphas)
        if not min(self.alphas) >= 0:
            raise GridcodeError(f"alphas must be at least 0, got {self.alphas}")


@dataclass(frozen=True)
class SemanticsConfig(CheckpointConfig):
    """Nothing else to choose."""


@dataclass(frozen=True)
class LongConfig(CheckpointConfig):
    """How long."""

    length: float = 5.0
    """Both stages' steps, times this."""
    validations: int = 20
    """Points of each curve."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of no length."""
        super().__post_init__()
        if not 0 < self.length < math.inf or self.validations < 1:
            raise GridcodeError(
                f"length must be above 0 and finite and validations at least 1, got {self.length} and "
                f"{self.validations}"
            )

    def longer(self, loop: LoopConfig) -> LoopConfig:
        """A stage's loop, longer, and validated more often.

        >>> LongConfig().longer(LoopConfig(steps=500)).val_every
        125
        """
        steps = math.ceil(self.length * loop.steps)
        every = max(1, steps // self.validations)
        return replace(loop, steps=steps, log_every=max(2, every), val_every=every)
