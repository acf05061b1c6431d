"""Sounds of any length in bounded memory: the networks' context is finite, so a sound may pass in overlapping parts.

    context | block | context            what a part is given: its block, and the places around it that it depends on
            | block |                    what is kept of its result

A part's inner result is that of the whole sound up to rounding, so that there are no seams to hear. The ends of the
sound are the ends of a part, where both have the same zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.tokenizer.model import Tokenizer

BLOCK = 1024
"""Places of the token grid that are computed together, beside their context."""


def in_parts(
    pieces: Iterable[Tensor],
    work: Callable[[Tensor], Tensor],
    *,
    block: int,
    context: int,
    entering: int = 1,
    leaving: int = 1,
) -> Iterator[Tensor]:
    """Apply a function of finite context to a signal that comes in pieces, block by block.

    Args:
        pieces: (1, ..., T_i) of any lengths whose sum is a multiple of ``entering``.
        work: Maps (1, ..., n entering) to (1, ..., n leaving); place i depends on places i - context to i + context.
        block: Places that are kept of a call.
        context: Places on either side that a place may depend on.
        entering: Entries of the signal a place.
        leaving: Entries of the result a place.

    Yields:
        The result of the whole signal, a block at a time.

    >>> signal = torch.arange(10.0)[None, None]
    >>> mean = lambda x: torch.nn.functional.avg_pool1d(x, 3, 1, 1)
    >>> parts = in_parts(signal.split(3, -1), mean, block=2, context=1)
    >>> torch.equal(torch.cat(list(parts), -1), mean(signal))
    True
    """
    held, before = None, 0
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], -1)
        while held.shape[-1] >= (before + block + context) * entering:
            result = work(held[..., : (before + block + context) * entering])
            yield result[..., before * leaving : (before + block) * leaving]
            done = before + block
            before = min(context, done)
            held = held[..., (done - before) * entering :]
    if held is not None and held.shape[-1] > before * entering:
        yield work(held)[..., before * leaving :]


def encode_stream(tokenizer: Tokenizer, pieces: Iterable[Tensor], *, block: int = BLOCK) -> Iterator[Tensor]:
    """The tokens of a sound that comes in pieces (1, 1, T_i), in [-1, 1]: parts (1, 1, t_i, *index_shape).

    The last place is filled up with zeros.

    Raises:
        GridcodeError: A sample is out of range.
    """
    stride, extra = tokenizer.config.stride, len(tokenizer.quantizer.index_shape)

    def work(part: Tensor) -> Tensor:
        return tokenizer.encode(part.to(tokenizer.device)).movedim(2, -1)

    parts = in_parts(_filled(pieces, stride), work, block=block, context=tokenizer.config.context, entering=stride)
    return (part.movedim(-1, 2) if extra else part for part in parts)


def decode_stream(tokenizer: Tokenizer, parts: Iterable[Tensor], *, block: int = BLOCK) -> Iterator[Tensor]:
    """The sound of tokens that come in parts (1, 1, t_i, *index_shape): pieces (1, 1, T_i)."""

    def work(part: Tensor) -> Tensor:
        return tokenizer.decode(part.movedim(-1, 2).to(tokenizer.device))

    config = tokenizer.config
    moved = (part.movedim(2, -1) for part in parts)
    return in_parts(moved, work, block=block, context=config.context, leaving=config.stride)


def reconstruct_stream(tokenizer: Tokenizer, pieces: Iterable[Tensor], *, block: int = BLOCK) -> Iterator[Tensor]:
    """``decode(encode(sound))`` of a sound that comes in pieces (1, 1, T_i), up to the last place's filling."""
    return decode_stream(tokenizer, encode_stream(tokenizer, pieces, block=block), block=block)


def _filled(pieces: Iterable[Tensor], stride: int) -> Iterator[Tensor]:
    """The pieces, and zeros up to a multiple of the stride."""
    total = 0
    for piece in pieces:
        total += piece.shape[-1]
        yield piece
        last = piece
    if total % stride:
        yield F.pad(last[..., :0], (0, -total % stride))
