"""Batches of clips: an endless training stream that any step can be resumed at, and one pass for evaluation.

The stream is that of :mod:`gridcode.data.workers`: training clip number p and its place in the video depend on
(seed, p) alone. In evaluation a clip is the middle of its video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gridcode.data.labelled.fetch import Fetch, NamedExamples, Rows
from gridcode.data.workers import TrainOrder
from gridcode.domains.video.config import VideoConfig
from gridcode.domains.video.data.source import Clip, ClipSource, Frames


@dataclass(frozen=True)
class VideoBatch(NamedExamples):
    """Clips ready for a model.

    Attributes:
        clips: float32 in [-1, 1], (B, 3, T, H, W); frames lie in memory as images in channels-last do.
    """

    clips: Tensor


def as_clips(frames: Frames) -> Tensor:
    """Frames uint8 (B, T, H, W, 3) as clips (B, 3, T, H, W) in [-1, 1].

    >>> as_clips(np.full((1, 2, 4, 4, 3), 255, np.uint8)).amin().item()
    1.0
    """
    return (torch.from_numpy(frames).float() / 127.5 - 1).permute(0, 4, 1, 2, 3)


def read_clip(clip: Clip, generator: np.random.Generator | None, *, config: VideoConfig) -> Frames:
    """Frames of a clip, (T, H, W, 3).

    Args:
        clip: The clip.
        generator: Takes ``config.train_frames`` at a random place, as training does; None takes ``config.frames`` from
            the middle of a video.
        config: How clips are read.

    Raises:
        GridcodeError: The video cannot be read, or has too few frames and ``config.fewer`` is 'refuse'.
    """
    if generator is None:
        return clip.read(config, 0.5)
    frames, count = clip.read(config, float(generator.random())), config.train_frames
    start = int(generator.integers(config.frames - count + 1))
    return frames[start : start + count]


def _batch(rows: Rows, *, shape: tuple[int, ...]) -> VideoBatch:
    stacked = np.stack(rows.values) if rows.values else np.zeros((0, *shape), np.uint8)
    return VideoBatch(as_clips(stacked), **rows.beside())


def _fetch(source: ClipSource, config: VideoConfig, *, seed: int | None) -> Fetch[VideoBatch, Clip]:
    frames = config.frames if seed is None else config.train_frames
    read, batch = partial(read_clip, config=config), partial(_batch, shape=(frames, config.size, config.size, 3))
    return Fetch(source, read, batch, seed=seed, on_error=config.on_error, nouns="videos")


def train_batches(source: ClipSource, config: VideoConfig, order: TrainOrder) -> Iterator[VideoBatch]:
    """Batches in an order, without end.

    Raises:
        GridcodeError: The source is empty, or a video cannot be read.
    """
    return _fetch(source, config, seed=order.seed).without_end(order, workers=config.workers)


def eval_batches(source: ClipSource, config: VideoConfig, *, batch_size: int) -> Iterator[VideoBatch]:
    """Every clip once, in order; with ``on_error="skip"`` those that can be read.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or a video (or every video) cannot be read.
    """
    return _fetch(source, config, seed=None).once(batch_size=batch_size, workers=config.workers)
