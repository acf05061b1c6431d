"""Solids lie where they should; files of every form are read or refused by name; depth maps become clouds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gridcode.data.scenes import shapes
from gridcode.data.workers import TrainOrder
from gridcode.domains.points.config import PointsConfig
from gridcode.domains.points.data.decode import read_points
from gridcode.domains.points.data.loader import eval_batches, read_cloud, train_batches
from gridcode.domains.points.data.solids import SHAPES, Solid, draw_solid
from gridcode.domains.points.data.source import open_clouds, open_input
from gridcode.domains.points.files import write_cloud
from gridcode.errors import GridcodeError

POINTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


@pytest.mark.parametrize("shape", range(5), ids=SHAPES)
def test_points_of_a_solid_lie_on_its_surface_where_rays_hit_it(shape: int) -> None:
    draws = np.random.default_rng(shape)
    solid = Solid(shape, 0.6, draw_solid(3, shape, rotation="any", scale=(0.5, 0.5)).rotation)
    points = solid.sample(4000, draws)
    assert solid.distance(points).max() < 1e-6
    assert np.linalg.norm(points, axis=1).max() <= 0.6 * shapes.BOUNDS[shape] + 1e-6
    # The renderer's own ray casting agrees: its hits are on the surface too.
    origins = np.broadcast_to(np.array([0.1, 0.05, 3.0]), (50, 3)).T.astype(np.float32)
    towards = (0.4 * draws.normal(size=(3, 50)) - np.array([[0.1], [0.05], [3.0]])).astype(np.float32)
    t = shapes.intersect(shape, tuple(origins), tuple(towards))
    hits = (origins + np.where(np.isfinite(t), t, 0) * towards).T[np.isfinite(t)]
    assert len(hits) > 10
    own = Solid(shape, 1.0, np.eye(3))
    assert own.distance(hits).max() < 6e-3  # the torus is walked up to 4e-3
    assert own.distance(np.array([[0.0, 0.0, 5.0]]))[0] > 3.9


def test_points_are_even_by_area() -> None:
    draws = np.random.default_rng(0)
    cylinder = Solid(shapes.CYLINDER, 1.0, np.eye(3)).sample(40_000, draws)
    caps = np.abs(cylinder[:, 2]) > shapes.CYLINDER_HALF - 1e-6
    side = 4 * np.pi * shapes.CYLINDER_RADIUS * shapes.CYLINDER_HALF
    both = 2 * np.pi * shapes.CYLINDER_RADIUS**2
    assert caps.mean() == pytest.approx(both / (side + both), abs=0.01)
    torus = Solid(shapes.TORUS, 1.0, np.eye(3)).sample(40_000, draws)
    outer = np.hypot(torus[:, 0], torus[:, 1]) > shapes.TORUS_RADIUS
    assert outer.mean() == pytest.approx(0.5 + shapes.TORUS_TUBE / shapes.TORUS_RADIUS / np.pi, abs=0.01)


def test_a_solid_is_its_number_and_its_points_are_new_in_training() -> None:
    data = PointsConfig(points=30, train_count=20, val_count=10, rotation="upright")
    train, val = open_clouds(data, "train"), open_clouds(data, "val")
    assert (len(train), len(val), train.classes, val[3].key) == (20, 10, SHAPES, "cone-23")
    first, again = (next(eval_batches(val, data, batch_size=10)) for _ in range(2))
    assert torch.equal(first.points, again.points)
    other = next(eval_batches(val, data, batch_size=10, draw=1))
    assert not torch.equal(first.points, other.points)
    stream = train_batches(train, data, TrainOrder(20, seed=1))
    before, later = next(stream), next(stream)
    batches = dict(zip(before.keys, before.points, strict=True))
    assert batches.keys() == set(later.keys)
    assert not any(torch.equal(batches[key], cloud) for key, cloud in zip(later.keys, later.points, strict=True))
    resumed = next(train_batches(train, data, TrainOrder(20, seed=1, start_step=1)))
    assert torch.equal(later.points, resumed.points)
    turned = draw_solid(0, 8, rotation="upright", scale=(0.5, 0.5)).rotation
    assert turned[2].tolist() == [0, 0, 1]
    any_way = draw_solid(0, 8, rotation="any", scale=(0.5, 0.5)).rotation
    assert np.allclose(any_way @ any_way.T, np.eye(3))
    assert np.linalg.det(any_way) == pytest.approx(1)


def ply(form: str, properties: str, body: bytes, count: int = 20) -> bytes:
    lines = f"ply\nformat {form} 1.0\ncomment made here\nelement vertex {count}\n{properties}element face 1\n"
    return f"{lines}property list uchar int vertex_indices\nend_header\n".encode() + body


XYZ = "property float x\nproperty float y\nproperty float z\n"


def as_npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def as_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


COLOURED = np.dtype([("red", "u1"), ("z", ">f8"), ("y", ">f8"), ("x", ">f8")])
coloured = np.zeros(20, COLOURED)
for number, axis in enumerate("xyz"):
    coloured[axis] = POINTS[:, number]
TEXT = "".join(f"7 {x!r} {y!r} {z!r}\n" for x, y, z in POINTS.tolist()).encode()


@pytest.mark.parametrize(("name", "encoded"), [
    ("a.npy", as_npy(POINTS)),
    ("a.npy", as_npy(np.concatenate([POINTS, POINTS], 1).astype(np.float64))),
    ("a.npz", as_npz(points=POINTS, labels=np.zeros(20))),
    ("a.NPZ", as_npz(anything=POINTS)),
    ("a.ply", ply("binary_little_endian", XYZ, POINTS.astype("<f4").tobytes() + b"\3\0\0\0\0")),
    ("a.ply", ply("binary_big_endian", "property uchar red\nproperty double z\nproperty double y\nproperty double x\n",
                  coloured.tobytes())),
    ("a.ply", ply("ascii", "property int flag\n" + XYZ, TEXT + b"3 0 1 2\n")),
])  # fmt: skip
def test_every_form_of_a_cloud_is_read(name: str, encoded: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded)
    np.testing.assert_allclose(read_points(tmp_path / name), POINTS, rtol=1e-6)


@pytest.mark.parametrize(("name", "encoded", "said"), [
    ("a.npy", b"", "is empty"),
    ("a.npy", b"nonsense", "not a readable cloud"),
    ("a.npy", as_npy(POINTS)[:-5], "not a readable cloud"),
    ("a.npy", as_npy(np.zeros((5, 2))), r"float64 of shape \(5, 2\) is no cloud"),
    ("a.npy", as_npy(np.zeros((0, 3))), "a cloud of no points"),
    ("a.npy", as_npy(np.array([[0, 0, np.nan], [0, 0, 1]])), "1 of 2 points are NaN"),
    ("a.npy", as_npy(np.array([["a", "b", "c"]])), "is no cloud"),
    ("a.npy", as_npy(np.full((2, 3), 1e300)), "2 of 2 points are NaN or infinite"),
    ("a.npz", as_npz(a=POINTS, b=POINTS), "arrays a, b, none of them called points"),
    ("a.npz", as_npz(points=POINTS)[:200], "not a readable cloud"),
    ("a.npy", as_npy(POINTS).replace(b"(20, 3), }", b"(20, 3), ("), "not a readable cloud"),
    ("a.ply", b"ply\nformat ascii 1.0\n", "no PLY header"),
    ("a.ply", ply("binary_middle_endian", XYZ, b""), "format 'binary_middle_endian'"),
    ("a.ply", ply("binary_little_endian", XYZ, b"123"), "0 of 20 vertices"),
    ("a.ply", ply("ascii", XYZ, b"1 2 3\n"), "1 of 20 vertices"),
    ("a.ply", ply("ascii", XYZ, b"1 2\n", count=1), "not a readable cloud"),
    ("a.ply", ply("ascii", "property float x\n", b"1\n", count=1), "no property 'y'"),
    ("a.ply", ply("ascii", XYZ, b"", count=-1), "-1 vertices"),
])  # fmt: skip
def test_a_broken_file_is_refused_by_name(name: str, encoded: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded)
    with pytest.raises(GridcodeError, match=said) as error:
        read_points(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        place = tmp_path / "set" / ("train" if number < 4 else "test") / ("big", "small")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        write_cloud(place / f"{number}.{('npy', 'ply')[number % 2]}", torch.from_numpy(POINTS[: 8 + number] + number))
    return tmp_path / "set"


def test_folders_have_classes_and_splits_and_clouds_are_brought_to_one_size(folder: Path) -> None:
    data = PointsConfig(source=str(folder), points=16)
    train, val = open_clouds(data, "train"), open_clouds(data, "val")
    assert (train.classes, len(train), len(val)) == (("big", "small"), 4, 2)
    batch = next(eval_batches(train, data, batch_size=4))
    assert batch.labels.tolist() == [0, 0, 1, 1]
    assert batch.points.shape == (4, 16, 3)
    assert batch.points.norm(dim=2).amax(1).tolist() == pytest.approx([1] * 4)
    assert len({tuple(point) for point in batch.points[0].tolist()}) == 8  # all of its points, and some once more
    with pytest.raises(GridcodeError, match=r"big/0\.npy: 8 points, fewer than data.points=16; set data.fewer=repeat"):
        next(eval_batches(train, replace(data, fewer="refuse"), batch_size=4))
    few = next(train_batches(train, replace(data, points=5), TrainOrder(4, seed=0)))
    assert few.points.shape == (4, 5, 3)
    assert [len({tuple(point) for point in cloud.tolist()}) for cloud in few.points] == [5] * 4
    same = read_cloud(open_input(data)[0], None, config=replace(data, normalise=False))
    assert same.min() > 0  # as it lies in the file


def test_one_broken_file_is_named_or_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "train/big/0.npy").write_bytes(b"")
    data = PointsConfig(source=str(folder), points=4)
    with pytest.raises(GridcodeError, match=r"train/big/0\.npy: is empty"):
        list(eval_batches(open_clouds(data, "train"), data, batch_size=2))
    skipping = replace(data, on_error="skip")
    batches = list(eval_batches(open_clouds(data, "train"), skipping, batch_size=2))
    assert sum(len(batch.keys) for batch in batches) == 3
    assert "0.npy: is empty" in caplog.text
    stream = train_batches(open_clouds(data, "train"), skipping, TrainOrder(8, seed=0))
    assert len(next(stream).keys) == 8


def test_equal_points_become_a_point_and_other_places_are_refused(tmp_path: Path) -> None:
    write_cloud(tmp_path / "a.npy", torch.ones(5, 3))
    data = PointsConfig(source=str(tmp_path / "a.npy"), points=4)
    cloud = read_cloud(open_input(data)[0], None, config=data)
    assert cloud.tolist() == [[0.0, 0.0, 0.0]] * 4
    with pytest.raises(GridcodeError, match="one cloud cannot be split; add clouds"):
        open_clouds(data, "train")
    with pytest.raises(GridcodeError, match="no such file or folder"):
        open_clouds(replace(data, source="/none"), "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GridcodeError, match=r"no clouds here \(.npy, .npz, .ply\)"):
        open_clouds(replace(data, source=str(tmp_path / "empty")), "train")


def depth_png(values: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_depth_maps_become_patches_of_points(tmp_path: Path) -> None:
    flat = np.full((16, 24), 2000, np.uint16)
    flat[:, :8] = 0  # nothing measured
    flat[0, 8:12] = 0
    pq.write_table(pa.table({"depth": [depth_png(flat), depth_png(flat)]}), tmp_path / "train.parquet")
    data = PointsConfig(source=str(tmp_path), points=70, patch=8, focal=10.0, normalise=False)
    source = open_input(data)
    assert len(source) == 2 * 4  # of six patches two hold nothing
    points = source[0].shape.points(70, np.random.default_rng(0))
    assert points.shape == (60, 3)
    assert set(points[:, 1].tolist()) == {2.0}
    assert (points[:, 0].min(), points[:, 0].max()) == pytest.approx((-3.5 * 0.2, 3.5 * 0.2))
    assert (points[:, 2].min(), points[:, 2].max()) == pytest.approx((0.5 * 0.2, 7.5 * 0.2))
    assert read_cloud(source[0], None, config=data).shape == (70, 3)
    pq.write_table(pa.table({"depth": [depth_png(flat.astype(np.uint8))]}), tmp_path / "train.parquet")
    with pytest.raises(GridcodeError, match=r"uint8 of shape \(16, 24\) is no depth map of 16 bits"):
        open_input(data)


def test_65535_in_a_depth_map_is_no_depth(tmp_path: Path) -> None:
    near = np.full((8, 16), 2000, np.uint16)
    near[0, :8] = 65535  # as 7-Scenes has it: 65.5 m if it were a depth
    near[:5, 8:] = 65535
    pq.write_table(pa.table({"depth": [depth_png(near)]}), tmp_path / "train.parquet")
    source = open_input(PointsConfig(source=str(tmp_path), patch=8))
    assert len(source) == 1  # less than half of the second patch was measured
    points = source[0].shape.points(64, np.random.default_rng(0))
    assert points.shape == (56, 3)
    assert points[:, 1].max() == 2.0


def test_one_damaged_depth_map_is_named_or_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = depth_png(np.full((8, 8), 2000, np.uint16))
    cut = {"bytes": whole["bytes"][:40], "path": None}
    pq.write_table(pa.table({"depth": [cut, whole]}), tmp_path / "train.parquet")
    data = PointsConfig(source=str(tmp_path), patch=8)
    with pytest.raises(GridcodeError, match=r"train.parquet, row 0: not a readable depth map .*data.on_error=skip"):
        open_input(data)
    source = open_input(replace(data, on_error="skip"))
    assert [source.key(number) for number in range(len(source))] == ["train.parquet:1-0-0"]
    assert "skipped" in caplog.text
