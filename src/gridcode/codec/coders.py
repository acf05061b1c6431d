"""Blocks of tokens as payloads, by the coders that need no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridcode.codec.bitstream import Header
from gridcode.codec.frequencies import frequencies_of_counts
from gridcode.codec.histogram import unpack_counts
from gridcode.codec.packed import check_tokens, pack, unpack
from gridcode.codec.ranges import RangeDecoder, RangeEncoder


def encode_tokens(header: Header, tokens: NDArray[np.int64]) -> bytes:
    """Tokens by the coder ``raw`` or ``static``, as the header says.

    Args:
        header: What the tokens are.
        tokens: int64 in [0, K), of any shape.

    Raises:
        GridcodeError: A token is outside [0, K), or constriction is not installed.

    >>> header = Header("raw", "0" * 16, 8, (2, 2))
    >>> decode_tokens(header, encode_tokens(header, np.array([[7, 0, 1, 3]])), 4).tolist()
    [7, 0, 1, 3]
    """
    check_tokens(tokens.ravel(), header.codes)
    if header.coder == "raw":
        return pack(tokens.ravel(), header.codes)
    assert header.coder == "static"
    encoder = RangeEncoder()
    encoder.encode(tokens.ravel(), frequencies_of_counts(unpack_counts(header.table, header.codes)))
    return encoder.finish()


def decode_tokens(header: Header, coded: bytes, count: int) -> NDArray[np.int64]:
    """The tokens, (count,); the arguments are those of :func:`encode_tokens`.

    Raises:
        GridcodeError: The bytes are no such tokens.
    """
    if header.coder == "raw":
        return unpack(coded, count, header.codes)
    assert header.coder == "static"
    return RangeDecoder(coded).decode(frequencies_of_counts(unpack_counts(header.table, header.codes)), count)
