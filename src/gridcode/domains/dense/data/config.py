"""What label maps look like to a model, and which data to read them from; without torch.

A label map is stored as *planes* (n, H, W) and modelled as *groups*: a group of K is one channel of integers in
[0, K), one-hot for the model and scored by a cross-entropy over K. Colour has no groups, only RGB values.

    task       planes                                     groups
    depth      float32 metres, 0 = invalid                (bins,)
    panoptic   int32 class, instance, crowd (0 or 1)      (1 + classes, instances)
    colour     uint8 red, green, blue                     ()
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gridcode.data.config import CropPolicy, check_reading
from gridcode.errors import GridcodeError

Task: TypeAlias = Literal["depth", "panoptic", "colour"]

Orientation: TypeAlias = Literal["exif", "stored"]
"""Which way up images and label maps are: each turned by its own EXIF orientation, or neither is turned."""


@dataclass(frozen=True)
class DepthConfig:
    """Depth as one of ``bins`` uniform bins of low … high; bin 0 says invalid.

    Reference: Kolesnikov et al., UViM, 2022, appendix (256 bins of 1e-3 … 10 m, bin 0 masked).

    >>> DepthConfig().low, DepthConfig(relative="scale").low
    (0.001, 0.0)
    """

    bins: int = 256
    """Number of bins, the invalid one included."""
    near: float = 1e-3
    """Metres; a depth at or below it is invalid. Unused for relative depth."""
    far: float = 10.0
    """Metres; a depth at or above it is invalid. Unused for relative depth."""
    relative: Literal["none", "scale", "scale_shift"] = "none"
    """'scale' divides each image's depth by its largest; 'scale_shift' maps its least to 0 and its largest to 1."""
    png_scale: float = 1000.0
    """Value of a depth PNG that stands for one metre (1000: millimetres)."""

    def __post_init__(self) -> None:
        if not 3 <= self.bins <= 65536:
            raise GridcodeError(f"depth.bins must lie in 3 … 65536, not {self.bins}; the paper has 256")
        if not 0 <= self.near < self.far < float("inf"):
            raise GridcodeError(f"depth.near and depth.far must be 0 <= near < far, not {self.near} and {self.far}")
        if self.relative not in ("none", "scale", "scale_shift"):
            raise GridcodeError(f"depth.relative must be 'none', 'scale' or 'scale_shift', not {self.relative!r}")
        if not 0 < self.png_scale < float("inf"):
            raise GridcodeError(f"depth.png_scale must be positive, not {self.png_scale}; 1000 means millimetres")

    @property
    def low(self) -> float:
        """Lower end of the binned range."""
        return self.near if self.relative == "none" else 0.0

    @property
    def high(self) -> float:
        """Upper end of the binned range."""
        return self.far if self.relative == "none" else 1.0


@dataclass(frozen=True)
class Categories:
    """The classes of a panoptic data set; class c >= 1 of a map is number c - 1 here, class 0 is unlabelled.

    >>> Categories(("sky", "cup"), (False, True)).things
    (False, True)
    """

    names: tuple[str, ...]
    """One name a class."""
    things: tuple[bool, ...]
    """True for countable classes (things), False for stuff."""
    ids: tuple[int, ...] = field(default=(), compare=False)
    """The classes' numbers in the data set's own files; 1, 2, … where there are none."""

    def __post_init__(self) -> None:
        if self.ids and len(self.ids) != len(self.names):
            raise GridcodeError(f"categories: {len(self.names)} names and {len(self.ids)} ids; give one each a class")
        if not self.names or len(self.names) != len(self.things):
            raise GridcodeError(
                f"categories: {len(self.names)} names and {len(self.things)} flags of things; give one each a class"
            )


@dataclass(frozen=True)
class PanopticConfig:
    """Panoptic maps: a channel of classes and a channel of instances.

    >>> PanopticConfig(Categories(("sky", "cup"), (False, True)), instances=4).instances
    4
    """

    categories: Categories
    """The data set's classes."""
    instances: int = 100
    """Size of the instance channel, 0 (none) included."""
    min_share: float = 0.0
    """Predicted segments of less than this share of the image become unlabelled, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 2 <= self.instances <= 65536:
            raise GridcodeError(f"panoptic.instances must lie in 2 … 65536, not {self.instances}; the paper has 100")
        if not 0.0 <= self.min_share < 1.0:
            raise GridcodeError(f"panoptic.min_share must lie in [0, 1), not {self.min_share}; the article has 0.001")


@dataclass(frozen=True)
class DenseConfig:
    """Which images with label maps to read, their size in a batch, and which of them to hold out.

    >>> DenseConfig(task="depth", height=48).shape
    (48, 64)
    """

    task: Task = "depth"
    """What to predict: 'depth', 'panoptic' or 'colour'."""
    source: str = "scenes"
    """'scenes', or a data set's path: COCO panoptic, Parquet files, folders image/ and depth/ or segmentation/; for
    colour any images."""
    height: int = 64
    """Pixels of an image in a batch, downwards."""
    width: int = 64
    """Pixels of an image in a batch, across."""
    crop: CropPolicy = field(default_factory=CropPolicy)
    """Training crop and mirroring, the same for image and labels."""
    depth: DepthConfig = field(default_factory=DepthConfig)
    """Bins and units; for the task 'depth'."""
    instances: int = 100
    """Size of the instance channel; for the task 'panoptic'."""
    min_share: float = 0.0
    """Smallest predicted segment as a share of the image; for the task 'panoptic'."""
    ignore_value: int = 255
    """Value of a semantic map that is unlabelled, as 0 is, unless so many classes have names; -1 for none."""
    orientation: Orientation = "exif"
    """'exif' turns images by their EXIF orientation, and label maps by their own if they have one (maps drawn on the
    image as viewers show it); 'stored' turns neither (maps drawn on the pixels as they lie in the file)."""
    val_fraction: float = 0.05
    """Share held out where the source has no split of its own, in (0, 1)."""
    train_count: int = 10_000
    """Number of training scenes; only for 'scenes'."""
    val_count: int = 1_000
    """Number of validation scenes; only for 'scenes'."""
    seed: int = 0
    """Seed of the scenes and of the choice of held-out images."""
    workers: int = 2
    """Processes that decode, at most one a core; 0 decodes in the main process."""
    max_pixels: int | None = None
    """Refuse images and maps of more pixels; None for Pillow's limit of 89 million."""

    def __post_init__(self) -> None:
        if self.task not in ("depth", "panoptic", "colour"):
            raise GridcodeError(f"task must be 'depth', 'panoptic' or 'colour', not {self.task!r}")
        if self.orientation not in ("exif", "stored"):
            raise GridcodeError(f"data.orientation must be 'exif' or 'stored', not {self.orientation!r}")
        check_reading(self, sizes=("height", "width"))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width
