"""Batches of sounds: an endless training stream that any step can be resumed at, and one pass for evaluation.

The stream is that of :mod:`gridcode.data.workers`: training sound number p and its crop depend on (seed, p) alone.
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
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import Recording, Waveform
from gridcode.domains.audio.data.source import Sound, SoundSource

PEAK = 0.9
"""Where a normalised sound's loudest sample lies."""
_MOST_GAIN = 100.0


@dataclass(frozen=True)
class AudioBatch(NamedExamples):
    """Sounds ready for a model.

    Attributes:
        waveforms: float32 in [-1, 1], (B, 1, T).
    """

    waveforms: Tensor


def gain(peak: float) -> float:
    """The factor that brings a peak to 0.9, 100 at most; silence stays silence.

    >>> gain(0.45), gain(0.0)
    (2.0, 1.0)
    """
    return min(PEAK / peak, _MOST_GAIN) if peak > 0 else 1.0


def file_gain(recording: Recording, config: AudioConfig) -> float:
    """The :func:`gain` of a whole file, which is read for it once; 1 where ``config.normalise`` is not set.

    Raises:
        GridcodeError: The file cannot be read.
    """
    if not config.normalise:
        return 1.0
    return gain(max(float(np.abs(part).max()) for part in recording.blocks(config.rate)))


def train_crop(sound: Sound, config: AudioConfig, generator: np.random.Generator) -> Waveform:
    """``config.crop`` samples at a random place of a sound, or all of a shorter one at a random place among zeros.

    Raises:
        GridcodeError: The file cannot be read.
    """
    length = sound.recording.length(config.rate)
    spare = length - config.crop
    place = int(generator.integers(abs(spare) + 1))
    if spare >= 0:
        return _fitted(sound.recording.read(config.rate, place, config.crop), config.crop, config)
    return _fitted(sound.recording.read(config.rate), config.crop, config, before=place)


def whole(sound: Sound, config: AudioConfig) -> Waveform:
    """``config.samples`` samples from the middle of a sound, or all of a shorter one with zeros after it.

    Raises:
        GridcodeError: The file cannot be read.
    """
    spare = sound.recording.length(config.rate) - config.samples
    return _fitted(sound.recording.read(config.rate, max(0, spare // 2), config.samples), config.samples, config)


def _fitted(samples: Waveform, length: int, config: AudioConfig, *, before: int = 0) -> Waveform:
    fitted = np.zeros(length, np.float32)
    samples = samples[: length - before]
    fitted[before : before + len(samples)] = samples
    return fitted * np.float32(gain(float(np.abs(fitted).max()))) if config.normalise else fitted


def _read(sound: Sound, generator: np.random.Generator | None, *, config: AudioConfig) -> Waveform:
    return whole(sound, config) if generator is None else train_crop(sound, config, generator)


def _batch(rows: Rows, *, length: int) -> AudioBatch:
    stacked = np.stack(rows.values) if rows.values else np.zeros((0, length), np.float32)
    return AudioBatch(torch.from_numpy(stacked)[:, None], **rows.beside())


def _fetch(source: SoundSource, config: AudioConfig, *, seed: int | None) -> Fetch[AudioBatch, Sound]:
    length = config.samples if seed is None else config.crop
    read, batch = partial(_read, config=config), partial(_batch, length=length)
    return Fetch(source, read, batch, seed=seed, on_error=config.on_error, nouns="sounds")


def train_batches(source: SoundSource, config: AudioConfig, order: TrainOrder) -> Iterator[AudioBatch]:
    """Batches of random crops in an order, without end.

    Raises:
        GridcodeError: The source is empty, or a sound cannot be read.
    """
    return _fetch(source, config, seed=order.seed).without_end(order, workers=config.workers)


def eval_batches(source: SoundSource, config: AudioConfig, *, batch_size: int) -> Iterator[AudioBatch]:
    """Every sound once, in order; with ``on_error="skip"`` those that can be read.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or a sound (or every sound) cannot be read.
    """
    return _fetch(source, config, seed=None).once(batch_size=batch_size, workers=config.workers)
