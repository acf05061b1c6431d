"""Resizing beside Pillow and beside loops written from the rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.features.resize import resize_images, tf1_bilinear

ODD = [(37, 53, 31, 45), (129, 97, 61, 299), (28, 28, 35, 33), (5, 3, 17, 9), (64, 63, 7, 11), (301, 280, 299, 299)]


def pixels(rows: int, columns: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, rows, columns), generator=torch.Generator().manual_seed(rows)).float()


def of_channel(images: Tensor, channel: int) -> Image.Image:
    return Image.fromarray(images[0, channel].numpy().astype(np.float32))


@pytest.mark.parametrize(("rows", "columns", "high", "wide"), ODD)
def test_bicubic_is_pillows(rows: int, columns: int, high: int, wide: int) -> None:
    images = pixels(rows, columns)
    found = resize_images(images, (high, wide), rule="bicubic")
    for channel in range(3):
        expected = np.asarray(of_channel(images, channel).resize((wide, high), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(found[0, channel].numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(("rows", "columns", "high", "wide"), ODD)
def test_tf1_is_pillows_affine_map_that_reads_from_corners(rows: int, columns: int, high: int, wide: int) -> None:
    """Pillow maps the middle of a place, x + 1/2, and reads at that less 1/2; beyond the last middle it has nothing."""
    images = pixels(rows, columns)
    found = resize_images(images, (high, wide), rule="tf1")
    across, down = columns / wide, rows / high
    matrix = (across, 0, 0.5 - across / 2, 0, down, 0.5 - down / 2)
    seen_rows, seen_columns = (
        (torch.arange(wanted) * scale + 0.5 < length).numpy()
        for wanted, scale, length in ((high, down, rows), (wide, across, columns))
    )
    for channel in range(3):
        picture = of_channel(images, channel)
        expected = picture.transform((wide, high), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        both = np.ix_(seen_rows, seen_columns)
        np.testing.assert_allclose(found[0, channel].numpy()[both], np.asarray(expected)[both], atol=2e-2)


@pytest.mark.parametrize(("length", "wanted"), [(5, 13), (13, 5), (128, 299), (1, 4), (7, 7)])
def test_tf1_row_by_row(length: int, wanted: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    expected = []
    for place in range(wanted):
        at = place * length / wanted
        low = min(int(at), length - 1)
        high = min(low + 1, length - 1)
        expected.append(values[low] + (values[high] - values[low]) * (at - low))
    found = tf1_bilinear(length, wanted).double().numpy() @ values
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_one_size_is_left_alone() -> None:
    images = pixels(9, 7)
    for rule in ("bicubic", "tf1"):
        assert torch.equal(resize_images(images, (9, 7), rule=rule), images)


def test_refusals() -> None:
    with pytest.raises(GridcodeError, match="bicubic, tf1"):
        resize_images(pixels(4, 4), (2, 2), rule="area")  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match="with pixels"):
        resize_images(torch.zeros(1, 3, 0, 4), (2, 2), rule="tf1")
