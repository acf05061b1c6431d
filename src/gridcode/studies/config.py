"""What the studies on images compare, and at which size, as frozen values; no torch here.

size      images      network                           steps          measured on
smoke     48          8 and 8 channels, width 16        4, 4           12 images, 10 samples
laptop    20,000      0.5M parameters, 4 px per token   400, 400       2000 images, 1000 samples
gpu       1,000,000   recipes' GPU networks             20,000 each    10,000 images and samples

At laptop size images from 64 px take widths of 64 and 128, 8 px per token, and 600 steps of 16 in Stage I.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.errors import GridcodeError
from gridcode.prior.config import Head, MaskGITConfig, PriorRun
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.training.config import LoopConfig, OptimConfig

Size: TypeAlias = Literal["smoke", "laptop", "gpu"]

Family: TypeAlias = Literal["fsq", "vq", "vq_entropy", "vq_splitting"]

PRESETS: Final = {"vq": "plain", "vq_entropy": "maskgit", "vq_splitting": "uvim"}
"""The presets of the families that are VQs."""

LARGE: Final = 64
"""Side in pixels from which on a token covers 8 pixels per side at laptop size, not 4."""

CLASSIFIER: Final = "classifier"
"""The folder of the network that measures, in a study's folder."""


@dataclass(frozen=True)
class ImageStudyConfig:
    """The data of a study on images, and how large its networks are."""

    data: DataConfig = field(default_factory=lambda: DataConfig(workers=0))
    """The images."""
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
    def train_images(self) -> int:
        """Training images, at most: more than a short run sees are not read."""
        return {"smoke": 48, "laptop": 20_000, "gpu": 1_000_000}[self.size]

    @property
    def val_images(self) -> int:
        """Validation images, at most."""
        return {"smoke": 12, "laptop": 2000, "gpu": 10_000}[self.size]

    def tokenizer(self, quantizer: QuantizerConfig, seed: int) -> TokenizerRun:
        """Stage I of a cell."""
        channels = self.data.channels
        if self.size == "gpu":
            model = TokenizerConfig(quantizer=quantizer, channels=channels, widths=(128, 128, 256), encoder_blocks=1)
            optim, loop = OptimConfig(lr=5e-4, warmup=500), self._loop(20_000, 256, seed)
        elif self.size == "laptop" and self.data.size >= LARGE:
            model = TokenizerConfig(
                quantizer=quantizer, channels=channels, widths=(64, 128), encoder_blocks=1, decoder_blocks=1, patch=4
            )
            optim, loop = OptimConfig(lr=1e-3, warmup=50, ema=0.99), self._loop(3 * self.laptop_steps // 2, 16, seed)
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
        '400 and 400 steps of 64 images'
        """
        first, second = self.tokenizer(FSQConfig(), 0).loop, self.prior(0).loop
        if first.batch_size != second.batch_size:
            return f"{first.steps} steps of {first.batch_size} images and {second.steps} of {second.batch_size}"
        return f"{first.steps} and {second.steps} steps of {first.batch_size} images"

    def evaluation(self, out: Path, seed: int) -> EvaluationConfig:
        """How a cell of the study in ``out`` is measured."""
        samples, steps = {"smoke": (10, 2), "laptop": (1000, 600), "gpu": (10_000, 4000)}[self.size]
        if self.size == "laptop" and self.data.size >= LARGE:
            steps = 250
        return EvaluationConfig(
            count=self.val_images,
            samples=samples,
            neighbours=min(self.val_images, 1000),
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


class Seeded(Protocol):
    """Settings that say how many seeds there are."""

    @property
    def seeds(self) -> int:
        """Runs of each setting."""


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


def check_seeds(config: Seeded) -> None:
    """Refuse a study without seeds.

    Args:
        config: The study's settings.

    Raises:
        GridcodeError: There are fewer than one.
    """
    if config.seeds < 1:
        raise GridcodeError(f"a study needs at least 1 seed, got {config.seeds}")
