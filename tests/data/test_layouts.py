"""Folders as people have them: splits, classes, clutter, links and names."""

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode.data import DataConfig, open_split
from gridcode.data.file_names import printable, unprintable
from gridcode.data.open import open_source
from gridcode.data.split_names import is_split
from gridcode.data.understood import understood
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
    ],
)
def test_what_may_be_splits_or_classes_is_refused(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(GridcodeError, match=message):
        told(tmp_path)


def test_splits_below_a_lone_folder(tmp_path):
    put(tmp_path, "set/train/0.png", "set/val/1.png")
    assert told(tmp_path)[:3] == [1, 1, ()]


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
    assert lines[3:] == ["val: the training pictures themselves, for data.val_source is data.source"]


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


def test_a_picture_and_a_list(tmp_path):
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


_NAME = st.sampled_from(
    ["train", "Val", "test", "Validation", "cat", "dog", "__MACOSX", "unlabeled", "x-train", ".git"]
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sets(st.tuples(_NAME, _NAME), min_size=1, max_size=6))
def test_no_split_is_a_class_and_no_validation_picture_is_trained_on(tree):
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


def test_the_documentation_says_what_is_printed(tmp_path):
    text = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+\.png)` \| `([^`]+)` \|$", text, re.M)
    assert len(rows) >= 6
    for number, (layout, line) in enumerate(rows):
        put(tmp_path / str(number), *layout.split())
        config = DataConfig(source=str(tmp_path / str(number)))
        assert line in understood(open_split(config, "train"), open_split(config, "val"))
