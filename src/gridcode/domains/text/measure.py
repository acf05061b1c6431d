"""What is lost of a text between its tokens and its bytes, and what the whole path costs.

    bits per character = ( bits of the tokens under the prior + bits of the bytes under the decoder ) / n

That is a code of the text without loss: first the tokens, then what they leave open. n counts the text's own bytes;
the zeros that fill up a window at a text's end count neither as bytes nor in the decoder's bits, but in the tokens'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.domains.text.data import TextBatch
from gridcode.domains.text.networks import log_probs
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter


@dataclass(frozen=True)
class TextScores:
    """The figures of reconstructions.

    Attributes:
        byte_accuracy: Share of bytes whose most probable value is the right one.
        whole_windows: Share of windows all of whose bytes are.
        decoder_bits: Bits per byte costs under the decoder, given the tokens.
        windows: How many were measured.
        size: Their own bytes.
        usage: Of the codes.
    """

    byte_accuracy: float
    whole_windows: float
    decoder_bits: float
    windows: int
    size: int
    usage: TokenUsage

    def path_bits(self, bits_per_token: float, tokens: int) -> float:
        """Bits per character of the whole path.

        Args:
            bits_per_token: What a token of these windows costs under a prior.
            tokens: Of a window.
        """
        return bits_per_token * tokens * self.windows / self.size + self.decoder_bits


class TextMeter:
    """Adds up batches of windows and what the decoder says of them.

    Args:
        tokenizer: Whose codes are counted.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._codes = TokenUsageMeter(tokenizer.quantizer)
        self._windows = self._whole = self._bytes = self._right = 0
        self._nats = 0.0

    def update(self, batch: TextBatch, logits: Tensor, indices: Tensor) -> None:
        """Add windows, their logits (B, 256, T) and their tokens."""
        self._codes.update(indices)
        logits, own = logits.float().cpu(), batch.own
        right = (logits.argmax(1) == batch.text) | ~own
        self._nats -= float(log_probs(logits, batch.text)[own].sum())
        self._windows += len(own)
        self._whole += int(right.all(1).sum())
        self._bytes += int(own.sum())
        self._right += int((right & own).sum())

    def compute(self) -> TextScores:
        """The figures so far."""
        return TextScores(
            byte_accuracy=self._right / self._bytes,
            whole_windows=self._whole / self._windows,
            decoder_bits=self._nats / self._bytes / math.log(2),
            windows=self._windows,
            size=self._bytes,
            usage=self._codes.compute(),
        )


@torch.inference_mode()
def measure_reconstructions(tokenizer: Tokenizer, batches: Iterable[TextBatch]) -> TextScores:
    """Send windows through a tokenizer in evaluation mode and back, and measure."""
    meter = TextMeter(tokenizer)
    for batch in batches:
        out = tokenizer(batch.text.to(tokenizer.device))
        meter.update(batch, out.outputs, out.quantized.indices)
    return meter.compute()
