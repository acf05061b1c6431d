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
LEAST = 256
"""Codes or rows in a block, at least."""


def at_once(count: int, device: torch.device) -> int:
    """How many codes of ``count`` rows make a block, or rows of ``count`` codes: a power of two, so that few kernels
    are made.

    >>> at_once(2048, torch.device("cpu"))
    1024
    """
    numbers = NUMBERS.get(device.type, NUMBERS["other"])
    return max(LEAST, 1 << (numbers // max(1, count) | 1).bit_length() - 1)


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
    block = block or at_once(len(hidden), hidden.device)
    for start in range(0, len(weight), block):
        codes = slice(start, start + block)
        yield start, at_least_float32(F.linear(hidden, weight[codes], bias[codes]))


def logsumexp(logits: Tensor) -> Tensor:
    """Of each row (M, V): (M,). The largest probability is 1 / Σ exp(l - max l).

    ``torch.logsumexp`` takes ten times as long where exp underflows, which it does at low temperatures.
    """
    return logits.amax(1) - logits.softmax(1).amax(1).log()
