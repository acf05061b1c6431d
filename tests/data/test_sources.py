"""Folders, Parquet, .npz and PyTorch data sets as sources; their splits; and what each says of bad input."""

import gc
import io
import json
import logging
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode.data import (
    CropPolicy,
    DataConfig,
    ImageFolder,
    NpzImages,
    ParquetImages,
    TorchDataset,
    open_split,
)
from gridcode.data.open import open_input, open_source
from gridcode.data.source import Relabelled, Subset, hold_out
from gridcode.errors import GridcodeError

REAL = Path(os.environ.get("GRIDCODE_DATA", Path(__file__).parents[2].parent / "shared/data"))


def picture(value=0, size=(6, 4)):
    return Image.new("RGB", size, (value, value, value))


def png(value=0):
    file = io.BytesIO()
    picture(value).save(file, "png")
    return file.getvalue()


def put(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / name)


def write_parquet(path, labels, *, names=None, column="image", label_type=None, images=None):
    images = [png(number) for number in range(len(labels))] if images is None else images
    cells = [{"bytes": image, "path": f"{number}.png"} for number, image in enumerate(images)]
    table = pa.table({column: pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))})
    if labels and labels != [None] * len(labels):
        table = table.append_column("label", pa.array(labels, label_type))
    if names:
        features = {column: {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)


def values(source):
    return [int(example.image[0, 0, 0]) for example in source]


def keys(source):
    return [example.key for example in source]


def test_folder_without_classes_is_sorted_and_ignores_hidden_files(tmp_path):
    put(tmp_path, "b.png", "A.JPG", "a.png", ".hidden.png", ".cache/x.png")
    (tmp_path / "Thumbs.db").write_bytes(b"")
    source = ImageFolder(tmp_path)
    assert keys(source) == ["A.JPG", "a.png", "b.png"]
    assert source.classes == ()
    assert source[0].label is None


def test_class_folders_are_read_recursively(tmp_path):
    put(tmp_path, "dog/2.png", "cat/deep/er/1.png", "cat/0.png", "dog/.git/9.png")
    source = ImageFolder(tmp_path)
    assert source.classes == ("cat", "dog")
    assert [(example.key, example.label) for example in source] == [
        ("cat/0.png", 0),
        ("cat/deep/er/1.png", 0),
        ("dog/2.png", 1),
    ]
    assert [source.key(index) for index in range(3)] == keys(source)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("cat/notes.txt", r"cat/notes\.txt: not an image by its name; remove it, or set data\.on_error=skip"),
        ("notes.txt", r"notes\.txt: not an image"),
        ("empty/.keep", r"empty: a class folder without images; remove it, or set data\.on_error=skip"),
    ],
)
def test_what_does_not_belong_is_refused_or_left_out(tmp_path, caplog, extra, message):
    put(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / extra).parent.mkdir(exist_ok=True)
    (tmp_path / extra).touch()
    with pytest.raises(GridcodeError, match=message):
        ImageFolder(tmp_path)
    with caplog.at_level(logging.WARNING):
        source = ImageFolder(tmp_path, on_error="skip")
    assert source.classes == ("cat", "dog")
    assert len(source.skipped) == 1
    assert "left out 1 entries" in caplog.text
    assert source.skipped[0] in caplog.text


def test_images_beside_class_folders_are_ambiguous(tmp_path):
    put(tmp_path, "0.png", "cat/1.png")
    with pytest.raises(GridcodeError, match=r"both at the top \(0\.png\) and in subfolders \(cat/\)"):
        ImageFolder(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(GridcodeError, match="no images here"):
        ImageFolder(tmp_path)
    with pytest.raises(GridcodeError, match="no such folder"):
        ImageFolder(tmp_path / "gone")


def test_a_damaged_file_is_named_when_read(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(png()[:40])
    source = ImageFolder(tmp_path)
    assert source[0].key == "a.png"
    with pytest.raises(GridcodeError, match=r"b\.png: (image damaged|not an image)"):
        source[1]


def test_parquet_with_class_names_over_shards(tmp_path):
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    write_parquet(paths[0], [1, 0, 1], names=["x", "y"])
    write_parquet(paths[1], [0, None, -1], names=["x", "y"])
    source = ParquetImages(paths)
    assert source.classes == ("x", "y")
    assert [example.label for example in source] == [1, 0, 1, 0, None, None]
    assert values(source) == [0, 1, 2, 0, 1, 2]
    assert keys(source) == [f"{name}.parquet:{row}" for name in "ab" for row in range(3)]
    copy = pickle.loads(pickle.dumps(source))
    assert keys(copy) == keys(source)
    assert len(pickle.dumps(source)) < 2000
    with pytest.raises(IndexError):
        source[6]


def test_label_kinds(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, ["dog", "cat", None, "dog"])
    source = ParquetImages([path])
    assert source.classes == ("cat", "dog")
    assert [example.label for example in source] == [1, 0, None, 1]
    write_parquet(path, ["b", "a"], label_type=pa.dictionary(pa.int8(), pa.string()))
    assert [example.label for example in ParquetImages([path])] == [1, 0]
    write_parquet(path, [2, 0], label_type=pa.uint8())
    assert ParquetImages([path]).classes == ("0", "1", "2")
    write_parquet(path, [None, None])
    assert ParquetImages([path]).classes == ()
    write_parquet(path, [0.5, 1.5])
    with pytest.raises(GridcodeError, match=r"labels must be integers or strings, not double"):
        ParquetImages([path])
    write_parquet(path, [0, 2], names=["x", "y"])
    with pytest.raises(GridcodeError, match=r"label 2, but only 2 class names"):
        ParquetImages([path])


def test_image_columns(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, [0], column="img")
    assert len(ParquetImages([path])) == 1
    pq.write_table(pa.table({"jpg": [png(3)], "n": [1]}), path)
    assert values(ParquetImages([path])) == [3]
    write_parquet(path, [None, None], images=[png(), None])
    with pytest.raises(GridcodeError, match=r"a\.parquet, row 1: column 'image' holds no bytes"):
        ParquetImages([path])[1]
    write_parquet(path, [None, None, None], images=[png(), png(), b"nonsense"])
    with pytest.raises(GridcodeError, match=r"a\.parquet, row 2: not an image"):
        ParquetImages([path])[2]
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), path)
    with pytest.raises(GridcodeError, match=r"no column of images \{bytes, path\} among text, n"):
        ParquetImages([path])


def test_labels_of_bool_and_of_mixed_widths(tmp_path):
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet", tmp_path / "c.parquet"]
    write_parquet(paths[0], [True, None, False])
    assert [example.label for example in ParquetImages(paths[:1])] == [1, None, 0]
    assert ParquetImages(paths[:1]).classes == ("False", "True")
    for path, kind in zip(paths, (pa.int8(), pa.uint64(), pa.dictionary(pa.int8(), pa.int32())), strict=True):
        write_parquet(path, [2, 0], label_type=kind)
    assert [example.label for example in ParquetImages(paths)] == [2, 0] * 3
    for path, kind in zip(paths, (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())), strict=True):
        write_parquet(path, ["b", None], label_type=kind)
    write_parquet(tmp_path / "d.parquet", ["a"])
    source = ParquetImages([*paths, tmp_path / "d.parquet"])
    assert source.classes == ("a", "b")
    assert [example.label for example in source] == [1, None] * 3 + [0]
    for bad, message in (([[0]], "not list"), ([2**63], "fit int64"), ([10**9], "number the classes from 0")):
        write_parquet(paths[0], bad, label_type=pa.uint64() if bad == [2**63] else None)
        with pytest.raises(GridcodeError, match=message):
            ParquetImages(paths[:1])


def test_the_column_that_shows_images_is_taken(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"hash": [b"\x01", b"\x02"], "scan": [None, png(5)], "mask": [b"x", b"y"]}), path)
    assert int(ParquetImages([path])[1].image[0, 0, 0]) == 5
    pq.write_table(pa.table({"mask": [png(1)], "image": [png(2)]}), path)
    assert values(ParquetImages([path])) == [2]
    pq.write_table(pa.table({"views": [[{"bytes": png(1), "path": "a"}]]}), path)
    with pytest.raises(GridcodeError, match=r"'views' holds lists; write one image a row"):
        ParquetImages([path])


def test_a_parquet_file_is_mapped_once_for_all_processes(tmp_path, monkeypatch, start_python):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    images = [png(number) + bytes(10_000) for number in range(9)]  # what follows a PNG's end is not read
    write_parquet(tmp_path / "a.parquet", [0] * 9, images=images)
    before = pa.total_allocated_bytes()
    source = ParquetImages([tmp_path / "a.parquet"])
    stored = pickle.dumps(source)
    copy = pickle.loads(stored)
    file = source._cells.file
    assert values(copy) == values(source) == list(range(9))
    assert copy._cells.file == ParquetImages([tmp_path / "a.parquet"])._cells.file == file
    assert os.stat(file).st_size > 90_000
    assert pa.total_allocated_bytes() - before < 45_000
    assert sys.platform != "linux" or not list((tmp_path / "temporary").iterdir())  # nothing to leave, if killed now
    told = tmp_path / "told"
    code = f"""
import pickle
from pathlib import Path
a = pickle.loads({stored!r})
Path({str(told)!r}).write_text(f"{{a._cells.file}} {{a[8].image[0, 0, 0]}}")
"""
    process = start_python(code, tmp_path / "errors")
    process.join()
    assert process.exitcode == 0, (tmp_path / "errors").read_text()
    assert told.read_text().split() == [file, "8"]
    del source, copy
    gc.collect()
    assert not os.path.exists(file)
    late = pickle.loads(stored)
    assert late._cells.file != file or sys.platform == "linux"
    assert values(late) == list(range(9))
    del late
    assert not list((tmp_path / "temporary").iterdir())
    write_parquet(tmp_path / "a.parquet", [0] * 5)
    assert len(ParquetImages([tmp_path / "a.parquet"])) == 5
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(GridcodeError, match=r"no temporary file can be made .* TMPDIR"):
        ParquetImages([tmp_path / "a.parquet"])


def test_sound_is_not_taken_for_images(tmp_path):
    table = pa.table({"audio": [{"bytes": b"fLaC", "path": None}]})
    features = {"info": {"features": {"audio": {"_type": "Audio"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "a.parquet")
    with pytest.raises(GridcodeError, match="no column of images"):
        ParquetImages([tmp_path / "a.parquet"])


def test_bad_parquet_files(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(GridcodeError, match="no such file"):
        ParquetImages([path])
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(GridcodeError, match="not a readable Parquet file"):
        ParquetImages([path])
    write_parquet(path, [])
    with pytest.raises(GridcodeError, match="no rows"):
        ParquetImages([path])
    write_parquet(path, [0])
    write_parquet(tmp_path / "b.parquet", [None])
    with pytest.raises(GridcodeError, match=r"b\.parquet: no column 'label'"):
        ParquetImages([path, tmp_path / "b.parquet"])
    write_parquet(tmp_path / "b.parquet", ["text"])
    with pytest.raises(GridcodeError, match=r"column 'label' is int64 here and string there"):
        ParquetImages([path, tmp_path / "b.parquet"])
    with pytest.raises(GridcodeError, match="no Parquet files"):
        ParquetImages([])


def test_npz_shapes_and_labels(tmp_path):
    path = tmp_path / "a.npz"
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    np.savez_compressed(path, images=images, labels=np.array([[1], [-1]]), classes=["x", "y"])
    source = NpzImages(path)
    np.testing.assert_array_equal(source[1].image, images[1])
    assert [example.label for example in source] == [1, None]
    assert source.classes == ("x", "y")
    np.savez(path, anything=images[..., 0])
    assert NpzImages(path)[0].image.shape == (3, 4, 1)
    assert NpzImages(path)[0].label is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.full((2, 3, 4), 7.0)}, r"float images must lie in \[0, 1\], not \[7, 7\]; give images / 255"),
        ({"images": np.full((2, 3, 4), -1.0)}, r"give \(images \+ 1\) / 2"),
        ({"images": np.full((2, 3, 4), np.nan)}, r"mend NaN"),
        ({"images": np.ones((2, 3, 4), np.uint8)}, r"only 0 and 1 would be black; multiply them by 255"),
        ({"images": np.full((2, 3, 4), 9, np.uint16)}, r"uint16 images up to 9 look like 8 bits"),
        ({"images": np.zeros((2, 3, 4), np.int64)}, r"must be uint8 or float in \[0, 1\], not int64"),
        ({"images": np.zeros((8, 9, 3), np.uint8)}, r"\(8, 9, 3\) may be one image or many; give \(N, H, W, C\)"),
        ({"images": np.zeros((3, 8, 9), np.uint8)}, r"may be one image or many"),
        ({"x_train": np.zeros((2, 4, 4), np.uint8), "y_test": [0]}, r"needs `images` .* holds x_train"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.eye(2)}, r"of one-hot labels give labels\.argmax\(1\)"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0.5, 1]}, r"must be an integer, not float64"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0, 10**9]}, r"number the classes from 0"),
        ({"arr_0": np.zeros((2, 4, 4), np.uint8), "arr_1": [0, 1], "arr_2": [0]}, r"needs `images`"),
        ({"images": np.zeros((2, 5, 4, 4), np.uint8)}, r"with C of 1 or 3, not uint8 \(2, 5, 4, 4\)"),
        ({"images": np.zeros((0, 3, 4), np.uint8)}, r"must not be empty"),
        ({"a": np.zeros((2, 3, 4), np.uint8), "b": np.zeros(2)}, r"needs `images`"),
        ({}, r"holds nothing"),
        ({"images": np.zeros((2, 3, 4), np.uint8), "labels": np.zeros((2, 2))}, r"`labels` must be 2 integers"),
        ({"images": np.zeros((2, 3, 4), np.uint8), "labels": [0, 1, 2]}, r"`labels` must be 2 integers"),
        (
            {"images": np.zeros((2, 3, 4), np.uint8), "labels": [0, 1], "classes": ["a"]},
            r"at least 2 strings",
        ),
        ({"images": np.array([object()])}, r"not a readable \.npz"),
    ],
)
def test_bad_npz_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(GridcodeError, match=message):
        NpzImages(tmp_path / "a.npz")


def test_bad_npz_files(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(GridcodeError, match="no such file"):
        NpzImages(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(GridcodeError, match=r"not a readable \.npz"):
        NpzImages(path)
    np.savez(path, images=np.zeros((9, 9, 9), np.uint8))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(GridcodeError, match=r"not a readable \.npz"):
        NpzImages(path)


def test_npz_names_that_others_use(tmp_path):
    path = tmp_path / "a.npz"
    train, val = np.full((3, 4, 5, 3), 9, np.uint8), np.full((2, 4, 5, 3), 8, np.uint8)
    for names in (
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels"),
    ):
        np.savez(path, **dict(zip(names, (train, [0, 1, 1], val, [[1], [0]]), strict=True)))
        config = DataConfig(source=str(path))
        assert values(open_split(config, "train")) == [9, 9, 9]
        held_out = open_split(config, "val")
        assert values(held_out) == [8, 8]
        assert [example.label for example in held_out] == [1, 0]
        assert values(open_source(path)) == [9, 9, 9, 8, 8]
        with open(tmp_path / "A.NPZ", "wb") as file:
            np.savez(file, **dict(zip(names, (train, [0, 1, 1], val, [[1], [0]]), strict=True)))
        config = DataConfig(source=str(tmp_path / "A.NPZ"))
        assert (values(open_split(config, "train")), values(open_split(config, "val"))) == ([9, 9, 9], [8, 8])
        assert values(open_input(config)) == [8, 8]
    np.savez(path, x_train=train, x_val=val, x_test=val[:1])
    config = DataConfig(source=str(path))
    assert [len(open_split(config, split)) for split in ("train", "val")] == [3, 2]
    assert open_split(config, "val").notes == ("not used: test",)
    np.savez(path, x_val=val, x_test=val[:1])
    with pytest.raises(GridcodeError, match="splits val and test, but none to train on; call one 'x_train'"):
        open_split(config, "train")
    np.savez(path, train, [True, False, True])
    assert [example.label for example in NpzImages(path)] == [1, 0, 1]
    np.save(tmp_path / "a.npy", val)
    assert values(open_source(tmp_path / "a.npy")) == [8, 8]
    with pytest.raises(GridcodeError, match=r"no split 'val'; it holds arr_0"):
        NpzImages(path, split="val")


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["uint8", "uint16", "bool", "float16", "float32", "float64"]),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(4, 6), st.integers(4, 6)),
    first=st.booleans(),
    seed=st.integers(0, 99),
)
def test_arrays_of_every_type_and_layout_mean_the_same_image(kind, shape, first, seed):
    channels, height, width = shape
    white = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    white[0, 0, 0] = 255
    if kind == "bool":
        white = np.where(white > 99, np.uint8(255), np.uint8(0))
    stored = {"uint8": white, "uint16": white.astype(np.uint16) * 257, "bool": white > 0}.get(kind)
    if stored is None:
        stored = (white / 255).astype(kind)
        stored[0, 0, 0] += 0 if kind == "float16" else 1e-6
    stored = np.moveaxis(stored, -1, 0) if first else stored
    items = [stored] if kind == "uint16" else [stored, torch.from_numpy(stored.copy())]
    for image, example in zip(items, TorchDataset(Items(*items), name="mine"), strict=True):
        assert np.array_equal(example.image, white), type(image)


@settings(max_examples=40, deadline=None)
@given(
    label=st.integers(-3, 4),
    wrap=st.sampled_from(
        [int, float, np.int8, np.float32, np.array, torch.tensor, lambda label: torch.tensor([label])]
    ),
    pack=st.sampled_from(
        [
            lambda image, label: (image, label),
            lambda image, label: [image, label],
            lambda image, label: {"image": image, "label": label},
            lambda image, label: {"pixel_values": image, "labels": label, "id": 7},
            lambda image, label: {"img": image, "label": label},
        ]
    ),
)
def test_labels_of_every_type_mean_the_same_class(label, wrap, pack):
    source = TorchDataset(Items(pack(np.zeros((4, 4), np.uint8), wrap(label))), name="mine", classes=tuple("abcde"))
    assert source[0].label == (label if label >= 0 else None)


def test_labels_of_two_kinds_are_bool():
    items = [({"image": picture(), "label": label}) for label in (True, np.True_, torch.tensor(True), False)]
    source = TorchDataset(Items(*items, (picture(),)), name="mine", classes=("no", "yes"))
    assert [example.label for example in source] == [1, 1, 1, 0, None]


class Items(torch.utils.data.Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


def test_torch_items_of_every_kind():
    array = np.full((4, 6, 3), 9, np.uint8)
    dataset = Items(
        picture(9),
        (array, 1),
        (array[..., 0], np.int64(0)),
        (torch.full((3, 4, 6), 9 / 255), torch.tensor(-1)),
    )
    source = TorchDataset(dataset, name="mine", classes=("a", "b"))
    assert values(source) == [9, 9, 9, 9]
    assert [example.label for example in source] == [None, 1, 0, None]
    assert [example.image.shape for example in source] == [(4, 6, 3), (4, 6, 3), (4, 6, 1), (4, 6, 3)]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            torch.full((3, 4, 4), 1.5),
            r"mine, item 0: float images must lie in \[0, 1\], not \[1\.5, 1\.5\]",
        ),
        (torch.full((3, 4, 4), float("nan")), r"must lie in \[0, 1\]"),
        (torch.zeros(4, 4, 4), r"with C of 1 or 3, not float32 \(4, 4, 4\)"),
        (torch.full((3, 4, 4), -1.0), r"give \(images \+ 1\) / 2"),
        (np.full((4, 4), 200.0), r"give images / 255"),
        ((picture(), 0, 1), r"3 values; give an image, or \(image, label\)"),
        ({"image": picture(), "img": picture()}, r"needs one of image, pixel_values, img, but has image, img"),
        ({"picture": picture()}, r"needs one of image"),
        ((picture(), 0.5), r"a label must be an integer, not float64"),
        ((picture(), float("nan")), r"a label must be an integer"),
        ((picture(), torch.tensor([0.0, 1.0])), r"give label\.argmax\(\)"),
        ("a string", r"an image must be"),
        ((picture(), "cat"), r"a label must be an integer, not str"),
        ((picture(), 2), r"label 2, but 1 class names"),
        (OSError("disk on fire"), r"cannot be read \(disk on fire\)"),
        (Image.new("F", (2, 2)), r"cannot be read \(float pixels"),
    ],
)
def test_bad_torch_items(item, message):
    with pytest.raises(GridcodeError, match=message):
        TorchDataset(Items(item), name="mine", classes=("a",))[0]


def test_torch_data_set_without_length():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(GridcodeError, match="a Stream has no length"):
        TorchDataset(Stream(), name="mine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, "channels must be 1"),
        ({"size": 0}, "size must be at least 1"),
        ({"val_fraction": 1.0}, "val_fraction must lie between"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"on_error": "ignore"}, "on_error must be"),
        ({"source": ""}, "source is empty"),
        ({"train_count": 0}, "train_count must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_config_values_are_checked(settings, message):
    with pytest.raises(GridcodeError, match=message):
        DataConfig(**settings)


def test_crop_policy_values_are_checked():
    with pytest.raises(GridcodeError, match="min_scale"):
        CropPolicy(min_scale=0)
    with pytest.raises(GridcodeError, match="train must be"):
        CropPolicy(train="corner")


def test_config_does_not_import_torch_or_pyarrow():
    code = "import sys, gridcode.data.config; sys.exit(bool({'torch', 'pyarrow', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def both(config):
    return open_split(config, "train"), open_split(config, "val")


def test_scenes_do_not_overlap():
    train, val = both(DataConfig(train_count=6, val_count=3, size=16))
    assert (len(train), len(val)) == (6, 3)
    assert not set(keys(train)) & set(keys(val))


def test_named_parquet_splits(tmp_path):
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", [0, 1])
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", [1])
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", [0, 1, 0, 1])
    train, val = both(DataConfig(source=str(tmp_path)))
    assert (len(train), len(val)) == (3, 4)
    write_parquet(tmp_path / "data/validation.parquet", [1])
    train, val = both(DataConfig(source=str(tmp_path)))
    assert (len(train), len(val)) == (3, 1)
    assert val.classes == train.classes == ("0", "1")
    assert val[0].label == 1


def test_named_folder_splits_share_the_training_classes(tmp_path):
    put(
        tmp_path,
        "train/a/0.png",
        "train/b/1.png",
        "train/c/2.png",
        "val/b/3.png",
        "val/c/4.png",
        "test/a/5.png",
    )
    train, val = both(DataConfig(source=str(tmp_path)))
    assert train.classes == val.classes == ("a", "b", "c")
    assert [example.label for example in val] == [1, 2]
    put(tmp_path, "val/z/0.png")
    with pytest.raises(GridcodeError, match="class 'z' is not among the 3 training classes"):
        open_split(DataConfig(source=str(tmp_path)), "val")


def test_a_class_called_train_is_refused(tmp_path):
    put(tmp_path, "train/0.png", "train/1.png", "plane/0.png", "plane/1.png")
    with pytest.raises(GridcodeError, match="'train' looks like a split, 'plane' beside it does not; rename"):
        open_split(DataConfig(source=str(tmp_path)), "train")
    (tmp_path / "train").rename(tmp_path / "bullet_train")
    train, val = both(DataConfig(source=str(tmp_path), val_fraction=0.5))
    assert train.classes == val.classes == ("bullet_train", "plane")


def test_val_source_overrides(tmp_path):
    put(tmp_path, "here/0.png", "here/1.png", "there/0.png", "there/1.png", "there/2.png")
    config = DataConfig(source=str(tmp_path / "here"), val_source=str(tmp_path / "there"))
    train, val = both(config)
    assert (len(train), len(val)) == (2, 3)
    train, val = both(replace(config, val_source="scenes", val_count=4, size=16))
    assert (len(train), len(val)) == (2, 4)


def test_pool_is_split_once_and_for_all(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((200, 2, 2), np.uint8), labels=np.arange(200) % 4)
    config = DataConfig(source=str(tmp_path / "a.npz"), val_fraction=0.1)
    train, val = both(config)
    assert (len(train), len(val)) == (180, 20)
    assert set(keys(train)) | set(keys(val)) == {str(number) for number in range(200)}
    assert keys(val) == keys(open_split(config, "val"))
    assert keys(val) != keys(open_split(replace(config, seed=1), "val"))
    assert val.in_memory
    # The choice is part of the format: a run resumed under a later version must hold out the same images.
    assert keys(val)[:6] == ["3", "18", "23", "24", "37", "52"]


@settings(deadline=None)
@given(st.integers(2, 60), st.floats(0.001, 0.999), st.integers(0, 3))
def test_held_out_part_is_disjoint_and_never_empty(count, fraction, seed):
    class Keyed(NpzImages):
        def __init__(self):
            self.name = "keyed"

        def __len__(self):
            return count

    train, val = hold_out(Keyed(), fraction, seed=seed)
    assert len(train) + len(val) == count
    assert min(len(train), len(val)) >= 1
    assert not set(train._indices) & set(val._indices)
    assert abs(len(val) - count * fraction) <= 1


def test_adding_images_moves_few(tmp_path):
    path = tmp_path / "a.npz"
    parts = []
    for count in (1000, 1050):
        np.savez(path, images=np.zeros((count, 1, 1), np.uint8))
        parts.append(set(keys(open_split(DataConfig(source=str(path), val_fraction=0.2), "val"))))
    assert len(parts[0] - parts[1]) < 15


def test_one_image_cannot_be_split(tmp_path):
    put(tmp_path, "0.png")
    with pytest.raises(GridcodeError, match=r"1 image cannot be split; add images or set data\.val_source"):
        open_split(DataConfig(source=str(tmp_path)), "train")


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(GridcodeError, match=r"gone: no such file or folder; give the path of .* or 'scenes'"):
        open_split(DataConfig(source=str(tmp_path / "gone")), "train")
    (tmp_path / "a.zip").touch()
    with pytest.raises(GridcodeError, match=r"a\.zip: neither a folder nor a \.parquet, \.tar, \.npz or \.npy file"):
        open_source(tmp_path / "a.zip")
    with pytest.raises(GridcodeError, match="a split is 'train' or 'val', not 'test'"):
        open_split(DataConfig(), "test")


def test_views_keep_what_they_view(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.arange(4, dtype=np.uint8).reshape(4, 1, 1), labels=[0, 1, -1, 1])
    whole = NpzImages(tmp_path / "a.npz")
    part = Subset(whole, [3, 2], name="two")
    assert values(part) == [3, 2]
    assert [example.label for example in Relabelled(part, ("x", "1", "0"))] == [1, None]


def real(name):
    path = REAL / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return DataConfig(source=str(path))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts", "shape", "first"),
    [
        ("fashion_mnist", (60_000, 10_000), (28, 28, 1), "t-shirt/top"),
        ("cifar10", (50_000, 10_000), (32, 32, 3), "airplane"),
        ("imagenette128", (9_469, 3_925), (128, 128, 3), "tench"),
    ],
)
def test_real_parquet(name, counts, shape, first):
    train, val = both(real(name))
    assert (len(train), len(val)) == counts
    assert train.classes == val.classes
    assert train.classes[0] == first
    assert train[counts[0] - 1].image.shape == shape
    assert len(Counter(val[index].label for index in range(0, len(val), 19))) == 10


@pytest.mark.data
def test_real_folder():
    config = real("coco_panoptic/val2017")
    source = open_source(Path(config.source))
    assert len(source) == 100
    assert max(source[0].image.shape) == 320
