"""What every shape of a tokenizer has, whichever its layers: quantizer, channels, downsampling, grid. No torch here.

A kind of architecture is a frozen dataclass below :class:`Architecture`; ``config.py`` lists the kinds, ``networks.py``
turns a value into an encoder and a decoder. Each says its ``name`` once, as a field that cannot be set, so that run
files and configs in JSON carry the kind along with the settings.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Suppress

from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, QuantizerConfig


@dataclass(frozen=True)
class Architecture:  # no ABCMeta: a class whose type is not `type` makes tyro import typeguard
    """The shape of a tokenizer."""

    name: Annotated[str, Suppress] = field(init=False)
    """The kind."""
    quantizer: QuantizerConfig = field(default_factory=FSQConfig)
    """What turns latents into tokens."""
    channels: int = 3
    """Channels of the picture: 3 for RGB, 1 for grey."""

    @classmethod
    @abstractmethod
    def like(cls, other: Architecture) -> Architecture:
        """This kind at its defaults, with the quantizer, the channels and the downsampling of another."""

    @property
    @abstractmethod
    def downsampling(self) -> int:
        """Pixels per token, a side."""

    @abstractmethod
    def kept(self, height: int, width: int) -> float:
        """An estimate of how many values a picture leaves for the backward pass, in both networks."""

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


def check_channels(channels: int) -> None:
    """Refuse pictures that are neither RGB nor grey.

    Raises:
        GridcodeError: There are not 1 or 3 channels.
    """
    if channels not in (1, 3):
        raise GridcodeError(f"a picture has 1 or 3 channels, got channels={channels}")


def check_counts(config: Architecture, *names: str) -> None:
    """Refuse settings below 1.

    Raises:
        GridcodeError: One of the named settings is.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise GridcodeError(f"tokenizer {name} must be at least 1, got {getattr(config, name)}")
