"""Reconstruction: pictures through a tokenizer and back."""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.data.crop import center_crop, to_channels
from gridcode.data.source import Example
from gridcode.errors import GridcodeError
from gridcode.tokenizer.model import Tokenizer


def as_batch(example: Example, tokenizer: Tokenizer, *, size: int | None) -> Tensor:
    """One picture as the tokenizer takes it: (1, C, H, W) in [-1, 1].

    Args:
        example: The picture.
        tokenizer: Whose channels and downsampling it must fit.
        size: Centre-crop and resize to this square; None keeps the picture's own size, trimmed at the right
            and bottom to multiples of the downsampling.

    Raises:
        GridcodeError: The picture is smaller than one token.
    """
    pixels = to_channels(example.image, tokenizer.config.channels)
    if size is not None:
        pixels = center_crop(pixels, size)
    f = tokenizer.config.downsampling
    height, width = (side // f * f for side in pixels.shape[:2])
    if not height or not width:
        raise GridcodeError(
            f"{example.key} has {pixels.shape[1]}x{pixels.shape[0]} pixels, fewer than one {f}x{f} token"
        )
    image = torch.tensor(pixels[:height, :width].copy()).permute(2, 0, 1)[None]
    return image.float() / 127.5 - 1


def reconstruct(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    """``decode(encode(images))``: (B, C, H, W) in [-1, 1] to the same.

    >>> from gridcode.tokenizer.config import TokenizerConfig
    >>> reconstruct(Tokenizer(TokenizerConfig(widths=(8, 16))), torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 8])
    """
    return tokenizer.decode(tokenizer.encode(images))
