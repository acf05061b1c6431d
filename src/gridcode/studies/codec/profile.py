"""Where gridcode's bits and errors go: what of a file is tokens, and which frequencies of an image come back.

    file    = header and checksums + coded tokens
    error   = original - what came back, by radial frequency of its Fourier transform

A period of 4 pixels is a frequency of 1/4 cycles a pixel; means of the channels are in the longest periods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridcode.codec.bitstream import Coder, coded_part, parse_stream
from gridcode.domains.image.compress import Codec
from gridcode.studies.codec.formats import Pixels
from gridcode.studies.study import Values

PERIODS: Final = (32, 16, 8, 4)
"""Pixels of a period, between two bands."""
BANDS: Final = (
    f"over {PERIODS[0]}",
    *(f"{low} to {high}" for high, low in pairwise(PERIODS)),
    f"under {PERIODS[-1]}",
)
"""Titles of the bands, by falling period."""


def profile_of(codec: Codec, originals: Sequence[Pixels], coder: Coder | None) -> Values:
    """A rate's files and errors.

    Args:
        codec: Of one rate.
        originals: uint8, (H, W, C) each.
        coder: As the files are coded.

    Returns:
        The share of all files' bytes that are coded tokens, bits per token, the most that one can take, and by band the
        share of the squared error and the share of the images' energy that came back.
    """
    whole = coded = tokens = 0
    errors, energies = np.zeros(len(BANDS)), np.zeros(len(BANDS))
    for original in originals:
        data = codec.compress(original, coder=coder)
        stream = parse_stream(data, "a compressed image")
        whole += len(data)
        coded += sum(len(coded_part(payload)) for payload in stream.payloads())
        tokens += stream.header.tokens
        back = codec.decompress(codec.compress(original, coder="raw"))  # the same tokens, and no prior to wait for
        errors += by_band(original.astype(np.float64) - back)
        energies += by_band(original - original.mean((0, 1)))
    return {
        "coded_share": coded / whole,
        "bits_per_token": 8 * coded / tokens,
        "most_bits_per_token": math.log2(codec.rates[0].tokenizer.codebook_size),
        "error_share": (errors / max(errors.sum(), 1e-12)).tolist(),
        "kept_share": (1 - errors / np.maximum(energies, 1e-12)).tolist(),
    }


def by_band(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of squares of an image (H, W, C) in each of the bands.

    >>> waves = np.sin(2 * np.pi * np.arange(64) / 8)[None, :, None] + np.zeros((64, 1, 1))
    >>> by_band(waves).round(6).tolist()
    [0.0, 0.0, 0.0, 2048.0, 0.0]
    """
    height, width = image.shape[:2]
    power = (np.abs(np.fft.fft2(image, axes=(0, 1))) ** 2).sum(2) / (height * width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    band = np.searchsorted([1 / period for period in PERIODS], frequency, side="right")
    sums: NDArray[np.float64] = np.bincount(band.ravel(), power.ravel(), len(BANDS)).astype(np.float64)
    return sums
