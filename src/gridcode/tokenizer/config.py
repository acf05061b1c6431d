"""What a tokenizer is and how it is trained, as frozen values. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from tyro.conf import Suppress

from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, QuantizerConfig, quantizer_from_json
from gridcode.tokenizer.architecture import Architecture, check_channels, check_counts
from gridcode.tokenizer.loss_config import LossConfig
from gridcode.tokenizer.vit_config import ViTConfig
from gridcode.tokenizer.vqgan_config import VQGANConfig
from gridcode.training.alarms import AlarmConfig
from gridcode.training.config import LoopConfig, OptimConfig


@dataclass(frozen=True)
class TokenizerConfig(Architecture):
    """The shape of a convolutional tokenizer.

    The picture is cut into ``patch`` x ``patch`` squares (1: pixels), and every width after the first halves
    the resolution, so a token covers ``downsampling = patch * 2 ** (len(widths) - 1)`` pixels a side.

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

    @classmethod
    def laptop(cls, quantizer: QuantizerConfig | None = None, *, channels: int = 3) -> TokenizerConfig:
        """1.2M parameters, for pictures of 28 to 64 pixels: 4 pixels a token.

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

    @classmethod
    def like(cls, other: Architecture) -> TokenizerConfig:
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
        check_counts(self, "encoder_blocks", "decoder_blocks", "patch")

    @property
    def downsampling(self) -> int:
        """Pixels per token, a side."""
        return self.patch << (len(self.widths) - 1)

    def kept(self, height: int, width: int) -> float:
        """Each block keeps about ten maps of its width: in and out of norm, SiLU, conv, twice."""
        maps = 10 * (self.encoder_blocks + self.decoder_blocks)
        pixels = height * width / self.patch**2
        return maps * sum(features * pixels / 4.0**stage for stage, features in enumerate(self.widths))


ArchitectureConfig = TokenizerConfig | ViTConfig | VQGANConfig
"""Any tokenizer's shape."""

ARCHITECTURES: dict[str, type[ArchitectureConfig]] = {kind.name: kind for kind in get_args(ArchitectureConfig)}
"""The kinds by name, in the order they are listed to a person."""


def architecture_from_json(values: Mapping[str, Any]) -> ArchitectureConfig:
    """The shape that ``dataclasses.asdict`` made plain, read from JSON; without a name it is convolutional.

    Raises:
        GridcodeError: They name no kind, or the quantizer cannot be read.
        KeyError: There is no quantizer.
        TypeError: They are no object, or a setting is not the kind's.

    >>> architecture_from_json({"name": "vit", "quantizer": {"name": "fsq", "levels": [8, 5]}, "patch": 4}).patch
    4
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r} are no settings of a model")
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    name = settings.pop("name", "conv")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise GridcodeError(f"there is no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](**settings | {"quantizer": quantizer_from_json(values["quantizer"])})


@dataclass(frozen=True)
class TokenizerRun:
    """Everything that determines a Stage I run: equal values give equal weights."""

    data: DataConfig = field(default_factory=DataConfig)
    """The pictures."""
    model: ArchitectureConfig = field(default_factory=TokenizerConfig)
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
