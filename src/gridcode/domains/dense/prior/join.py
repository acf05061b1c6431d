"""Images beside the tokens of their label maps: a token store's rows, joined with a source of images by key.

    store:  key, tokens ──┐
                          ├─ same key ──> image, tokens
    source: key, image ───┘

An image is cropped in its centre, as it was when its label map was tokenized. A row whose key ends in ``#flip`` is of
the mirrored one. Row p of a training stream depends on (seed, p) alone, as in :mod:`gridcode.data.loader`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gridcode.data.workers import TrainOrder, eval_stream, fetch_in_order, useful_workers
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.geometry import center_region, resize_image
from gridcode.domains.dense.data.open import make_label_map
from gridcode.domains.dense.data.source import DenseSource
from gridcode.errors import GridcodeError
from gridcode.store.reader import TokenTable
from gridcode.training.seeding import fixed_sample, indices_at

FLIP = "#flip"
"""Ends the key of a row that is of the mirrored image."""


@dataclass(frozen=True)
class Pairs:
    """Rows of tokens, and where their images are.

    Attributes:
        tokens: (n, N) int64 in [0, K).
        source: The images.
        places: Number of each row's image in the source, (n,).
        mirrored: Whether a row is of the mirrored image, (n,) bool.
    """

    tokens: Tensor
    source: DenseSource
    places: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.places)

    def some(self, most: int) -> Pairs:
        """At most that many rows from all over, always the same ones, in order."""
        rows = fixed_sample(len(self), most)
        return Pairs(self.tokens[torch.from_numpy(rows)], self.source, self.places[rows], self.mirrored[rows])


@dataclass(frozen=True)
class PairBatch:
    """Images and the tokens of their label maps.

    Attributes:
        images: float32 in [-1, 1], (B, C, H, W); C is 1 for colour, else 3.
        tokens: (B, N) int64 in [0, K).
    """

    images: Tensor
    tokens: Tensor


def join_by_key(table: TokenTable, source: DenseSource, *, split: str) -> Pairs:
    """Find the image of every row; images without tokens are left out.

    Args:
        table: Rows of a token store.
        source: The images.
        split: What the rows are called, for the error.

    Raises:
        GridcodeError: The source has no image of a row's key.

    >>> from gridcode.domains.dense.data.scenes import DenseScenes
    >>> scenes = DenseScenes("depth", seed=0, start=0, count=3, size=8)
    >>> table = TokenTable(torch.zeros(2, 4).long(), torch.tensor([-1, -1]), (scenes.key(2), scenes.key(0) + FLIP))
    >>> pairs = join_by_key(table, scenes, split="train")
    >>> pairs.places.tolist(), pairs.mirrored.tolist()
    ([2, 0], [False, True])
    """
    places = {source.key(index): index for index in range(len(source))}
    mirrored = [key not in places and key.endswith(FLIP) for key in table.keys]
    names = [key.removesuffix(FLIP) if flip else key for key, flip in zip(table.keys, mirrored, strict=True)]
    missing = [name for name in names if name not in places]
    if missing:
        have = f"its first is {source.key(0)!r}" if len(source) else "it is empty"
        raise GridcodeError(
            f"{source.name} has no image {missing[0]!r} of the token store's split {split!r} ({len(missing)} of "
            f"{len(names)} are missing; {have}); give the data that was tokenized, or tokenize this one"
        )
    return Pairs(table.tokens, source, np.array([places[name] for name in names], np.int64), np.array(mirrored, bool))


def check_same_data(recorded: Mapping[str, Any], data: DenseConfig) -> None:
    """Refuse images of another task or size than those whose label maps were tokenized.

    Args:
        recorded: What a token store's manifest says of its data; what it does not say is taken as it is.
        data: How the images are read.

    Raises:
        GridcodeError: They differ.

    >>> check_same_data({"task": "depth", "height": 64}, DenseConfig(task="depth"))
    """
    for name in ("task", "height", "width"):
        then, now = recorded.get(name, getattr(data, name)), getattr(data, name)
        if then != now:
            raise GridcodeError(
                f"the token store was made with {name}={then!r}, the images are read with {now!r}; set "
                f"data.{name}={then}, or tokenize again"
            )


def train_pairs(pairs: Pairs, data: DenseConfig, order: TrainOrder) -> Iterator[PairBatch]:
    """Batches for training, without end; every row comes once an epoch.

    Args:
        pairs: The rows.
        data: Size of the images, and workers.
        order: Rows a step, their order, and which slice of each batch is this process's.

    Raises:
        GridcodeError: A file cannot be read.
    """
    workers = useful_workers(data.workers, in_memory=pairs.source.in_memory)
    return fetch_in_order(_Fetch(pairs, data, seed=order.seed), order.positions(), workers)


def eval_pairs(pairs: Pairs, data: DenseConfig, *, batch_size: int) -> Iterator[PairBatch]:
    """Every row once, in order; the last batch may be smaller.

    Args:
        pairs: The rows.
        data: Size of the images, and workers.
        batch_size: Rows at a time.

    >>> from gridcode.domains.dense.data.scenes import DenseScenes
    >>> scenes = DenseScenes("depth", seed=0, start=0, count=3, size=8)
    >>> table = TokenTable(torch.zeros(3, 4).long(), torch.tensor([-1] * 3), tuple(map(scenes.key, range(3))))
    >>> batches = eval_pairs(join_by_key(table, scenes, split="val"), DenseConfig(height=8, width=8), batch_size=2)
    >>> [tuple(batch.images.shape) for batch in batches]
    [(2, 3, 8, 8), (1, 3, 8, 8)]
    """
    workers = useful_workers(data.workers, in_memory=pairs.source.in_memory)
    return eval_stream(_Fetch(pairs, data, seed=None), total=len(pairs), workers=workers, batch_size=batch_size)


class _Fetch(Dataset[PairBatch | GridcodeError]):
    """Maps a run of positions to a batch; it runs in the worker processes."""

    def __init__(self, pairs: Pairs, data: DenseConfig, *, seed: int | None) -> None:
        self._pairs, self._data, self._seed = pairs, data, seed
        self._map = make_label_map(data, pairs.source.categories)

    def __getitem__(self, positions: range) -> PairBatch | GridcodeError:
        rows: NDArray[np.int64] = np.asarray(positions, np.int64)
        if self._seed is not None:
            rows = indices_at(positions.start, positions.stop, count=len(self._pairs), seed=self._seed)
        try:
            pictures = np.stack([self._image(int(row)) for row in rows])
        except GridcodeError as error:
            return error.with_traceback(None)
        images = torch.from_numpy(pictures).to(torch.float32).div_(127.5).sub_(1.0)
        return PairBatch(images, self._pairs.tokens[torch.from_numpy(rows)])

    def _image(self, row: int) -> NDArray[np.uint8]:
        """What the encoder is given of a row's image: uint8, (C, H, W)."""
        image = self._pairs.source[int(self._pairs.places[row])].image
        region = center_region((image.shape[0], image.shape[1]), self._data.shape)
        image = resize_image(region.cut(image), *self._data.shape)
        image = image[:, ::-1] if self._pairs.mirrored[row] else image
        return np.ascontiguousarray(self._map.context(image).transpose(2, 0, 1))
