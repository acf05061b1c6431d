"""Every mode of image file against what its samples mean, computed by numpy from the samples that were written."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gridcode.data.image import decode_image, pillow_pixels

SHAPE = (7, 9)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's colour type


def png(samples, kind, bits, *, palette=None, transparent=None, interlaced=False):
    """A PNG of samples (H, W, C) by the letter of its specification, without Pillow."""
    height, width, _ = samples.shape

    def rows(part):
        packed = part.astype(">u2").view(np.uint8) if bits == 16 else part.astype(np.uint8)
        for row in packed.reshape(len(part), -1):
            if bits < 8:
                digits = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
                row = np.packbits(digits.ravel())
            yield b"\0" + row.tobytes()

    passes = [samples]
    if interlaced:  # Adam7
        steps = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
        passes = [samples[top::down, left::right] for top, down, left, right in steps]
    data = b"".join(row for part in passes if part.size for row in rows(part))
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, kind, 0, 0, int(interlaced)))]
    chunks += [] if palette is None else [(b"PLTE", palette.astype(np.uint8).tobytes())]
    chunks += [] if transparent is None else [(b"tRNS", transparent)]
    chunks += [(b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    written = (
        struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))
        for name, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def over_white(colours, alpha):
    """Of 0 … 255 each: colour times alpha, and white for the rest."""
    share = alpha / 255
    return colours * share + 255 * (1 - share)


def drawn(channels, bits, seed=0):
    samples = np.random.default_rng(seed).integers(0, 1 << bits, (*SHAPE, channels))
    samples[0, 0], samples[-1, -1] = 0, (1 << bits) - 1
    return samples


def to_8(samples, bits):
    """0 … 2^bits - 1 to 0 … 255."""
    return samples * 255 / ((1 << bits) - 1)


def check(encoded, expected, *, within):
    seen = decode_image(encoded, name="a").astype(float)
    assert seen.shape == expected.shape
    assert abs(seen - expected).max() <= within


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png(bits, interlaced):
    samples = drawn(1, bits)
    check(png(samples, 0, bits, interlaced=interlaced), np.rint(to_8(samples, bits)), within=0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_with_a_transparent_value(bits):
    samples = drawn(1, bits)
    if bits == 16:
        samples[0, 1] = samples[0, 2] + 1  # a neighbour that is the same in 8 bits
    value = int(samples[0, 2, 0])
    expected = np.where(samples == value, 255, np.rint(to_8(samples, bits)))
    # Bits above those of the image are to be ignored.
    for written in (value, value | 1 << 15) if bits < 16 else (value,):
        check(png(samples, 0, bits, transparent=struct.pack(">H", written)), expected, within=0)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_colour_png_with_a_transparent_colour(bits, interlaced):
    samples = drawn(3, bits)
    samples[0, 1] = samples[0, 2]
    samples[0, 1, 2] ^= 1  # all but the colour
    samples[3, 3] = samples[0, 2]
    clear = (samples == samples[0, 2]).all(axis=-1)
    assert clear.sum() == 2
    colours = samples >> 8 if bits == 16 else samples
    transparent = struct.pack(">HHH", *samples[0, 2])
    check(png(samples, 2, bits, interlaced=interlaced), colours.astype(float), within=0)
    expected = np.where(clear[..., None], 255, colours)
    check(png(samples, 2, bits, transparent=transparent, interlaced=interlaced), expected, within=0)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [4, 6])
def test_png_with_alpha(kind, bits):
    samples = drawn(CHANNELS[kind], bits)
    values = samples >> 8 if bits == 16 else samples
    expected = over_white(values[..., :-1], values[..., -1:])
    if kind == 4 and bits == 16:  # Pillow has no grey with alpha of 16 bits
        expected = expected.repeat(3, axis=-1)
    check(png(samples, kind, bits), expected, within=1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", ["none", "one clear", "each its own", "some"])
def test_palette_png(bits, alpha):
    samples = drawn(1, bits)
    palette = np.random.default_rng(1).integers(0, 256, (1 << bits, 3))
    alphas = np.full(1 << bits, 255)
    if alpha == "one clear":
        alphas[1] = 0
    elif alpha == "each its own":
        alphas[:] = np.random.default_rng(2).integers(0, 256, 1 << bits)
    elif alpha == "some":
        alphas[0] = 99
    written = {"none": None, "some": bytes([99])}.get(alpha, bytes(alphas.tolist()))
    place = samples[..., 0]
    expected = over_white(palette[place], alphas[place][..., None])
    check(png(samples, 3, bits, palette=palette, transparent=written), expected, within=1)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def of_mode(mode):
    """An image of a mode, and what it shows."""
    grey, alpha = drawn(1, 8, 1), drawn(1, 8, 2)
    colours = drawn(3, 8, 3)
    byte = np.uint8
    if mode == "1":
        return Image.fromarray(grey[..., 0] > 127), np.where(grey > 127, 255, 0)
    if mode == "L":
        return Image.fromarray(grey[..., 0].astype(byte)), grey
    if mode == "LA":
        return Image.fromarray(np.concatenate([grey, alpha], -1).astype(byte), "LA"), over_white(grey, alpha)
    if mode == "RGB":
        return Image.fromarray(colours.astype(byte)), colours
    if mode == "RGBA":
        return Image.fromarray(np.concatenate([colours, alpha], -1).astype(byte)), over_white(colours, alpha)
    if mode == "RGBX":
        return Image.fromarray(np.concatenate([colours, alpha], -1).astype(byte), "RGBX"), colours
    if mode in ("P", "PA"):
        palette = np.random.default_rng(4).integers(0, 256, (256, 3))
        image = Image.fromarray(grey[..., 0].astype(byte), "P")
        image.putpalette(palette.astype(byte).tobytes())
        shown = palette[grey[..., 0]]
        if mode == "P":
            return image, shown
        image = image.convert("PA")
        image.putalpha(Image.fromarray(alpha[..., 0].astype(byte)))
        return image, over_white(shown, alpha)
    if mode == "CMYK":
        ink = np.concatenate([colours, alpha], -1)
        return Image.fromarray(ink.astype(byte), "CMYK"), (255 - colours) * (255 - alpha) / 255
    if mode == "YCbCr":
        y, cb, cr = (colours[..., channel].astype(float) for channel in range(3))
        red, blue = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
        green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
        return Image.fromarray(colours.astype(byte), "YCbCr"), np.clip(np.stack([red, green, blue], -1), 0, 255)
    wide = drawn(1, 16, 5)
    shown = np.rint(wide / 257)
    if mode == "I":
        return Image.fromarray(wide[..., 0].astype(np.int32)), shown
    assert mode.startswith("I;16")
    order = ">" if mode == "I;16B" else "<"
    return Image.frombytes(mode, SHAPE[::-1], wide.astype(f"{order}u2").tobytes()), shown


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I", "I;16", "I;16L", "I;16B")
FILES = [
    *((mode, "tiff") for mode in MODES if mode not in ("I;16L", "YCbCr")),
    *((mode, "png") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *((mode, "bmp") for mode in ("1", "L", "P", "RGB")),
    *((mode, "gif") for mode in ("1", "L", "P")),
    *((mode, "ppm") for mode in ("1", "L", "RGB", "I")),
    *((mode, "tga") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    *((mode, "webp") for mode in ("RGB", "RGBA")),
    *((mode, "jpeg") for mode in ("L", "RGB", "CMYK")),
]


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
def test_images_of_pillow(mode):
    image, expected = of_mode(mode)
    seen = pillow_pixels(image)
    assert seen.dtype == np.uint8
    assert seen.shape == expected.shape
    assert abs(seen - expected).max() <= 1


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize(("mode", "kind"), FILES)
def test_files_of_each_mode(mode, kind):
    image, expected = of_mode(mode)
    options = {"webp": {"lossless": True, "exact": True}, "jpeg": {"quality": 100, "subsampling": 0}}.get(kind, {})
    seen = decode_image(saved(image, kind, **options), name="a")
    if kind in ("gif", "webp") and seen.shape[2] != expected.shape[2]:
        expected = np.broadcast_to(expected, seen.shape)
    assert seen.shape == expected.shape
    assert abs(seen - expected).max() <= (6 if kind == "jpeg" else 1)


def test_a_gif_with_a_clear_colour():
    image, shown = of_mode("P")
    clear = int(np.asarray(image)[0, 2])
    expected = np.where((np.asarray(image) == clear)[..., None], 255, shown)
    np.testing.assert_array_equal(decode_image(saved(image, "gif", transparency=clear), name="a"), expected)
