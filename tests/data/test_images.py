"""Decoding and cropping: every mode of image, every shape, damaged files."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gridcode.data import CropPolicy
from gridcode.data.crop import center_crop, to_channels, train_crop
from gridcode.data.image import decode_image
from gridcode.domains.dense.data.files import read_values
from gridcode.errors import GridcodeError

GREY_MODES = ("1", "L", "LA", "I;16")
PNG_MODES = (*GREY_MODES, "P", "RGB", "RGBA")


def encode(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def decode(data):
    return decode_image(data, name="a.png")


@settings(deadline=None)
@given(st.sampled_from(PNG_MODES), st.integers(1, 40), st.integers(1, 40))
def test_every_png_mode_gives_grey_or_rgb(mode, height, width):
    pixels = decode(encode(Image.new(mode, (width, height))))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (height, width, 1 if mode in GREY_MODES else 3)


@pytest.mark.parametrize("kind", ["jpeg", "webp", "bmp", "gif", "tiff", "ppm"])
def test_other_formats(kind):
    pixels = decode(encode(Image.new("RGB", (5, 3), (250, 10, 10)), kind))
    assert pixels.shape == (3, 5, 3)
    np.testing.assert_allclose(pixels[0, 0].astype(int), (250, 10, 10), atol=6)


def test_pixels_of_lossless_files_are_exact():
    grey, colour = noise(6, 9, 1), noise(6, 9, 3)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(grey[..., 0]))), grey)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(colour))), colour)


def test_16_bit_grey_is_scaled_not_clipped():
    values = np.array([[0, 128, 129, 257, 32768, 65535 - 129, 65535]], np.uint16)
    expected = np.round(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(values)))[..., 0], expected)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(values.astype(np.int32)), "tiff"))[..., 0], expected)


def test_grey_beyond_16_bits_and_floats_are_refused():
    for values in (np.array([[70000]], np.int32), np.array([[0.5]], np.float32)):
        with pytest.raises(GridcodeError, match=r"a\.png: image damaged .*(16 bits|float)"):
            decode(encode(Image.fromarray(values), "tiff"))


def test_transparency_lies_over_white():
    red = Image.new("RGBA", (1, 1), (255, 0, 0, 0))
    assert decode(encode(red)).tolist() == [[[255, 255, 255]]]
    assert decode(encode(Image.new("RGBA", (1, 1), (255, 0, 0, 255)))).tolist() == [[[255, 0, 0]]]
    assert decode(encode(Image.new("RGBA", (1, 1), (0, 0, 0, 51)))).tolist() == [[[204, 204, 204]]]
    assert decode(encode(Image.new("LA", (1, 1), (0, 51)))).tolist() == [[[204]]]


def test_transparent_colours_of_palette_grey_and_rgb():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert decode(encode(palette)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert decode(encode(palette, transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert decode(encode(palette, transparency=b"\x00\xff")).tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert decode(encode(Image.new("L", (1, 1), 7), transparency=7)).tolist() == [[[255]]]
    assert decode(encode(Image.new("RGB", (1, 1), (1, 2, 3)), transparency=(1, 2, 3))).tolist() == [[[255] * 3]]


def test_cmyk_white_is_white():
    assert decode(encode(Image.new("CMYK", (8, 8), 0), "jpeg")).min() >= 250


def test_exif_rotation_is_applied():
    picture = Image.fromarray(noise(4, 6))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: show the image rotated by 90 degrees clockwise
    pixels = decode(encode(picture, exif=exif))
    np.testing.assert_array_equal(pixels, np.rot90(np.asarray(picture), -1))


def test_animation_gives_the_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    assert decode(encode(frames[0], "gif", save_all=True, append_images=frames[1:]))[0, 0].tolist() == [
        255,
        0,
        0,
    ]


@pytest.mark.parametrize("data", [b"", b"hello, I am text", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(GridcodeError, match=r"^a\.png: not an image in a known format; .*on_error=skip"):
        decode(data)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "tiff"])
def test_truncated_images_are_refused(kind):
    data = encode(Image.fromarray(noise(40, 40)), kind)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(GridcodeError, match=r"a\.png: (image damaged|not an image)"):
            decode(data[: int(len(data) * share)])


def test_decompression_bomb_is_a_plain_error(monkeypatch):
    data = encode(Image.new("L", (60, 60)))
    for limit in (2000, 1000):  # Pillow warns above its limit and raises above twice its limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(GridcodeError, match=r"a\.png: too many pixels .*shrink"):
            decode(data)


def test_missing_file(tmp_path):
    with pytest.raises(GridcodeError, match="no such file"):
        decode_image(tmp_path / "gone.png", name="gone.png")
    path = tmp_path / "a.png"
    Image.new("L", (3, 2)).save(path)
    assert decode_image(Path(path), name="a.png").shape == (2, 3, 1)


def test_pillows_warnings_stay_inside(recwarn):
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(encode(palette, transparency=b"\x00\x80"))
    assert not recwarn.list


ENCODED = [
    encode(Image.fromarray(noise(9, 7)), kind) for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff", "ppm", "tga")
]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ENCODED), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
def test_flipped_bytes_give_pixels_or_one_clear_error(data, changes):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(data)] = value
    try:
        pixels = decode(bytes(damaged))
    except GridcodeError as error:
        message = str(error)
    else:
        message = f"a.png: fine, {pixels.dtype} {pixels.shape}"
        assert (pixels.dtype, pixels.shape[2] in (1, 3)) == (np.uint8, True)
    assert message.startswith("a.png: ")
    assert "\n" not in message


shapes = st.tuples(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]))


@settings(deadline=None)
@given(shapes, st.integers(1, 48), st.integers(0, 9))
def test_any_shape_crops_to_the_exact_size(shape, size, seed):
    image = noise(*shape)
    assert center_crop(image, size).shape == (size, size, shape[2])
    for policy in (CropPolicy(min_scale=0.01), CropPolicy(), CropPolicy(train="center")):
        square = train_crop(image, size, policy=policy, generator=np.random.default_rng(seed))
        assert square.shape == (size, size, shape[2])
        assert square.dtype == np.uint8


def test_a_very_long_banner_costs_little():
    assert center_crop(noise(1, 200_000), 64).shape == (64, 64, 3)


def test_crop_is_the_identity_at_the_right_size():
    image = noise(12, 20)
    np.testing.assert_array_equal(center_crop(image, 12), image[:, 4:16])
    assert center_crop(image, 12).base is not None


def adm_center_crop(image, size):
    """The published preprocessing of ADM, from its description: halve by boxes, bicubic, cut the middle."""
    picture = Image.fromarray(image)
    while min(picture.size) >= 2 * size:
        picture = picture.resize(tuple(side // 2 for side in picture.size), Image.Resampling.BOX)
    scale = size / min(picture.size)
    picture = picture.resize(tuple(round(side * scale) for side in picture.size), Image.Resampling.BICUBIC)
    array = np.asarray(picture)
    top, left = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
    return array[top : top + size, left : left + size]


@pytest.mark.parametrize("side", [8, 15, 16, 21, 37, 64, 100])
def test_squares_equal_the_reference_exactly(side):
    image = noise(side, side)
    np.testing.assert_array_equal(center_crop(image, 16), adm_center_crop(image, 16))


def test_oblongs_are_close_to_the_reference():
    rows, columns = np.mgrid[0:96, 0:160]
    image = np.stack([rows * 2, columns, (rows + columns) // 2], axis=2).astype(np.uint8)
    difference = center_crop(image, 32).astype(int) - adm_center_crop(image, 32)
    assert np.abs(difference[2:-2, 2:-2]).max() <= 2


def test_random_crop_covers_the_range_and_flips_half():
    image = np.zeros((20, 30, 1), np.uint8)
    image[:, :, 0] = np.arange(30)
    policy = CropPolicy(min_scale=0.5)
    lefts, mirrored = set(), 0
    generator = np.random.default_rng(0)
    for _ in range(400):
        square = train_crop(image, 20, policy=policy, generator=generator)[0, :, 0].astype(int)
        mirrored += square[0] > square[-1]
        lefts.add(min(square[0], square[-1]))
    assert 150 < mirrored < 250
    assert lefts == set(range(max(lefts) + 1))
    assert max(lefts) >= 18


def test_min_scale_one_keeps_the_shorter_side_and_no_flip_never_flips():
    image = noise(8, 8)
    policy = CropPolicy(min_scale=1.0, flip=False)
    for seed in range(9):
        square = train_crop(image, 8, policy=policy, generator=np.random.default_rng(seed))
        np.testing.assert_array_equal(square, image)


def test_channels():
    grey, colour = noise(3, 4, 1), noise(3, 4, 3)
    np.testing.assert_array_equal(to_channels(grey, 3), np.repeat(grey, 3, axis=2))
    assert to_channels(colour, 3) is colour
    luma = colour.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(to_channels(colour, 1)[..., 0] - luma).max() <= 1
    np.testing.assert_array_equal(to_channels(to_channels(grey, 3), 1), grey)


@pytest.mark.parametrize("tag", [None, 6])
def test_a_png_with_broken_pixels_is_refused(tag):
    """Wherever the pixels' bytes are damaged: nothing else that is read of the file may hide it."""
    exif = Image.Exif()
    if tag:
        exif[0x0112] = tag
    encoded = encode(Image.fromarray(noise(12, 10)), "png", exif=exif)
    start, length = encoded.index(b"IDAT") + 4, int.from_bytes(encoded[encoded.index(b"IDAT") - 4 :][:4], "big")
    for place in range(start, start + length, 7):
        broken = bytearray(encoded)
        broken[place] ^= 0x55
        with pytest.raises(GridcodeError, match="damaged"):
            decode_image(bytes(broken), name="a")
        with pytest.raises(GridcodeError, match="not a readable PNG"):
            read_values(bytes(broken), name="a")


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_images_are_turned_by_their_tag_or_left_as_they_lie(tmp_path, tag, ending):
    stored = np.kron(np.array([[250, 150, 100], [50, 0, 200]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = tag
    lossless = {"quality": 95} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
    Image.fromarray(stored).convert("RGB").save(tmp_path / f"a.{ending}", exif=exif, **lossless)
    expected = np.asarray(ImageOps.exif_transpose(_tagged(stored, tag)))
    for orientation, pixels in (("exif", expected), ("stored", stored)):
        seen = decode_image(tmp_path / f"a.{ending}", name="a", orientation=orientation)
        assert seen.shape == (*pixels.shape, 3)
        assert abs(seen[..., 0].astype(int) - pixels).max() <= 8


def _tagged(pixels, tag):
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = tag
    return image
