"""Metadata never cost an image, nor change its pixels; of them the orientation alone counts."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin, features

from gridcode.data import DataConfig
from gridcode.data.image import decode_image, file_orientation, pillow_pixels
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.files import read_values
from gridcode.errors import GridcodeError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
ORIENTATION = (0x0112, 3, 1, struct.pack("<HH", 6, 0))


def encode(kind, pixels=PIXELS, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def exif(*entries, after=b""):
    """An EXIF block in little-endian order, of the entries (tag, type, count, four bytes) as they are given."""
    directory = b"".join(struct.pack("<HHL4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + b"\0\0\0\0" + after


def chunk(kind, content, *, crc=None):
    crc = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", crc)


def with_chunk(png, added, *, before=b"IDAT"):
    place = png.index(before) - 4
    return png[:place] + added + png[place:]


def segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def with_segment(jpeg, added):
    return jpeg[:2] + added + jpeg[2:]


def turned(pixels, tag):
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = tag
    return np.asarray(ImageOps.exif_transpose(image))


BROKEN_EXIF = {
    "no structure": b"Exif\0\0hello",
    "empty": b"Exif\0\0",
    "ends in the header": b"Exif\0\0II*\0",
    "directory beyond the end": b"Exif\0\0II*\0\xff\xff\xff\xff\0\0",
    "entries beyond the end": exif(ORIENTATION)[:-10],
    "no entry": exif(),
    "an empty rational": exif((0x011A, 5, 0, b"\0\0\0\0")),
    "a rational of nothing": exif((0x011A, 5, 1, struct.pack("<L", 26)), after=b"\0" * 40),
    "a sub-directory at its own place": exif((0x8769, 4, 1, struct.pack("<L", 8))),
    "a sub-directory of text": exif((0x8769, 2, 4, b"abc\0")),
    "an orientation of text": exif((0x0112, 2, 2, b"6\0\0\0")),
    "an orientation of 0": exif((0x0112, 3, 1, b"\0\0\0\0")),
    "an orientation of 9": exif((0x0112, 3, 1, b"\x09\0\0\0")),
    "an orientation without a value": exif((0x0112, 3, 0, b"\x06\0\0\0")),
    "an orientation of bytes": exif((0x0112, 1, 1, b"\x06\0\0\0")),
}


@pytest.mark.parametrize("block", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_unreadable_exif_is_no_exif(kind, block):
    lossless = {"lossless": True} if kind == "webp" else {}
    plain = encode(kind, **lossless)
    encoded = encode(kind, exif=block, **lossless)
    np.testing.assert_array_equal(decode_image(encoded, name="a"), decode_image(plain, name="a"))
    assert file_orientation(encoded) == 1


TRIPPED = {
    "a maker's name far away": exif((0x010F, 2, 400, struct.pack("<L", 1 << 30)), ORIENTATION),
    "a type that is none": exif((0x010F, 99, 1, b"\0\0\0\0"), ORIENTATION),
    "as a long": exif((0x0112, 4, 1, struct.pack("<L", 6))),
    "more entries than there are": exif(ORIENTATION).replace(b"\x01\0\x12", b"\x40\0\x12"),
}


@pytest.mark.parametrize("block", TRIPPED.values(), ids=TRIPPED)
def test_the_orientation_is_found_among_broken_tags(block):
    encoded = encode("png", exif=block)
    np.testing.assert_array_equal(decode_image(encoded, name="a"), turned(PIXELS, 6))
    np.testing.assert_array_equal(decode_image(encoded, name="a", orientation="stored"), PIXELS)
    assert file_orientation(encoded) == 6


def test_orientation_by_xmp_where_exif_has_none():
    packet = b'<rdf:Description tiff:Orientation="8"/>'
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
    for encoded in (encode("png", pnginfo=info), encode("tiff", tiffinfo={700: packet})):
        np.testing.assert_array_equal(decode_image(encoded, name="a"), turned(PIXELS, 8))
    for kind in ("jpeg", "webp"):
        assert file_orientation(encode(kind, xmp=packet)) == 8
        assert file_orientation(encode(kind, xmp=packet, exif=exif(ORIENTATION))) == 6


def test_orientation_in_imagemagicks_raw_profile():
    info = PngImagePlugin.PngInfo()
    block = exif(ORIENTATION)
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8d}\n{block.hex()}\n", zip=True)
    np.testing.assert_array_equal(decode_image(encode("png", pnginfo=info), name="a"), turned(PIXELS, 6))


LARGE = b"a\0\0" + zlib.compress(b"\0" * (4 << 20))
CHUNKS = {
    "a text of 4 MiB": chunk(b"zTXt", LARGE),
    "many texts": chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 900_000)) * 80,
    "an international text of 4 MiB": chunk(b"iTXt", b"a\0\1\0\0\0" + LARGE[3:]),
    "a profile of 4 MiB": chunk(b"iCCP", LARGE),
    "text of a wrong sum": chunk(b"tEXt", b"a\0b", crc=1),
    "an unknown way of compression": chunk(b"zTXt", b"a\0\x07b"),
    "an unknown compression of a profile": chunk(b"iCCP", b"a\0\x07b"),
    "EXIF of a wrong sum": chunk(b"eXIf", exif((0x0112, 3, 1, b"\x03\0\0\0"))[6:], crc=1),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a short resolution": chunk(b"pHYs", b"\0\0"),
    "a short animation": chunk(b"acTL", b"\0"),
    "frames out of order": chunk(b"acTL", b"\0\0\0\2\0\0\0\0") + chunk(b"fcTL", b"\0\0\0\x05" + b"\0" * 22),
    "a colour called transparent by a text": chunk(b"tEXt", b"transparency\0\x01"),
    "interlaced by a text": chunk(b"tEXt", b"interlace\0\x01"),
    "a box by a text": chunk(b"tEXt", b"bbox\0\x01"),
    "a palette that is only advice": chunk(b"PLTE", b"\0", crc=1),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("added", CHUNKS.values(), ids=CHUNKS)
def test_no_chunk_that_only_describes_costs_a_png(added, before):
    png = with_chunk(encode("png"), added, before=before)
    np.testing.assert_array_equal(decode_image(png, name="a"), PIXELS)
    np.testing.assert_array_equal(read_values(png, name="a"), PIXELS)
    tagged = with_chunk(png, chunk(b"eXIf", exif(ORIENTATION)[6:]))
    np.testing.assert_array_equal(decode_image(tagged, name="a"), turned(PIXELS, 6))


def test_a_png_that_ends_in_a_text():
    png = encode("png")
    cut = with_chunk(png, chunk(b"tEXt", b"a" * 100), before=b"IEND")[: len(png) + 20]
    np.testing.assert_array_equal(decode_image(cut, name="a"), PIXELS)


def test_what_tells_the_pixels_is_no_metadata():
    grey = encode("png", PIXELS[..., 0], transparency=int(PIXELS[0, 0, 0]))
    place = grey.index(b"tRNS") + 5
    for broken in (grey[:place] + b"\xff" + grey[place + 1 :], grey.replace(b"IHDR", b"IHDS")):
        with pytest.raises(GridcodeError, match=r"damaged|not an image"):
            decode_image(broken, name="a")


SEGMENTS = {
    "a short JFIF": segment(0xE0, b"JFIF\0"),
    "a short Adobe": segment(0xEE, b"Adobe\0"),
    "a cut Photoshop block": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed"),
    "a short Photoshop resolution": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\1\0"),
    "a short profile": segment(0xE2, b"ICC_PROFILE\0"),
    "several images that are not there": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x01\0"),
    "XMP of nothing": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe"),
    "an empty comment": segment(0xFE, b""),
    "EXIF twice": segment(0xE1, exif()) * 2,
    "bytes between segments": segment(0xFE, b"") + b"\0\1\xff\0\0",
}


@pytest.mark.parametrize("added", SEGMENTS.values(), ids=SEGMENTS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_no_segment_that_only_describes_costs_a_jpeg(added, mode):
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, "jpeg")
    encoded = with_segment(file.getvalue(), added)
    np.testing.assert_array_equal(decode_image(encoded, name="a"), decode_image(file.getvalue(), name="a"))


def test_colours_of_a_jpeg_are_those_that_its_markers_tell():
    """An Adobe marker of transform 0 says RGB, without which three channels are YCbCr."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "jpeg", keep_rgb=True, quality=95)
    with Image.open(file) as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(decode_image(file.getvalue(), name="a"), expected)
    assert abs(expected.astype(int) - PIXELS).mean() < 8


def broken_tags(tiff):
    """A TIFF whose directory is moved to the end and has tags of no sense before and after."""
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "L", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    entries = [tiff[start + 2 + 12 * number :][:12] for number in range(count)]
    for tag, kind, size, value in (
        (270, 2, 1 << 30, 1 << 30),  # a description beyond the end
        (282, 5, 0, 0),  # a resolution of nothing
        (283, 12, 1, 4),
        (296, 2, 4, 0),
        (700, 1, 9, 1 << 31),
        (34665, 4, 1, 1 << 31),  # EXIF
        (34853, 4, 1, start),  # GPS that is the directory itself
        (34675, 7, 1 << 20, 1),
    ):
        entries.append(struct.pack(order + "HHLL", tag, kind, size, value))
    entries.sort(key=lambda entry: struct.unpack(order + "H", entry[:2]))
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return tiff[:4] + struct.pack(order + "L", len(tiff)) + tiff[8:] + directory


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("tag", [1, 3, 6])
def test_no_tag_that_only_describes_costs_a_tiff(compression, tag):
    block = Image.Exif()
    block[0x0112] = tag
    for pixels in (PIXELS, PIXELS[..., 0]):
        plain = encode("tiff", pixels, compression=compression)
        tiff = broken_tags(encode("tiff", pixels, compression=compression, exif=block))
        expected = decode_image(plain, name="a")
        np.testing.assert_array_equal(decode_image(tiff, name="a", orientation="stored"), expected)
        np.testing.assert_array_equal(
            decode_image(tiff, name="a"), turned(expected.squeeze(), tag).reshape(decode_image(tiff, name="a").shape)
        )
        if compression != "jpeg":
            np.testing.assert_array_equal(read_values(tiff, name="a", orientation="stored"), pixels)


def test_big_and_big_endian_tiff():
    for options in ({"big_tiff": True}, {}):
        file = io.BytesIO()
        Image.fromarray(PIXELS).save(file, "tiff", exif=_exif(6), **options)
        np.testing.assert_array_equal(decode_image(file.getvalue(), name="a"), turned(PIXELS, 6))
    values = (np.arange(20).reshape(4, 5) * 3000).astype(">u2")
    file = io.BytesIO()
    Image.frombytes("I;16B", (5, 4), values.tobytes()).save(file, "tiff", exif=_exif(6))
    np.testing.assert_array_equal(read_values(file.getvalue(), name="a"), np.rot90(values, -1))


def _exif(tag):
    block = Image.Exif()
    block[0x0112] = tag
    return block


def test_a_webp_that_ends_in_its_metadata():
    plain = encode("webp", lossless=True)
    encoded = encode("webp", lossless=True, xmp=b"x" * 99, exif=exif(ORIENTATION))
    np.testing.assert_array_equal(decode_image(encoded, name="a"), turned(PIXELS, 6))
    np.testing.assert_array_equal(decode_image(encoded[:-40], name="a"), turned(PIXELS, 6))
    np.testing.assert_array_equal(decode_image(plain, name="a"), PIXELS)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("block", [*BROKEN_EXIF.values(), exif(ORIENTATION)], ids=[*BROKEN_EXIF, "good"])
def test_avif_is_turned_by_its_own_property(block):
    good, plain = encode("avif", exif=exif(ORIENTATION)), decode_image(encode("avif"), name="a")
    np.testing.assert_array_equal(decode_image(good, name="a"), turned(plain, 6))
    try:
        encoded = encode("avif", exif=block)
    except Exception:  # Pillow will not write it
        encoded = good.replace(exif(ORIENTATION)[6:], block[6:].ljust(len(exif(ORIENTATION)) - 6, b"\0")[:26])
    assert decode_image(encoded, name="a", orientation="stored").shape == plain.shape


def test_pillow_images_of_broken_exif():
    with Image.open(io.BytesIO(encode("jpeg", exif=BROKEN_EXIF["an empty rational"]))) as image:
        assert pillow_pixels(image).shape == PIXELS.shape


@pytest.mark.parametrize("limit", [119, 120])
def test_more_pixels_than_asked_for_are_refused(limit, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    for kind in ("png", "jpeg", "webp", "tiff", "gif"):
        encoded = encode(kind)
        if limit == 120:
            assert decode_image(encoded, name="a", max_pixels=limit).shape == PIXELS.shape
        else:
            with pytest.raises(
                GridcodeError, match=r"^a: too many pixels \(120, and the limit is 119\); .*max_pixels=120"
            ):
                decode_image(encoded, name="a", max_pixels=limit)
        with pytest.raises(GridcodeError, match="the limit is 50"):
            decode_image(encoded, name="a")
    with pytest.raises(GridcodeError, match="the limit is 50"):
        read_values(encode("png"), name="a")
    assert read_values(encode("png"), name="a", max_pixels=120).shape == PIXELS.shape
    assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.parametrize("config", [DataConfig, DenseConfig])
def test_a_limit_is_at_least_one(config):
    with pytest.raises(GridcodeError, match="max_pixels must be at least 1"):
        config(max_pixels=0)


@pytest.mark.parametrize(
    "added", [b"!\xfe\0", b"!\x01\0", b"!\xce\0", b"!\xff\x0bNETSCAPE2.0\0", b"!\xff\x01a\x02bc\0"]
)
def test_no_extension_that_only_describes_costs_a_gif(added):
    plain = encode("gif")
    table = 13 + 3 * 2 ** (plain[10] % 8 + 1)
    expected = decode_image(plain, name="a")
    np.testing.assert_array_equal(decode_image(plain[:table] + added + plain[table:], name="a"), expected)
