"""The shape of a tokenizer of vision transformers, as a frozen value. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Suppress

from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.architecture import Architecture, check_channels, check_counts


@dataclass(frozen=True)
class ViTConfig(Architecture):
    """The shape of a tokenizer whose encoder and decoder are vision transformers: a token for each patch.

    The defaults are laptop size; :meth:`paper` has the sizes of the paper's dense prediction.

    >>> ViTConfig(patch=8).grid(32, 48)
    (4, 6)
    """

    name: Annotated[Literal["vit"], Suppress] = field(default="vit", init=False)
    patch: int = 8
    """Pixels per token, a side."""
    width: int = 192
    """Features per token inside the transformers; a multiple of ``heads``."""
    encoder_depth: int = 4
    """Blocks of the encoder."""
    decoder_depth: int = 4
    """Blocks of the decoder."""
    heads: int = 4
    """Attention heads."""
    mlp: int = 768
    """Width of the hidden layer of a block's MLP."""
    side: int = 16
    """Tokens a side of the square grid whose positions are learned; other grids interpolate them."""

    @classmethod
    def paper(cls, quantizer: QuantizerConfig | None = None) -> ViTConfig:
        """The sizes of the paper's dense prediction (UViM, section 4.4): 16 pixels a token, 512-pixel pictures.

        >>> config = ViTConfig.paper()
        >>> config.grid(512, 512), (config.encoder_depth, config.decoder_depth)
        ((32, 32), (6, 12))
        """
        return cls(
            quantizer=quantizer or FSQConfig(),
            patch=16,
            width=768,
            encoder_depth=6,
            decoder_depth=12,
            heads=12,
            mlp=3072,
            side=32,
        )

    @classmethod
    def like(cls, other: Architecture) -> ViTConfig:
        """This kind at its defaults, with the quantizer, the channels and the downsampling of another."""
        return cls(quantizer=other.quantizer, channels=other.channels, patch=other.downsampling)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        check_channels(self.channels)
        check_counts(self, "patch", "width", "encoder_depth", "decoder_depth", "heads", "mlp", "side")
        if self.width % self.heads:
            raise GridcodeError(
                f"tokenizer width must be a multiple of heads, got width={self.width} and heads={self.heads}"
            )

    @property
    def downsampling(self) -> int:
        """Pixels per token, a side."""
        return self.patch

    def kept(self, height: int, width: int) -> float:
        """Each block keeps about 8 maps of the width and 2 of the MLP."""
        tokens = height * width / self.patch**2
        return (self.encoder_depth + self.decoder_depth) * tokens * (8 * self.width + 2 * self.mlp)
