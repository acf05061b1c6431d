"""What the studies of codebooks compare, as frozen values; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

from gridcode.errors import GridcodeError, check_numbers
from gridcode.quantize.config import FSQConfig
from gridcode.quantize.fsq.forms import FORMS, FormName
from gridcode.studies.config import Family, ImageStudyConfig, check_chosen, check_seeds

ScalingFamily: TypeAlias = Literal["fsq_joint", "fsq_independent", "fsq_chain", "vq"]


@dataclass(frozen=True)
class TradeoffConfig(ImageStudyConfig):
    """Which quantizers at which sizes."""

    families: tuple[Family, ...] = get_args(Family)
    """What is compared."""
    bits: tuple[int, ...] = (4, 6, 8, 10, 12, 14, 16)
    """Sizes of the codebook, log2."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(families=self.families)
        check_chosen(4, 16, bits=self.bits)


@dataclass(frozen=True)
class LevelsConfig(ImageStudyConfig):
    """Which level sets: for each size and each smallest level, those that ``gridcode levels`` would list first."""

    bits: tuple[int, ...] = (8, 10)
    """Sizes of the codebook, log2."""
    smallest: tuple[int, ...] = (2, 3, 4, 5, 7, 8)
    """Smallest levels of a set; one of which no set has about the size is passed over."""
    sets: int = 1
    """Level sets of each size and smallest level."""
    tolerance: float = 0.1
    """How far a set's size may be from the one wished for, as a share of it."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_numbers(self, "", counts=("sets",))
        check_chosen(4, 20, bits=self.bits)
        check_chosen(2, 16, smallest=self.smallest)
        if not 0 < self.tolerance < 1:
            raise GridcodeError(f"tolerance must be between 0 and 1, got {self.tolerance:g}")


@dataclass(frozen=True)
class FormsConfig(ImageStudyConfig):
    """Which forms at which sizes."""

    forms: tuple[FormName, ...] = FORMS
    """The forms; each is compared to the paper's."""
    bits: tuple[int, ...] = (8, 10)
    """Sizes of the codebook, log2."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(forms=self.forms)
        check_chosen(4, 20, bits=self.bits)


@dataclass(frozen=True)
class ScalingConfig(ImageStudyConfig):
    """Which codebooks, and which priors on them."""

    laptop_steps: ClassVar[int] = 300
    families: tuple[ScalingFamily, ...] = get_args(ScalingFamily)
    """FSQ with one softmax over the codebook, with independent digits and with a chain of digits; VQ."""
    bits: tuple[int, ...] = (10, 12, 14, 16, 18, 20)
    """Sizes of the codebook, log2."""
    held: int = 14
    """The largest size, log2, of which a softmax or a table of vectors over the whole codebook is held."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(families=self.families)
        check_chosen(4, 24, bits=self.bits)

    @property
    def val_images(self) -> int:
        """As other studies, but up to 10,000 at laptop size: few tokens cannot show many codes."""
        return 10_000 if self.size == "laptop" else super().val_images


@dataclass(frozen=True)
class DimsConfig(ImageStudyConfig):
    """Which channels by which levels; Stage I alone."""

    laptop_steps: ClassVar[int] = 200
    points: ClassVar[int] = 10
    channels: tuple[int, ...] = (1, 2, 3, 4, 6, 9, 12, 20)
    """Channels d."""
    levels: tuple[int, ...] = (2, 3, 4, 5, 8, 10)
    """Levels L of every channel; the codebook has L^d codes."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(1, 64, channels=self.channels)
        check_chosen(2, 64, levels=self.levels)

    def steps(self) -> str:
        """As of other studies, without Stage II.

        >>> DimsConfig().steps()
        '200 steps of 64 images, Stage I alone'
        """
        loop = self.tokenizer(FSQConfig(), 0).loop
        return f"{loop.steps} steps of {loop.batch_size} images, Stage I alone"
