"""The members of a tar file, one header after another, and the examples that they make.

    header 512 bytes | data, filled up to 512 | header | data | … | two empty blocks

A member is never read to find the next one, so that an index of a shard costs a header for each member. Understood are
ustar, GNU's long names, pax headers, and sizes beyond 8 GiB; links, folders and devices are passed over. A file must
end with an empty block, of which tar writes two: one without it is cut short, perhaps between two members, where
nothing else would tell.

Members that share a *key* are one example, by the convention of WebDataset: a key is the path up to the first dot of
the file's name, and what follows is the *extension*.

    n01440764/7.jpg, n01440764/7.cls, n01440764/7.json        key n01440764/7, extensions jpg, cls, json
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from gridcode.data.file_names import is_clutter, printable
from gridcode.errors import FileError, GridcodeError

BLOCK: Final = 512
_NO_DATA: Final = frozenset(b"123456")
_LONG_NAME, _PAX, _PAX_OF_ALL, _SPARSE = b"L", b"x", b"g", b"S"
_FILE: Final = frozenset(b"0\x007")
_MOST: Final = 1 << 43
"""Bytes of a member; more is a damaged size, and no disk could be sought there."""
_PIECE: Final = 1 << 26
"""Bytes that are read at a time: a damaged size asks for no more memory than there are bytes."""


class BrokenTarError(FileError):
    """A :class:`FileError` about a tar that is cut short or damaged, whose beginning could be read."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar.

    Attributes:
        name: Its path in the tar.
        start: Where its data begin, in bytes from the tar's beginning.
        size: Bytes of data.
    """

    name: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the next header is."""
        return self.start + -(-self.size // BLOCK) * BLOCK


def tar_members(file: BinaryIO, where: str) -> Iterator[Member]:
    """The files in a tar, in order.

    Args:
        file: The tar, open for reading; it is sought before each header, so that a caller may read in between.
        where: What an error calls it.

    Raises:
        GridcodeError: It is no tar, is compressed, damaged or cut short.

    >>> import io, tarfile
    >>> archive = io.BytesIO()
    >>> with tarfile.open(fileobj=archive, mode="w") as tar:
    ...     tar.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    >>> [member.name for member in tar_members(archive, "a.tar")]
    ['a.txt']
    """
    place, name, size = 0, None, None
    while True:
        file.seek(place)
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            raise _cut_short(where, f"it ends before byte {place + BLOCK:,} without the mark of a tar's end")
        if not any(header):
            return
        kind = header[156:157]
        if not _is_header(header):
            raise _no_header(where, header, place)
        data = place + BLOCK
        length = _number(header[124:136], where) if size is None else size
        if length > _MOST:
            raise _damaged(where, f", by its header a member has {length:,} bytes")
        if kind in (_LONG_NAME, _PAX):
            told = _read(file, length, where)
            if kind == _LONG_NAME:
                name = _text(told)
            else:
                name, size = _pax(told, name, size)
            place = data + -(-length // BLOCK) * BLOCK
            continue
        if kind == _SPARSE:
            raise GridcodeError(f"{where}: '{printable(_name(header))}' is stored with holes; pack it as a plain file")
        member = Member(_name(header) if name is None else name, data, 0 if kind[0] in _NO_DATA else length)
        if kind[0] in _FILE and not member.name.endswith("/"):
            yield member
        place, name, size = member.end, None, None


def read_member(file: BinaryIO, member: Member, where: str) -> bytes:
    """The bytes of a member.

    Raises:
        GridcodeError: The tar ends before they do.
    """
    file.seek(member.start)
    return _read(file, member.size, where)


@dataclass(frozen=True, slots=True)
class Group:
    """Members of one key: an example.

    Attributes:
        key: What they share.
        members: By extension, in lower case.
    """

    key: str
    members: dict[str, Member]


def tar_groups(
    file: BinaryIO, where: str, *, passing: Callable[[str, Member], object] | None = None
) -> Iterator[Group]:
    """The examples of a tar: members of one key that follow each other; hidden files and metadata are passed over.

    Args:
        file: As for :func:`tar_members`.
        where: What an error calls it.
        passing: Called with each member's extension and the member before the next header is read, which is when a
            stream's bytes can be had.

    Raises:
        GridcodeError: Two members have one name, or the tar cannot be read.
    """
    group: Group | None = None
    for member in tar_members(file, where):
        key, extension = split_name(member.name)
        if key is None:
            continue
        if group is not None and group.key != key:
            yield group
            group = None
        group = group or Group(key, {})
        if extension in group.members:
            raise GridcodeError(f"{where}: two members are called '{printable(key)}.{extension}'; keep one of them")
        group.members[extension] = member
        if passing is not None:
            passing(extension, member)
    if group is not None:
        yield group


def split_name(name: str) -> tuple[str | None, str]:
    """Key and extension of a member; no key where it is hidden, metadata or without an extension.

    >>> split_name("./train/n01.5/7.seg.PNG"), split_name("__meta__/a.json"), split_name("a/._7.png")
    (('train/n01.5/7', 'seg.png'), (None, ''), (None, ''))
    """
    name = name.removeprefix("./")
    folder, _, file = name.rpartition("/")
    stem, dot, extension = file.partition(".")
    if not stem or not dot or is_clutter(file) or _META.match(name) or "__MACOSX" in folder:
        return None, ""
    return f"{folder}/{stem}" if folder else stem, extension.lower()


_META: Final = re.compile(r"__[^/]*__($|/)")


def _is_header(header: bytes) -> bool:
    """Whether a block's checksum is right; old programs took bytes for signed numbers."""
    told = re.match(rb"[\s\0]*([0-7]+)", header[148:156])
    if told is None:
        return False
    rest = header[:148] + b" " * 8 + header[156:]
    return (over := sum(rest) - int(told[1], 8)) == 0 or over == 256 * sum(byte > 127 for byte in rest)


def _no_header(where: str, header: bytes, place: int) -> GridcodeError:
    if place == 0:
        if header.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
            return GridcodeError(f"{where}: compressed; unpack it to a plain .tar, for images are compressed already")
        return FileError(f"{where}: not a tar file; check data.source, or download it again")
    return _damaged(where, f" at byte {place:,}")


def _damaged(where: str, why: str) -> BrokenTarError:
    return BrokenTarError(f"{where}: damaged{why}; download or write it again, or set data.on_error=skip")


def _cut_short(where: str, why: str) -> BrokenTarError:
    return BrokenTarError(f"{where}: cut short, {why}; download or write it again, or set data.on_error=skip")


def _read(file: BinaryIO, size: int, where: str) -> bytes:
    data = file.read(min(size, _PIECE))
    while len(data) < size and (more := file.read(min(size - len(data), _PIECE))):
        data += more
    if len(data) < size:
        raise _cut_short(where, f"a member of {size:,} bytes has {len(data):,}")
    return data


def _name(header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    ustar = header[257:263] == b"ustar\0"
    return os.fsdecode(prefix + b"/" + name if prefix and ustar else name)


def _text(told: bytes) -> str:
    return os.fsdecode(told.split(b"\0")[0])


def _number(field: bytes, where: str) -> int:
    """A size: octal digits, or above 8 GiB a number of base 256."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b"\0 ")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise _damaged(where, f", {digits!r} is no size")
    return int(digits or b"0", 8)


def _pax(told: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Name and size as the records ``LENGTH KEY=VALUE`` of a pax header give them."""
    while found := re.match(rb"(\d{1,9}) ([^=]+)=", told):
        length = int(found[1])
        value = told[found.end() : length - 1]
        if found[2] == b"path":
            name = os.fsdecode(value)
        elif found[2] == b"size" and value.isdigit():
            size = int(value[:20])
        if length <= found.end():
            break
        told = told[length:]
    return name, size
