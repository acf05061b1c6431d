"""Images through a tokenizer and back, and a strip of both to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gridcode.data.crop import center_crop, to_channels
from gridcode.data.source import Example
from gridcode.files import write_atomic
from gridcode.tokenizer.model import Tokenizer


def as_batch(example: Example, tokenizer: Tokenizer, *, size: int | None) -> Tensor:
    """One image as the tokenizer takes it: (1, C, H, W) in [-1, 1].

    Args:
        example: The image.
        tokenizer: Whose channels it must fit.
        size: Centre-crop and resize to this square; None keeps the image's own size.
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


def save_strip(path: Path, images: Tensor, reconstructions: Tensor) -> None:
    """Write images in a row, their reconstructions below, as PNG.

    Args:
        path: The file.
        images: (B, C, H, W) in [-1, 1], C being 1 or 3.
        reconstructions: Of the same shape; values beyond are clipped.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "strip.png"
    >>> save_strip(path, torch.zeros(3, 1, 8, 10), torch.zeros(3, 1, 8, 10))
    >>> with Image.open(path) as strip:
    ...     strip.size
    (30, 16)
    """
    rows = [torch.cat(list(row), dim=2) for row in (images.cpu(), reconstructions.float().cpu())]
    pixels = ((torch.cat(rows, dim=1) + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
    image = Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).numpy())
    write_atomic(path, lambda temporary: image.save(temporary, format="PNG"))
