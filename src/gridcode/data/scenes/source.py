"""The built-in data set: small rendered scenes of solids on a floor, with class, depth and panoptic labels.

Nothing is downloaded and nothing is stored: scene number i of a seed is always the same scene, at any size,
so a data set is a seed and a range of numbers, and two ranges that do not meet are a training and a
validation split.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridcode.data.scenes.layout import MAX_OBJECTS, Layout, draw_layout
from gridcode.data.scenes.render import render
from gridcode.data.scenes.shapes import SHAPES as SHAPES
from gridcode.data.scenes.trace import GROUND, SKY
from gridcode.data.source import Example, ImageSource
from gridcode.errors import GridcodeError

MIN_SIZE: Final = 8
MAX_SIZE: Final = 512
_CHUNK_PIXELS: Final = 128 * 1024
_BLOCK: Final = 1024
_THREADS: Final = min(2, os.cpu_count() or 1)

Draw: TypeAlias = Callable[[int, NDArray[np.int64]], Layout]
"""Lays out scenes of a seed."""


@dataclass(frozen=True)
class Scene:
    """One rendered scene, H = W.

    >>> scene = render_scene(0, 3, 32)
    >>> scene.rgb.shape, SHAPES[scene.label] in SHAPES
    ((32, 32, 3), True)
    """

    rgb: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    label: int
    """Position in ``SHAPES`` of the main object's shape, the one most pixels show; the same at every size."""
    depth: NDArray[np.float32]
    """(H, W) metres along the optical axis (not along the ray), at pixel centres; 0 (invalid) for the sky."""
    semantic: NDArray[np.uint8]
    """(H, W): 0 sky, 1 ground, 2 + position in ``SHAPES`` for objects."""
    instance: NDArray[np.uint8]
    """(H, W): 0 sky and ground, 1 the main object, 2 and 3 the others."""


@dataclass(frozen=True)
class SceneBatch:
    """B scenes; the fields are those of ``Scene`` with the batch in front.

    >>> render_scenes(0, [5, 9], 16).depth.shape
    (2, 16, 16)
    """

    rgb: NDArray[np.uint8]
    """(B, H, W, 3) sRGB."""
    labels: NDArray[np.int64]
    """(B,)."""
    depth: NDArray[np.float32]
    """(B, H, W) metres along the optical axis; 0 for the sky."""
    semantic: NDArray[np.uint8]
    """(B, H, W): 0 sky, 1 ground, 2 + position in ``SHAPES``."""
    instance: NDArray[np.uint8]
    """(B, H, W): 0 sky and ground, then 1, 2, 3."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Scene:
        return Scene(
            rgb=self.rgb[index],
            label=int(self.labels[index]),
            depth=self.depth[index],
            semantic=self.semantic[index],
            instance=self.instance[index],
        )


def render_scene(seed: int, index: int, size: int) -> Scene:
    """Render one scene.

    Args:
        seed: Which data set, 0 to 2**62.
        index: Which scene of it, 0 to 2**62.
        size: Height and width in pixels, 8 to 512.

    Raises:
        GridcodeError: A number lies outside its range.

    >>> int(render_scene(0, 0, 32).instance.max()) >= 1
    True
    """
    return render_scenes(seed, [index], size)[0]


def render_scenes(seed: int, indices: Iterable[int], size: int) -> SceneBatch:
    """Render many scenes, which is much faster than one at a time; each comes out as it would alone.

    Args:
        seed: Which data set, 0 to 2**62.
        indices: Which scenes of it, each 0 to 2**62.
        size: Height and width in pixels, 8 to 512.

    Raises:
        GridcodeError: A number lies outside its range.

    >>> len(render_scenes(0, range(7), 16))
    7
    """
    numbers = _checked(seed, indices, size)
    shape = (len(numbers), size, size)
    batch = SceneBatch(
        rgb=np.empty((*shape, 3), dtype=np.uint8),
        labels=np.empty(len(numbers), dtype=np.int64),
        depth=np.empty(shape, dtype=np.float32),
        semantic=np.empty(shape, dtype=np.uint8),
        instance=np.empty(shape, dtype=np.uint8),
    )
    for place, part in _render_parts(draw_layout, seed, numbers, size):
        for field in fields(SceneBatch):
            getattr(batch, field.name)[place] = getattr(part, field.name)
    return batch


class Scenes(ImageSource):
    """Scenes ``start`` to ``start + count - 1`` of a seed; the images are rendered once, at construction.

    Args:
        seed: Which data set.
        start: First scene.
        count: How many.
        size: Side in pixels, 8 to 512.
        objects: Most objects in a scene, 1 to 3; the others of the same scene are left out.
        tiles: Whether the floor may have a pattern.

    >>> scenes = Scenes(seed=0, start=100, count=5, size=16)
    >>> len(scenes), scenes[1].key, sorted(example.label for example in scenes)
    (5, 'scene-0-000101', [0, 1, 2, 3, 4])
    """

    name = "scenes"
    classes = SHAPES
    in_memory = True

    def __init__(
        self, *, seed: int, start: int, count: int, size: int, objects: int = MAX_OBJECTS, tiles: bool = True
    ) -> None:
        if count < 0:
            raise GridcodeError(f"cannot render {count} scenes; ask for 0 or more")
        self.seed, self.start, self.size = seed, start, size
        self._draw = partial(draw_layout, objects=objects, tiles=tiles)
        numbers = _checked(seed, range(start, start + count), size)
        self._images = np.empty((count, size, size, 3), dtype=np.uint8)
        self._labels = np.empty(count, dtype=np.int64)
        for place, part in _render_parts(self._draw, seed, numbers, size):
            self._images[place], self._labels[place] = part.rgb, part.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Example:
        """Scene number ``start + index``, image uint8 (size, size, 3)."""
        self._check(index)
        return Example(
            image=self._images[index],
            label=int(self._labels[index]),
            key=f"scene-{self.seed}-{self.start + index:06d}",
        )

    def scene(self, index: int) -> Scene:
        """Scene number ``start + index`` with depth and panoptic labels, rendered anew."""
        self._check(index)
        numbers = np.array([self.start + index], dtype=np.int64)
        return next(_render_parts(self._draw, self.seed, numbers, self.size))[1][0]

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            # IndexError is what ends a plain loop over a sequence.
            raise IndexError(f"scene {index} of {len(self)}")


def _checked(seed: int, indices: Iterable[int], size: int) -> NDArray[np.int64]:
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise GridcodeError(f"cannot render scenes of {size} pixels; choose a size from {MIN_SIZE} to {MAX_SIZE}")
    numbers = list(indices)
    outside = [number for number in (seed, *numbers) if not 0 <= number <= 2**62]
    if outside:
        raise GridcodeError(f"a scene's seed and index lie in 0 to 2**62, not {outside[0]}; choose another")
    return np.array(numbers, dtype=np.int64)


def _render_parts(draw: Draw, seed: int, numbers: NDArray[np.int64], size: int) -> Iterator[tuple[slice, SceneBatch]]:
    """Scenes a few at a time, in order, each part with its place among ``numbers``."""
    step = max(1, _CHUNK_PIXELS // size**2)
    # NumPy lets go of the interpreter lock in its loops, so threads help; no scene depends on their number.
    with ThreadPoolExecutor(_THREADS) as pool:
        for block in range(0, len(numbers), _BLOCK):
            layout = draw(seed, numbers[block : block + _BLOCK])
            starts = range(0, len(layout.pitch), step)
            parts = pool.map(partial(_render_part, size=size), (layout.part(at, at + step) for at in starts))
            for at, part in zip(starts, parts, strict=True):
                yield slice(block + at, block + at + len(part)), part


def _render_part(layout: Layout, *, size: int) -> SceneBatch:
    image = render(layout, size)
    owner = image.owner.astype(np.int64)
    instance = np.maximum(owner, 0)
    slot = np.maximum(instance - 1, 0).reshape(len(owner), size * size)
    shape = np.take_along_axis(layout.shape, slot, axis=1).reshape(owner.shape)
    semantic = np.where(owner > GROUND, shape + 2, np.where(owner == SKY, 0, 1))
    return SceneBatch(
        rgb=image.rgb,
        labels=layout.shape[:, 0],
        depth=image.depth,
        semantic=semantic.astype(np.uint8),
        instance=instance.astype(np.uint8),
    )
