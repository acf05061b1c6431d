"""Tokens as bytes, and what general compressors make of them: zlib and zstd, which know no picture and no prior.

    packed     ceil(log2 K) bits a token, one after another, the highest bit first; the last byte is filled with zeros
    whole      1, 2, 4 or 8 bytes a token, the fewest that hold K, little-endian

A compressor of bytes finds repeated tokens only where they lie alike in their bytes, which packed tokens do at every
eighth place at best; and where nothing repeats, whole bytes cost it more. So each compressor is given both, and the
smaller result counts:

    bits per token = 8 min(|compress(packed)|, |compress(whole)|) / N

Reference: FSQ paper, section 5.1 ("compression cost"), beside whose priors these stand.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def token_width(codebook_size: int) -> int:
    """Bits of a packed token, ceil(log2 K), at least 1.

    >>> token_width(1000), token_width(1024), token_width(1025)
    (10, 10, 11)
    """
    return max(1, (codebook_size - 1).bit_length())


def pack_tokens(tokens: Tensor, codebook_size: int) -> bytes:
    """Tokens at their fixed width, without gaps.

    Args:
        tokens: Integers in [0, K), any shape, in the order they are packed.
        codebook_size: K, at most 2^63.

    Returns:
        ceil(N ceil(log2 K) / 8) bytes.

    Raises:
        GridcodeError: A token is not an integer in [0, K).

    >>> pack_tokens(torch.tensor([1, 2, 3]), 4).hex()  # 01 10 11 00
    '6c'
    """
    flat, width = _checked(tokens, codebook_size), token_width(codebook_size)
    places = np.arange(width - 1, -1, -1)
    blocks = (flat[start : start + _BLOCK, None] >> places & 1 for start in range(0, len(flat), _BLOCK))
    return b"".join(np.packbits(block.astype(np.uint8)).tobytes() for block in blocks)


def unpack_tokens(packed: bytes, codebook_size: int, count: int) -> Tensor:
    """Tokens (N,) int64 that :func:`pack_tokens` has packed.

    Args:
        packed: The bytes.
        codebook_size: K.
        count: Tokens, N.

    Raises:
        GridcodeError: There are not as many bytes, or a token is not in [0, K).

    >>> unpack_tokens(bytes.fromhex("6c"), 4, 3)
    tensor([1, 2, 3])
    """
    width = token_width(codebook_size)
    if len(packed) != -(-count * width // 8):
        raise GridcodeError(
            f"packed tokens: {count} tokens of {width} bits take {-(-count * width // 8)} bytes, got {len(packed)}; "
            "the count, the codebook's size or the bytes are wrong"
        )
    found = np.empty(count, np.int64)
    places = np.arange(width - 1, -1, -1)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        part = np.frombuffer(packed, np.uint8, count=-(-size * width // 8), offset=start * width // 8)
        bits = np.unpackbits(part, count=size * width).reshape(size, width).astype(np.int64)
        found[start : start + size] = (bits << places).sum(1)
    return torch.from_numpy(_checked(torch.from_numpy(found), codebook_size))


def compressed_bits(tokens: Tensor, codebook_size: int) -> CompressedBits:
    """Bits per token of zlib and zstd, each of the layout that suits it better.

    Args:
        tokens: Integers in [0, K), at least one: (N,), or all examples one after another.
        codebook_size: K.

    Raises:
        GridcodeError: There are none, or one is not an integer in [0, K).

    >>> bits = compressed_bits(torch.zeros(8000, dtype=torch.int64), 1024)
    >>> bits.packed, bits.zlib < 0.1, bits.zstd < 0.1
    (10, True, True)
    """
    if not tokens.numel():
        raise GridcodeError("bits of compressed tokens: there are no tokens; give at least one")
    width = token_width(codebook_size)
    size = next(size for size in (1, 2, 4, 8) if width <= 8 * size)
    layouts = pack_tokens(tokens, codebook_size), _checked(tokens, codebook_size).astype(f"<u{size}").tobytes()
    zstd = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
    return CompressedBits(
        packed=width,
        zlib=8 * min(len(zlib.compress(layout, ZLIB_LEVEL)) for layout in layouts) / tokens.numel(),
        zstd=8 * min(len(zstd.compress(layout, asbytes=True)) for layout in layouts) / tokens.numel(),
    )


def _checked(tokens: Tensor, codebook_size: int) -> NDArray[np.int64]:
    """The tokens as (N,) int64, in [0, K)."""
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise GridcodeError(f"packed tokens are {tokens.dtype}; give integers such as torch.int64")
    flat = tokens.detach().to("cpu", torch.int64).flatten().numpy()
    if len(flat) and not (flat.min() >= 0 and flat.max() < codebook_size):
        seen = flat.min() if flat.min() < 0 else flat.max()
        raise GridcodeError(f"packed tokens must be in [0, {codebook_size}), got {seen}")
    return flat
