"""Clouds from depth maps: square patches of them, back-projected by a pinhole camera.

    (x, y, z) = ( (u - W/2) d / f,  d,  (H/2 - v) d / f )     for the pixel in column u, row v, of depth d in metres

z is up, and y is away from the camera. Depth maps are 16-bit PNG files in millimetres, 0 or 65535 where nothing was
measured, in the column 'depth' of Parquet files. Patches of which less than half was measured are left out; the others
give a cloud of the points that were.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridcode.data.image import load_image
from gridcode.data.labelled.source import LabelledSource
from gridcode.data.parquet import ParquetImages, parquet_schema
from gridcode.domains.points.config import PointsConfig
from gridcode.domains.points.data.source import Cloud, Points, Shape
from gridcode.errors import FileError, GridcodeError

LEAST = 0.5
"""Share of a patch that must have been measured."""
_SATURATED = 65535
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patch(Shape):
    """A patch of a depth map.

    Attributes:
        maps: The depth maps.
        number: Which of them.
        corner: Row and column of its upper left pixel.
        side: In pixels.
        focal: Of the camera, in pixels.
    """

    maps: ParquetImages
    number: int
    corner: tuple[int, int]
    side: int
    focal: float

    def points(self, count: int, generator: np.random.Generator) -> Points:
        """See :class:`Shape`."""
        depth = read_depth(self.maps, self.number)
        return back_projected(depth, self.corner, self.side, self.focal)


class DepthPatches(LabelledSource[Cloud]):
    """The patches of the depth maps in Parquet files, side by side; all maps are looked at once, to leave out holes.

    Args:
        paths: The files (shards), in order.
        config: Side of a patch and focal length.
        name: What to record as the origin.

    Raises:
        GridcodeError: A file is damaged, has no column 'depth', or no patch is whole enough.
    """

    def __init__(self, paths: Sequence[Path], config: PointsConfig, *, name: str) -> None:
        names = parquet_schema(paths[0]).names
        if "depth" not in names:
            raise GridcodeError(
                f"{paths[0]}: no column 'depth' among {', '.join(names)}; give depth maps as 16-bit PNG"
            )
        self._maps, self._config = ParquetImages(paths, name=name, image_column="depth"), config
        self.name = self._maps.name
        self._places = [(number, corner) for number in range(len(self._maps)) for corner in self._corners(number)]
        if not self._places:
            raise GridcodeError(f"{name}: no patch of {config.patch} pixels is half measured; set a smaller data.patch")

    def _corners(self, number: int) -> list[tuple[int, int]]:
        """Of the patches of a map; with ``on_error="skip"`` a map that cannot be read has none."""
        try:
            return _whole_enough(read_depth(self._maps, number), self._config.patch)
        except GridcodeError as error:
            if self._config.on_error == "stop":
                raise
            _log.warning("skipped %s", error)
            return []

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Cloud:
        number, corner = self._places[index]
        patch = Patch(self._maps, number, corner, self._config.patch, self._config.focal)
        return Cloud(patch, label=None, key=self.key(index))

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        number, (row, column) = self._places[index]
        return f"{self._maps.key(number)}-{row}-{column}"


def read_depth(maps: ParquetImages, number: int) -> NDArray[np.float32]:
    """A depth map in metres, (H, W); 0 where nothing was measured.

    Raises:
        FileError: It is no grey image of 16 bits.
    """
    where, encoded = maps.where(number), maps.encoded(number)
    try:
        values = np.asarray(load_image(encoded, formats=("PNG", "TIFF")).image)
    except Exception as error:  # Pillow's decoders let through whatever a damaged file makes them trip over
        reason = " ".join(str(error).split())[:120]
        raise FileError(
            f"{where}: not a readable depth map ({reason}); mend or remove it, or set data.on_error=skip"
        ) from None
    if values.ndim != 2 or values.dtype.itemsize < 2:
        raise FileError(f"{where}: {values.dtype} of shape {values.shape} is no depth map of 16 bits in millimetres")
    return (np.where(values == _SATURATED, 0, values) / np.float32(1000)).astype(np.float32)


def back_projected(depth: NDArray[np.float32], corner: tuple[int, int], side: int, focal: float) -> Points:
    """The measured points of a patch, (n, 3), in metres.

    >>> back_projected(np.full((2, 2), 2.0, np.float32), (0, 0), 1, 4.0).tolist()
    [[-0.25, 2.0, 0.25]]
    """
    rows, columns = (np.arange(start, start + side) for start in corner)
    patch = depth[np.ix_(rows, columns)]
    seen = patch > 0
    height, width = depth.shape
    across = (columns[None] + 0.5 - width / 2) * patch / focal
    up = (height / 2 - rows[:, None] - 0.5) * patch / focal
    return np.stack([across[seen], patch[seen], up[seen]], 1).astype(np.float32)


def _whole_enough(depth: NDArray[np.float32], side: int) -> list[tuple[int, int]]:
    height, width = depth.shape
    corners = [
        (row, column) for row in range(0, height - side + 1, side) for column in range(0, width - side + 1, side)
    ]
    return [(r, c) for r, c in corners if (depth[r : r + side, c : c + side] > 0).mean() >= LEAST]
