"""A strip of pictures above their reconstructions, to see what a figure does not say while training goes on."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gridcode.files import write_atomic


def save_strip(path: Path, images: Tensor, reconstructions: Tensor) -> None:
    """Write pictures in a row, their reconstructions below, as PNG.

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
    picture = Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).numpy())
    write_atomic(path, lambda temporary: picture.save(temporary, format="PNG"))
