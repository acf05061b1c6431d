"""What the studies of checkpoints compare, as frozen values; no torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from gridcode.errors import GridcodeError
from gridcode.prior.samplers.config import SamplerName
from gridcode.studies.config import Family, ImageStudyConfig, check_chosen, check_seeds
from gridcode.training.config import LoopConfig


@dataclass(frozen=True)
class CheckpointConfig(ImageStudyConfig):
    """A study that trains one checkpoint a quantizer and seed, and measures it in many ways."""

    families: tuple[Family, ...] = ("fsq", "vq_entropy")
    """What is compared; vq_entropy is MaskGIT's VQ, which the paper compares with."""
    bits: int = 10
    """Size of the codebook, log2."""
    features: Literal["classifier", "lite0"] = "classifier"
    """Whose features distances, precision and recall are measured on: the data's own classifier's, which needs labels,
    or those of EfficientNet-lite0, which needs the extra pretrained."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
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
    temperatures: tuple[float, ...] = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5)
    """Along these each sampler's best is searched, for each number of steps; a few of them are tried."""

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

    seeds: int = 4
    """Checkpoints of each quantizer, seeds 0, 1, …"""
    alphas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5)
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
