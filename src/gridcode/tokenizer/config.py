"""What a tokenizer is and how it is trained, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.loss_config import LossConfig
from gridcode.training.alarms import AlarmConfig
from gridcode.training.config import LoopConfig, OptimConfig


@dataclass(frozen=True)
class TokenizerConfig:
    """The shape of a convolutional tokenizer.

    The picture is cut into ``patch`` x ``patch`` squares (1: pixels), and every width after the first halves
    the resolution, so a token covers ``downsampling = patch * 2 ** (len(widths) - 1)`` pixels a side.

    >>> TokenizerConfig(widths=(64, 128, 256)).grid(32, 48)
    (8, 12)
    """

    quantizer: QuantizerConfig = field(default_factory=FSQConfig)
    """What turns latents into tokens."""
    channels: int = 3
    """Channels of the picture: 3 for RGB, 1 for grey."""
    widths: tuple[int, ...] = (64, 128, 256)
    """Channels at each resolution, finest first; multiples of 8."""
    encoder_blocks: int = 1
    """Residual blocks at each resolution of the encoder."""
    decoder_blocks: int = 2
    """Residual blocks at each resolution of the decoder."""
    patch: int = 1
    """Side of the squares that enter the first layer as channels: 2 makes the finest layers 4x cheaper."""
    style: Literal["gridcode", "maskgit"] = "gridcode"
    """Whose layers: ours, or to the last parameter those of MaskGIT's VQ-GAN."""

    @classmethod
    def maskgit(cls, quantizer: QuantizerConfig | None = None) -> TokenizerConfig:
        """MaskGIT's VQ-GAN: 16 pixels a token; 54,515,587 parameters with its book of 1024 x 256.

        >>> TokenizerConfig.maskgit().downsampling
        16
        """
        return cls(
            quantizer=quantizer or FSQConfig(),
            widths=(128, 128, 256, 256, 512),
            encoder_blocks=2,
            decoder_blocks=2,
            style="maskgit",
        )

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        if not self.widths or any(width < 8 or width % 8 for width in self.widths):
            raise GridcodeError(f"tokenizer widths must be positive multiples of 8, got {self.widths}")
        if self.channels not in (1, 3):
            raise GridcodeError(f"a picture has 1 or 3 channels, got channels={self.channels}")
        for name in ("encoder_blocks", "decoder_blocks", "patch"):
            if getattr(self, name) < 1:
                raise GridcodeError(f"tokenizer {name} must be at least 1, got {getattr(self, name)}")

    @property
    def downsampling(self) -> int:
        """Pixels per token, a side."""
        return self.patch << (len(self.widths) - 1)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The token grid (h, w) of a picture.

        Raises:
            GridcodeError: A side is not a multiple of the downsampling.
        """
        f = self.downsampling
        if height % f or width % f or not height or not width:
            near = tuple(max(f, round(side / f) * f) for side in (height, width))
            raise GridcodeError(
                f"the tokenizer takes sides that are multiples of {f} (its downsampling), got "
                f"{height}x{width}; resize or crop to {near[0]}x{near[1]}"
            )
        return height // f, width // f


@dataclass(frozen=True)
class TokenizerRun:
    """Everything that determines a Stage I run: equal values give equal weights."""

    data: DataConfig = field(default_factory=DataConfig)
    """The pictures."""
    model: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training pictures that pass the quantizer unrounded, each as a whole, in [0, 1]."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The loss."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """The optimiser."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, precision, and how often things happen."""
    alarms: AlarmConfig = field(default_factory=AlarmConfig)
    """When warnings are due."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.data.channels != self.model.channels:
            raise GridcodeError(
                f"data.channels={self.data.channels} but model.channels={self.model.channels}: set them equal"
            )
        self.model.grid(self.data.size, self.data.size)
        if not 0 <= self.quantizer_dropout <= 1:
            raise GridcodeError(f"quantizer_dropout must be in [0, 1], got {self.quantizer_dropout}")
