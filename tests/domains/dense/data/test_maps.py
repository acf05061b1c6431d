"""Label maps: encode and decode by their formulas, the canonical order by brute force, images, resizing, files."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.data import (
    Categories,
    ColourMap,
    DenseConfig,
    DepthConfig,
    DepthMap,
    PanopticConfig,
    PanopticMap,
    canonical,
    make_label_map,
    read_depth,
    write_depth,
)
from gridcode.domains.dense.data.files import highest_class, read_classes, read_ids, read_values, write_ids
from gridcode.domains.dense.data.geometry import center_region, resize_nearest, resize_valid, train_region
from gridcode.domains.dense.data.panoptic import class_colour
from gridcode.errors import GridcodeError

CATEGORIES = Categories(("sky", "cup", "dog"), (False, True, True))


def logits(labels, count):
    """One-hot logits (1, K, H, W) of a label channel."""
    return F.one_hot(torch.from_numpy(np.asarray(labels)).long(), count).permute(2, 0, 1)[None].float()


def decode(label_map, labels):
    outputs = [logits(channel, count) for channel, count in zip(labels, label_map.groups, strict=True)]
    return label_map.decode(outputs)[0].numpy()


# depth


def test_every_depth_comes_back_within_half_a_bin():
    depth = DepthMap(DepthConfig())
    width = (10 - 1e-3) / 256
    metres = np.linspace(1e-3, 10, 100_003)[1:-1].astype(np.float32).reshape(1, 1, -1)
    back = depth.values(torch.from_numpy(depth.encode(metres))).numpy()
    error = abs(back - metres)
    assert error[metres > 1e-3 + width].max() <= width / 2 + 1e-6
    assert error.max() <= 1.5 * width + 1e-6
    assert set(depth.encode(metres).ravel().tolist()) == set(range(1, 256))


def test_bins_are_uniform_and_the_ends_are_invalid():
    depth = DepthMap(DepthConfig(bins=4, near=1.0, far=5.0))
    edges = np.array([[[0, 1.0, 1.5, 2.0, 2.99, 3.0, 4.0, 4.99, 5.0, 80]]], np.float32)
    assert depth.encode(edges).ravel().tolist() == [0, 0, 1, 1, 1, 2, 3, 3, 0, 0]
    assert depth.values(torch.arange(4)).tolist() == [0, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("relative", ["scale", "scale_shift"])
def test_relative_depth_does_not_depend_on_what_it_loses(relative):
    depth = DepthMap(DepthConfig(relative=relative))
    metres = np.random.default_rng(0).uniform(1, 7, (1, 6, 7)).astype(np.float32)
    metres[0, 0] = 0
    other = np.where(metres > 0, 4 * metres + (2 if relative == "scale_shift" else 0), 0).astype(np.float32)
    labels = depth.encode(metres)
    assert abs(labels - depth.encode(other)).max() <= 1  # rounding at an edge
    assert ((labels == 0) == (metres == 0)).all()
    normalised = depth.normalise(metres)
    least = 0 if relative == "scale" else metres[metres > 0].min()
    expected = np.where(metres > 0, (metres - least) / (metres.max() - least), 0)
    np.testing.assert_allclose(normalised, expected, rtol=1e-5, atol=1e-7)
    assert abs(decode(depth, labels)[0] - normalised)[0, 1:].max() <= 1.5 / 256 + 1e-6


def test_flat_and_empty_relative_maps():
    depth = DepthMap(DepthConfig(relative="scale_shift"))
    assert depth.encode(np.full((1, 2, 2), 3, np.float32)).tolist() == [[[255, 255], [255, 255]]]
    assert not depth.encode(np.zeros((1, 2, 2), np.float32)).any()


def test_the_invalid_bin_is_never_predicted():
    depth = DepthMap(DepthConfig(bins=4, near=0, far=4))
    outputs = torch.tensor([9.0, 0.0, 1.0, 0.5]).reshape(1, 4, 1, 1)
    assert depth.decode([outputs]).item() == 2.5


def test_depth_images_darken_with_distance_and_show_holes_in_grey():
    picture = DepthMap(DepthConfig()).image(np.array([[[0, 0.1, 3, 6, 9.9]]], np.float32))[0].astype(int)
    assert picture[0].tolist() == [128, 128, 128]
    assert (np.diff(picture[1:].sum(axis=1)) < 0).all()
    relative = DepthMap(DepthConfig(relative="scale_shift")).image(np.array([[[0, 0.2, 0.5, 1]]], np.float32))[0]
    assert (np.diff(relative.astype(int)[1:].sum(axis=1)) < 0).all()
    assert (DepthMap(DepthConfig()).image(np.zeros((1, 2, 2), np.float32)) == 128).all()


# panoptic


def brute_order(classes, instances):
    """Each segment's pixels; centres as fractions, compared without rounding."""
    from fractions import Fraction

    segments = {}
    for y, x in product(*map(range, classes.shape)):
        if classes[y, x]:
            segments.setdefault((int(classes[y, x]), int(instances[y, x])), []).append((y, x))
    centre = {s: tuple(Fraction(sum(p[a] for p in ps), len(ps)) for a in (0, 1)) for s, ps in segments.items()}
    return [segments[s] for s in sorted(segments, key=lambda s: (centre[s], s))]


small = hnp.arrays(np.int64, (4, 5), elements=st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(small, small, st.sampled_from([1, 50_000]))
def test_any_map_is_numbered_by_its_centres(classes, instances, apart):
    instances = instances * apart  # small ids are counted, large ones sorted
    found = canonical(classes, instances, most=99)
    expected = np.zeros_like(classes)
    for number, pixels in enumerate(brute_order(classes, instances), start=1):
        expected[tuple(zip(*pixels, strict=True))] = number
    assert (found[1] == expected).all()
    assert (found[0] == classes).all()
    assert (canonical(*found, most=99) == found).all()


@settings(max_examples=60, deadline=None)
@given(small, small)
def test_any_map_survives_encode_and_decode(classes, instances):
    panoptic = PanopticMap(PanopticConfig(CATEGORIES, instances=20))
    instances = np.where(classes == 1, 0, instances)  # stuff is one segment a class
    labels = panoptic.encode(np.stack([classes, instances, 0 * classes]))
    assert (decode(panoptic, labels) == labels).all()
    assert panoptic.image(labels).shape == (4, 5, 3)


def test_where_ids_run_out_the_smallest_segments_go():
    classes = np.array([[2, 2, 2, 2, 2, 2, 0]])
    instances = np.array([[1, 1, 2, 3, 3, 3, 0]])
    panoptic = PanopticMap(PanopticConfig(CATEGORIES, instances=3))
    assert panoptic.encode(np.stack([classes, instances])).tolist() == [
        [[2, 2, 0, 2, 2, 2, 0]],
        [[1, 1, 0, 2, 2, 2, 0]],
    ]


def test_the_class_of_a_segment_is_by_summed_logits():
    panoptic = PanopticMap(PanopticConfig(CATEGORIES, instances=3))
    semantic = torch.tensor([[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 5.0]]).T.reshape(1, 4, 1, 3)  # two votes against 5
    ids = logits([[1, 1, 1]], 3)
    assert panoptic.decode([semantic, ids])[0].tolist() == [[[3, 3, 3]], [[1, 1, 1]]]


def test_decoding_drops_small_and_unlabelled_segments_and_joins_stuff():
    config = PanopticConfig(CATEGORIES, instances=9, min_share=0.2)
    classes = [[1, 1, 2, 2, 3, 0, 0, 1, 1, 1]]
    ids = [[1, 1, 2, 2, 3, 4, 0, 5, 5, 5]]
    found = decode(PanopticMap(config), (classes, ids))
    assert found.tolist() == [[[1, 1, 2, 2, 0, 0, 0, 1, 1, 1]], [[2, 2, 1, 1, 0, 0, 0, 2, 2, 2]]]
    # An id of 0 is unlabelled whatever its class says.
    assert not decode(PanopticMap(config), ([[2, 2]], [[0, 0]])).any()


def test_panoptic_images_tell_classes_and_segments_apart():
    colours = {tuple(class_colour(number).round()) for number in range(134)}
    assert len(colours) == 134
    panoptic = PanopticMap(PanopticConfig(CATEGORIES))
    planes = np.array([[[2, 2, 2, 2, 0, 0]], [[1, 1, 2, 2, 0, 0]]])
    picture = panoptic.image(planes)[0]
    assert picture[1:3].tolist() != [picture[0].tolist()] * 2
    assert picture[4].tolist() == picture[5].tolist() == [0, 0, 0]
    renamed = np.stack([planes[0], np.where(planes[1] == 1, 0, 7)])
    assert (panoptic.image(renamed)[0] == picture).all()


# colour


def test_every_byte_survives_colour():
    planes = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, 0)
    labels = ColourMap().encode(planes)
    assert (labels.min(), labels.max()) == (-1, 1)
    assert (ColourMap().decode([torch.from_numpy(labels)[None]])[0].numpy() == planes).all()
    assert ColourMap().decode([torch.full((1, 3, 1, 1), 7.0)]).unique().tolist() == [255]


def test_grey_is_pillows_luma():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    luma = (image @ np.array([299, 587, 114])) / 1000
    assert abs(ColourMap().context(image)[..., 0] - luma).max() <= 1


# sizes


def test_nearest_takes_centres():
    rows = np.arange(9).reshape(1, 9, 1)
    assert resize_nearest(rows, 3, 1).ravel().tolist() == [1, 4, 7]
    assert resize_nearest(rows[:, :2], 4, 1).ravel().tolist() == [0, 0, 1, 1]


@settings(max_examples=80, deadline=None)
@given(hnp.arrays(np.int64, (1, 6, 7), elements=st.integers(0, 4)), st.integers(1, 9), st.integers(1, 9))
def test_valid_depth_fills_only_from_its_footprint(planes, height, width):
    found, plain = resize_valid(planes, height, width), resize_nearest(planes, height, width)
    assert found.shape == (1, height, width)
    for i, j in product(range(height), range(width)):
        rows = [r for r in range(6) if i * 6 <= (r + 0.5) * height < (i + 1) * 6]
        columns = [c for c in range(7) if j * 7 <= (c + 0.5) * width < (j + 1) * 7]
        inside = {int(planes[0, r, c]) for r in rows for c in columns} - {0}
        if plain[0, i, j]:
            assert found[0, i, j] == plain[0, i, j]
        else:
            assert (found[0, i, j] in inside) if inside else (found[0, i, j] == 0)


@settings(max_examples=80, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.integers(0, 99))
def test_any_region_lies_inside_the_image(shape, target, seed):
    generator = np.random.default_rng(seed)
    policy = CropPolicy(min_scale=0.5)
    for region in (center_region(shape, target), train_region(shape, target, policy=policy, generator=generator)):
        assert region.cut(np.zeros(shape)).shape == (region.height, region.width)
        assert min(region.height, region.width) >= 1


# files


@settings(max_examples=40, deadline=None)
@given(values=hnp.arrays(np.uint16, (3, 4), elements=st.integers(0, 65534)))
def test_any_depth_file_round_trips(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("depth")
    metres = (values.astype(np.float64) / 1000).astype(np.float32)[None]
    write_depth(folder / "a.png", metres)
    assert (read_values(folder / "a.png", name="a") == values).all()
    write_depth(folder / "a.npy", metres)
    for name in ("a.png", "a.npy"):
        assert (read_depth(folder / name, scale=1000, name=name) == metres).all()


@settings(max_examples=30, deadline=None)
@given(ids=hnp.arrays(np.int64, (3, 4), elements=st.integers(0, 2**24 - 1)))
def test_any_ids_round_trip(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("ids") / "a.png"
    write_ids(path, ids)
    assert (read_ids(path, name="a") == ids).all()
    assert np.asarray(Image.open(path))[..., 1].tolist() == ((ids // 256) % 256).tolist()


def test_a_palette_png_holds_its_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 2], [1, 2]], np.uint8), "L").convert("P")
    image.putdata([0, 2, 1, 2])
    image.putpalette([9, 9, 9, 250, 0, 0, 0, 250, 0])
    image.save(tmp_path / "a.png")
    assert read_classes(tmp_path / "a.png", count=2, name="a").tolist() == [
        [[0, 2], [1, 2]],
        [[0, 1], [1, 1]],
        [[0, 0], [0, 0]],
    ]


def test_holes_are_invalid(tmp_path):
    Image.fromarray(np.array([[0, 65535, 65534]], np.uint16)).save(tmp_path / "a.png")
    assert read_depth(tmp_path / "a.png", scale=1, name="a").ravel().tolist() == [0, 0, 65534]
    np.save(tmp_path / "a.npy", np.array([[np.nan, np.inf, -1, 0, 2.5]]))
    assert read_depth(tmp_path / "a.npy", scale=1, name="a").ravel().tolist() == [0, 0, 0, 0, 2.5]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 2, 3)])
@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("kind", ["float16", "float32", ">f8", "uint16", "int64"])
def test_depth_arrays_of_any_shape_and_type(tmp_path, shape, ending, kind):
    """Floats are metres, integers are what a PNG would hold; nothing that is no depth becomes one."""
    metres = np.array([[1.5, 0, 2], [3, 0.5, 0.25]])
    whole = np.dtype(kind).kind in "iu"
    values = (metres * (1000 if whole else 1)).astype(kind)
    if not whole:
        values[0, 1] = -1
    elif kind == "int64":
        values[0, 1] = -40_000
    (np.save if ending == "npy" else np.savez)(tmp_path / f"a.{ending}", values.reshape(shape))
    depth = read_depth(tmp_path / f"a.{ending}", scale=1000, name="a")
    assert (depth.dtype, depth.tolist()) == (np.float32, [metres.tolist()])


@pytest.mark.parametrize("holes", [(np.nan, np.inf, -np.inf, -9999, 0)], ids=["holes"])
def test_depth_tiffs(tmp_path, holes):
    floats = np.array([[*holes, 2.5]], np.float32)
    Image.fromarray(floats).save(tmp_path / "metres.tif")
    Image.fromarray(np.array([[0, 65535, 2500]], np.uint16)).save(tmp_path / "millimetres.tiff")
    assert read_depth(tmp_path / "metres.tif", scale=1000, name="a").tolist() == [[[0] * len(holes) + [2.5]]]
    assert read_depth(tmp_path / "millimetres.tiff", scale=1000, name="a").tolist() == [[[0, 0, 2.5]]]
    np.save(tmp_path / "huge.npy", np.array([[1e300, 1.0]]))
    assert read_depth(tmp_path / "huge.npy", scale=1, name="a").tolist() == [[[0, 1]]]


def packed(values, bits):
    """A grey PNG of few bits per pixel, written by hand: Pillow writes none."""
    rows = b"".join(b"\0" + np.packbits(np.unpackbits(r[:, None], axis=1)[:, -bits:].ravel()).tobytes() for r in values)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_class_numbers_do_not_depend_on_a_files_bits(bits):
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) & (1 << bits) - 1
    assert read_classes(packed(values, bits), count=255, name="a")[0].tolist() == values.tolist()


def test_a_class_is_a_value_whatever_the_kind_of_file(tmp_path):
    values = np.array([[0, 15, 255], [1, 2, 255]], np.uint8)
    palette = Image.fromarray(values)
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "palette.tif")
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "wide.png")
    Image.fromarray(np.stack([values] * 3, -1)).save(tmp_path / "rgb.png")
    np.save(tmp_path / "array.npy", values[..., None].astype(np.int64))
    for path in tmp_path.iterdir():
        assert highest_class(path, name="a", ignore=255) == 15
        found = read_classes(path, count=15, name="a", ignore=255)
        assert found[0].tolist() == [[0, 15, 0], [1, 2, 0]]
        with pytest.raises(GridcodeError, match=r"class 255, but there are 15 classes; .* set data.ignore_value"):
            read_classes(path, count=15, name="a")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["png", "tiff", "npy", "npz"]), st.data())
def test_damaged_label_files_are_read_or_refused(kind, data):
    """Nothing but a GridcodeError comes of any bytes."""
    values, file = np.arange(6, dtype=np.uint8).reshape(2, 3), io.BytesIO()
    if kind in ("npy", "npz"):
        (np.save if kind == "npy" else np.savez)(file, values)
    else:
        Image.fromarray(values).save(file, kind)
    encoded = bytearray(file.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(encoded) - 1), max_size=4)):
        encoded[place] = data.draw(st.integers(0, 255))
    for read in (lambda b: read_depth(b, scale=1, name="a"), lambda b: read_classes(b, count=9, name="a")):
        with contextlib.suppress(GridcodeError):
            assert read(bytes(encoded[: data.draw(st.integers(0, len(encoded)))])).ndim == 3


def test_bad_label_files_get_one_line(tmp_path):
    rgb, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 9, np.uint8)
    rgb[0, 0] = 128, 0, 0
    (tmp_path / "empty.png").touch()
    np.save(tmp_path / "negative.npy", np.full((2, 2), -3))
    np.save(tmp_path / "mask.npy", np.ones((2, 2), bool))
    np.savez(tmp_path / "two.npz", a=grey, b=grey)
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    Image.fromarray(grey).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(grey)])
    Image.fromarray(np.full((2, 2), 26001, np.uint16)).save(tmp_path / "instances.png")
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(rgb).save(tmp_path / "lossy.jpg")
    Image.fromarray(rgb).convert("RGBA").save(tmp_path / "alpha.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "rgb.png").read_bytes()[:40])
    np.save(tmp_path / "floats.npy", np.ones((2, 2)))
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    (tmp_path / "text.npy").write_text("hello")
    cases = [
        (lambda: read_depth(tmp_path / "rgb.png", scale=1, name="rgb.png"), "rgb.png: depth must be one grey channel"),
        (lambda: read_ids(tmp_path / "grey.png", name="grey.png"), "this one is grey"),
        (lambda: read_classes(tmp_path / "grey.png", count=3, name="g"), "class 9, but there are 3 classes"),
        (lambda: read_classes(tmp_path / "rgb.png", count=3, name="g"), "classes must be one grey .* colour-coded"),
        (lambda: read_classes(tmp_path / "negative.npy", count=3, name="g"), "class -3; classes count from 1"),
        (lambda: read_classes(tmp_path / "floats.npy", count=3, name="g"), "whole numbers, not float64"),
        (lambda: highest_class(tmp_path / "instances.png", name="i"), "26001 .* data.ignore_value=26001"),
        (lambda: read_depth(tmp_path / "mask.npy", scale=1, name="m"), "numbers, not bool; is this a mask"),
        (lambda: read_depth(tmp_path / "two.npz", scale=1, name="t"), "arrays a, b, none of them called depth"),
        (lambda: read_depth(tmp_path / "objects.npy", scale=1, name="o"), r"not a readable \.npy"),
        (lambda: read_depth(tmp_path / "pages.tif", scale=1, name="p"), "several pages"),
        (lambda: read_values(tmp_path / "lossy.jpg", name="l"), "lossless PNG"),
        (
            lambda: read_values(tmp_path / "empty.png", name="e"),
            r"not a readable PNG or TIFF \(no PNG, no TIFF of 8 to 32 bits, or empty",
        ),
        (lambda: read_values(tmp_path / "cut.png", name="c"), "not a readable PNG"),
        (lambda: read_values(tmp_path / "alpha.png", name="a"), "not RGBA; remove the alpha"),
        (lambda: read_values(tmp_path / "none.png", name="n"), "no such label file"),
        (lambda: read_depth(tmp_path / "none.npy", scale=1, name="n"), "no such label file"),
        (lambda: read_depth(tmp_path / "cube.npy", scale=1, name="n"), r"not float64 \(2, 2, 2\)"),
        (lambda: read_depth(tmp_path / "text.npy", scale=1, name="n"), r"not a readable \.npy"),
        (lambda: write_depth(tmp_path / "a.tif", np.zeros((1, 1, 1))), "change the ending"),
        (lambda: write_depth(tmp_path / "a.png", np.full((1, 1, 1), 70.0)), "70 m times 1000 exceeds 65534"),
    ]
    for action, message in cases:
        with pytest.raises(GridcodeError, match=message) as error:
            action()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DepthConfig(bins=2), "depth.bins"),
        (lambda: DepthConfig(near=3, far=2), "near < far"),
        (lambda: DepthConfig(relative="log"), "depth.relative"),
        (lambda: DepthConfig(png_scale=0), "png_scale"),
        (lambda: Categories(("a",), ()), "1 names and 0 flags"),
        (lambda: Categories(("a",), (True,), (3, 4)), "1 names and 2 ids"),
        (lambda: DenseConfig(orientation="up"), "data.orientation must be 'exif' or 'stored', not 'up'"),
        (lambda: PanopticConfig(CATEGORIES, instances=1), "panoptic.instances"),
        (lambda: PanopticConfig(CATEGORIES, min_share=1), "panoptic.min_share"),
        (lambda: DenseConfig(task="flow"), "task must be"),
        (lambda: DenseConfig(width=0), "width must be at least 1"),
        (lambda: DenseConfig(val_fraction=1), "val_fraction"),
        (lambda: make_label_map(DenseConfig(task="panoptic"), None), "needs the source's classes"),
    ],
)
def test_bad_settings_get_one_line(make, message):
    with pytest.raises(GridcodeError, match=message):
        make()
