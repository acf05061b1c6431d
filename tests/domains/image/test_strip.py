"""The strip shows each image above its reconstruction, to the last pixel value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.domains.image.show import save_strip


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_above_their_reconstructions(channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, channels, 4, 5), dtype=np.uint8)
    images, reconstructions = torch.from_numpy(pixels).float() / 127.5 - 1
    save_strip(tmp_path / "strip.png", images, reconstructions)
    with Image.open(tmp_path / "strip.png") as strip:
        seen = np.asarray(strip).reshape(8, 15, channels)
    for row in range(2):
        for place in range(3):
            tile = seen[4 * row : 4 * row + 4, 5 * place : 5 * place + 5]
            assert np.array_equal(tile, pixels[row, place].transpose(1, 2, 0))


def test_what_is_beyond_white_and_black_is_clipped(tmp_path: Path) -> None:
    values = torch.tensor([-3.0, -1.0, 1.0, 3.0]).view(1, 1, 1, 4)
    save_strip(tmp_path / "strip.png", values, values.bfloat16())
    with Image.open(tmp_path / "strip.png") as strip:
        assert np.asarray(strip).tolist() == [[0, 0, 255, 255]] * 2
