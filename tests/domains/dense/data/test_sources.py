"""Images with label maps from scenes, COCO folders, Parquet and paired folders; batches; what bad layouts say."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gridcode.data.config import CropPolicy
from gridcode.data.scenes.source import render_scene
from gridcode.data.workers import TrainOrder
from gridcode.domains.dense.data import (
    Categories,
    CocoPanoptic,
    DenseConfig,
    DenseScenes,
    DepthConfig,
    FolderLabels,
    PanopticConfig,
    PanopticMap,
    dense_eval_batches,
    dense_train_batches,
    make_label_map,
    open_dense,
    write_coco,
    write_depth,
)
from gridcode.domains.dense.data.coco import coco_image_ids, coco_splits
from gridcode.domains.dense.data.loader import crop_example
from gridcode.errors import GridcodeError
from gridcode.metrics import PanopticQuality

REAL = Path(os.environ.get("GRIDCODE_DATA", Path(__file__).parents[4].parent / "shared/data"))
NAMES = Categories(("sky", "cup"), (False, True))


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def write_rows(path, count, *, label="depth", size=(6, 8), first=0):
    """Images whose red is their number, and maps whose values are too."""
    cells = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = [png(np.full((*size, 3), first + i, np.uint8)) for i in range(count)]
    kind = np.uint16 if label == "depth" else np.uint8
    maps = [png(np.full(size, (first + i + 1) * (1000 if label == "depth" else 1), kind)) for i in range(count)]
    columns = {
        name: pa.array([{"bytes": b, "path": None} for b in rows], cells)
        for name, rows in (("image", images), (label, maps))
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def coco(root, split="val2017", count=3):
    """A small COCO folder: a sky above two cups, the last one a crowd, and a corner that nobody labelled."""
    classes = np.repeat([[0, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2]], 2, axis=0)
    instances = np.repeat([[0, 3, 3, 3], [3, 3, 3, 3], [5, 5, 6, 6]], 2, axis=0)
    planes = np.stack([classes, instances, (instances == 6).astype(int)])
    (root / split).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (4, 6), (number, 0, 0)).save(root / split / f"{number:012d}.png")
    write_coco(root, split, [(f"{number:012d}.png", planes) for number in range(count)], NAMES)
    return planes


def edit(root, change, split="val2017"):
    path = root / f"annotations/panoptic_{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# scenes


@pytest.mark.parametrize("task", ["depth", "panoptic"])
def test_scenes_are_the_renderers(task):
    source = open_dense(DenseConfig(task=task, height=24, width=32, train_count=4, val_count=3), "val")
    assert len(source) == 3
    scene = render_scene(0, 4 + 2, 32)
    example = source[2]
    assert (example.image == scene.rgb).all()
    if task == "depth":
        assert (example.planes[0] == scene.depth).all()
    else:
        assert (example.planes[0] == scene.semantic + 1).all()
        assert (example.planes[1] == scene.instance).all()
        assert source.categories.names[:2] == ("sky", "ground")


def test_scenes_through_encode_and_decode_have_perfect_panoptic_quality():
    config = DenseConfig(task="panoptic", height=32, width=32, val_count=8)
    source = open_dense(config, "val")
    label_map = make_label_map(config, source.categories)
    quality = PanopticQuality(source.categories.things)
    for batch in dense_eval_batches(source, config, batch_size=3):
        outputs = [
            torch.nn.functional.one_hot(batch.labels[:, c], k).permute(0, 3, 1, 2).float()
            for c, k in enumerate(label_map.groups)
        ]
        quality.update(label_map.decode(outputs), batch.planes)
    assert quality.compute().all.pq == 1.0


# COCO


def test_coco_round_trip(tmp_path):
    planes = coco(tmp_path)
    source = CocoPanoptic(tmp_path, "val2017")
    assert (len(source), source.categories) == (3, NAMES)
    example = source[1]
    assert example.key == source.key(1) == "000000000001.png"
    assert example.image[0, 0].tolist() == [1, 0, 0]
    assert (example.planes[[0, 2]] == planes[[0, 2]]).all()
    label_map = PanopticMap(PanopticConfig(NAMES))
    assert (label_map.encode(example.planes) == label_map.encode(planes)).all()
    info = json.loads((tmp_path / "annotations/panoptic_val2017.json").read_text())["annotations"][0]["segments_info"]
    assert [(s["category_id"], s["iscrowd"], s["area"], s["bbox"]) for s in info] == [
        (1, 0, 14, [0, 0, 4, 4]),
        (2, 0, 4, [0, 4, 2, 2]),
        (2, 1, 4, [2, 4, 2, 2]),
    ]


def test_coco_ids_and_category_ids_may_have_gaps(tmp_path):
    coco(tmp_path)

    def change(content):
        for row in [*content["categories"], *(s for a in content["annotations"] for s in a["segments_info"])]:
            key = "id" if "name" in row else "category_id"
            row[key] = {1: 184, 2: 44}[row[key]]

    edit(tmp_path, change)
    source = CocoPanoptic(tmp_path, "val2017")
    assert source.categories.names == ("cup", "sky")  # in the order of the ids
    assert source[0].planes[0, -1, 0] == 1


def test_coco_pngs_may_lie_under_annotations(tmp_path):
    coco(tmp_path)
    shutil.move(tmp_path / "panoptic_val2017", tmp_path / "annotations/panoptic_val2017")
    assert len(CocoPanoptic(tmp_path, "val2017")) == 3
    assert coco_splits(tmp_path) == {"val": "val2017"}
    (tmp_path / "annotations/panoptic_My_Train.json").touch()
    assert coco_splits(tmp_path) == {"train": "My_Train", "val": "val2017"}


def test_coco_splits_are_used_or_made(tmp_path):
    coco(tmp_path, "train2017", 4)
    config = DenseConfig(task="panoptic", source=str(tmp_path), val_fraction=0.25)
    assert [len(open_dense(config, part)) for part in ("train", "val")] == [3, 1]
    coco(tmp_path, "val2017", 2)
    assert [len(open_dense(config, part)) for part in ("train", "val")] == [4, 2]


def segments(content):
    return content["annotations"][0]["segments_info"]


def spoil_png(root):
    Image.new("RGB", (4, 6), (7, 7, 7)).save(root / "panoptic_val2017/000000000000.png")


def resize_png(root):
    Image.new("RGB", (4, 5)).save(root / "panoptic_val2017/000000000000.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root / "val2017"), "val2017: no such folder of images"),
        (lambda root: shutil.rmtree(root / "panoptic_val2017"), "no such folder of panoptic PNGs"),
        (lambda root: (root / "annotations/panoptic_val2017.json").unlink(), "there is no file"),
        (lambda root: (root / "annotations/panoptic_val2017.json").write_text("{"), "not valid JSON"),
        (lambda root: (root / "val2017/000000000001.png").unlink(), "000000000001.png: no such image"),
        (lambda root: (root / "panoptic_val2017/000000000001.png").unlink(), "000000000001.png: no such map"),
        (lambda root: edit(root, lambda c: c["annotations"].append(c["annotations"][0])), "image 0 .* two annotations"),
        (lambda root: edit(root, lambda c: c["images"].append(c["images"][0])), "lists id 0 twice"),
        (lambda root: edit(root, lambda c: c["images"][0].update(id=9, file_name="000000000001.png")), "name twice"),
        (
            lambda root: edit(root, lambda c: segments(c).append(segments(c)[1])),
            "segment 2 of 000000000000.png is liste",
        ),
        (lambda root: edit(root, lambda c: segments(c)[0].update(id=0)), "segment id 0 of .* 0 is unlabelled"),
        (lambda root: edit(root, lambda c: c["images"].pop()), "image 2, which 'images' does not list"),
        (lambda root: edit(root, lambda c: c.pop("categories")), "no list 'categories'"),
        (lambda root: edit(root, lambda c: c["categories"].pop()), "category 2 of 000000000000.png is not in"),
        (lambda root: edit(root, lambda c: c["categories"].append(c["categories"][0])), "lists an id twice"),
        (lambda root: edit(root, lambda c: c["annotations"][0].pop("segments_info")), "no list 'segments_info'"),
        (lambda root: edit(root, lambda c: c["annotations"][0].pop("file_name")), "lacks 'file_name'"),
        (lambda root: edit(root, lambda c: c["images"][0].update(id="x")), "'id' must be a whole number"),
        (lambda root: edit(root, lambda c: c["annotations"][0]["segments_info"].pop()), "segment 3 is not in"),
        (spoil_png, "segment 460551 is not in segments_info"),
        (resize_png, "4x5 pixels, but the image 000000000000.png has 4x6"),
    ],
)
def test_a_spoilt_coco_folder_gets_one_line(tmp_path, spoil, message):
    coco(tmp_path)
    spoil(tmp_path)
    with pytest.raises(GridcodeError, match=message) as error:
        _ = CocoPanoptic(tmp_path, "val2017")[0]
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


# Parquet and paired folders


def test_parquet_depth_is_metres(tmp_path):
    write_rows(tmp_path / "train.parquet", 3)
    write_rows(tmp_path / "test.parquet", 2, first=3)
    config = DenseConfig(source=str(tmp_path))
    train, val = (open_dense(config, part) for part in ("train", "val"))
    assert (len(train), len(val), val.key(1)) == (3, 2, "test.parquet:1")
    assert val[1].planes.dtype == np.float32
    assert np.unique(val[1].planes).tolist() == [5.0]
    assert np.unique(val[1].image).tolist() == [4]
    centimetres = replace(config, depth=DepthConfig(png_scale=100.0))
    assert open_dense(centimetres, "val")[1].planes.max() == 50.0
    assert pickle.loads(pickle.dumps(val))[1].key == val.key(1)


def test_parquet_without_a_split_holds_out_by_key(tmp_path):
    write_rows(tmp_path / "a.parquet", 10)
    config = DenseConfig(source=str(tmp_path / "a.parquet"), val_fraction=0.3)
    train, val = (open_dense(config, part) for part in ("train", "val"))
    keys = [{example.key for example in part} for part in (train, val)]
    assert [len(k) for k in keys] == [7, 3]
    assert not keys[0] & keys[1]


def test_parquet_semantics(tmp_path):
    write_rows(tmp_path / "train.parquet", 2, label="other")
    write_rows(tmp_path / "test.parquet", 4, label="segmentation")
    source = open_dense(DenseConfig(task="panoptic", source=str(tmp_path), val_fraction=0.25), "train")
    assert source.categories == Categories(("1", "2", "3", "4"), (False,) * 4)
    assert len(source) == 3  # of the only file that knows classes


def test_parquet_is_validated_on_val_and_not_on_test(tmp_path):
    for name, count in (("train", 4), ("val", 3), ("test", 2)):
        write_rows(tmp_path / f"{name}-0.parquet", count)
    assert len(open_dense(DenseConfig(source=str(tmp_path)), "val")) == 3
    (tmp_path / "val-0.parquet").unlink()
    assert len(open_dense(DenseConfig(source=str(tmp_path)), "val")) == 2


def test_numbered_classes_are_those_of_both_splits(tmp_path):
    write_rows(tmp_path / "train.parquet", 2, label="segmentation")
    write_rows(tmp_path / "val.parquet", 5, label="segmentation")
    for split in ("train", "val"):
        source = open_dense(DenseConfig(task="panoptic", source=str(tmp_path)), split)
        assert source.categories.names == ("1", "2", "3", "4", "5")


def paired(root, *, task="depth"):
    for number, name in enumerate(("b/1", "b/2", "a/3")):
        folder = root / ("depth" if task == "depth" else "segmentation")
        (root / "image" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (number, 0, 0)).save(root / "image" / f"{name}.png")
        if task == "depth":
            write_depth(folder / f"{name}.{'npy' if number else 'png'}", np.full((1, 3, 4), number + 1.5))
        else:
            Image.fromarray(np.full((3, 4), number, np.uint8)).save(folder / f"{name}.png")


def test_a_folder_of_pairs(tmp_path):
    paired(tmp_path / "train")
    paired(tmp_path / "val")
    source = open_dense(DenseConfig(source=str(tmp_path)), "val")
    assert [(example.key, float(example.planes.max())) for example in source] == [
        ("a/3.png", 3.5),
        ("b/1.png", 1.5),
        ("b/2.png", 2.5),
    ]


def test_a_folder_of_semantic_pairs_names_its_classes(tmp_path):
    paired(tmp_path, task="panoptic")
    assert FolderLabels(tmp_path, "panoptic", DepthConfig()).categories.names == ("1", "2")
    (tmp_path / "classes.txt").write_text("sky\ncup\n\nspoon\n")
    source = FolderLabels(tmp_path, "panoptic", DepthConfig())
    assert source.categories.names == ("sky", "cup", "spoon")
    assert np.unique(source[0].planes[0]).tolist() == [2]
    (tmp_path / "classes.txt").write_text("sky\n")
    with pytest.raises(GridcodeError, match="class 2, but there are 1 classes"):
        _ = FolderLabels(tmp_path, "panoptic", DepthConfig())[0]
    (tmp_path / "classes.txt").write_text("\n")
    with pytest.raises(GridcodeError, match="no class names"):
        FolderLabels(tmp_path, "panoptic", DepthConfig())


@pytest.mark.parametrize(
    ("train", "val"), [("Train", "Val"), ("training", "validation"), ("TRAIN", "Testing"), ("train", "valid")]
)
@pytest.mark.parametrize("inside", [False, True])
def test_split_folders_are_known_by_a_word(tmp_path, train, val, inside):
    for split in (train, val):
        paired(tmp_path / split)
        (tmp_path / split / "depth/b/2.npy").rename(tmp_path / split / "depth/b/2.NPY")
    if inside:
        for folder in ("image", "depth"):
            for split in (train, val):
                (tmp_path / folder).mkdir(exist_ok=True)
                shutil.move(tmp_path / split / folder, tmp_path / folder / split)
    for clutter in ("__MACOSX", ".git", "depth/.DS_Store" if inside else "docs"):
        (tmp_path / clutter).mkdir(parents=True)
    parts = [open_dense(DenseConfig(source=str(tmp_path)), split) for split in ("train", "val")]
    assert [(len(part), part.key(0)) for part in parts] == [(3, "a/3.png")] * 2
    assert [Path(part.name).name for part in parts] == [train, val]


@pytest.mark.parametrize(
    "names",
    [
        ("data/Train.parquet", "data/Valid.parquet"),
        ("x-train-0.parquet", "x-val-0.parquet"),
        ("config/train-0.parquet", "config/test-0.parquet"),
        ("train/0.parquet", "val/0.PARQUET"),
    ],
)
def test_split_files_are_known_by_a_word(tmp_path, names):
    for name, count in zip(names, (4, 3), strict=True):
        write_rows(tmp_path / name, count)
    (tmp_path / names[0]).with_name("._x.parquet").touch()
    assert [len(open_dense(DenseConfig(source=str(tmp_path)), split)) for split in ("train", "val")] == [4, 3]


@pytest.mark.parametrize("layout", ["splits above", "splits inside", "parquet", "coco"])
def test_images_of_both_splits_are_refused(tmp_path, layout):
    task = "panoptic" if layout == "coco" else "depth"
    if layout == "splits above":
        paired(tmp_path / "train")
        (tmp_path / "val").symlink_to("train")
    elif layout == "splits inside":
        paired(tmp_path / "all")
        for folder in ("image", "depth"):
            (tmp_path / folder).mkdir()
            shutil.copytree(tmp_path / "all" / folder, tmp_path / folder / "train")
            (tmp_path / folder / "val").symlink_to("train/b")
    elif layout == "parquet":
        write_rows(tmp_path / "train.parquet", 3)
        (tmp_path / "val.parquet").symlink_to("train.parquet")
    else:
        coco(tmp_path, "train2017")
        for name in ("{}", "panoptic_{}", "annotations/panoptic_{}.json"):
            (tmp_path / name.format("val2017")).symlink_to(tmp_path / name.format("train2017"))
    for split in ("train", "val"):
        with pytest.raises(GridcodeError, match="both for training and for validation"):
            open_dense(DenseConfig(source=str(tmp_path), task=task), split)


def test_folders_may_have_other_names_and_be_links(tmp_path):
    paired(tmp_path / "real", task="panoptic")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/Images").symlink_to(tmp_path / "real/image")
    (tmp_path / "data/masks").symlink_to(tmp_path / "real/segmentation")
    source = FolderLabels(tmp_path / "data", "panoptic", DepthConfig())
    assert [int(example.planes[0].max()) for example in source] == [2, 0, 1]
    (tmp_path / "data/labels").mkdir()
    with pytest.raises(GridcodeError, match="labels: beside masks; a folder of labelled images holds"):
        FolderLabels(tmp_path / "data", "panoptic", DepthConfig())


def test_names_of_any_bytes_find_their_maps(tmp_path):
    paired(tmp_path)
    for name in (os.fsdecode(b"caf\xe9"), "x y", "new\nline", "d" * 251):
        shutil.copy(tmp_path / "image/b/1.png", tmp_path / f"image/b/{name}.png")
        shutil.copy(tmp_path / "depth/b/1.png", tmp_path / f"depth/b/{name}.png")
    source = FolderLabels(tmp_path, "depth", DepthConfig())
    assert sorted(int(example.planes.max()) for example in source) == [1] * 5 + [2, 3]


def test_two_images_do_not_share_a_map(tmp_path):
    paired(tmp_path)
    shutil.copy(tmp_path / "image/b/1.png", tmp_path / "image/b/1.jpg")
    with pytest.raises(GridcodeError, match=r"b/1.jpg and b/1.png share it; rename one image"):
        FolderLabels(tmp_path, "depth", DepthConfig())


def voc(root):
    """Images whose maps hold 0, 15 and 255."""
    for folder in ("image", "segmentation"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (3, 2)).save(root / f"image/{number}.png")
        Image.fromarray(np.array([[0, 15, 255]] * 2, np.uint8)).save(root / f"segmentation/{number}.png")


def test_255_is_ignored_where_it_is_no_class(tmp_path):
    def opened(**settings):
        return open_dense(DenseConfig(task="panoptic", source=str(tmp_path), **settings), "train")

    voc(tmp_path)
    source = opened()
    assert source.categories.names == tuple(map(str, range(1, 16)))
    assert source[0].planes[0].tolist() == [[0, 15, 0]] * 2
    assert len(opened(ignore_value=-1).categories.names) == 255
    assert opened(ignore_value=15)[0].planes[0].tolist() == [[0, 0, 255]] * 2
    (tmp_path / "classes.txt").write_text("".join(f"class {n}\n" for n in range(1, 22)))
    assert opened()[0].planes[0].tolist() == [[0, 15, 0]] * 2
    with pytest.raises(GridcodeError, match="class 255, but there are 21 classes"):
        _ = opened(ignore_value=-1)[0]
    (tmp_path / "classes.txt").write_text("".join(f"class {n}\n" for n in range(1, 256)))
    assert opened()[0].planes[0].tolist() == [[0, 15, 255]] * 2


def test_masks_of_0_and_255_are_no_classes(tmp_path):
    voc(tmp_path)
    for path in (tmp_path / "segmentation").iterdir():
        Image.fromarray(np.array([[0, 0, 255]] * 2, np.uint8)).save(path)
    with pytest.raises(
        GridcodeError, match=r"no label map holds a value but 0 and 255, .* set data.ignore_value"
    ) as error:
        open_dense(DenseConfig(task="panoptic", source=str(tmp_path)), "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", ["root", "splits", "split", "parquet"])
def test_classes_txt_at_the_root_names_every_split(tmp_path, layout):
    if layout == "parquet":
        write_rows(tmp_path / "data/train.parquet", 2, label="segmentation")
        write_rows(tmp_path / "data/val.parquet", 2, label="segmentation")
    elif layout == "root":
        voc(tmp_path)
    else:
        voc(tmp_path / "train")
        voc(tmp_path / "val")
    listed = tmp_path / "train" / "classes.txt" if layout == "split" else tmp_path / "classes.txt"
    names = [f"café {n}" for n in range(15)]
    listed.write_text("\n".join(names), encoding="utf-8-sig")
    config = DenseConfig(task="panoptic", source=str(tmp_path))
    assert open_dense(config, "train").categories.names == tuple(names)
    if layout != "split":
        assert open_dense(config, "val").categories.names == tuple(names)
    listed.write_bytes("café".encode("latin-1"))
    with pytest.raises(GridcodeError, match="not UTF-8 text"):
        open_dense(config, "train")


def test_coco_annotations_say_what_belongs_to_a_split(tmp_path):
    """As the official tool has it: extra files are left out, and so is a listed image without annotation."""
    coco(tmp_path, count=4)
    Image.new("RGB", (4, 6)).save(tmp_path / "val2017/extra.png")
    (tmp_path / "panoptic_val2017/.DS_Store").touch()

    def change(content):
        content["annotations"].pop(1)
        for entry in (content["images"][0], content["annotations"][0]):
            entry["file_name"] = f"deep/er/{entry['file_name']}"

    edit(tmp_path, change)
    for folder in ("val2017", "panoptic_val2017"):
        (tmp_path / folder / "deep/er").mkdir(parents=True)
        (tmp_path / folder / "000000000000.png").rename(tmp_path / folder / "deep/er/000000000000.png")
    source = CocoPanoptic(tmp_path, "val2017")
    assert [example.key for example in source] == [
        "000000000002.png",
        "000000000003.png",
        "deep/er/000000000000.png",
    ]
    assert source.notes[0].endswith("panoptic_val2017.json: images listed without an annotation are left out (1)")
    keys = ["000000000001.png", "000000000002.png", "deep/er/000000000000.png", "extra.png"]
    assert list(coco_image_ids(tmp_path / "val2017", keys).values()) == [1, 2, 0, 4]


def test_bad_places_get_one_line(tmp_path):
    def opened(source, task="depth"):
        return open_dense(DenseConfig(task=task, source=str(source)), "train")

    paired(tmp_path / "pairs")
    (tmp_path / "pairs/depth/b/1.png").unlink()
    paired(tmp_path / "two")
    shutil.copy(tmp_path / "two/depth/b/2.npy", tmp_path / "two/depth/b/1.npy")
    paired(tmp_path / "sizes")
    write_depth(tmp_path / "sizes/depth/b/1.png", np.ones((1, 4, 4)))
    write_rows(tmp_path / "rows/train.parquet", 2, label="other")
    write_rows(tmp_path / "one.parquet", 1)
    (tmp_path / "text.parquet").write_text("hello")
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_json/annotations").mkdir(parents=True)
    cases = [
        (lambda: opened(tmp_path / "nothing"), "no such file or folder"),
        (lambda: opened(tmp_path / "empty"), "empty/image: no such folder; a folder of labelled images holds image/"),
        (lambda: opened(tmp_path / "pairs"), "no label file for b/1.png"),
        (lambda: opened(tmp_path / "two"), "two label files for b/1.png"),
        (lambda: list(opened(tmp_path / "sizes")), "4x4 pixels, but the image b/1.png has 4x3"),
        (lambda: opened(tmp_path / "rows"), "no column 'depth' among image, other"),
        (lambda: opened(tmp_path / "one.parquet"), "1 image cannot be split"),
        (lambda: opened(tmp_path / "text.parquet"), "not a readable Parquet file"),
        (lambda: opened(tmp_path / "text.txt"), "not a .parquet file"),
        (lambda: opened(tmp_path / "no_json", "panoptic"), "annotations: no panoptic_train"),
        (lambda: open_dense(DenseConfig(), "test"), "a split is 'train' or 'val'"),
    ]
    for action, message in cases:
        with pytest.raises(GridcodeError, match=message) as error:
            action()
        assert "\n" not in str(error.value)


# batches


def firsts(config, count=5, **options):
    source = open_dense(config, "train")
    return list(islice(dense_train_batches(source, config, TrainOrder(4, 3, **options)), count))


def same(a, b):
    return a.keys == b.keys and all(
        torch.equal(x, y) for x, y in ((a.images, b.images), (a.labels, b.labels), (a.planes, b.planes))
    )


@pytest.mark.parametrize("task", ["depth", "panoptic", "colour"])
def test_a_stream_resumes_and_is_shared_among_ranks(task):
    config = DenseConfig(task=task, height=12, width=16, train_count=10)
    whole = firsts(config)
    again = firsts(config, 3, start_step=2)
    assert all(same(a, b) for a, b in zip(whole[2:], again, strict=True))
    left, right = (firsts(config, rank=rank, world=2) for rank in (0, 1))
    assert [b.keys for b in whole] == [a.keys + b.keys for a, b in zip(left, right, strict=True)]
    assert sorted(key for batch in whole for key in batch.keys)[::2] == sorted({k for b in whole for k in b.keys})
    shapes = {"depth": (3, 1, 1), "panoptic": (3, 2, 3), "colour": (1, 3, 3)}[task]
    for tensor, channels in zip((whole[0].images, whole[0].labels, whole[0].planes), shapes, strict=True):
        assert tuple(tensor.shape) == (4, channels, 12, 16)
    assert whole[0].labels.dtype == (torch.float32 if task == "colour" else torch.int64)
    assert whole[0].images.min() >= -1
    assert whole[0].images.max() <= 1


def test_workers_do_not_change_the_stream(tmp_path):
    write_rows(tmp_path / "train.parquet", 6)
    config = DenseConfig(source=str(tmp_path), height=6, width=6, workers=0)
    assert all(same(a, b) for a, b in zip(firsts(config, 3), firsts(replace(config, workers=2), 3), strict=True))


def test_image_and_labels_are_cut_alike():
    """Red and green tell column and row, depth both: after any crop and mirroring they agree."""
    rows, columns = np.mgrid[:24, :32]
    image = np.stack([8 * columns, 10 * rows, 0 * rows], -1).astype(np.uint8)
    source = DenseScenes("depth", seed=0, start=0, count=1, size=8)
    example = replace(source[0], image=image, planes=(32 * rows + columns + 1)[None].astype(np.float32))
    config = DenseConfig(height=6, width=8, crop=CropPolicy(min_scale=0.5))
    label_map = make_label_map(config, None)
    mirrored = 0
    for seed in range(20):
        found = crop_example(example, label_map, config, np.random.default_rng(seed))
        row, column = np.divmod(found.planes[0] - 1, 32)
        mirrored += bool(column[0, 0] > column[0, -1])
        inner = found.image[1:-1, 1:-1].astype(float)  # at the border a bicubic filter has no neighbours
        assert abs(inner[..., 0] / 8 - column[1:-1, 1:-1]).max() <= 1.1
        assert abs(inner[..., 1] / 10 - row[1:-1, 1:-1]).max() <= 1.1
    assert 4 < mirrored < 16
    found = crop_example(example, label_map, replace(config, height=24, width=32), None)
    assert (found.image == image).all()
    assert (found.planes == example.planes).all()


def test_bad_streams_get_one_line(tmp_path):
    config = DenseConfig(height=8, width=8, train_count=2)
    source = open_dense(config, "train")
    with pytest.raises(GridcodeError, match="batch_size 3 is not a positive multiple"):
        dense_train_batches(source, config, TrainOrder(3, 0, world=2))
    with pytest.raises(GridcodeError, match="rank 2 is not in"):
        dense_train_batches(source, config, TrainOrder(2, 0, rank=2, world=2))
    with pytest.raises(GridcodeError, match="at least 1"):
        dense_eval_batches(source, config, batch_size=0)
    with pytest.raises(GridcodeError, match="no images"):
        dense_eval_batches(DenseScenes("depth", seed=0, start=0, count=0, size=8), config, batch_size=1)
    coco(tmp_path)
    resize_png(tmp_path)
    config = DenseConfig(task="panoptic", source=str(tmp_path), val_fraction=0.1, workers=0)
    with pytest.raises(GridcodeError, match="must be of one size"):
        list(dense_eval_batches(CocoPanoptic(tmp_path, "val2017"), config, batch_size=2))


# real files


def real(name, **settings):
    path = REAL / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return DenseConfig(source=str(path), **settings)


@pytest.mark.data
def test_real_seven_scenes_round_trip():
    config = real("sevenscenes_160x120", height=120, width=160)
    train, val = (open_dense(config, part) for part in ("train", "val"))
    assert (len(train), len(val)) == (200, 50)
    label_map = make_label_map(config, None)
    for index in range(0, 50, 10):
        planes = val[index].planes
        back = label_map.values(torch.from_numpy(label_map.encode(planes))).numpy()
        assert 0.5 < planes[planes > 0].min() < planes.max() < 5  # one room, in metres
        assert ((back > 0) == (planes > 0)).all()
        assert abs(back - planes).max() <= 10 / 512 + 1e-4
    small = replace(config, height=60, width=64)
    holes = [(val[i].planes == 0).mean() for i in range(0, 50, 10)]
    shrunk = [(crop_example(val[i], label_map, small, None).planes == 0).mean() for i in range(0, 50, 10)]
    assert 0 < np.mean(shrunk) < np.mean(holes)


@pytest.mark.data
def test_real_nyu_is_relative():
    config = real("nyuv2_160x120", height=60, width=80, depth=DepthConfig(relative="scale", png_scale=255.0))
    val = open_dense(config, "val")
    assert len(val) == 654
    label_map = make_label_map(config, None)
    example = val[5]
    back = label_map.values(torch.from_numpy(label_map.encode(example.planes))).numpy()
    assert abs(back - label_map.normalise(example.planes)).max() <= 1.5 / 256 + 1e-6


@pytest.mark.data
def test_real_nyu_classes():
    source = open_dense(real("nyuv2_160x120", task="panoptic"), "train")
    assert len(source.categories.names) == 13
    assert len(source) == 654 - 33


@pytest.mark.data
def test_real_coco_round_trip(tmp_path):
    config = real("coco_panoptic", task="panoptic", height=96, width=128)
    val = open_dense(config, "val")
    assert (len(val), len(val.categories.names), sum(val.categories.things)) == (100, 133, 80)
    label_map = make_label_map(config, val.categories)
    quality = PanopticQuality(val.categories.things)
    written = []
    for index in range(0, 100, 9):
        planes = val[index].planes
        labels = label_map.encode(planes)
        assert labels[1].max() == len({(c, i) for c, i in planes[:2].reshape(2, -1).T.tolist() if c})
        quality.update(torch.from_numpy(labels)[None], torch.from_numpy(planes)[None])
        written.append((val.key(index), planes))
    assert quality.compute().all.pq == 1.0
    write_coco(tmp_path, "val2017", written, val.categories)
    (tmp_path / "val2017").mkdir()
    for key, _ in written:
        shutil.copy(REAL / "coco_panoptic/val2017" / key, tmp_path / "val2017" / key)
    again = CocoPanoptic(tmp_path, "val2017")
    for example, (_, planes) in zip(again, written, strict=True):
        assert (label_map.encode(example.planes) == label_map.encode(planes)).all()
        assert (example.planes[2] == planes[2]).all()


@pytest.mark.data
def test_real_colours():
    config = real("imagenette128", task="colour", workers=0)
    batch = next(dense_eval_batches(open_dense(config, "val"), config, batch_size=4))
    assert tuple(batch.images.shape) == (4, 1, 64, 64)
    luma = (batch.labels * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    assert (batch.images - luma).abs().max() <= 1.5 / 127.5
    assert batch.labels.std(dim=1).mean() > 0.05
