"""The study of small files: a tiny codec beside the formats that Pillow writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.data.config import DataConfig
from gridcode.domains.image import TokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.features.efficientnet import EfficientNetLite
from gridcode.quantize.config import FSQConfig
from gridcode.studies.codec import judge as judging
from gridcode.studies.codec import study as module
from gridcode.studies.codec.config import QUALITIES, REDUCED, CodecStudyConfig
from gridcode.studies.codec.formats import check_format, decoded, encoded, encoded_within
from gridcode.studies.codec.study import CodecStudy, halved
from gridcode.studies.codec.verdicts import at_rate, verdicts
from gridcode.studies.engine import write_study
from gridcode.studies.registry import study_from_json
from gridcode.studies.results import read_study
from gridcode.tokenizer.model import Tokenizer


def smooth(height: int = 48, width: int = 80, channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [127 + 120 * np.sin(x / (7 + c) + y / (11 - c)) for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_there_and_back(name: str, channels: int) -> None:
    check_format(name)  # type: ignore[arg-type]
    picture = smooth(channels=channels)
    small, large = (encoded(picture, name, quality) for quality in (10, 90))  # type: ignore[arg-type]
    assert len(small) < len(large)
    errors = [np.abs(decoded(data, picture).astype(int) - picture).mean() for data in (small, large)]
    assert errors[1] < errors[0]
    assert errors[1] < 8
    middle = encoded_within(picture, name, (len(small) + len(large)) // 2)  # type: ignore[arg-type]
    assert len(middle) <= (len(small) + len(large)) // 2
    lowest = 1 if name == "jpeg" else 0
    assert encoded_within(picture, name, 1) == encoded(picture, name, lowest)  # type: ignore[arg-type]
    reduced = encoded(picture, name, 90, factor=4)  # type: ignore[arg-type]
    assert len(reduced) < len(large)
    assert decoded(reduced, picture).shape == picture.shape
    assert np.abs(decoded(reduced, picture).astype(int) - picture).mean() < 20
    smallest = encoded(picture, name, lowest, factor=4)  # type: ignore[arg-type]
    least = encoded(picture, name, lowest)  # type: ignore[arg-type]
    assert encoded_within(picture, name, 1, factors=(1, 4)) == smallest  # type: ignore[arg-type]
    assert len(smallest) <= len(encoded_within(picture, name, len(least) - 1, factors=(1, 4))) < len(least)  # type: ignore[arg-type]


def test_a_format_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GridcodeError, match="formats must be one of jpeg, webp, avif, jxl, not 'bmp'"):
        CodecStudyConfig(formats=("bmp",))  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match=r"factors must be above 1, got \(2, 1\)"):
        CodecStudyConfig(factors=(2, 1))
    with pytest.raises(GridcodeError, match="different names, got model, model"):
        CodecStudyConfig(tried=("a/model", "b/model"))
    monkeypatch.setitem(__import__("sys").modules, "pillow_jxl", None)
    with pytest.raises(GridcodeError, match="pip install pillow-jxl-plugin"):
        check_format("jxl")
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(GridcodeError, match="cannot write AVIF"):
        check_format("avif")


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9))
def test_halving(height: int, width: int) -> None:
    picture = np.random.default_rng(height * 10 + width).integers(0, 256, (height, width, 3), np.uint8)
    small = halved(picture)
    assert small.shape == (height // 2, width // 2, 3)
    assert abs(float(small[0, 0, 1]) - picture[:2, :2, 1].mean()) <= 0.5


def test_verdicts_and_the_rate_between() -> None:
    points = {
        "gridcode": [
            {"bits_per_pixel": 0.04, "psnr_db": 25.0, "ssim": 0.7, "distance": 0.3},
            {"bits_per_pixel": 0.2, "psnr_db": 27.0, "ssim": 0.8, "distance": 0.26},
            {"bits_per_pixel": 0.5, "psnr_db": 28.0, "ssim": 0.9, "distance": 0.2},
        ],
        "jpeg": [
            {"bits_per_pixel": 0.1, "psnr_db": 20.0, "ssim": 0.75, "distance": 0.4},
            {"bits_per_pixel": 0.4, "psnr_db": 30.0, "ssim": 0.9, "distance": 0.1},
        ],
    }
    assert at_rate(points["jpeg"], 0.2, "psnr_db") == 25.0
    assert at_rate(points["jpeg"], 0.01, "psnr_db") == 20.0
    found = verdicts(points, {"jpeg": "JPEG", "webp": "WebP"}, (0.01, 0.05, 0.1, 0.2, 0.5))
    assert [verdict.answer for verdict in found] == ["seen", "not seen"]
    assert found[0].claim == "at 0.040 bits per pixel gridcode is ahead of JPEG in at least two measures"
    assert found[0].figures == (
        "in 2: PSNR (dB) 25.00 against 20.00, SSIM 0.700 against 0.750, distance, lite2 0.300 against 0.400; its "
        "smallest files have 0.100 bits per pixel"
    )
    close = {"gridcode": [{**points["gridcode"][0], "psnr_db": 20.3}], "jpeg": points["jpeg"]}
    assert [verdict.answer for verdict in verdicts(close, {"jpeg": "JPEG"}, (0.05,))] == ["not seen"]
    assert found[1].figures.startswith("in 1: PSNR (dB) 27.00 against 25.00, SSIM 0.800 against 0.825")


def test_the_study_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for number in range(2):
        Image.fromarray(np.roll(smooth(176, 180), 9 * number, 1)).save(tmp_path / f"photo-{number}.png")
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in tmp_path.glob("*.png"):
        path.rename(photos / path.name)
    for seed, (name, widths) in enumerate({"low": (8, 8, 8, 8), "high": (8, 8), "other": (8, 8)}.items()):
        torch.manual_seed(seed)
        config = TokenizerConfig(quantizer=FSQConfig((5, 4)), widths=widths, encoder_blocks=1, decoder_blocks=1)
        Tokenizer(config).save_pretrained(tmp_path / "model" / name / "tokenizer")
    torch.manual_seed(0)
    network = EfficientNetLite("lite0").eval()
    places = judging.places

    monkeypatch.setattr(judging, "load_efficientnet_lite", lambda name: network)
    monkeypatch.setattr(module, "weights_file", lambda name: Path())
    monkeypatch.setattr(judging, "FEATURES", 16)
    monkeypatch.setattr(judging, "places", lambda picture, network: places(picture, network)[:, :16])
    data = DataConfig(source=str(photos), val_source=str(photos), workers=0)
    study = CodecStudy(
        CodecStudyConfig(
            model=str(tmp_path / "model"),
            tried=(str(tmp_path / "model" / "low"), str(tmp_path / "model" / "high")),
            data=data,
            formats=("jpeg",),
            factors=(2,),
        )
    )
    monkeypatch.setitem(QUALITIES, "jpeg", (3, 50))
    monkeypatch.setitem(REDUCED, "jpeg", (30,))
    assert study.time_cell(study.cells()[1]) > 0
    out = tmp_path / "out"
    results = {cell: study.run_cell(cell, out) for cell in study.cells()}
    for found in results.values():
        assert found["images"] == 2
        for profile in found.get("profile", {}).values():
            assert sum(profile["error_share"]) == pytest.approx(1)
            assert max(profile["kept_share"]) <= 1
            assert 0.5 < profile["coded_share"] < 1
        for point in found.get("points", {}).values():
            assert set(point) == {"bits_per_pixel", "psnr_db", "ssim", "ms_ssim", "distance", "places_frechet"}
    study.save_images(out)
    with Image.open(out / "equal-bytes.png") as sheet:
        assert 3 * 180 < sheet.size[0] < 3 * 200  # three columns of images of 180 pixels
    write_study(study, results, out)
    content, results = read_study(out / "study.json")
    page = study_from_json(content).summary(results)
    titles = [table.title for table in page.tables]
    assert titles[:3] == ["gridcode", "JPEG", "JPEG, sides / 2"]
    assert len(titles) == 5
    assert [row[:2] for row in page.tables[3].rows] == [["low", "8 px, 20 codes"], ["high", "2 px, 20 codes"]]
    rows = [row[0] for row in page.tables[0].rows]
    assert rows[0] == "8 px, 20 codes"
    assert sorted(row[:14] for row in rows[1:]) == ["2 px, 20 codes", "2 px, 20 codes"]
    assert len(set(rows)) == 3
    assert len(page.panels) == 5
