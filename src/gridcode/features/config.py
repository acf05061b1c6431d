"""The shape and the training of the classifier that measures samples, and of the observer. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from gridcode.errors import GridcodeError, check_numbers


@dataclass(frozen=True)
class ClassifierConfig:
    """A small convolutional classifier and how it is trained.

    The defaults take some 15 s on two CPU cores at 32 pixels.

    >>> ClassifierConfig(classes=5, size=128).stage_widths
    (32, 64, 128, 128)
    """

    classes: int
    """Number of classes, at least 2."""
    size: int = 32
    """Side of the square images in pixels, at least 16."""
    channels: int = 3
    """3 for RGB or 1 for grey."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels of each stage; every stage halves the side."""
    feature_dim: int = 128
    """Length F of the feature vectors that a Fréchet distance is measured on."""
    steps: int = 400
    """Optimiser steps."""
    batch_size: int = 128
    """Images per step; whoever makes the batches reads it from here."""
    lr: float = 3e-3
    """Peak learning rate."""
    label_smoothing: float = 0.05
    """Share of each target spread over all classes, in [0, 1)."""
    seed: int = 0
    """Seeds the weights."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built and values that cannot train."""
        if not self.widths:
            raise GridcodeError("classifier.widths is empty; give one width per stage, such as (32, 64, 128)")
        if self.channels not in (1, 3):
            raise GridcodeError(f"classifier.channels must be 1 (grey) or 3 (RGB), got {self.channels}")
        if not self.lr > 0:
            raise GridcodeError(f"classifier.lr must be > 0, got {self.lr}")
        if not 0 <= self.label_smoothing < 1:
            raise GridcodeError(f"classifier.label_smoothing must be in [0, 1), got {self.label_smoothing}")
        for name, value, least in (
            ("classes", self.classes, 2),
            ("size", self.size, 16),
            ("widths", min(self.widths), 1),
            ("feature_dim", self.feature_dim, 1),
            ("steps", self.steps, 1),
            ("batch_size", self.batch_size, 2),
            ("seed", self.seed, 0),
        ):
            if value < least:
                raise GridcodeError(f"classifier.{name} must be at least {least}, got {value}")

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """``widths``, with the last one repeated until the grid is at most 8 x 8."""
        widths = self.widths
        while self.size / 2 ** len(widths) > 8:
            widths = (*widths, self.widths[-1])
        return widths


@dataclass(frozen=True)
class ObserverConfig:
    """A small network that looks at images, and how it learns to.

    >>> ObserverConfig(targets=4, rotations=True).widths
    (16, 32, 64, 128)
    """

    targets: int
    """What it tells apart: the data's classes, or 4 rotations."""
    rotations: bool = False
    """Whether it learns from rotated images instead of labels."""
    channels: int = 3
    """Channels of the images: 3 for RGB, 1 for grey."""
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
            raise GridcodeError(f"an image has 4 rotations, got observer.targets={self.targets}")
        if not self.widths or min(self.widths) < 8 or any(width % 8 for width in self.widths):
            raise GridcodeError(f"observer.widths must be positive multiples of 8, got {self.widths}")
        if self.targets < 2:
            raise GridcodeError(f"observer.targets must be at least 2, got {self.targets}")
        check_numbers(self, "observer.", counts=("channels", "steps"))
