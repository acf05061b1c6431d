"""The shapes of image tokenizers: what every one has, convolutions, and vision transformers. No torch here.

A kind of architecture is a frozen dataclass below :class:`ImageArchitecture`; ``config.py`` lists the kinds,
``networks.py`` turns a value into an encoder and a decoder. Each says its ``name`` once, as a field that cannot be set,
so that run files and configs in JSON carry the kind along with the settings.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from tyro.conf import Suppress

from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.config import Architecture


@dataclass(frozen=True)
class ImageArchitecture(Architecture):
    """The shape of an image tokenizer."""

    domain: ClassVar[str] = "image"
    name: Annotated[str, Suppress] = field(init=False)
    """The kind."""
    quantizer: QuantizerConfig = field(default_factory=FSQConfig)
    """What turns latents into tokens."""
    channels: int = 3
    """Channels of the image: 3 for RGB, 1 for grey."""

    @classmethod
    @abstractmethod
    def like(cls, other: ImageArchitecture) -> ImageArchitecture:
        """This kind at its defaults, with the quantizer, the channels and the downsampling of another."""

    @property
    @abstractmethod
    def downsampling(self) -> int:
        """Pixels per token, a side."""

    @property
    def grid_names(self) -> tuple[str, ...]:
        """Rows and columns."""
        return "h", "w"

    @property
    def reach(self) -> int | None:
        """Pixels around a token's own that the networks look at, on each side, at most; None: all of them."""
        return None

    @abstractmethod
    def activations(self, height: int, width: int) -> float:
        """An estimate of how many values an image leaves for the backward pass, in both networks."""

    def grid(self, *shape: int) -> tuple[int, int]:
        """The token grid (h, w) of an image of (height, width).

        Raises:
            GridcodeError: A side is not a multiple of the downsampling.
        """
        f, (height, width) = self.downsampling, shape
        if height % f or width % f or not height or not width:
            near = tuple(max(f, round(side / f) * f) for side in (height, width))
            raise GridcodeError(
                f"the tokenizer takes sides that are multiples of {f} (its downsampling), got "
                f"{height}x{width}; resize or crop to {near[0]}x{near[1]}"
            )
        return height // f, width // f


def check_channels(channels: int) -> None:
    """Refuse images that are neither RGB nor grey.

    Raises:
        GridcodeError: There are not 1 or 3 channels.
    """
    if channels not in (1, 3):
        raise GridcodeError(f"an image has 1 or 3 channels, got channels={channels}")


@dataclass(frozen=True)
class TokenizerConfig(ImageArchitecture):
    """The shape of a convolutional tokenizer.

    The image is cut into ``patch`` x ``patch`` squares (1: pixels), and every width after the first halves
    the resolution, so a token covers ``downsampling = patch * 2 ** (len(widths) - 1)`` pixels per side.

    >>> TokenizerConfig(widths=(64, 128, 256)).grid(32, 48)
    (8, 12)
    """

    name: Annotated[Literal["conv"], Suppress] = field(default="conv", init=False)
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
    norm: Literal["group", "channel"] = "group"
    """Normalisation over all places of an image in groups of channels, or of each place's channels by themselves: then
    a part of an image has the tokens that it has in the whole, and tiles of a large one leave no seams."""
    dense: int = 0
    """Dense layers (normalisation, SiLU, 1x1 convolution) on each side of the bottleneck (paper, section 3.3)."""
    smooth: int = 0
    """Channels of a last residual layer over the decoder's pixels, which takes the pattern of squares away; 0: none."""

    @classmethod
    def laptop(cls, quantizer: QuantizerConfig | None = None, *, channels: int = 3) -> TokenizerConfig:
        """1.2M parameters, for images of 28 to 64 pixels: 4 pixels per token.

        >>> TokenizerConfig.laptop().grid(28, 28)
        (7, 7)
        """
        return cls(
            quantizer=quantizer or FSQConfig(),
            channels=channels,
            widths=(48, 96),
            encoder_blocks=1,
            decoder_blocks=1,
            patch=2,
        )

    @classmethod
    def maskgit(cls, quantizer: QuantizerConfig | None = None) -> TokenizerConfig:
        """MaskGIT's VQ-GAN: 16 pixels per token; 54,515,587 parameters with its codebook of 1024 x 256.

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

    @classmethod
    def like(cls, other: ImageArchitecture) -> TokenizerConfig:
        """This kind at its defaults, with the quantizer, the channels and the downsampling of another.

        >>> TokenizerConfig.like(ViTConfig(patch=6)).widths
        (64, 128)
        """
        f, widths = other.downsampling, TokenizerConfig.widths
        while f % (1 << (len(widths) - 1)):
            widths = widths[:-1]
        return cls(quantizer=other.quantizer, channels=other.channels, widths=widths, patch=f >> (len(widths) - 1))

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        if not self.widths or any(width < 8 or width % 8 for width in self.widths):
            raise GridcodeError(f"tokenizer widths must be positive multiples of 8, got {self.widths}")
        check_channels(self.channels)
        counts = ("encoder_blocks", "decoder_blocks", "patch")
        check_numbers(self, "tokenizer ", counts=counts, not_negative=("dense", "smooth"))
        check_choices(self, "tokenizer ", style=("gridcode", "maskgit"), norm=("group", "channel"))
        if (self.style, self.norm) == ("maskgit", "channel"):
            raise GridcodeError("MaskGIT's layers have group normalisation; leave style or norm at its default")

    @property
    def downsampling(self) -> int:
        """Pixels per token, a side."""
        return self.patch << (len(self.widths) - 1)

    @property
    def reach(self) -> int | None:
        """With group normalisation, all pixels; else what the convolutions see from the middle of a token."""
        if self.norm == "group":
            return None
        strides = [self.patch << stage for stage in range(len(self.widths))]
        # A block has two 3x3 convolutions; each change of resolution has one, at the finer side.
        encoder = self.patch + 4 * strides[-1] + sum(2 * self.encoder_blocks * s for s in strides) + sum(strides[:-1])
        decoder = self.patch + 5 * strides[-1] + sum(2 * self.decoder_blocks * s for s in strides) + sum(strides[:-1])
        return max(encoder, decoder + (4 if self.smooth else 0))

    def activations(self, height: int, width: int) -> float:
        """Each block keeps about ten maps of its width: in and out of norm, SiLU, conv, twice."""
        maps = 10 * (self.encoder_blocks + self.decoder_blocks)
        pixels = height * width / self.patch**2
        coarse = sum(features * pixels / 4.0**stage for stage, features in enumerate(self.widths))
        return maps * coarse + 2 * self.smooth * height * width


@dataclass(frozen=True)
class ViTConfig(ImageArchitecture):
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
    """Tokens per side of the square grid whose positions are learned; other grids interpolate them."""

    @classmethod
    def paper(cls, quantizer: QuantizerConfig | None = None) -> ViTConfig:
        """The sizes of the paper's dense prediction (UViM, section 4.4): 16 pixels per token, 512-pixel images.

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
    def like(cls, other: ImageArchitecture) -> ViTConfig:
        """This kind at its defaults, with the quantizer, the channels and the downsampling of another."""
        return cls(quantizer=other.quantizer, channels=other.channels, patch=other.downsampling)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        check_channels(self.channels)
        counts = ("patch", "width", "encoder_depth", "decoder_depth", "heads", "mlp", "side")
        check_numbers(self, "tokenizer ", counts=counts)
        if self.width % self.heads:
            raise GridcodeError(
                f"tokenizer width must be a multiple of heads, got width={self.width} and heads={self.heads}"
            )

    @property
    def downsampling(self) -> int:
        """Pixels per token, a side."""
        return self.patch

    def activations(self, height: int, width: int) -> float:
        """Each block keeps about 8 maps of the width and 2 of the MLP."""
        tokens = height * width / self.patch**2
        return (self.encoder_depth + self.decoder_depth) * tokens * (8 * self.width + 2 * self.mlp)
