"""Image files without their metadata, so that no metadata can cost an image or change its pixels.

    JPEG   without APPn and COM segments, except the two that tell the colours (JFIF, Adobe)
    PNG    without ancillary chunks, except tRNS; animations become their default image
    WebP   without the chunks ICCP, EXIF, XMP and unknown ones
    GIF    without the extensions before the first frame, except that of its transparency
    TIFF   without the tags of the first page that no decoder needs
    AVIF   without its items of EXIF and XMP; the rotation is a property of the image's own

Pillow parses metadata when it opens or loads a file, and refuses the whole where it cannot. What it never sees it
cannot trip over. Of all metadata only the orientation counts, and it is read here by its tag's value alone:

    EXIF   tag 0x0112 of the first directory, one of 1 … 8 in a SHORT or a LONG; anything else is 1
    XMP    tiff:Orientation, where EXIF has no such tag
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ORIENTATION: Final = 0x0112
_XMP: Final = 700
# Size and layout, compression and its parameters, colours, place of the data. All others only describe.
_TIFF_NEEDED: Final = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 334, 338, 339}
    | {340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 34676, 37439, 50674, 65564}
)
_MOST_TEXT: Final = 1 << 20
"""Bytes of a compressed text that are looked at; an orientation stands in the first of them."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Bare:
    """An image file without its metadata.

    >>> Bare(b"BM...", None).orientation is None
    True
    """

    encoded: bytes
    """The file; what is of no format in this module's table, or has not its structure, as it was."""
    orientation: int | None
    """1 … 8 as the metadata told it; None where they tell nothing."""


def bare(encoded: bytes) -> Bare:
    """Take the metadata out of an image file.

    Args:
        encoded: The file's bytes, damaged or not.

    >>> from io import BytesIO
    >>> from PIL import Image
    >>> exif, file = Image.Exif(), BytesIO()
    >>> exif[0x0112] = 6
    >>> Image.new("L", (3, 2)).save(file, "jpeg", exif=exif, comment=b"a" * 99)
    >>> image = bare(file.getvalue())
    >>> image.orientation, len(file.getvalue()) - len(image.encoded) > 99
    (6, True)
    """
    if encoded.startswith(b"\xff\xd8"):
        return _jpeg(encoded)
    if encoded.startswith(_PNG):
        return _png(encoded)
    if encoded.startswith(b"RIFF") and encoded[8:12] == b"WEBP":
        return _webp(encoded)
    if encoded.startswith((b"GIF87a", b"GIF89a")):
        return _gif(encoded)
    if re.match(rb"(II|MM)(\*\0|\0\*|\+\0|\0\+)", encoded):
        return _tiff(encoded)
    if encoded[4:8] == b"ftyp":
        return Bare(re.sub(rb"(?s)(infe.{8}(?:..)?)(?:Exif|mime)", rb"\1free", encoded), None)
    return Bare(encoded, None)


def orientation_in(exif: bytes | None, xmp: bytes | None) -> int | None:
    r"""The orientation that EXIF or else XMP tells, 1 … 8; None where neither has the tag.

    Args:
        exif: A TIFF structure, perhaps after ``Exif`` and two zeros; None for none.
        xmp: An XMP packet; None for none.

    >>> orientation_in(b"Exif\0\0garbage", b'<x tiff:Orientation="3"/>')
    3
    """
    told = None if exif is None else _told(re.sub(b"^(Exif\0\0){1,2}", b"", exif))
    if told is None and (found := re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp or b"")):
        told = int(found[1])
    return told if told is None or 1 <= told <= 8 else 1


def _told(tiff: bytes) -> int | None:
    """The value of the orientation tag in the first directory; 0 for one of another type."""
    try:
        order = _order(tiff)
        for tag, kind, count, value in _entries(tiff, order):
            if tag == _ORIENTATION:
                return int(struct.unpack_from(order + {3: "H", 4: "L"}[kind], value)[0]) if count else 0
    except KeyError:
        return 0
    except (ValueError, OverflowError, struct.error):
        pass
    return None


def _order(tiff: bytes) -> str:
    if tiff[:2] not in (b"II", b"MM"):
        raise ValueError("no TIFF structure")
    return "<" if tiff[:2] == b"II" else ">"


def _entries(tiff: bytes, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    """Tag, type, count and value (or its place) of each entry of the first directory, as far as there are bytes.

    Raises:
        struct.error: The directory's beginning or an entry lies beyond the end.
    """
    if 43 in tiff[2:4]:  # BigTIFF
        (start,) = struct.unpack_from(order + "Q", tiff, 8)
        (count,), step, entry = struct.unpack_from(order + "Q", tiff, start), 8, struct.Struct(order + "HHQ8s")
    else:
        (start,) = struct.unpack_from(order + "L", tiff, 4)
        (count,), step, entry = struct.unpack_from(order + "H", tiff, start), 2, struct.Struct(order + "HHL4s")
    for number in range(count):
        yield entry.unpack_from(tiff, start + step + number * entry.size)


def _jpeg(encoded: bytes) -> Bare:
    kept, exif, xmp = [encoded[:2]], None, None
    place = 2
    while 0 <= (place := encoded.find(b"\xff", place)) <= len(encoded) - 4:  # decoders skip what is between segments
        marker = encoded[place + 1]
        if marker in (0x00, 0xFF):  # an escaped byte, a fill byte
            place += 1
            continue
        end = place + 2 + int.from_bytes(encoded[place + 2 : place + 4], "big")
        if marker < 0xC0 or 0xD0 <= marker <= 0xDA or end > len(encoded):
            break  # the pixels begin, or what is no structure
        content = encoded[place + 4 : end]
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            exif = exif or content
        elif marker == 0xE1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = content
        # Of these two libjpeg itself ignores shorter ones.
        colours = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}.get(marker)
        told = colours is not None and content.startswith(colours[0]) and len(content) >= colours[1]
        if told or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(encoded[place:end])
        place = end
    return Bare(b"".join([*kept, encoded[place:] if place >= 0 else b""]), orientation_in(exif, xmp))


def _png(encoded: bytes) -> Bare:
    kept, exif, xmp = [_PNG], None, None
    coloured = encoded[25:26] != b"\x03"  # without a palette; PLTE is then no more than advice
    place = len(_PNG)
    while place + 8 <= len(encoded):
        length, kind = int.from_bytes(encoded[place : place + 4], "big"), encoded[place + 4 : place + 8]
        end = place + 12 + length
        if kind == b"IEND" or not re.fullmatch(rb"[A-Za-z]{4}", kind):
            kept.append(encoded[place:])
            break
        if kind == b"tRNS" or (kind[0] < 97 and not (kind == b"PLTE" and coloured)):
            kept.append(encoded[place:end])
        elif zlib.crc32(encoded[place + 4 : end - 4]) == int.from_bytes(encoded[end - 4 : end], "big"):
            content = encoded[place + 8 : end - 4]
            exif = content if kind == b"eXIf" else exif
            if kind in (b"iTXt", b"zTXt", b"tEXt"):
                key, text = _png_text(kind, content)
                xmp = text if key == b"XML:com.adobe.xmp" else xmp
                exif = exif or (_raw_profile(text) if key == b"Raw profile type exif" else None)
        place = end
    return Bare(b"".join(kept), orientation_in(exif, xmp))


def _png_text(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Keyword and text of a PNG's text chunk; the text is empty where it cannot be read."""
    key, _, text = content.partition(b"\0")
    if key not in (b"XML:com.adobe.xmp", b"Raw profile type exif"):
        return key, b""
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
    elif packed:
        text = text[1:]
    try:
        return key, zlib.decompressobj().decompress(text, _MOST_TEXT) if packed else text
    except zlib.error:
        return key, b""


def _raw_profile(text: bytes) -> bytes | None:
    """EXIF in ImageMagick's hexadecimal: a name and a length, a line each, then the digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("latin-1"))
    except ValueError:
        return None


def _webp(encoded: bytes) -> Bare:
    kept, exif, xmp = [], None, None
    place = 12
    while place + 8 <= len(encoded):
        kind, length = encoded[place : place + 4], int.from_bytes(encoded[place + 4 : place + 8], "little")
        end = place + 8 + length + length % 2
        content = encoded[place + 8 : place + 8 + length]
        if kind == b"EXIF":
            exif = exif or content
        elif kind == b"XMP ":
            xmp = content
        elif kind == b"VP8X" and content:  # without the flags that tell of ICCP, EXIF and XMP
            kept.append(encoded[place : place + 8] + bytes([content[0] & ~0x2C]) + encoded[place + 9 : end])
        elif kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            kept.append(encoded[place:end])
        place = end
    chunks = b"".join(kept)
    return Bare(b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WEBP" + chunks, orientation_in(exif, xmp))


def _gif(encoded: bytes) -> Bare:
    flags = encoded[10] if len(encoded) > 10 else 0
    place = 13 + (3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0)  # behind the table of colours
    kept = [encoded[:place]]
    while encoded[place : place + 1] == b"!":
        end = place + 2
        while encoded[end : end + 1] not in (b"", b"\0"):
            end += 1 + encoded[end]
        if encoded[place + 1 : place + 2] == b"\xf9":
            kept.append(encoded[place : end + 1])
        place = end + 1
    return Bare(b"".join([*kept, encoded[place:]]), None)


def _tiff(encoded: bytes) -> Bare:
    """The directory is written again at its place, shorter; what follows it is reached as before."""
    order, big = _order(encoded), 43 in encoded[2:4]
    place, number, step = ("Q", "Q", 8) if big else ("L", "H", 2)
    entry = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    try:
        entries = list(_entries(encoded, order))
        (start,) = struct.unpack_from(order + place, encoded, 8 if big else 4)
    except (OverflowError, struct.error):
        return Bare(encoded, None)
    kept = [found for found in entries if found[0] in _TIFF_NEEDED]
    end = start + step + len(entries) * entry.size
    directory = struct.pack(order + number, len(kept)) + b"".join(entry.pack(*found) for found in kept)
    directory += encoded[end : end + struct.calcsize(place)].ljust(struct.calcsize(place), b"\0")
    xmp = next((_far(encoded, order + place, found) for found in entries if found[0] == _XMP), None)
    image = encoded[:start] + directory + encoded[start + len(directory) :]
    return Bare(image, orientation_in(encoded, xmp))


def _far(tiff: bytes, place: str, entry: tuple[int, int, int, bytes]) -> bytes:
    """The value of an entry of bytes that is too long to stand in it."""
    (start,) = struct.unpack(place, entry[3])
    return tiff[start : start + entry[2]]
