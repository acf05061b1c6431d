"""The shape of a tokenizer with the layers of the first VQ-GAN, as a frozen value. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Suppress

from gridcode.domains.image.architectures import ImageArchitecture, check_channels
from gridcode.errors import GridcodeError, check_numbers
from gridcode.quantize.config import QuantizerConfig, VQConfig

GROUPS = 32
"""Groups of every normalisation, in the published code and here."""


@dataclass(frozen=True)
class VQGANConfig(ImageArchitecture):
    """The shape of a tokenizer with VQ-GAN's layers, those of taming-transformers and of diffusers' ``VQModel``.

    Every width after the first halves the resolution, so a token covers ``downsampling = 2 ** (len(widths) - 1)``
    pixels per side. Level i is the one of ``widths[i]``; the attention fields list levels. Defaults are laptop size;
    :meth:`taming` has the published one.

    >>> VQGANConfig(widths=(64, 128, 256)).grid(32, 48)
    (8, 12)
    """

    name: Annotated[Literal["vqgan"], Suppress] = field(default="vqgan", init=False)
    widths: tuple[int, ...] = (64, 128, 256)
    """Channels at each resolution, finest first; multiples of 32."""
    encoder_blocks: int = 1
    """Residual blocks at each resolution of the encoder."""
    decoder_blocks: int = 2
    """Residual blocks at each resolution of the decoder; one more than the encoder's in published models."""
    encoder_attention: tuple[int, ...] = ()
    """Levels of the encoder with attention after every block; 0 is the finest."""
    decoder_attention: tuple[int, ...] = ()
    """Levels of the decoder with attention after every block; 0 is the finest."""
    middle_attention: bool = True
    """Attention between the two blocks in the middle of each network."""
    latents: int = 64
    """Channels between a network and the 1x1 convolution to, or from, the quantizer's."""
    unit_range: bool = False
    """The layers see pixels in [0, 1], as aMUSEd's do; the tokenizer's own images are in [-1, 1] all the same."""

    @classmethod
    def taming(cls, quantizer: QuantizerConfig | None = None) -> VQGANConfig:
        """VQ-GAN's ImageNet model: 16 pixels per token, a codebook of 1024 x 256.

        >>> VQGANConfig.taming().downsampling
        16
        """
        return cls(
            quantizer=quantizer or VQConfig(preset="plain", size=1024, channels=256),
            widths=(128, 128, 256, 256, 512),
            encoder_blocks=2,
            decoder_blocks=3,
            encoder_attention=(4,),
            decoder_attention=(4,),
            latents=256,
        )

    @classmethod
    def like(cls, other: ImageArchitecture) -> VQGANConfig:
        """This kind at its defaults, with the quantizer, the channels and the downsampling of another.

        Raises:
            GridcodeError: That downsampling is no power of two.

        >>> VQGANConfig.like(VQGANConfig.taming()).widths
        (64, 128, 256, 256, 256)
        """
        f, widths = other.downsampling, VQGANConfig.widths
        if f & (f - 1):
            raise GridcodeError(f"architecture vqgan halves the resolution, but a token covers {f} pixels; use conv")
        halvings = f.bit_length() - 1
        widths = (*widths, *widths[-1:] * halvings)[: halvings + 1]
        return cls(quantizer=other.quantizer, channels=other.channels, widths=widths)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        if not self.widths or any(width < GROUPS or width % GROUPS for width in self.widths):
            raise GridcodeError(f"tokenizer widths of vqgan must be positive multiples of {GROUPS}, got {self.widths}")
        check_channels(self.channels)
        check_numbers(self, "tokenizer ", counts=("encoder_blocks", "decoder_blocks", "latents"))
        for name in ("encoder_attention", "decoder_attention"):
            levels: tuple[int, ...] = getattr(self, name)
            if any(not 0 <= level < len(self.widths) for level in levels) or len({*levels}) < len(levels):
                raise GridcodeError(
                    f"tokenizer {name} lists levels from 0 to {len(self.widths) - 1}, each once, got {levels}"
                )

    @property
    def downsampling(self) -> int:
        """Pixels per token, a side."""
        return 1 << (len(self.widths) - 1)

    def activations(self, height: int, width: int) -> float:
        """A block keeps about ten maps of its width, attention six and its weights."""
        values = 0.0
        for level, features in enumerate(self.widths):
            places = height * width / 4**level
            blocks = self.encoder_blocks + self.decoder_blocks
            attentions = self.encoder_blocks * (level in self.encoder_attention)
            attentions += self.decoder_blocks * (level in self.decoder_attention)
            if level == len(self.widths) - 1:
                blocks, attentions = blocks + 4, attentions + 2 * self.middle_attention
            values += places * (10 * blocks * features + attentions * (6 * features + 2 * places))
        return values
