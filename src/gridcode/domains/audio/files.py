"""Whole sound files through a tokenizer and back, of any length, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import Recording, Waveform, writer
from gridcode.domains.audio.data.loader import file_gain
from gridcode.domains.audio.stream import reconstruct_stream
from gridcode.tokenizer.model import Tokenizer


@dataclass(frozen=True)
class FileResult:
    """What came of a file.

    Attributes:
        seconds: Its length.
        si_sdr: Of all of it, in dB; NaN of silence.
        beginning: Its first ``data.samples`` samples, (1, T), as the tokenizer heard them.
        its_reconstruction: The same of the reconstruction.
    """

    seconds: float
    si_sdr: float
    beginning: Tensor
    its_reconstruction: Tensor


@torch.inference_mode()
def reconstruct_file(tokenizer: Tokenizer, recording: Recording, path: Path, data: AudioConfig) -> FileResult:
    """Write ``decode(encode(sound))`` of a file, at its own loudness and the tokenizer's rate.

    The file is read twice where ``data.normalise`` is set: its loudest sample must be known before it is encoded.

    Args:
        tokenizer: In evaluation mode.
        recording: The file.
        path: What to write, ``.flac`` or ``.wav``.
        data: How sounds are read.

    Raises:
        GridcodeError: The file cannot be read, or the other not be written.
    """
    factor, length = file_gain(recording, data), 0
    products = np.zeros(3)  # <x, x>, <x, y>, <y, y>
    heard, waiting = list[Waveform](), list[Waveform]()
    beginning = np.zeros((2, data.samples), np.float32)

    def pieces() -> Iterator[Tensor]:
        for part in recording.blocks(data.rate):
            heard.append(np.clip(part * np.float32(factor), -1, 1))
            yield torch.from_numpy(heard[-1])[None, None]

    with writer(path, data.rate) as write:
        for piece in reconstruct_stream(tokenizer, pieces()):
            back = piece[0, 0].cpu().numpy()
            original = _take(heard, waiting, len(back))
            back = back[: len(original)]
            write((back / factor).astype(np.float32))
            products += [np.dot(original, original), np.dot(original, back), np.dot(back, back)]
            if length < data.samples:
                kept = slice(length, length + len(back))
                beginning[:, kept] = np.stack([original, back])[:, : max(0, data.samples - length)]
            length += len(back)
    target = products[1] ** 2 / products[0] if products[0] else math.nan
    ratio = 10 * math.log10(max(target, 1e-12) / max(products[2] - target, 1e-12)) if products[0] else math.nan
    sound, back = torch.from_numpy(beginning)
    return FileResult(length / data.rate, ratio, sound[None], back[None])


def _take(heard: list[Waveform], waiting: list[Waveform], count: int) -> Waveform:
    """The next ``count`` samples of what was heard, or those that there are."""
    whole = np.concatenate([*waiting, *heard])
    heard.clear()
    waiting[:] = [whole[count:]]
    return whole[:count]
