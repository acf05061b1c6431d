"""What a label tokenizer is, how it is trained, and how predictions are measured, as frozen values. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.data.config import Categories, DenseConfig, DepthConfig
from gridcode.errors import GridcodeError, check_numbers
from gridcode.quantize.config import FSQConfig, QuantizerConfig, with_tuples
from gridcode.tokenizer.config import Architecture, TokenizerSettings

PAPER_CODEBOOK = FSQConfig(levels=(7, 5, 5, 5, 5))
"""The paper's for dense prediction, in the place of 4096 codewords (section 4.4)."""


@dataclass(frozen=True)
class LabelTokenizerConfig(Architecture):
    """The shape of a label tokenizer; what its labels are is the data's business (:class:`DenseConfig`).

    The defaults are laptop size, for maps of 64 pixels.

    >>> LabelTokenizerConfig(patch=8, codes=(4, 4)).patches(64, 96)
    (8, 12)
    """

    domain: ClassVar[str] = "dense"
    quantizer: QuantizerConfig = PAPER_CODEBOOK
    """What turns latents into codes."""
    context: bool = True
    """Whether encoder and decoder also see the image; without it the codes must carry everything."""
    codes: tuple[int, int] = (8, 8)
    """Rows and columns of the code grid, to which the grid of patches is resized."""
    patch: int = 8
    """Pixels per patch, a side."""
    width: int = 128
    """Features per patch inside the transformers; a multiple of ``heads``."""
    encoder_depth: int = 2
    """Blocks of the encoder."""
    decoder_depth: int = 3
    """Blocks of the decoder."""
    heads: int = 4
    """Attention heads."""
    mlp: int = 512
    """Width of the hidden layer of a block's MLP."""

    @classmethod
    def paper(cls, quantizer: QuantizerConfig = PAPER_CODEBOOK, *, context: bool = True) -> LabelTokenizerConfig:
        """The paper's sizes (UViM's): maps of 512 pixels, 32 x 32 patches of 16, 256 codes.

        >>> LabelTokenizerConfig.paper().patches(512, 512)
        (32, 32)
        """
        return cls(quantizer, context, codes=(16, 16), patch=16, **_transformers(768, 6, 12))

    @classmethod
    def gpu(cls, quantizer: QuantizerConfig = PAPER_CODEBOOK, *, context: bool = True) -> LabelTokenizerConfig:
        """For one GPU and maps of 128 pixels: 16 x 16 patches of 8, 64 codes."""
        return cls(quantizer, context, codes=(8, 8), patch=8, **_transformers(384, 4, 6))

    @classmethod
    def laptop(cls, quantizer: QuantizerConfig = PAPER_CODEBOOK, *, context: bool = True) -> LabelTokenizerConfig:
        """For one CPU core and maps of 64 pixels: 8 x 8 patches of 8, 16 codes."""
        return cls(quantizer=quantizer, context=context, codes=(4, 4))

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        counts = ("patch", "width", "encoder_depth", "decoder_depth", "heads", "mlp")
        check_numbers(self, "label tokenizer ", counts=counts)
        if len(self.codes) != 2 or min(self.codes) < 1:
            raise GridcodeError(f"label tokenizer codes must be two counts, rows and columns, got {self.codes}")
        if self.width % self.heads:
            raise GridcodeError(
                f"label tokenizer width must be a multiple of heads, got width={self.width} and heads={self.heads}"
            )

    @property
    def grid_names(self) -> tuple[str, ...]:
        """Rows and columns of codes."""
        return tuple(str(side) for side in self.codes)

    def grid(self, *shape: int) -> tuple[int, int]:
        """Rows and columns of codes: they are the same for every size."""
        return self.codes

    def patches(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of a label map.

        Raises:
            GridcodeError: A side is not a multiple of the patch.
        """
        P = self.patch
        if height % P or width % P or height < 1 or width < 1:
            near = tuple(max(P, round(side / P) * P) for side in (height, width))
            raise GridcodeError(
                f"the label tokenizer takes sides that are multiples of its patch, {P}; got {height}x{width}; set "
                f"{near[0]}x{near[1]} or another patch"
            )
        return height // P, width // P


def _transformers(width: int, encoder_depth: int, decoder_depth: int) -> dict[str, Any]:
    """The usual proportions: 64 features a head, an MLP of four times the width."""
    depths = {"encoder_depth": encoder_depth, "decoder_depth": decoder_depth}
    return {"width": width, "heads": width // 64, "mlp": 4 * width} | depths


@dataclass(frozen=True)
class LabelTokenizerRun(TokenizerSettings):
    """Everything that determines a label tokenizer's run: equal values give equal weights."""

    data: DenseConfig = field(default_factory=DenseConfig)
    """The images with label maps, and the task."""
    model: LabelTokenizerConfig = field(default_factory=LabelTokenizerConfig)
    """The tokenizer."""
    code_dropout: bool = True
    """Whether a random share of each example's codes is dropped in training, from none to all."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        self.model.patches(*self.data.shape)


def dense_from_json(values: Mapping[str, Any]) -> DenseConfig:
    """The data's settings that ``dataclasses.asdict`` made plain, read from JSON.

    Raises:
        GridcodeError: A setting is out of range.
        KeyError: There are no settings of the crop or of depth.
        TypeError: A setting is not known.
    """
    parts = {"crop": CropPolicy(**values["crop"]), "depth": DepthConfig(**values["depth"])}
    return DenseConfig(**with_tuples(values) | parts)


def categories_from_json(values: Mapping[str, Any] | None) -> Categories | None:
    """The classes, read from JSON; None where there are none."""
    return None if values is None else Categories(**with_tuples(values))


@dataclass(frozen=True)
class DenseEvaluationConfig:
    """What ``gridcode dense eval`` measures.

    >>> DenseEvaluationConfig(count=200).train_count
    2000
    """

    count: int = 1000
    """Validation images, at most."""
    train_count: int = 2000
    """Training images, at most, from which the trivial baselines are made."""
    batch_size: int = 50
    """Images at a time."""
    draws: int = 16
    """Codes of each image that are drawn as they are probable; 0 leaves out the rows of draws."""
    shown: int = 12
    """Images in the report."""
    observer_steps: int = 300
    """Colour: training steps of the network whose features the Fréchet distance compares; 0 leaves the distance out."""
    observer: str | None = None
    """That network's folder: read from there, or trained and kept there, so that reports share it."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        counts = ("count", "train_count", "batch_size", "shown")
        check_numbers(self, "evaluation ", counts=counts, not_negative=("draws", "observer_steps"))
