"""Pictures, their label maps and what came back, in three rows, to see what a figure does not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from gridcode.domains.dense.data.loader import DenseBatch
from gridcode.domains.dense.data.source import LabelMap
from gridcode.files import write_atomic


def save_label_strip(path: Path, batch: DenseBatch, decoded: Tensor, label_map: LabelMap) -> None:
    """Write a PNG: pictures as the model sees them, true maps below, decoded maps below those.

    Args:
        path: The file.
        batch: Pictures and truth.
        decoded: Their maps as decoded, (B, n, H, W).
        label_map: What makes a picture of a map.
    """
    seen = ((batch.images.expand(-1, 3, -1, -1) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    truth = [label_map.picture(planes) for planes in batch.planes.numpy()]
    found = [label_map.picture(planes) for planes in decoded.cpu().numpy()]
    rows = [np.concatenate(list(row), axis=1) for row in (seen.cpu().numpy(), truth, found)]
    picture = Image.fromarray(np.ascontiguousarray(np.concatenate(rows, axis=0)))
    write_atomic(path, lambda temporary: picture.save(temporary, format="PNG"))
