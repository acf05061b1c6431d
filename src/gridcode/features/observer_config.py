"""The shape and the training of the small network behind the self-made perceptual loss. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class ObserverConfig:
    """A small network that looks at pictures, and how it learns to.

    >>> ObserverConfig(targets=4, rotations=True).widths
    (16, 32, 64, 128)
    """

    targets: int
    """What it tells apart: the data's classes, or 4 rotations."""
    rotations: bool = False
    """Whether it learns from rotated pictures instead of labels."""
    channels: int = 3
    """Channels of the pictures: 3 for RGB, 1 for grey."""
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels at each resolution, finest first."""
    steps: int = 300
    """Optimiser steps."""
    lr: float = 2e-3
    """Peak learning rate."""
    seed: int = 0
    """Seeds the weights."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built and values that cannot train."""
        if self.rotations and self.targets != 4:
            raise GridcodeError(f"a picture has 4 rotations, got observer.targets={self.targets}")
        if not self.widths or min(self.widths) < 8 or any(width % 8 for width in self.widths):
            raise GridcodeError(f"observer.widths must be positive multiples of 8, got {self.widths}")
        for name, value, least in (
            ("targets", self.targets, 2),
            ("channels", self.channels, 1),
            ("steps", self.steps, 1),
        ):
            if value < least:
                raise GridcodeError(f"observer.{name} must be at least {least}, got {value}")
