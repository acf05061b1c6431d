"""Clips as images that stand still: some of their frames in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gridcode.domains.video.files import frames_of
from gridcode.evaluation.images import ImageArray, contact_sheet, save_png
from gridcode.training.seeding import fixed_sample

COLUMNS: Final = 9
"""Frames of a clip that are shown, at most."""


def film_strips(clips: Tensor) -> ImageArray:
    """One image: a clip (3, T, H, W) of (B, 3, T, H, W) a row, evenly chosen frames from left to right.

    >>> film_strips(torch.zeros(2, 3, 17, 96, 96)).shape
    (204, 904, 3)
    """
    chosen = torch.from_numpy(fixed_sample(clips.shape[2], min(COLUMNS, clips.shape[2])))
    rows = [frames_of(clip) for clip in clips[:, :, chosen].cpu()]
    return contact_sheet(np.concatenate(rows), columns=len(chosen))


def save_sheet(path: Path, clips: Tensor, others: Tensor) -> None:
    """Write the film strip of each of some clips (B, 3, T, H, W), that of its other below it, as PNG.

    >>> import tempfile
    >>> save_sheet(Path(tempfile.mkdtemp()) / "a.png", torch.zeros(2, 3, 5, 4, 4), torch.zeros(2, 3, 5, 4, 4))
    """
    pairs = torch.stack([clips.cpu(), others.float().cpu()], 1).flatten(0, 1)
    save_png(film_strips(pairs), path)
