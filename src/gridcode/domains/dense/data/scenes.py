"""The built-in scenes with their exact labels: metric depth, or panoptic segments.

Classes are sky, ground (stuff) and the five solids (things); no pixel is unlabelled and there are no crowds. The
floor reaches to 40 m, so that a range of 10 m leaves about a fifth of the pixels invalid.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from gridcode.data.scenes.source import SHAPES, render_scenes
from gridcode.domains.dense.data.config import Categories
from gridcode.domains.dense.data.source import DenseExample, DenseSource, Planes

SCENE_CATEGORIES: Final = Categories(("sky", "ground", *SHAPES), (False, False, *(True for _ in SHAPES)))
"""Classes 1 sky, 2 ground, then the solids."""


class DenseScenes(DenseSource):
    """Scenes ``start`` to ``start + count - 1`` of a seed, rendered once, at construction.

    Args:
        task: Which labels to keep.
        seed: Which data set.
        start: First scene.
        count: How many.
        size: Side in pixels, 8 to 512.

    >>> scenes = DenseScenes("panoptic", seed=0, start=3, count=2, size=16)
    >>> scenes[0].key, scenes[0].planes.shape, scenes.categories.names[:3]
    ('scene-0-000003', (3, 16, 16), ('sky', 'ground', 'sphere'))
    """

    name = "scenes"
    in_memory = True

    def __init__(self, task: Literal["depth", "panoptic"], *, seed: int, start: int, count: int, size: int) -> None:
        self.seed, self.start = seed, start
        self.categories = SCENE_CATEGORIES if task == "panoptic" else None
        batch = render_scenes(seed, range(start, start + count), size)
        self._images = batch.rgb
        if task == "depth":
            self._planes: Planes = batch.depth[:, None]
        else:
            classes = batch.semantic + 1
            self._planes = np.stack([classes, batch.instance, np.zeros_like(classes)], axis=1)

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        """'scene', the seed and the scene's number."""
        return f"scene-{self.seed}-{self.start + index:06d}"

    def __getitem__(self, index: int) -> DenseExample:
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        planes = self._planes[index]
        return DenseExample(
            self._images[index], planes if self.categories is None else planes.astype(np.int32), self.key(index)
        )
