"""Folders as people have them: splits, classes, clutter, links and names."""

import os
import re
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode.data import DataConfig, TorchDataset, open_split
from gridcode.data.file_names import is_split, printable, unprintable
from gridcode.data.open import open_source, understood
from gridcode.errors import GridcodeError
from gridcode.files import write_text


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(root / name, "png")


def parquet(root, *names):
    import pyarrow as pa
    import pyarrow.parquet as pq

    put(root, "one.png")
    encoded = (root / "one.png").read_bytes()
    (root / "one.png").unlink()
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": [{"bytes": encoded, "path": None}] * 2}), root / name)


def tar(root, name):
    """A shard of two labelled images."""
    put(root, "0.png")
    (root / "0.cls").write_text("0")
    (root / "1.cls").write_text("1")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / name, "w") as shard:
        for file, member in (("0.png", "0.png"), ("0.cls", "0.cls"), ("0.png", "1.png"), ("1.cls", "1.cls")):
            shard.add(root / file, member)
    for file in ("0.png", "0.cls", "1.cls"):
        (root / file).unlink()


def told(root):
    config = DataConfig(source=str(root), val_fraction=0.5)
    train, val = open_split(config, "train"), open_split(config, "val")
    return [len(train), len(val), train.classes, *understood(train, val)[3:]]


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Val"), ("training", "validation"), ("trn", "DEV"),
                                   ("x-train", "x-val"), ("train_images", "test")])  # fmt: skip
def test_split_folders_are_told_in_any_case_beside_clutter(tmp_path, names):
    train, val = names
    put(tmp_path, f"{train}/cat/0.png", f"{train}/dog/1.png", f"{val}/cat/2.png", "__MACOSX/._0.png")
    for clutter in ("$RECYCLE.BIN", "@eaDir", "System Volume Information", "lost+found", ".git"):
        (tmp_path / clutter).mkdir()
    (tmp_path / train / "cat" / "Icon\r").touch()
    (tmp_path / train / "cat" / "2.png.crdownload").touch()
    (tmp_path / "README.md").touch()
    assert told(tmp_path) == [2, 1, ("cat", "dog")]


def test_what_belongs_to_no_split_is_told(tmp_path):
    put(tmp_path, "train/a/0.png", "train/b/1.png", "val/a/2.png", "test/a/3.png", "unlabeled/4.png")
    assert told(tmp_path) == [2, 1, ("a", "b"), "not used: test/, unlabeled/"]


@pytest.mark.parametrize(
    "names",
    [
        ("Train.parquet", "Valid.parquet"),
        ("x-train-00000-of-00001.parquet", "x-val-00000-of-00001.parquet"),
        ("config/train-0.parquet", "config/test-0.parquet"),
        ("config/data/train-0.parquet", "config/data/test-0.parquet"),
        ("data/config/train-0.parquet", "data/config/test-0.parquet"),
        ("default/train/0000.parquet", "default/validation/0000.parquet"),
        ("train/0000.parquet", "val/0000.parquet"),
    ],
)
def test_parquet_splits(tmp_path, names):
    parquet(tmp_path, *names)
    (tmp_path / "README.md").touch()
    assert told(tmp_path) == [2, 2, ()]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/0.png", "plane/1.png"), "'train' looks like a split"),
        (("cat/train/0.png", "dog/val/1.png"), "'cat/train' looks like a split"),
        (("train/0.png", "Training/1.png"), "look like one split"),
        (("val/0.png", "test/1.png"), "none to train on"),
        (("train/val/0.png", "train/cat/1.png"), "'val' looks like a split"),
        (("seg_train/a/0.png", "seg_test/a/1.png", "seg_pred/2.png"), "'seg_train' looks like a split, 'seg_pred'"),
        (("fold1/a/0.png", "fold2/a/1.png"), "'fold1' and 'fold2' look like folds of one set"),
        (("train_0/a/0.png", "train_1/a/1.png"), "look like one split"),
    ],
)
def test_what_may_be_splits_or_classes_is_refused(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(GridcodeError, match=message):
        told(tmp_path)


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (("set/train/0.png", "set/val/1.png"), []),
        (("I/Data/CLS/train/0.png", "I/Data/CLS/val/1.png", "I/Sets/0.txt"), ["not used: Sets/"]),
        (("images/train/0.png", "images/val/1.png", "labels/train/0.txt"), ["not used: labels/"]),
        (("train2017/0.png", "val2017/1.png", "annotations/a.json"), ["not used: annotations/"]),
        (("train/train/0.png", "val/1.png"), []),
        (("x_train/x_train/0.png", "x_test/x_test/1.png"), []),
        (("train/images/0.png", "valid/images/1.png"), ["labels: none, for 'images' is the only class"]),
    ],
)
def test_splits_below_other_folders(tmp_path, names, lines):
    put(tmp_path, *(name for name in names if name.endswith(".png")))
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert told(tmp_path) == [1, 1, (), *lines]


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path, "a/cat/0.png", "a/cat/1.png", "elsewhere/2.png")
    (tmp_path / "a/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a/cat/round").symlink_to(tmp_path / "a")
    source = open_source(tmp_path / "a")
    keys = [source.key(index) for index in range(len(source))]
    assert keys == ["cat/0.png", "cat/1.png", "dog/2.png"]
    assert source.notes == ()
    (tmp_path / "a/dog/3.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(GridcodeError, match="a link to a file that is not there"):
        open_source(tmp_path / "a")


def test_what_links_lead_to_is_read_once(tmp_path):
    put(tmp_path, "a/cat/0.png", "a/cat/deep/1.png", "a/dog/2.png", "b/3.png")
    (tmp_path / "a/cat/again").symlink_to(tmp_path / "a/cat/deep")
    (tmp_path / "a/cat/3.png").symlink_to(tmp_path / "b/3.png")
    (tmp_path / "a/cat/4.png").symlink_to(tmp_path / "b/3.png")
    (tmp_path / "a/dog/5.png").symlink_to("2.png")
    source = open_source(tmp_path / "a")
    assert [example.key for example in source] == ["cat/0.png", "cat/3.png", "cat/again/1.png", "dog/2.png"]
    assert told(tmp_path / "a")[3:] == ["read once: 3 links to what is read already (cat/deep/)"]
    (tmp_path / "a/dog/6.png").symlink_to("../cat/0.png")
    with pytest.raises(GridcodeError, match=r"dog/6\.png: the same as 'cat/0\.png' behind a link, which is of another"):
        open_source(tmp_path / "a")
    (tmp_path / "a/dog/6.png").unlink()
    (tmp_path / "a/tabby").symlink_to("cat")
    with pytest.raises(GridcodeError, match=r"tabby: the same as 'cat/' behind a link, which is of another class"):
        open_source(tmp_path / "a")
    assert open_source(tmp_path / "a", on_error="skip").classes == ("cat", "dog")
    (tmp_path / "list.txt").write_text("a/cat/3.png\nb/3.png\n")
    with pytest.raises(GridcodeError, match="listed twice, perhaps behind a link"):
        open_source(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("link", "to", "named"),
    [
        ("val", "train", "train/cat and .*val/cat are the same"),
        ("val", "train/cat", "train/cat and .*val are the same"),
        ("val/cat", "train/dog", "train/dog and .*val/cat are the same"),
        ("val/cat/1.png", "train/cat/1.png", r"train/cat/1\.png and .*val/cat/1\.png are the same"),
        ("train/cat/5.png", "val/cat/9.png", r"train/cat/5\.png and .*val/cat/9\.png are the same"),
        ("val/cat/2.png", "../pool/5.png", r"train/cat/2\.png and .*val/cat/2\.png are the same"),
        ("val/3.parquet", "train/3.parquet", r"train/3\.parquet and .*val/3\.parquet are the same"),
    ],
)
def test_what_is_in_both_splits_behind_links_is_refused(tmp_path, link, to, named):
    root = tmp_path / "a"
    put(root, "train/cat/1.png", "train/dog/2.png", "../pool/5.png")
    (root / "train/cat/2.png").symlink_to(tmp_path / "pool/5.png")
    if link.endswith(".png"):
        put(root, "val/cat/9.png")
    if link.endswith(".parquet"):
        parquet(root, "train/3.parquet", "val/4.parquet")
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to((root / to).resolve())
    with pytest.raises(GridcodeError, match=f"{named}, behind links, both for training and for validation"):
        told(root)


def test_splits_of_links_into_one_folder_are_read(tmp_path):
    put(tmp_path, "all/0.png", "all/1.png", "a/train/2.png", "a/val/3.png")
    (tmp_path / "a/train/0.png").symlink_to(tmp_path / "all/0.png")
    (tmp_path / "a/val/1.png").symlink_to(tmp_path / "all/1.png")
    assert told(tmp_path / "a")[:2] == [2, 2]
    config = DataConfig(source=str(tmp_path / "all"), val_source=str(tmp_path / "a/../all"))
    with pytest.raises(GridcodeError, match="both for training and for validation"):
        open_split(config, "val")
    config = replace(config, val_source=config.source)
    lines = understood(open_split(config, "train"), open_split(config, "val"))
    assert lines[3:] == ["val: the training images themselves, for data.val_source is data.source"]


def test_names_of_every_kind_are_read_and_can_be_written(tmp_path):
    names = [b"caf\xe9.png", b"a b.png", b"new\nline.png", b"back\\slash.png", b"x" * 251 + b".png"]
    for name in names:
        put(tmp_path, os.fsdecode(name))
    source = open_source(tmp_path)
    keys = [example.key for example in source]
    assert sorted(os.fsencode(unprintable(key)) for key in keys) == sorted(names)
    assert all(key.encode("utf-8").decode().isprintable() for key in keys)
    write_text(tmp_path / ("y" * 255), "long")
    assert (tmp_path / ("y" * 255)).read_text() == "long"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=20))
def test_printable_names_come_back(name):
    assert os.fsencode(unprintable(printable(os.fsdecode(name)))) == name


def test_an_image_and_a_list(tmp_path):
    put(tmp_path, "a.png", "sub/b.png")
    assert len(open_source(tmp_path / "a.png")) == 1
    (tmp_path / "list.txt").write_text("a.png\tx\n\nsub/b.png\ty\n")
    source = open_source(tmp_path / "list.txt")
    assert [(example.key, example.label) for example in source] == [("a.png", 0), ("sub/b.png", 1)]
    for text, message in (("", "empty"), ("a.png\na.png\n", "twice"), ("a.png\nc.png\n", "no file"),
                          ("a.png\tx\nsub/b.png\n", "each line")):  # fmt: skip
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(GridcodeError, match=message):
            open_source(tmp_path / "list.txt")


def test_one_class_is_unlabelled(tmp_path):
    put(tmp_path, "only/0.png", "only/1.png")
    assert told(tmp_path) == [1, 1, (), "labels: none, for 'only' is the only class"]


_SPLITS = {
    "train": ["train", "Train", "TRAINING", "training_set", "train2017", "01-train", "x-train"],
    "val": ["val", "Valid", "VALIDATION", "dev", "val_images", "x-val"],
    "test": ["test", "Testing", "eval", "test_data"],
}
_CLASSES = ["cat", "Dog", "bullet_train", "test_tube", "n01440764", "t-shirt", "0", "b\u00e4r", "contest"]
_CLUTTER_FOLDERS = [
    "__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information",
    "lost+found", ".dropbox.cache", ".Trash-1000", "__pycache__", ".stfolder", "#snapshot", "@Recycle",
]  # fmt: skip
_CLUTTER_FILES = [
    ".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "a.tmp", "a.png.crdownload", "a.jpg.part", ".dropbox", "0.png~",
    "Icon\r", "0.png.icloud", "~$a.docx", "0.png:Zone.Identifier", "a.png.aria2", "README.md", "LICENSE",
]  # fmt: skip


@st.composite
def _trees(draw):
    """Files of a data set and, told from how they were made and not by the code: split and class of each image."""
    parts = draw(st.sampled_from([("train",), ("train", "val"), ("train", "test"), ("train", "val", "test"), ()]))
    names = {split: draw(st.sampled_from(_SPLITS[split])) for split in parts}
    if parts and any(name.startswith("x-") for name in names.values()):  # then the splits must differ in it alone
        names = {split: f"x-{split}" for split in parts}
        parts = parts if len(parts) > 1 else ()
    classes = draw(st.lists(st.sampled_from(_CLASSES), max_size=3, unique=True))
    above = draw(st.sampled_from(["", "set/", "set/deep/"])) if parts else ""
    count = draw(st.integers(2, 3))
    expected, number = {}, 0
    for split in parts or (None,):
        for label in classes or (None,):
            for _ in range(count):
                folders = [names[split]] if split else []
                folders += [label] if label else []
                expected[above + "/".join([*folders, f"{number}.png"])] = (split, label)
                number += 1
    places = sorted({path.rpartition("/")[0] for path in expected} | {above.rstrip("/"), ""})
    clutter = draw(
        st.lists(st.tuples(st.sampled_from(places), st.sampled_from(_CLUTTER_FOLDERS + _CLUTTER_FILES)), max_size=6)
    )
    return expected, [f"{place}/{name}".lstrip("/") for place, name in clutter], classes


@settings(max_examples=30, deadline=None, derandomize=True)
@given(_trees())
def test_any_folder_is_read_as_it_was_meant(tree):
    expected, clutter, classes = tree
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        put(root, *expected)
        for place in clutter:
            if Path(place).name in _CLUTTER_FOLDERS:
                put(root, f"{place}/9.png")
            else:
                (root / place).touch()
        config = DataConfig(source=str(root), val_fraction=0.5)
        read = {split: list(open_split(config, split)) for split in ("train", "val")}
        names = open_split(config, "train").classes
    splits = {split for split, _ in expected.values()}
    held = "val" if "val" in splits else "test" if "test" in splits else None
    assert names == (tuple(sorted(classes)) if len(classes) > 1 else ())
    found = {}
    for split, examples in read.items():
        for example in examples:
            file = example.key.rsplit("/", 1)[-1]
            assert file not in found
            found[file] = (split, None if example.label is None else names[example.label])
    wanted = {path.rsplit("/", 1)[-1]: told for path, told in expected.items()}
    if held is None:
        assert set(found) == set(wanted)
    else:
        assert {file: split for file, (split, _) in found.items()} == {
            file: "train" if split == "train" else "val"
            for file, (split, _) in wanted.items()
            if split in ("train", held)
        }
    assert all(label == (wanted[file][1] if names else None) for file, (_, label) in found.items())


_NAME = st.sampled_from(
    ["train", "Val", "test", "Validation", "cat", "dog", "__MACOSX", "unlabeled", "x-train", ".git", "x_test", "fold1"]
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sets(st.tuples(_NAME, _NAME), min_size=1, max_size=6))
def test_no_split_is_a_class_and_no_validation_image_is_trained_on(tree):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number, (upper, lower) in enumerate(sorted(tree)):
            put(root, f"{upper}/{lower}/{number}.png", f"{upper}/{lower}/{number}b.png")
        config = DataConfig(source=str(root))
        try:
            train, val = open_split(config, "train"), open_split(config, "val")
        except GridcodeError:
            return
        assert not any(is_split(label) for label in train.classes)
        place = {example.key.rsplit("/", 1)[-1] for example in train}
        assert not place & {example.key.rsplit("/", 1)[-1] for example in val}
        if any(upper == "train" for upper, _ in tree):
            held = {f"{n}.png" for n, (upper, _) in enumerate(sorted(tree)) if re.match("(?i)val|test", upper)}
            assert not place & held


def build(root, layout):
    """What a row of the documentation's table shows: files, or the names of an array file's arrays."""
    root.mkdir()
    if match := re.fullmatch(r"(\S+\.np[yz]): (.+)", layout):
        labels = re.compile("labels|y_|arr_1|.*_labels")
        arrays = {
            name: np.arange(2) if labels.match(name) else np.full((2, 4, 4), 9, np.uint8)
            for name in match[2].split(", ")
        }
        np.savez(root / match[1], **arrays) if match[1].endswith("z") else np.save(root / match[1], *arrays.values())
        return
    for name in layout.split():
        if name.endswith(".parquet"):
            parquet(root, name)
        elif name == "classnames.txt":
            (root / name).write_text("cat\ndog\n")
        elif name.endswith(".txt"):
            (root / name).write_text("cat/0.png\tcat\ndog/1.png\tdog\n")
        elif name.endswith(".tar"):
            tar(root, name)
        elif name.endswith(".png"):
            put(root, name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()


def printed(root, source):
    """The lines, or the error, for a source as the table calls it."""
    if source == "TorchDataset":
        items = [(Image.new("L", (2, 2)), label) for label in (0, 1)]
        parts = [TorchDataset(items, name="mine", classes=("cat", "dog")) for _ in range(2)]
        return understood(*parts)
    config = DataConfig(source=source.replace("DIR", str(root)), train_count=3, val_count=1, size=8, val_fraction=0.5)
    if source.endswith(".png"):
        config = replace(config, val_source="scenes")
    try:
        lines = understood(open_split(config, "train"), open_split(config, "val"))
    except GridcodeError as error:
        lines = [str(error)]
    return [line.replace(str(root), "DIR") for line in lines]


def test_the_documentation_says_what_is_printed(tmp_path):
    text = (Path(__file__).parents[2] / "docs/guides/data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", text, re.M)
    sources = {source.removeprefix("DIR").rpartition(".")[2] for source, _, _ in rows}
    assert sources == {"", "scenes", "parquet", "txt", "png", "npz", "npy", "TorchDataset", "zip", "tar"}
    for number, (source, layout, line) in enumerate(rows):
        build(tmp_path / str(number), layout)
        assert line in printed(tmp_path / str(number), source), (source, layout)
