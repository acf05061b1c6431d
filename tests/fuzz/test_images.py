"""Image files with metadata of no sense, and damaged ones: the pixels of the file alone, or one clear line.

A case has metadata that a random hand wrote or broke, around pixels that are whole: they must come out as Pillow
decodes them alone, turned as the orientation says that is found by reading the bytes as the standards say. Of a case
whose bytes are damaged anywhere, what Pillow decodes must come out the same; the rest may be refused in one line.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode.data.image import decode_image
from gridcode.errors import GridcodeError

Random = np.random.Generator
SIZE = (10, 12)
JPEG_NAMES = (
    b"Exif\0\0",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"ICC_PROFILE\0\1\1",
    b"Photoshop 3.0\x008BIM",
    b"MPF\0II*\0",
)
PNG_NAMES = tuple(b"tEXt zTXt iTXt iCCP gAMA cHRM sRGB pHYs acTL fcTL bKGD hIST sBIT tIME eXIf spAL prVt".split())
TIFF_NAMES = (
    270,
    271,
    282,
    283,
    296,
    305,
    306,
    315,
    700,
    33432,
    33723,
    34377,
    34665,
    34675,
    34853,
    37500,
    40965,
    50706,
)


@dataclass(frozen=True)
class Case:
    """A file, and what it shows: (H, W) or (H, W, 3) uint8; None where that depends on what the damage left."""

    encoded: bytes
    expected: np.ndarray | None


def judge(case: Case) -> tuple[str, str]:
    """'decoded', 'refused', 'traceback' or 'changed', and what was seen."""
    stored = case.expected is None
    try:
        seen = decode_image(case.encoded, name="a", orientation="stored" if stored else "exif")
    except GridcodeError as error:
        alone = by_pillow(case.encoded) if stored else case.expected
        if "\n" in str(error):
            return "traceback", str(error)
        return ("changed", f"refused, but Pillow decodes it: {error}") if alone is not None else ("refused", str(error))
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    expected = by_pillow(case.encoded) if stored else case.expected
    if expected is None:
        return "decoded", "where Pillow alone does not"
    expected = expected if expected.ndim == 3 else expected[..., None]
    same = seen.shape == expected.shape and bool((seen == expected).all())
    return ("decoded", "") if same else ("changed", f"{seen.shape} instead of {expected.shape}, or other pixels")


def by_pillow(encoded: bytes) -> np.ndarray | None:
    """The pixels of a file by Pillow alone, grey or RGB; None where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG", "WEBP", "GIF", "TIFF")) as image:
                if image.size[0] * image.size[1] > 1 << 20:
                    return None
                if image.mode not in ("L", "RGB", "P") or "transparency" in image.info:
                    return None  # what is laid over white has a test of its own
                return np.asarray(image if image.mode == "L" else image.convert("RGB"))
        except Exception:
            return None


def orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF, by the letter of its standard: the first entry of the tag."""
    block = exif.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return 1
    start = int(np.frombuffer(block[4:8], f"{order}u4")[0])
    if start + 2 > len(block):
        return 1
    count = int(np.frombuffer(block[start : start + 2], f"{order}u2")[0])
    body = block[start + 2 :][: 12 * count]
    body = body[: len(body) // 12 * 12]
    kind = np.dtype([("tag", f"{order}u2"), ("type", f"{order}u2"), ("count", f"{order}u4"), ("value", "V4")])
    for entry in np.frombuffer(body, kind):
        if entry["tag"] == 0x0112:
            width = {3: 2, 4: 4}.get(int(entry["type"]), 0)
            value = int(np.frombuffer(bytes(entry["value"])[:width], f"{order}u{width}")[0]) if width else 0
            return value if entry["count"] and 1 <= value <= 8 else 1
    return 1


def turned(pixels: np.ndarray, tag: int) -> np.ndarray:
    """Pixels as an orientation of 1 … 8 shows them, by the words of the standard: where row 0 and column 0 are."""
    rows = {1: "top", 2: "top", 3: "bottom", 4: "bottom", 5: "left", 6: "right", 7: "right", 8: "left"}[tag]
    columns = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}[tag]
    if rows in ("left", "right"):
        pixels = pixels.swapaxes(0, 1)
        rows, columns = columns, rows
    return np.ascontiguousarray(pixels[:: -1 if rows == "bottom" else 1, :: -1 if columns == "right" else 1])


@cache
def base(kind: str, grey: bool, seed: int) -> tuple[bytes, np.ndarray]:
    """A file without metadata, and its pixels as Pillow decodes them."""
    pixels = np.random.default_rng(seed).integers(0, 256, SIZE if grey else (*SIZE, 3), dtype=np.uint8)
    file = io.BytesIO()
    compressions = (None, "tiff_lzw", "tiff_adobe_deflate")
    options = {"webp": {"lossless": True}, "tiff": {"compression": compressions[seed % 3]}}.get(kind, {})
    Image.fromarray(pixels).save(file, kind, **options)
    shown = by_pillow(file.getvalue())
    assert shown is not None
    return file.getvalue(), shown


def plain(random: Random, kind: str) -> tuple[bytes, np.ndarray]:
    """One of a few files of a format."""
    return base(kind, bool(random.integers(2)), int(random.integers(6)))


def mutated(random: Random, data: bytes, most: int = 8) -> bytes:
    """Some bytes changed; sometimes cut short."""
    changed = bytearray(data)
    for place in random.integers(0, len(data), random.integers(1, most + 1)):
        changed[place] = random.integers(256)
    return bytes(changed[: random.integers(len(data))] if random.random() < 0.1 else changed)


def exif_block(random: Random) -> bytes:
    """EXIF as cameras write it, with an orientation, then broken in some places, or in none."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "maker", "a model of camera", "software"
    exif[0x0112] = int(random.integers(1, 9))
    exif[0x011A], exif[0x0128], exif[0x0132] = 72.0, 2, "2024:01:01 00:00:00"
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x9000: b"0232", 0xA002: 10, 0x927C: b"note" * 5})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 1.0)})
    exif.endian = "<" if random.integers(2) else ">"
    block = exif.tobytes()
    return block if random.random() < 0.1 else block[:6] + mutated(random, block[6:])


def noise(random: Random, most: int = 40) -> bytes:
    return random.bytes(int(random.integers(most)))


def text(random: Random) -> bytes:
    """Something like a keyword, zeros and compressed bytes, in any order."""
    keys = (
        b"a",
        b"Comment",
        b"XML:com.adobe.xmp",
        b"Raw profile type exif",
        b"transparency",
        b"interlace",
        b"bbox",
        b"",
    )
    packed = zlib.compress(noise(random) * int(random.choice([1, 100, 60_000])))
    parts = [b"\0", b"\0\0", b"\1\0", noise(random, 12), packed, packed]
    return keys[random.integers(len(keys))] + b"".join(parts[place] for place in random.integers(0, len(parts), 3))


def jpeg_exif(random: Random) -> Case:
    encoded, shown = plain(random, "jpeg")
    block = exif_block(random)
    return Case(with_segment(encoded, 0xE1, block), turned(shown, orientation(block)))


def jpeg_segments(random: Random) -> Case:
    encoded, shown = plain(random, "jpeg")
    for _ in range(random.integers(1, 4)):
        name = JPEG_NAMES[random.integers(1, len(JPEG_NAMES))] if random.random() < 0.7 else b""
        marker = {b"http": 0xE1, b"ICC_": 0xE2, b"MPF\0": 0xE2, b"Phot": 0xED}.get(name[:4], 0xE0 + random.integers(16))
        content = name[: random.integers(len(name) + 1)] if random.random() < 0.2 else name + noise(random)
        encoded = with_segment(encoded, int(marker) if random.random() < 0.9 else 0xFE, content)
    return Case(encoded, shown)


def with_segment(encoded: bytes, marker: int, content: bytes) -> bytes:
    return encoded[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + encoded[2:]


def png_chunks(random: Random) -> Case:
    encoded, shown = plain(random, "png")
    tag = 1
    for _ in range(random.integers(1, 4)):
        name = PNG_NAMES[random.integers(len(PNG_NAMES))]
        right = bool(random.random() < 0.7)
        content = noise(random)
        if name in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            content = text(random)
        elif name == b"eXIf":
            if encoded.count(b"eXIf"):
                continue
            content = exif_block(random)[6:]
            tag = orientation(content) if right else 1
        total = zlib.crc32(name + content) if right else int(random.integers(1 << 32))
        place = encoded.index(b"IDAT" if random.integers(2) else b"IEND") - 4
        chunk = struct.pack(">L", len(content)) + name + content + struct.pack(">L", total)
        encoded = encoded[:place] + chunk + encoded[place:]
    return Case(encoded, turned(shown, tag))


def webp_chunks(random: Random) -> Case:
    encoded, shown = plain(random, "webp")
    block, xmp, profile = exif_block(random), noise(random), noise(random)
    image = Image.open(io.BytesIO(encoded))
    file = io.BytesIO()
    image.save(file, "webp", lossless=True, exif=block, xmp=xmp, icc_profile=profile)
    cut = file.getvalue()
    if random.random() < 0.3:  # in the metadata after the pixels
        cut = cut[: -random.integers(1, 8 + len(xmp) + (len(xmp) % 2))] if xmp else cut
    return Case(cut, turned(shown, orientation(block)))


def gif_extensions(random: Random) -> Case:
    encoded, shown = plain(random, "gif")
    place = 13 + (3 << (encoded[10] & 7) + 1 if encoded[10] & 128 else 0)
    for _ in range(random.integers(1, 4)):
        code = int(random.choice([0xFE, 0xFF, 0x01, 0xCE]))
        blocks = [b"NETSCAPE2.0"] if random.integers(2) else []
        blocks += [noise(random) for _ in range(random.integers(3))]
        body = b"".join(bytes([len(block)]) + block for block in blocks if block)
        encoded = encoded[:place] + b"!" + bytes([code]) + body + b"\0" + encoded[place:]
    return Case(encoded, shown)


def tiff_tags(random: Random) -> Case:
    encoded, shown = plain(random, "tiff")
    (start,) = struct.unpack_from("<L", encoded, 4)
    (count,) = struct.unpack_from("<H", encoded, start)
    entries = [encoded[start + 2 + 12 * number :][:12] for number in range(count)]
    tag = 1
    for name in random.choice(TIFF_NAMES, random.integers(1, 6), replace=False):
        place = int(random.choice([0, 8, start, len(encoded), 1 << 31, (1 << 32) - 1]))
        entries.append(struct.pack("<HHLL", name, random.integers(0, 20), random.choice([0, 1, 2, 9, 1 << 31]), place))
    if random.integers(2):
        entries.append(
            added := struct.pack("<HHLHH", 0x0112, random.choice([2, 3, 4, 5]), 1, random.integers(0, 11), 0)
        )
        tag = orientation(b"II*\0\x08\0\0\0\1\0" + added)
    entries.sort(key=lambda entry: entry[1::-1])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    moved = encoded[:4] + struct.pack("<L", len(encoded)) + encoded[8:] + directory
    return Case(moved, turned(shown, tag))


def damaged(random: Random) -> Case:
    encoded, _ = plain(random, str(random.choice(["jpeg", "png", "webp", "gif", "tiff"])))
    return Case(mutated(random, encoded), None)


KINDS: dict[str, tuple[float, Callable[[Random], Case]]] = {
    "JPEG, EXIF": (0.2, jpeg_exif),
    "JPEG, segments": (0.08, jpeg_segments),
    "PNG, chunks": (0.1, png_chunks),
    "WebP, chunks": (0.06, webp_chunks),
    "GIF, extensions": (0.04, gif_extensions),
    "TIFF, tags": (0.06, tiff_tags),
    "damaged bytes": (0.16, damaged),
}
"""Each kind's share of all cases, and what makes one of a generator."""


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(KINDS)))
def test_no_metadata_costs_an_image_and_no_damage_a_traceback(seed, kind):
    case = KINDS[kind][1](np.random.default_rng(seed))
    outcome, seen = judge(case)
    assert outcome == "decoded" or (outcome == "refused" and case.expected is None), seen
