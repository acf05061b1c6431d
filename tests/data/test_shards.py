"""Images in tar files: members as `tarfile` sees them, examples, patterns of names, and every fault in one line."""

import io
import json
import pickle
import re
import tarfile
from dataclasses import replace
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode.data import DataConfig, open_split, train_batches
from gridcode.data.open import open_source, understood
from gridcode.data.shards.images import TarImages
from gridcode.data.shards.names import expand, is_pattern
from gridcode.data.shards.stream import ImageStream
from gridcode.data.shards.tar import read_member, split_name, tar_members
from gridcode.errors import GridcodeError


def picture(number, mode="RGB", size=(5, 4), kind="png", **options):
    file = io.BytesIO()
    values = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).convert(mode).save(file, kind, **options)
    return file.getvalue()


def packed(members, form=tarfile.PAX_FORMAT):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def shards(folder, count=3, each=4, name="{:03d}.tar", labels="cls"):
    """Tar files with labelled images; what a key is and which class it has is written down here, not read."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for shard in range(count):
        members = []
        for row in range(each):
            number = shard * each + row
            members.append((f"{number:04d}.png", picture(number)))
            if labels:
                members.append((f"{number:04d}.{labels}", str(number % 3).encode()))
            truth[f"{name.format(shard)}:{number:04d}"] = number % 3
        (folder / name.format(shard)).write_bytes(packed(members))
    return truth


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=40)
_MEMBERS = st.lists(st.tuples(st.lists(_NAMES, min_size=1, max_size=5), st.binary(max_size=1200)), max_size=5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(_MEMBERS, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_members_are_those_that_tarfile_finds(parts, form):
    members = [("/".join(names), data) for names, data in parts]
    try:
        archive = packed(members, form)
    except ValueError:  # too long for ustar
        return
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        expected = [(info.name, tar.extractfile(info).read()) for info in tar if info.isreg()]
    file = io.BytesIO(archive)
    found = [(member.name, read_member(file, member, "a.tar")) for member in tar_members(file, "a.tar")]
    assert found == expected


def test_long_names_links_folders_and_huge_sizes(tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind in (("d/", tarfile.DIRTYPE), ("a" * 150 + "/b.png", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a" * 120
            tar.addfile(info)
        huge = tarfile.TarInfo("huge.bin")
        huge.size = 9 << 30
        archive.write(huge.tobuf(tarfile.GNU_FORMAT))
    members = tar_members(io.BytesIO(archive.getvalue()), "a.tar")
    assert next(members).name == "a" * 150 + "/b.png"
    assert next(members).size == 9 << 30
    with pytest.raises(GridcodeError, match=r"^a\.tar: cut short, .*; download or write it again, or set data\.on_err"):
        next(members)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [1 << 40, 1 << 44, 1 << 80])
def test_a_size_that_no_file_has_is_one_line_and_fills_no_memory(tmp_path, size, kind):
    info = tarfile.TarInfo("1.png")
    info.size, info.type = size, kind
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(512))
    for read in (open_source, lambda path: list(ImageStream((str(path),), "a"))):
        with pytest.raises(GridcodeError, match=r"a\.tar: (damaged|cut short), .*; download or write it again"):
            read(tmp_path / "a.tar")


def test_a_class_of_more_digits_than_a_number_has_is_a_name(tmp_path):
    for digits in (25, 5000):
        (tmp_path / "a.tar").write_bytes(packed([("1.png", picture(1)), ("1.cls", b"1" * digits)]))
        assert TarImages([tmp_path / "a.tar"]).classes == ("1" * digits,)
    (tmp_path / "a.tar").write_bytes(packed([("1.png", picture(1)), ("1.json", b'{"label": 12345678901234567890}')]))
    assert TarImages([tmp_path / "a.tar"]).classes == ("12345678901234567890",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.c/1.seg.png", ("a/b.c/1", "seg.png")),
        ("1.JPG", ("1", "jpg")),
        ("./1.cls", ("1", "cls")),
        ("__meta__/1.json", (None, "")),
        (".hidden.png", (None, "")),
        ("noextension", (None, "")),
    ],
)
def test_keys_and_extensions(name, expected):
    assert split_name(name) == expected


def test_shards_are_read_like_any_source(tmp_path):
    truth = shards(tmp_path / "a")
    source = open_source(tmp_path / "a")
    assert {example.key: example.label for example in source} == truth
    assert source.classes == ("0", "1", "2")
    for index, example in enumerate(source):
        with Image.open(io.BytesIO(picture(index))) as image:
            assert np.array_equal(example.image, np.asarray(image))
    (tmp_path / "classnames.txt").write_text("cat\ndog\nowl\n")
    assert open_source(tmp_path / "a").classes == ("cat", "dog", "owl")


def test_the_stream_is_that_of_a_folder_with_the_same_images(tmp_path):
    shards(tmp_path / "tar", labels=None)
    (tmp_path / "png").mkdir()
    for number in range(12):
        (tmp_path / "png" / f"{number:04d}.png").write_bytes(picture(number))
    config = DataConfig(source=str(tmp_path / "tar"), size=4, workers=0)
    sources = [open_source(tmp_path / name) for name in ("tar", "png")]
    for rank in (0, 1):
        settings = {"batch_size": 4, "seed": 3, "start_step": 2, "rank": rank, "world": 2}
        ours, theirs = (islice(train_batches(source, config, **settings), 5) for source in sources)
        for one, two in zip(ours, theirs, strict=True):
            assert one.images.equal(two.images)
    with_workers = train_batches(sources[0], replace(config, workers=2), batch_size=4, seed=3)
    alone = train_batches(sources[0], config, batch_size=4, seed=3)
    for _ in range(3):
        assert next(with_workers).images.equal(next(alone).images)


def test_modes_rotation_and_damage_are_those_of_folders(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    members = [
        ("rotated.jpg", picture(0, kind="jpeg", exif=exif)),
        ("grey.png", picture(1, mode="L")),
        ("clear.webp", picture(2, mode="RGBA", kind="webp", lossless=True)),
        ("broken.png", picture(3)[:60]),
    ]
    (tmp_path / "a.tar").write_bytes(packed(members))
    source = TarImages([tmp_path / "a.tar"])
    assert [source[index].image.shape for index in range(3)] == [(5, 4, 3), (4, 5, 1), (4, 5, 3)]
    with pytest.raises(GridcodeError, match=r"a\.tar, key broken: image damaged or cut short .*data\.on_error=skip"):
        source[3]


def test_classes_by_name_by_json_and_apart_from_their_images(tmp_path):
    members = [(f"{number}.png", picture(number)) for number in range(3)]
    names = [(f"{number}.cls", b"cat\n" if number else b"dog") for number in range(3)]
    (tmp_path / "a.tar").write_bytes(packed(members + names))
    source = TarImages([tmp_path / "a.tar"])
    assert [source.classes[example.label] for example in source] == ["dog", "cat", "cat"]
    told = [(f"{number}.json", b'{"label": %d, "caption": "x"}' % number) for number in range(3)]
    (tmp_path / "b.tar").write_bytes(packed([("README.md", b"x"), *members, *told, ("0.txt", b"a caption")]))
    assert [example.label for example in TarImages([tmp_path / "b.tar"])] == [0, 1, 2]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], r"a\.tar: no images in it; remove it, or set data\.on_error=skip"),
        ([("1.cls", b"0")], r"a\.tar: '1' has no image, only \.cls; remove it, or"),
        ([("1.png", b"x"), ("1.jpg", b"x")], r"a\.tar: '1' has several images \(\.png, \.jpg\); keep one"),
        ([("1.png", b"x"), ("1.png", b"y")], r"a\.tar: two members are called '1\.png'; keep one of them"),
        ([("1.png", b"x"), ("2.png", b"x"), ("1.PNG", b"y")], r"a\.tar: two members are called '1\.png'"),
        ([("1.png", b"x"), ("1.cls", b"0"), ("2.png", b"x")], r"a\.tar, key 2: no class, though key 1 has one; add a"),
        ([("1.png", b"x"), ("1.cls", b"\xff")], r"a\.tar: '1\.cls' is not UTF-8"),
        ([("1.png", b"x"), ("1.json", b"{")], r"a\.tar: '1\.json' is not JSON"),
        ([("1.png", b"x"), ("1.cls", b"99999999")], r"labels reach 99999999 in 1 rows"),
    ],
)
def test_what_is_no_example_is_one_line(tmp_path, members, message):
    (tmp_path / "a.tar").write_bytes(packed(members))
    with pytest.raises(GridcodeError, match=message) as error:
        open_source(tmp_path / "a.tar")
    assert "\n" not in str(error.value)


def test_skip_leaves_out_what_cannot_be_used_and_says_so(tmp_path, caplog):
    shards(tmp_path)
    whole = (tmp_path / "002.tar").read_bytes()
    (tmp_path / "002.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "001.tar").write_bytes(packed([("x.cls", b"1"), ("y.png", picture(9))]))
    with pytest.raises(GridcodeError, match="'x' has no image"):
        open_source(tmp_path)
    source = open_source(tmp_path, on_error="skip")
    assert [source.key(index) for index in range(len(source))][4:6] == ["001.tar:y", "002.tar:0008"]
    assert 5 < len(source) < 9
    assert source.notes == (
        f"shards: {len(source)} images in 3 tar files",
        f"labels: none for 1 of {len(source)} images",
        f"left out: 2 things in {tmp_path} that cannot be used",
    )
    assert "cut short" in caplog.text


@pytest.mark.parametrize("cut", [100, 512, 700, 1024, 2048, -1024, -513])
def test_a_tar_cut_anywhere_is_refused(tmp_path, cut):
    whole = packed([(f"{number}.png", picture(number)) for number in range(3)])
    whole = whole.rstrip(b"\0")
    whole += b"\0" * (-len(whole) % 512 + 1024)
    (tmp_path / "a.tar").write_bytes(whole[:cut])
    with pytest.raises(GridcodeError, match=r"a\.tar: cut short"):
        open_source(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1f\x8b" + b"x" * 600, "compressed; unpack it to a plain .tar"),
        (b"x" * 600, "not a tar file; check data.source"),
        (packed([("1.png", b"x" * 512)])[:1024] + b"x" * 1024, "damaged at byte 1,024; download"),
    ],
)
def test_files_that_are_no_tars(tmp_path, data, message):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(GridcodeError, match=message):
        open_source(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("pattern", "count", "first", "last"),
    [
        ("a-{000..146}.tar", 147, "a-000.tar", "a-146.tar"),
        ("{9..10}.tar", 2, "9.tar", "10.tar"),
        ("{train,val}-{0..1}.tar", 4, "train-0.tar", "val-1.tar"),
        ("plain.tar", 1, "plain.tar", "plain.tar"),
    ],
)
def test_braces(pattern, count, first, last):
    names = expand(pattern)
    assert (len(names), names[0], names[-1]) == (count, first, last)


@pytest.mark.parametrize("pattern", ["{0..}.tar", "{3..1}.tar", "{0..1.tar", "0..1}.tar", "{a,{b,c}}", "{}", "{a..c}"])
def test_bad_patterns(pattern):
    assert is_pattern(pattern)
    with pytest.raises(GridcodeError, match=re.escape(f"'{pattern}': ")):
        expand(pattern)
    with pytest.raises(GridcodeError, match="more than 1,000,000 files"):
        expand("{0..999}-{0..1000}.tar")


def told(source, **settings):
    config = DataConfig(source=str(source), val_fraction=0.25, **settings)
    return understood(open_split(config, "train"), open_split(config, "val"))


def test_patterns_as_sources(tmp_path):
    truth = shards(tmp_path)
    lines = told(tmp_path / "{000..002}.tar")
    assert lines == [
        f"train: 9 images of {tmp_path}/{{000..002}}.tar (train)",
        f"val: 3 images of {tmp_path}/{{000..002}}.tar (held out)",
        "classes: 3 (0, 1, 2)",
        "shards: 12 images in 3 tar files",
    ]
    assert told(tmp_path / "*.tar")[0] == f"train: 9 images of {tmp_path}/*.tar (train)"
    config = DataConfig(source=str(tmp_path / "00[01].tar"), val_source=str(tmp_path / "002.tar"))
    found = {split: {example.key for example in open_split(config, split)} for split in ("train", "val")}
    assert len(found["train"]) == 8
    assert found["train"] | found["val"] == set(truth)
    with pytest.raises(GridcodeError, match=r"003\.tar: no such file, though '.*\{000\.\.003\}\.tar' names it"):
        told(tmp_path / "{000..003}.tar")
    with pytest.raises(GridcodeError, match="no file has such a name"):
        told(tmp_path / "x*.tar")
    (tmp_path / "a.txt").touch()
    with pytest.raises(GridcodeError, match=r"must stand for \.tar or for \.parquet files, not \.tar, \.txt"):
        told(tmp_path / "*")


def test_splits_of_shards(tmp_path):
    shards(tmp_path / "names", 2, name="train-{}.tar")
    shards(tmp_path / "names", 1, name="val-{}.tar")
    shards(tmp_path / "folders" / "train", 2)
    shards(tmp_path / "folders" / "test", 1)
    for place in ("names", "folders", "names/{train,val}-0.tar", "folders/*/*.tar"):
        lines = told(tmp_path / place)
        assert [line.split(" images")[0] for line in lines[:2]][1] == "val: 4", place
    with pytest.raises(GridcodeError, match="both for training and for validation"):
        told(tmp_path / "names/train-*.tar", val_source=str(tmp_path / "names/train-0.tar"))


def test_images_beside_archives_come_first(tmp_path):
    shards(tmp_path, 1)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(picture(1))
    with pytest.raises(GridcodeError, match="not an image by its name"):
        open_source(tmp_path)


def saved(folder, count, names=("cat", "dog")):
    """A split as `datasets.Dataset.save_to_disk` writes it."""
    folder.mkdir(parents=True)
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}}}
    rows = {
        "image": [{"bytes": picture(number), "path": None} for number in range(count)],
        "label": [number % 2 for number in range(count)],
    }
    table = pa.table(rows).replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    files = [f"data-0000{part}-of-00002.arrow" for part in range(2)]
    for file, part in zip(files, (table.slice(0, 2), table.slice(2)), strict=True):
        with pa.OSFile(str(folder / file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": file} for file in files]}))
    (folder / "dataset_info.json").write_text("{}")


def test_what_datasets_saved_is_read_without_the_package(tmp_path):
    saved(tmp_path / "one", 5)
    source = open_source(tmp_path / "one")
    assert [(example.key, example.label) for example in source] == [(str(row), row % 2) for row in range(5)]
    with Image.open(io.BytesIO(picture(3))) as image:
        assert np.array_equal(pickle.loads(pickle.dumps(source))[3].image, np.asarray(image))
    for split, count in (("train", 4), ("test", 3)):
        saved(tmp_path / "all" / split, count)
    (tmp_path / "all/dataset_dict.json").write_text("{}")
    assert told(tmp_path / "all") == [
        f"train: 4 images of {tmp_path}/all/train",
        f"val: 3 images of {tmp_path}/all/test",
        "classes: 2 (cat, dog)",
    ]
    file = tmp_path / "one/data-00001-of-00002.arrow"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(GridcodeError, match="not a readable Arrow file"):
        open_source(tmp_path / "one")
    file.unlink()
    with pytest.raises(GridcodeError, match="there is no such file; copy or save the data set again"):
        open_source(tmp_path / "one")
