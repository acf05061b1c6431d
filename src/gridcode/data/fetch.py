"""The work of a data worker: positions in, a stack of cropped uint8 images out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gridcode.data.config import DataConfig
from gridcode.data.crop import center_crop, to_channels, train_crop
from gridcode.data.source import Example, ImageSource
from gridcode.errors import FileError, GridcodeError
from gridcode.training.seeding import indices_at

_MOST_IN_A_ROW = 100  # unreadable images; more than that is a broken data set, not a few broken files


@dataclass(frozen=True)
class Chunk:
    """A batch before it becomes floats.

    >>> Chunk(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.tensor([-1]), ("a",), ()).keys
    ('a',)
    """

    pixels: Tensor
    """uint8, (B, C, H, W)."""
    labels: Tensor
    """int64, (B,); -1 where an image has no label."""
    keys: tuple[str, ...]
    """B names."""
    skipped: tuple[str, ...]
    """One message for each image that could not be read."""


class Fetch(Dataset[Chunk | GridcodeError]):
    """Maps a run of positions to a chunk; it runs in the worker processes.

    An error is returned, not raised: PyTorch would wrap a raised one into the text of a traceback.

    Args:
        source: The images.
        config: Size, channels, crop and what to do at an unreadable image.
        seed: Of the training order and crops; None reads the source in its own order with the centre crop.

    Raises:
        GridcodeError: The source is empty.

    >>> from gridcode.data.scenes.source import Scenes
    >>> fetch = Fetch(Scenes(seed=0, start=0, count=5, size=16), DataConfig(size=8), seed=None)
    >>> fetch[range(2, 4)].pixels.shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(self, source: ImageSource, config: DataConfig, *, seed: int | None) -> None:
        if not len(source):
            raise GridcodeError(f"{source.name}: no images; check data.source")
        self._source = source
        self._config = config
        self._seed = seed

    def __getitem__(self, positions: range) -> Chunk | GridcodeError:
        shape = (len(positions), self._config.channels, self._config.size, self._config.size)
        pixels = np.empty(shape, np.uint8)
        labels: list[int] = []
        keys: list[str] = []
        skipped: list[str] = []
        try:
            for position in positions:
                example = self._read(position, skipped)
                if example is None:
                    continue
                square = to_channels(self._crop(example.image, position), self._config.channels)
                pixels[len(keys)] = square.transpose(2, 0, 1)
                labels.append(-1 if example.label is None else example.label)
                keys.append(example.key)
        except GridcodeError as error:
            return error.with_traceback(None)
        stack = torch.from_numpy(pixels[: len(keys)])
        return Chunk(stack, torch.tensor(labels, dtype=torch.int64), tuple(keys), tuple(skipped))

    def _read(self, position: int, skipped: list[str]) -> Example | None:
        """The example at a position; for an unreadable one, in training the next readable one, else None."""
        tries = 1 if self._seed is None else min(len(self._source), _MOST_IN_A_ROW)
        first = self._index(position)
        for step in range(tries):
            try:
                return self._source[(first + step) % len(self._source)]
            except GridcodeError as error:
                if self._config.on_error == "stop":
                    raise
                skipped.append(str(error))
        if self._seed is None:
            return None
        raise FileError(f"{self._source.name}: {tries} images in a row cannot be read; the last: {skipped[-1]}")

    def _index(self, position: int) -> int:
        """Which image of the source stands at a position of the stream."""
        if self._seed is None:
            return position
        return int(indices_at(position, position + 1, count=len(self._source), seed=self._seed)[0])

    def _crop(self, image: NDArray[np.uint8], position: int) -> NDArray[np.uint8]:
        if self._seed is None:
            return center_crop(image, self._config.size)
        generator = np.random.default_rng((self._seed, position))
        return train_crop(image, self._config.size, policy=self._config.crop, generator=generator)
