"""What general compressors make of tokens: zlib and zstd, which know no image and no prior.

    packed     ceil(log2 K) bits per token, one after another, the highest bit first; the last byte is filled with zeros
    whole      1, 2, 4 or 8 bytes per token, the fewest that hold K, little-endian

A compressor of bytes finds repeated tokens only where they lie alike in their bytes, which packed tokens do at every
eighth place at best; and where nothing repeats, whole bytes cost it more. So each compressor is given both, and the
smaller result counts:

    bits per token = 8 min(|compress(packed)|, |compress(whole)|) / N

Digits of one large number (``packed.py``) are the shortest to begin with, and have no bytes that repeat.

Reference: FSQ paper, section 5.1 ("compression cost"), beside whose priors these stand.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridcode.codec.packed import check_tokens
from gridcode.errors import GridcodeError

ZLIB_LEVEL: Final = 9
ZSTD_LEVEL: Final = 19
"""The strongest that does not take more memory than usual."""

_BLOCK: Final = 2**16
"""Tokens whose bits are laid out at a time; a multiple of 8, so that blocks end at whole bytes."""


@dataclass(frozen=True)
class CompressedBits:
    """What tokens cost without a prior.

    Attributes:
        packed: Bits of a packed token, ceil(log2 K).
        zlib: Bits per token of zlib's result at level 9.
        zstd: Bits per token of zstd's at level 19.
    """

    packed: int
    zlib: float
    zstd: float


def compressed_bits(tokens: NDArray[np.int64], codes: int) -> CompressedBits:
    """Bits per token of zlib and zstd, each of the layout that suits it better.

    Args:
        tokens: int64 in [0, K), (N,), at least one: those of all examples, one after another.
        codes: K.

    Raises:
        GridcodeError: There are no tokens, or one is outside [0, K).

    >>> bits = compressed_bits(np.zeros(8000, np.int64), 1024)
    >>> bits.packed, bits.zlib < 0.1, bits.zstd < 0.1
    (10, True, True)
    """
    if not len(tokens):
        raise GridcodeError("bits of compressed tokens: there are no tokens; give at least one")
    check_tokens(tokens, codes)
    width = max(1, (codes - 1).bit_length())
    size = next(size for size in (1, 2, 4, 8) if width <= 8 * size)
    layouts = fixed_width(tokens, width), tokens.astype(f"<u{size}").tobytes()
    zstd = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
    return CompressedBits(
        packed=width,
        zlib=8 * min(len(zlib.compress(layout, ZLIB_LEVEL)) for layout in layouts) / len(tokens),
        zstd=8 * min(len(zstd.compress(layout, asbytes=True)) for layout in layouts) / len(tokens),
    )


def fixed_width(tokens: NDArray[np.int64], width: int) -> bytes:
    """Tokens at a fixed number of bits, without gaps.

    Args:
        tokens: int64 in [0, 2^width), (N,).
        width: Bits of a token, at most 63.

    Returns:
        ceil(N width / 8) bytes.

    >>> fixed_width(np.array([1, 2, 3]), 2).hex()  # 01 10 11 00
    '6c'
    """
    places = np.arange(width - 1, -1, -1)
    blocks = (tokens[start : start + _BLOCK, None] >> places & 1 for start in range(0, len(tokens), _BLOCK))
    return b"".join(np.packbits(block.astype(np.uint8)).tobytes() for block in blocks)
