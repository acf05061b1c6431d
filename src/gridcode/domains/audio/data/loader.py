"""Batches of sounds: an endless training stream that any step can be resumed at, and one pass for evaluation.

The stream is that of :mod:`gridcode.data.workers`: training sound number p and its crop depend on (seed, p) alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gridcode.data.workers import TrainOrder, eval_stream, example_at, fetch_in_order, useful_workers
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import Waveform
from gridcode.domains.audio.data.source import Sound, SoundSource
from gridcode.errors import FileError, GridcodeError

PEAK = 0.9
"""Where a normalised sound's loudest sample lies."""
_MOST_GAIN = 100.0
_MOST_IN_A_ROW = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioBatch:
    """Sounds ready for a model.

    Attributes:
        waveforms: float32 in [-1, 1], (B, 1, T).
        labels: int64, (B,); -1 where a sound has no label.
        keys: The sounds' names in their source, B of them.
        skipped: One message for each sound that could not be read on the way to this batch.
    """

    waveforms: Tensor
    labels: Tensor
    keys: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def gain(peak: float) -> float:
    """The factor that brings a peak to 0.9, 100 at most; silence stays silence.

    >>> gain(0.45), gain(0.0)
    (2.0, 1.0)
    """
    return min(PEAK / peak, _MOST_GAIN) if peak > 0 else 1.0


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


class Fetch(Dataset[AudioBatch | GridcodeError]):
    """Maps a run of positions to a batch; it runs in the worker processes, and returns an error instead of raising it.

    Args:
        source: The sounds.
        config: How they are read.
        seed: Of the training order and crops; None reads the source in its own order, whole.

    Raises:
        GridcodeError: The source is empty.
    """

    def __init__(self, source: SoundSource, config: AudioConfig, *, seed: int | None) -> None:
        if not len(source):
            raise GridcodeError(f"{source.name}: no sounds; check data.source")
        self._source, self._config, self._seed = source, config, seed

    def __getitem__(self, positions: range) -> AudioBatch | GridcodeError:
        waveforms, labels, keys, skipped = list[Waveform](), list[int](), list[str](), list[str]()
        try:
            for position in positions:
                first, generator = example_at(position, count=len(self._source), seed=self._seed)
                if (read := self._read(first, generator, skipped)) is None:
                    continue
                sound, waveform = read
                waveforms.append(waveform)
                labels.append(-1 if sound.label is None else sound.label)
                keys.append(sound.key)
        except GridcodeError as error:
            return error.with_traceback(None)
        length = self._config.samples if self._seed is None else self._config.crop
        stacked = np.stack(waveforms) if waveforms else np.zeros((0, length), np.float32)
        return AudioBatch(torch.from_numpy(stacked)[:, None], torch.tensor(labels), tuple(keys), tuple(skipped))

    def _read(
        self, first: int, generator: np.random.Generator | None, skipped: list[str]
    ) -> tuple[Sound, Waveform] | None:
        """The sound of that number; for an unreadable one, in training the next readable one, else None."""
        tries = 1 if generator is None else min(len(self._source), _MOST_IN_A_ROW)
        for step in range(tries):
            try:
                sound = self._source[(first + step) % len(self._source)]
                if generator is None:
                    return sound, whole(sound, self._config)
                return sound, train_crop(sound, self._config, generator)
            except GridcodeError as error:
                if self._config.on_error == "stop":
                    raise
                skipped.append(str(error))
        if generator is None:
            return None
        raise FileError(f"{self._source.name}: {tries} sounds in a row cannot be read; the last: {skipped[-1]}")


def train_batches(source: SoundSource, config: AudioConfig, order: TrainOrder) -> Iterator[AudioBatch]:
    """Batches of random crops in an order, without end.

    Raises:
        GridcodeError: The source is empty, or a sound cannot be read.
    """
    workers = useful_workers(config.workers, in_memory=False)
    return fetch_in_order(Fetch(source, config, seed=order.seed), order.positions(), workers)


def eval_batches(source: SoundSource, config: AudioConfig, *, batch_size: int) -> Iterator[AudioBatch]:
    """Every sound once, in order; with ``on_error="skip"`` those that can be read.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or a sound (or every sound) cannot be read.
    """
    fetch = Fetch(source, config, seed=None)
    failed, found = list[str](), False
    for batch in eval_stream(fetch, total=len(source), workers=config.workers, batch_size=batch_size):
        for message in batch.skipped:
            _log.warning("skipped %s", message)
        failed += batch.skipped
        if batch.keys:
            yield replace(batch, skipped=tuple(failed))
            failed, found = [], True
    if not found:
        raise FileError(f"{source.name}: none of the {len(failed)} sounds can be read; the first: {failed[0]}")
