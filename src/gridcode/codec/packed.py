"""Tokens as the digits of one large number: the coder ``raw``, which assumes nothing of them.

    number = t_1 + K (t_2 + K (t_3 + …)),      N tokens in ceil(N log2 K / 8) bytes, little-endian

A long row of tokens is cut into blocks of 4096, each with its own number, so that time grows with N and not with its
square. Up to 4096 tokens the size is exactly ceil(N log2 K / 8) bytes; beyond, each block rounds up to a byte: less
than 8 / 4096 = 0.002 bits per token, and nothing where K is a power of two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridcode.errors import GridcodeError

BLOCK = 4096
"""Tokens of one number."""


def packed_size(count: int, codes: int) -> int:
    """Bytes that :func:`pack` needs.

    Args:
        count: Tokens, N.
        codes: K.

    >>> packed_size(64, 1000), packed_size(10, 1)
    (80, 0)
    """
    full, rest = divmod(count, BLOCK)
    return full * _block_size(BLOCK, codes) + (_block_size(rest, codes) if rest else 0)


def pack(tokens: NDArray[np.int64], codes: int) -> bytes:
    """Tokens as bytes.

    Args:
        tokens: int64 in [0, K), (N,).
        codes: K.

    Raises:
        GridcodeError: A token is outside [0, K).

    >>> pack(np.array([3, 1, 2]), 5).hex(), (3 + 5 * (1 + 5 * 2)).to_bytes(1, "little").hex()
    ('3a', '3a')
    """
    check_tokens(tokens, codes)
    parts = []
    for start in range(0, len(tokens), BLOCK):
        block = tokens[start : start + BLOCK]
        parts.append(_join(block, codes).to_bytes(_block_size(len(block), codes), "little"))
    return b"".join(parts)


def unpack(data: bytes, count: int, codes: int) -> NDArray[np.int64]:
    """The tokens that :func:`pack` wrote.

    Args:
        data: The bytes.
        count: N.
        codes: K.

    Returns:
        int64 in [0, K), (N,).

    Raises:
        GridcodeError: There are more or fewer bytes than N tokens take, or they are no N tokens.

    >>> unpack(pack(np.array([3, 1, 2]), 5), 3, 5).tolist()
    [3, 1, 2]
    """
    if len(data) != packed_size(count, codes):
        raise GridcodeError(
            f"{count} tokens of {codes} codes take {packed_size(count, codes)} bytes, got {len(data)}; the stream is "
            "damaged"
        )
    tokens, place = np.empty(count, np.int64), 0
    for start in range(0, count, BLOCK):
        length = min(BLOCK, count - start)
        size = _block_size(length, codes)
        number = int.from_bytes(data[place : place + size], "little")
        tokens[start : start + length] = _split(number, length, codes)
        place += size
    return tokens


def check_tokens(tokens: NDArray[np.int64], codes: int) -> None:
    """Refuse tokens outside [0, K).

    Raises:
        GridcodeError: There is one.
    """
    if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= codes):
        raise GridcodeError(f"tokens lie in [0, {codes}), got {tokens.min()} … {tokens.max()}; use the K of their book")


def _block_size(count: int, codes: int) -> int:
    """ceil(N log2 K / 8), exactly: the bytes of the largest number of N digits."""
    most: int = codes**count - 1
    return (most.bit_length() + 7) // 8


def _join(block: NDArray[np.int64], codes: int) -> int:
    """Horner's rule, halves at a time, so that the numbers that are multiplied are of equal length."""
    numbers: list[int] = block.tolist()
    base = codes
    while len(numbers) > 1:
        pairs = zip(numbers[::2], [*numbers[1::2], 0] if len(numbers) % 2 else numbers[1::2], strict=True)
        numbers = [low + base * high for low, high in pairs]
        base *= base
    return numbers[0]


def _split(number: int, count: int, codes: int) -> list[int]:
    """The digits, by halves, as :func:`_join` put them together."""
    bases, numbers = [codes], [number]
    while 2 ** len(bases) < count:
        bases.append(bases[-1] ** 2)
    for base in reversed(bases if count > 1 else []):
        numbers = [digit for one in numbers for digit in divmod(one, base)[::-1]]
    if any(numbers[count:]) or numbers[count - 1] >= codes:
        raise GridcodeError(f"the bytes are no {count} tokens of {codes} codes; the stream is damaged")
    return numbers[:count]
