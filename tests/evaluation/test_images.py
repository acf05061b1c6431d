from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.errors import GridcodeError
from gridcode.evaluation import contact_sheet, save_png, to_uint8
from gridcode.evaluation.images import data_uri


def test_every_8_bit_value_survives_the_way_to_floats_and_back() -> None:
    levels = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16)
    pictures = to_uint8(levels / 127.5 - 1)
    assert pictures.shape == (1, 16, 16, 1)
    assert pictures.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_data_uri_holds_the_image_bit_for_bit(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    head, body = data_uri(picture).split(",")
    assert head == "data:image/png;base64"
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert np.array_equal(decoded.reshape(5, 7, channels), picture)


def test_a_contact_sheet_magnifies_without_blur_and_fills_row_by_row() -> None:
    pictures = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 48, 48, 1), np.uint8)
    sheet = contact_sheet(pictures, columns=2, gap=4, background=200)
    assert sheet.shape == (2 * 100 + 4, 2 * 100 + 4, 1)
    assert set(np.unique(sheet)) == {0, 1, 2, 200}
    assert (sheet[4:100, 4:100] == 0).all()
    assert (sheet[4:100, 104:200] == 1).all()
    assert (sheet[104:200, 4:100] == 2).all()
    assert (sheet[104:200, 104:200] == 200).all()


def test_a_saved_image_can_be_opened(tmp_path: Path) -> None:
    save_png(np.full((4, 6, 3), 7, np.uint8), tmp_path / "deep" / "a.png")
    with Image.open(tmp_path / "deep" / "a.png") as picture:
        assert picture.size == (6, 4)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(GridcodeError, match=r"got float32 \(1, 4, 4, 3\); turn tensors into images"):
        contact_sheet(np.zeros((1, 4, 4, 3), np.float32), columns=1)  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match=r"got uint8 \(0, 4, 4, 3\)"):
        contact_sheet(np.zeros((0, 4, 4, 3), np.uint8), columns=1)
    with pytest.raises(GridcodeError, match="columns must be at least 1, got 0"):
        contact_sheet(np.zeros((1, 4, 4, 3), np.uint8), columns=0)
