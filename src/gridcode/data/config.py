"""What to read and how to crop it: the settings of the data, without torch.

The crop policy has a name because tokens on disk depend on it: a manifest records the name, and two stores of
the same images under two policies are different data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from gridcode.errors import GridcodeError, check_choices


@dataclass(frozen=True)
class CropPolicy:
    """How an image of any size becomes a square.

    Evaluation always takes the centre crop and never flips.

    >>> CropPolicy().name
    'random-0.8-flip/center'
    >>> CropPolicy(train="center", flip=False).name
    'center/center'
    """

    train: Literal["random", "center"] = "random"
    """Crop of training images: a square of random side and place, or always the centre."""
    flip: bool = True
    """Mirror every second training image, on average, left to right (off for digits and text)."""
    min_scale: float = 0.8
    """Smallest side of a random crop, as a share of the image's shorter side, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.train not in ("random", "center"):
            raise GridcodeError(f"crop.train must be 'random' or 'center', not {self.train!r}")
        if not 0.0 < self.min_scale <= 1.0:
            raise GridcodeError(
                f"crop.min_scale must lie in (0, 1], not {self.min_scale}; 1 keeps the whole shorter side"
            )

    @property
    def name(self) -> str:
        """Training policy, a slash, evaluation policy, as recorded in manifests."""
        train = f"random-{self.min_scale:g}" if self.train == "random" else "center"
        return f"{train}{'-flip' if self.flip else ''}/center"


class SourceSettings:
    """What the settings of any kind's data have; subclasses are frozen dataclasses.

    Attributes:
        source: The path or word that names the examples.
        val_fraction: Share of the examples held out for validation, in (0, 1).
        on_error: What to do at an example that cannot be read.
    """

    source: str
    val_fraction: float
    on_error: Literal["stop", "skip"]

    @property
    def dataset(self) -> str:
        """The last part of the source's path: what people call it, without where it is on this machine."""
        return PurePath(self.source).name or self.source

    def check_source(self, places: str) -> None:
        """Refuse what no kind of data can be read with.

        Args:
            places: What can be a source, for the error.

        Raises:
            GridcodeError: There is no source, or one of the attributes is out of its range.
        """
        if not self.source:
            raise GridcodeError(f"data.source is empty; give {places}")
        check_choices(self, "data.", on_error=("stop", "skip"))
        if not 0.0 < self.val_fraction < 1.0:
            raise GridcodeError(
                f"data.val_fraction must lie between 0 and 1, not {self.val_fraction}; 0.05 holds out 5 %"
            )


@dataclass(frozen=True)
class DataConfig(SourceSettings):
    """Which images to read, their shape in a batch, and which of them to hold out.

    >>> config = DataConfig(source="/home/me/photos", size=64)
    >>> config.dataset, config.crop.name
    ('photos', 'random-0.8-flip/center')
    """

    source: str = "scenes"
    """'scenes' (drawn on the fly), a folder of images, of Parquet or of tar files, one such file, an .npz file, or a
    pattern such as 'shards/{000..099}.tar'."""
    size: int = 32
    """Side of the square images in a batch, in pixels."""
    channels: Literal[1, 3] = 3
    """3 for RGB or 1 for grey; images of the other kind are converted."""
    crop: CropPolicy = field(default_factory=CropPolicy)
    """How images become squares in training."""
    val_source: str | None = None
    """Where the validation images are, if not beside or among those of 'source'."""
    val_fraction: float = 0.05
    """Share of the images held out for validation where the source has no split of its own, in (0, 1)."""
    train_count: int = 10_000
    """Number of training scenes; only for 'scenes'."""
    val_count: int = 1_000
    """Number of validation scenes; only for 'scenes'."""
    objects: int = 3
    """Most objects in a scene, 1 to 3; only for 'scenes'."""
    tiles: bool = True
    """Whether the floor of a scene may have a pattern; only for 'scenes'."""
    seed: int = 0
    """Seed of the scenes and of the choice of held-out images."""
    stream: bool = False
    """Read local tar files from front to back, as shards behind URLs are, and not by an index of their images."""
    shuffle_buffer: int = 2048
    """Images that wait in memory, over all processes, to be taken in random order; only for streams of shards."""
    workers: int = 2
    """Processes that decode images, at most one a core; 0 decodes in the main process."""
    on_error: Literal["stop", "skip"] = "stop"
    """At an image that cannot be read: stop with an error, or skip it and say so."""
    max_pixels: int | None = None
    """Refuse images of more pixels, which may be made to fill the memory; None for Pillow's limit of 89 million."""

    def __post_init__(self) -> None:
        if not self.source:
            raise GridcodeError("data.source is empty; give 'scenes' or the path of a folder or file of images")
        if self.channels not in (1, 3):
            raise GridcodeError(f"data.channels must be 1 (grey) or 3 (RGB), not {self.channels!r}")
        check_choices(self, "data.", on_error=("stop", "skip"))
        if not 1 <= self.objects <= 3:
            raise GridcodeError(f"data.objects must be 1, 2 or 3, not {self.objects}")
        check_reading(self, sizes=("size", "shuffle_buffer"))


def check_reading(config: Any, *, sizes: tuple[str, ...]) -> None:
    """Refuse what no kind of data can be read with: the settings that all data configs share, and their sizes.

    Args:
        config: Has ``val_fraction``, ``train_count``, ``val_count``, ``seed``, ``workers`` and ``max_pixels``.
        sizes: Its other settings that must be at least 1.

    Raises:
        GridcodeError: One is out of its range.
    """
    if not 0.0 < config.val_fraction < 1.0:
        raise GridcodeError(
            f"data.val_fraction must lie between 0 and 1, not {config.val_fraction}; 0.05 holds out 5 %"
        )
    least = dict.fromkeys((*sizes, "train_count", "val_count", "max_pixels"), 1) | {"seed": 0, "workers": 0}
    for name, bound in least.items():
        value = getattr(config, name)
        if value is not None and value < bound:
            raise GridcodeError(f"data.{name} must be at least {bound}, not {value}")
