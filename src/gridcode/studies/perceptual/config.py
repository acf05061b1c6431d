"""Which losses the study of perceptual losses compares, as frozen values; no torch here.

images         network at laptop size                          steps
from 64 px     widths 64 and 128, squares of 4: 8 px per token   600 of 16 images
smaller        that of the other studies: 4 px per token         600 of 16 images
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, LossConfig, PerceptualConfig, TokenizerRun
from gridcode.errors import GridcodeError
from gridcode.quantize.config import QuantizerConfig
from gridcode.studies.config import LARGE, ImageStudyConfig, check_chosen, check_seeds
from gridcode.training.config import OptimConfig

LossName: TypeAlias = Literal["l2", "self", "lite0", "shifted"]

SHIFT = 7
"""Pixels, at most, by which ``shifted`` moves what it compares."""


@dataclass(frozen=True)
class PerceptualStudyConfig(ImageStudyConfig):
    """Which losses are compared, on which images."""

    data: DataConfig = field(default_factory=lambda: DataConfig(size=128, workers=0))
    """The images."""
    losses: tuple[LossName, ...] = get_args(LossName)
    """l2: pixels alone; self: and a network trained on the study's images; lite0: and EfficientNet-lite0;
    shifted: lite0 too, at another place of the image in each step."""
    weight: float = 0.5
    """Weight of the distance of features, of either network; that of L2 is 1."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(losses=self.losses)
        unknown = [name for name in self.losses if name not in get_args(LossName)]
        if unknown:
            raise GridcodeError(f"losses must be of {', '.join(get_args(LossName))}, got {unknown[0]!r}")
        if not self.weight > 0:
            raise GridcodeError(f"weight must be above 0, got {self.weight}; leave losses out instead")

    @property
    def val_images(self) -> int:
        """Validation images, at most: lite2 takes a tenth of a second for each."""
        return {"smoke": 12, "laptop": 500, "gpu": 10_000}[self.size]

    def loss(self, name: str) -> LossConfig:
        """The loss of a cell.

        >>> PerceptualStudyConfig().loss("lite0").perceptual.weight
        0.5
        """
        if name == "l2":
            return LossConfig()
        widths, steps, batch_size = {
            "smoke": ((8, 8), 2, 8),
            "laptop": ((8, 16, 32, 64), 250, 32),
            "gpu": ((32, 64, 128, 256), 3000, 64),
        }[self.size]
        perceptual = PerceptualConfig(kind="lite0", weight=self.weight)
        if name == "self":
            perceptual = replace(perceptual, kind="self", widths=widths, steps=steps, batch_size=batch_size)
        if name == "shifted":
            perceptual = replace(perceptual, shift=SHIFT)
        return LossConfig(perceptual=perceptual)

    def tokenizer(self, quantizer: QuantizerConfig, seed: int) -> TokenizerRun:
        """Stage I of a cell, without its perceptual loss."""
        run = super().tokenizer(quantizer, seed)
        if self.size == "smoke":
            return run
        if self.size == "laptop":
            return replace(run, optim=OptimConfig(lr=1e-3, warmup=50, ema=0.99), loop=self._loop(600, 16, seed))
        model = run.model
        if self.data.size >= LARGE:
            model = TokenizerConfig(
                quantizer=quantizer, channels=self.data.channels, widths=(128, 128, 256, 256), encoder_blocks=1
            )
        return replace(run, model=model, optim=OptimConfig(lr=2e-4, warmup=500), loop=self._loop(20_000, 64, seed))

    def evaluation(self, out: Path, seed: int) -> EvaluationConfig:
        """How a cell is measured: by lite2, and by lite0, which graded itself where it was trained against."""
        return replace(super().evaluation(out, seed), protocol=("fd-lite2", "fd-lite0"))
