"""Reconstruction: pictures through a tokenizer and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.data.crop import center_crop, to_channels
from gridcode.data.source import Example
from gridcode.tokenizer.model import Tokenizer


def as_batch(example: Example, tokenizer: Tokenizer, *, size: int | None) -> Tensor:
    """One picture as the tokenizer takes it: (1, C, H, W) in [-1, 1].

    Args:
        example: The picture.
        tokenizer: Whose channels it must fit.
        size: Centre-crop and resize to this square; None keeps the picture's own size.
    """
    pixels = to_channels(example.image, tokenizer.config.channels)
    if size is not None:
        pixels = center_crop(pixels, size)
    image = torch.tensor(pixels.copy()).permute(2, 0, 1)[None]
    return image.float() / 127.5 - 1


def reconstruct(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    """``decode(encode(images))``: (B, C, H, W) in [-1, 1] to the same, of any size.

    Sides that are no whole tokens are drawn out, by their last pixels, and cut again.

    >>> from gridcode.domains.image.architectures import TokenizerConfig
    >>> reconstruct(Tokenizer(TokenizerConfig(widths=(8, 16))), torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 8])
    """
    f, (height, width) = tokenizer.config.downsampling, images.shape[-2:]
    right, below = -width % f, -height % f
    if max(height, width) <= f:
        right += f  # a normalisation over a single place would have nothing to go by
    padded = F.pad(images, (0, right, 0, below), mode="replicate")
    return tokenizer.decode(tokenizer.encode(padded))[..., :height, :width]
