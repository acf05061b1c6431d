"""Which codec is compared, with which formats, on which images, as frozen values; no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal, TypeAlias, get_args

from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.studies.config import check_chosen

FormatName: TypeAlias = Literal["jpeg", "webp", "avif", "jxl"]

QUALITIES: Final[Mapping[FormatName, tuple[int, ...]]] = {
    "jpeg": (1, 3, 5, 8, 12, 20, 35, 50),
    "webp": (0, 5, 10, 20, 35, 50),
    "avif": (0, 5, 10, 20, 30, 40, 50),
    "jxl": (1, 5, 10, 20, 35, 50),
}
"""What is measured of each format, from its lowest rate on."""

REDUCED: Final[Mapping[FormatName, tuple[int, ...]]] = {
    "jpeg": (5, 15, 30, 60),
    "webp": (0, 10, 30, 60),
    "avif": (0, 20, 40, 60),
    "jxl": (5, 20, 40, 60),
}
"""What is measured of each format where the image is made smaller first."""


@dataclass(frozen=True)
class CodecStudyConfig:
    """Whose files are compared."""

    model: str = "runs/codec"
    """A model of gridcode compress, of one rate or of several."""
    data: DataConfig = field(default_factory=lambda: DataConfig(workers=0))
    """The images: those of the validation split, each at its own size."""
    formats: tuple[FormatName, ...] = get_args(FormatName)
    """What gridcode stands beside; jxl needs the package pillow-jxl-plugin."""
    factors: tuple[int, ...] = (2, 4)
    """Formats also take the image with its sides made so many times smaller, and enlarge what comes back: what people
    do where a format has no file so small."""
    reduced: tuple[FormatName, ...] = ("jpeg", "webp")
    """Which formats do."""
    coder: Literal["raw", "static", "prior"] | None = None
    """How gridcode codes tokens; by default by the model's prior, where it has one."""
    tried: tuple[str, ...] = ()
    """Further models, for a table of what was tried: their quality, with raw tokens, and no verdicts."""
    halve: bool = False
    """Halve each image's sides first, by the mean of four pixels: of images that are JPEG files themselves, it
    takes the traces away."""
    count: int = 100
    """Images, at most."""
    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    """Bits per pixel at which verdicts are given: each of the model's highest rate that is not above."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing."""
        check_numbers(self, "", counts=("count",))
        check_chosen(formats=self.formats, rates=self.rates)
        check_choices(self, "", formats=get_args(FormatName), reduced=get_args(FormatName))
        names = [PurePath(model).name for model in self.tried]
        if len(set(names)) < len(names):
            raise GridcodeError(f"tried must be folders of different names, got {', '.join(names)}")
        if not min(self.rates) > 0:
            raise GridcodeError(f"rates must be above 0, got {self.rates}")
        if not all(factor > 1 for factor in self.factors):
            raise GridcodeError(f"factors must be above 1, got {self.factors}")
