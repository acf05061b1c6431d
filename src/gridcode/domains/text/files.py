"""Whole texts through a tokenizer and back, of any length, window by window."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gridcode.domains.text.data import Bytes, Stretch, TextSource, eval_batches
from gridcode.tokenizer.model import Tokenizer


@torch.inference_mode()
def reconstruct_text(tokenizer: Tokenizer, content: Bytes, *, window: int, batch_size: int = 256) -> Bytes:
    """``decode(encode(text))`` of a text of any length, uint8 (n,) to uint8 (n,).

    The last window is filled up with zero bytes, which are cut off again.

    Args:
        tokenizer: In evaluation mode.
        content: The text, at least one byte.
        window: Bytes of a window, as the tokenizer was trained on.
        batch_size: Windows at a time.
    """
    source = TextSource("text", [Stretch("text", 0, content)], window)
    parts = list[Bytes]()
    for batch in eval_batches(source, batch_size=batch_size):
        back = tokenizer.decode(tokenizer.encode(batch.text.to(tokenizer.device)))
        parts.append(back.cpu()[batch.own].numpy())
    return np.concatenate(parts)


def text_bytes(window: Tensor) -> bytes:
    """A window (T,) uint8 as bytes, without the zeros at its end that fill it up.

    >>> text_bytes(torch.tensor([72, 105, 0, 0], dtype=torch.uint8))
    b'Hi'
    """
    return window.cpu().numpy().astype(np.uint8).tobytes().rstrip(b"\0")
