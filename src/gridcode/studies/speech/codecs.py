"""Sounds through the codecs of speech that people use, at the lowest rates: Opus by PyAV, Codec 2 by pycodec2.

Both have memory, and look ahead: a sound of half a second would be all beginning. So sounds go through one after
another, as one stream, and are cut apart again; each codec's delay is taken out first.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.domains.audio.spectrum import log_mel
from gridcode.errors import GridcodeError
from gridcode.studies.speech.config import RATE

Speech = NDArray[np.float32]

_PACKAGES: Final = {"opus": "av", "codec2": "pycodec2"}
_LONGEST_DELAY: Final = 1600
"""Samples, a fifth of a second."""


def through_codec(name: str, sounds: Tensor) -> tuple[Tensor, float]:
    """Sounds through a codec and back.

    Args:
        name: The codec and its bits per second, as in :class:`SpeechConfig`.
        sounds: (n, 1, T) in [-1, 1], at 8,000 samples per second.

    Returns:
        The same of what it gives back, and the bits per second that its packets have.

    Raises:
        GridcodeError: Its package is not installed.
    """
    codec, _, rate = name.partition("-")
    stream = sounds.flatten().numpy()
    back, bits = (_opus if codec == "opus" else _codec2)(stream, int(rate))
    shift = delay(stream, back)
    aligned = np.zeros_like(stream)
    part = back[shift : shift + len(stream)]
    aligned[: len(part)] = part
    return torch.from_numpy(aligned).view(sounds.shape), bits * RATE / len(stream)


def load(codec: str) -> Any:
    """The package of a codec.

    Raises:
        GridcodeError: It is not installed.
    """
    name = _PACKAGES[codec]
    try:
        return import_module(name)
    except ImportError:
        raise GridcodeError(
            f"the codec {codec} needs the package {name}: pip install {name}, or leave it out of codecs"
        ) from None


def delay(stream: Speech, back: Speech) -> int:
    """Samples by which a codec is late: where log-mel spectra are nearest, and near by, where the waves are most alike.

    A vocoder's wave is like no other, so that the spectra find the place; SI-SDR of other codecs needs the very sample.

    >>> rng = np.random.default_rng(0)
    >>> sound = (rng.standard_normal(16000) * np.repeat(rng.random(20), 800)).astype(np.float32)
    >>> delay(sound, np.concatenate([np.zeros(251, np.float32), sound]))
    251
    """
    length = min(len(stream), 40 * RATE) - _LONGEST_DELAY
    last = min(_LONGEST_DELAY, len(back) - length)

    def mel(samples: Speech) -> Tensor:
        return log_mel(torch.from_numpy(np.ascontiguousarray(samples))[None, None], RATE, window=256, bands=40)

    reference = mel(stream[:length])
    near = min(
        range(0, last + 1, 40),
        key=lambda shift: float((mel(back[shift : shift + length]) - reference).abs().mean()),
        default=0,
    )
    return max(
        range(max(0, near - 20), min(last, near + 20) + 1),
        key=lambda shift: float(np.dot(back[shift : shift + length], stream[:length])),
        default=0,
    )


def _opus(stream: Speech, rate: int) -> tuple[Speech, int]:
    av, file, bits = load("opus"), io.BytesIO(), 0
    with av.open(file, "w", format="ogg") as container:
        out = container.add_stream("libopus", rate=RATE, layout="mono")
        out.bit_rate = rate
        out.options = {"application": "voip", "frame_duration": "60", "vbr": "off"}
        frame = av.AudioFrame.from_ndarray((stream * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*out.encode(frame), *out.encode(None)):
            bits += 8 * packet.size
            container.mux(packet)
    file.seek(0)
    resampler, parts = av.AudioResampler(format="flt", layout="mono", rate=RATE), []
    with av.open(file) as container:
        for decoded in container.decode(audio=0):
            parts += [found.to_ndarray()[0] for found in resampler.resample(decoded)]
    parts += [found.to_ndarray()[0] for found in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float32), bits


def _codec2(stream: Speech, rate: int) -> tuple[Speech, int]:
    codec = load("codec2").Codec2(rate)
    size = codec.samples_per_frame()
    padded = np.pad(stream, (0, -len(stream) % size + 2 * size))
    frames = (padded * 32767).astype(np.int16).reshape(-1, size)
    coded = [codec.encode(frame) for frame in frames]
    back = np.concatenate([codec.decode(frame) for frame in coded]) / 32768
    return back.astype(np.float32), round(codec.bits_per_frame() * len(stream) / size)
