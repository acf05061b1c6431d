"""Logits of a linear layer over a large codebook, a block of codes at a time.

    hidden (M, D) ──weight (K, D), bias (K,)──> logits (M, K), never whole

A block is a range of codes and not of rows, so that the weight, which may be larger than the logits, is read once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.prior.distribution import at_least_float32

NUMBERS = {"cpu": 2**21, "other": 2**27}
"""Logits in a block, by device: about what caches hold, or enough for all cores of a GPU."""
LEAST_CODES, LEAST_ROWS = 256, 16
"""In a block, at least."""


def codes_at_once(rows: int, device: torch.device) -> int:
    """How many codes of so many rows make a block: a power of two, so that few kernels are made.

    >>> codes_at_once(2048, torch.device("cpu"))
    1024
    """
    return max(LEAST_CODES, _at_once(rows, device))


def rows_at_once(codes: int, device: torch.device) -> int:
    """How many rows of so many codes make a block, where all codes are needed at once: a power of two.

    >>> rows_at_once(2**20, torch.device("cpu"))
    16
    """
    return max(LEAST_ROWS, _at_once(codes, device))


def logits_of(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """All of them (M, K), at least float32; hidden vectors may be more exact than the layer, as guided ones are."""
    return at_least_float32(F.linear(hidden, weight.to(hidden.dtype), bias.to(hidden.dtype)))


def blocks_of_logits(
    hidden: Tensor, weight: Tensor, bias: Tensor, block: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """The first code of each block, and its logits (M, codes), at least float32; free to be overwritten.

    Args:
        hidden: (M, D).
        weight: (K, D).
        bias: (K,).
        block: Codes in a block; None for what suits the device.
    """
    block = block or codes_at_once(len(hidden), hidden.device)
    for start in range(0, len(weight), block):
        codes = slice(start, start + block)
        yield start, logits_of(hidden, weight[codes], bias[codes])


def logsumexp(logits: Tensor) -> Tensor:
    """Of each row (M, V), of which a logit is finite: (M,). The largest probability is 1 / Σ exp(l - max l).

    ``torch.logsumexp`` takes ten times as long where exp underflows, which it does at low temperatures.
    """
    return logits.amax(1) - logits.softmax(1).amax(1).log()


def _at_once(count: int, device: torch.device) -> int:
    return 1 << (NUMBERS.get(device.type, NUMBERS["other"]) // max(1, count) | 1).bit_length() - 1
