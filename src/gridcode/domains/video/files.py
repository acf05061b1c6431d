"""Clips to files, and to addresses: animated WebP or GIF, of a frame rate, written whole or not at all."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from torch import Tensor

from gridcode.evaluation.images import ImageArray, magnification, to_uint8
from gridcode.files import write_bytes

ClipFormat = Literal["webp", "gif"]
_SETTINGS: Final = {"webp": {"lossless": True, "method": 4}, "gif": {"disposal": 1}}


def frames_of(clip: Tensor) -> ImageArray:
    """A clip (3, T, H, W) in [-1, 1] as images, uint8 (T, H, W, 3).

    >>> import torch
    >>> frames_of(torch.zeros(3, 5, 4, 4)).shape
    (5, 4, 4, 3)
    """
    return to_uint8(clip.transpose(0, 1))


def animation(frames: ImageArray, *, fps: float, format: ClipFormat = "webp") -> bytes:
    """Frames uint8 (T, H, W, 3) as a file that plays again and again.

    WebP keeps every pixel; GIF has 256 colours a frame, and shows one for a whole number of hundredths of a second.
    """
    first, *others = (Image.fromarray(frame) for frame in frames)
    buffer = io.BytesIO()
    first.save(
        buffer,
        format=format,
        save_all=True,
        append_images=others,
        duration=max(1, round(1000 / fps)),
        loop=0,
        **_SETTINGS[format],
    )
    return buffer.getvalue()


def write_clip(path: Path, clip: Tensor, *, fps: float) -> None:
    """Write a clip (3, T, H, W) in [-1, 1]; the file's ending, ``.webp`` or ``.gif``, is its format.

    Raises:
        GridcodeError: The file cannot be written.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "a.webp"
    >>> write_clip(path, torch.linspace(-1, 1, 48).reshape(3, 1, 4, 4).expand(-1, 2, -1, -1), fps=8.0)
    >>> path.read_bytes()[8:12]
    b'WEBP'
    """
    write_bytes(path, animation(frames_of(clip), fps=fps, format="gif" if path.suffix == ".gif" else "webp"))


def address(clip: Tensor, *, fps: float) -> str:
    """A clip (3, T, H, W) as an address that holds the whole animation, its pixels magnified without blur."""
    frames = frames_of(clip)
    factor = magnification(frames.shape[2])
    large = frames.repeat(factor, axis=1).repeat(factor, axis=2)
    return "data:image/webp;base64," + base64.b64encode(animation(large, fps=fps)).decode("ascii")
