"""Which way up images and label maps are: every EXIF orientation against every reader of labels, and what is told."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from gridcode.data.open import open_source
from gridcode.domains.dense.data import Categories, DenseConfig, DepthConfig, open_dense, write_coco
from gridcode.domains.dense.data.open import understood
from gridcode.domains.dense.data.source import ImagesAsStored
from gridcode.errors import GridcodeError


def turned(pixels, tag):
    """What a viewer shows of pixels with an EXIF orientation, by Pillow."""
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = tag
    return np.asarray(ImageOps.exif_transpose(image))


READERS = ("coco", "parquet depth", "parquet classes", "folder png", "folder tiff", "folder npy", "folder classes")


def oriented(root, reader, stored, labels, tag):
    """One image whose file says that it must be turned, with its label map, as a reader wants it; its settings."""
    exif = Image.Exif()
    exif[0x0112] = tag
    file = io.BytesIO()
    Image.fromarray(np.stack([stored] * 3, -1)).save(file, "png", exif=exif)
    task = "panoptic" if reader in ("coco", "parquet classes", "folder classes") else "depth"
    labels = np.ascontiguousarray(labels)
    for number in range(2):
        if reader == "coco":
            (root / "train").mkdir(parents=True, exist_ok=True)
            (root / f"train/{number}.png").write_bytes(file.getvalue())
            classes = Categories(tuple(map(str, range(1, 65))), (False,) * 64)
            planes = np.stack([labels, np.ones_like(labels)])
            write_coco(root, "train", [(f"{n}.png", planes) for n in range(2)], classes)
            continue
        folder = "segmentation" if task == "panoptic" else "depth"
        kind, values = reader.split()[1], labels.astype(np.uint8 if task == "panoptic" else np.uint16)
        encoded = io.BytesIO()
        if kind == "npy":
            np.save(encoded, values)
        else:
            Image.fromarray(values).save(encoded, "tiff" if kind == "tiff" else "png")
        if reader.startswith("parquet"):
            cells = pa.array([{"bytes": file.getvalue()}] * 2), pa.array([{"bytes": encoded.getvalue()}] * 2)
            root.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"image": cells[0], folder: cells[1]}), root / "a.parquet")
            continue
        (root / "image").mkdir(parents=True, exist_ok=True)
        (root / folder).mkdir(exist_ok=True)
        (root / f"image/{number}.png").write_bytes(file.getvalue())
        ending = {"tiff": "tif", "npy": "npy"}.get(kind, "png")
        (root / f"{folder}/{number}.{ending}").write_bytes(encoded.getvalue())
    return DenseConfig(task=task, source=str(root), depth=DepthConfig(png_scale=1))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [(4, 4), (3, 5)], ids=["square", "oblong"])
def test_every_orientation_against_every_reader(tmp_path, reader, size, caplog):
    """Labels are the image's own values: whichever way up, each pixel must sit on its label."""
    stored = np.arange(1, 1 + size[0] * size[1], dtype=np.uint8).reshape(size)
    for tag in range(1, 9):
        for drawn_on, labels in (("exif", turned(stored, tag)), ("stored", stored)):
            config = oriented(tmp_path / f"{tag} {drawn_on}", reader, stored, labels, tag)
            caplog.clear()
            source = open_dense(replace(config, orientation=drawn_on), "train")
            example = source[0]
            assert (example.image[..., 0] == example.planes[0]).all()
            assert (example.planes[0] == labels).all()
            assert source.tag(0) == tag
            unclear = tag in (2, 3, 4) or (tag > 4 and size[0] == size[1])
            assert len(caplog.messages) == unclear
            assert all(f"data.orientation={drawn_on}" in said for said in caplog.messages)
            other = "stored" if drawn_on == "exif" else "exif"
            if tag > 4 and size[0] != size[1]:
                with pytest.raises(GridcodeError, match=f"orientation is {tag}: .* set data.orientation={drawn_on}"):
                    _ = open_dense(replace(config, orientation=other), "train")[0]


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_label_map_is_turned_by_its_own_tag(tmp_path, tag, ending):
    stored = np.arange(1, 16, dtype=np.uint8).reshape(3, 5)
    exif = Image.Exif()
    exif[0x0112] = tag
    for folder, kind in (("image", "png"), ("depth", ending)):
        (tmp_path / folder).mkdir()
        for number in range(2):
            Image.fromarray(stored).save(tmp_path / folder / f"{number}.{kind}", exif=exif)
    for orientation, expected in (("exif", turned(stored, tag)), ("stored", stored)):
        settings = {"depth": DepthConfig(png_scale=1), "orientation": orientation}
        example = open_dense(DenseConfig(source=str(tmp_path), **settings), "train")[0]
        assert (example.image[..., 0] == expected).all()
        assert (example.planes[0] == expected).all()


@pytest.mark.parametrize("tag", range(1, 9))
def test_colours_are_the_images_own_whichever_way_up(tmp_path, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = np.arange(1, 16, dtype=np.uint8).reshape(3, 5)
    for number in range(3):
        Image.fromarray(stored).save(tmp_path / f"{number}.png", exif=exif)
    example = open_dense(DenseConfig(task="colour", source=str(tmp_path)), "train")[0]
    assert (example.image[..., 0] == turned(stored, tag)).all()
    assert (example.planes == example.image.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("layout", ["folder", "parquet"])
def test_images_may_be_read_as_they_are_stored(tmp_path, layout):
    stored = np.arange(1, 16, dtype=np.uint8).reshape(3, 5)
    oriented(tmp_path, f"{layout} {'png' if layout == 'folder' else 'depth'}", stored, stored, 6)
    source = ImagesAsStored(open_source(tmp_path / "image" if layout == "folder" else tmp_path))
    assert (len(source), source.key(1)) == (2, "1.png" if layout == "folder" else "a.parquet:1")
    assert (source[1].image[..., 0] == stored).all()


@pytest.mark.parametrize("reader", ["coco", "folder png", "folder classes"])
def test_what_was_understood_is_told(tmp_path, reader):
    stored = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    config = oriented(tmp_path, reader, stored, stored, 3)
    parts = [open_dense(config, split) for split in ("train", "val")]
    lines = understood(config, *parts)
    name = parts[0].name.removesuffix(" (train)")
    assert lines[:2] == [f"train: 1 image of {name} (train)", f"val: 1 image of {name} (held out)"]
    expected = {
        "coco": ["classes: 64 (1, 2, 3, 4, 5, 6, …), 0 of them countable"],
        "folder png": ["depth: integers are metres times 1; 0.001 … 10 m count"],
        "folder classes": [
            "classes: 12 (1, 2, 3, 4, 5, 6, …), 0 of them countable",
            "semantic maps: classes by the highest value; classes.txt would name them; 0 and 255 are unlabelled",
        ],
    }[reader]
    turned_by = "orientation: 2 of 2 images have one in EXIF; images are turned by it (data.orientation=exif)"
    assert lines[2:] == [*expected, turned_by]
