"""What the members of one example in a tar mean: which is the image, which tells its class.

.jpg .png .webp …                 the image; of several the one with a plain extension (jpg, not mask.png)
.cls .cls.txt                     its class: a whole number or a name
.json                             its class where there is no .cls: the field 'label', 'cls' or 'class'
.txt and others                   not read
classnames.txt, classes.txt       beside the shards, or one folder above: names of the numbers, one a line
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from gridcode.data.file_names import is_document, printable
from gridcode.data.image import SUFFIXES
from gridcode.data.shards.tar import Group, Member
from gridcode.errors import GridcodeError
from gridcode.files import from_json

CLASS_NAMES: Final = ("classnames.txt", "classes.txt")
"""Files beside shards that name the classes 0, 1, …, one a line."""
_LABELS: Final = ("cls", "cls.txt")
_FIELDS: Final = ("label", "cls", "class")
_LONGEST: Final = 1 << 20
"""Bytes of a .cls or .json that are believed to tell a class."""


def image_of(group: Group, where: str) -> Member | None:
    """The member that is an example's image; None where the group is no example but a text about the data.

    Args:
        group: The members.
        where: What an error calls their shard.

    Raises:
        GridcodeError: There is no image, or there are several.

    >>> one, two = Member("1.jpg", 512, 9), Member("1.mask.png", 1536, 9)
    >>> image_of(Group("1", {"jpg": one, "mask.png": two}), "a.tar").name
    '1.jpg'
    """
    found = [extension for extension in group.members if is_image(extension)]
    found = [extension for extension in found if "." not in extension] or found
    if len(found) == 1:
        return group.members[found[0]]
    key, names = printable(group.key), ", ".join(f".{printable(extension)}" for extension in found or group.members)
    if found:
        raise GridcodeError(f"{where}: '{key}' has several images ({names}); keep one of them, or name one plainly")
    if all(is_document(PurePosixPath(member.name).name) for member in group.members.values()):
        return None
    raise GridcodeError(f"{where}: '{key}' has no image, only {names}; remove it, or set data.on_error=skip")


def is_image(extension: str) -> bool:
    """Whether an extension's last part is that of an image.

    >>> is_image("mask.png"), is_image("cls")
    (True, False)
    """
    return f".{extension.rpartition('.')[2]}" in SUFFIXES


def tells_class(extension: str) -> bool:
    """Whether a member of that extension may tell a class."""
    return extension in _LABELS or extension == "json"


def label_of(group: Group, read: Callable[[Member], bytes], where: str) -> int | str | None:
    """What an example's class is called or numbered; None where nothing tells.

    Args:
        group: The members.
        read: Reads one of them.
        where: What an error calls their shard.

    Raises:
        GridcodeError: What should tell the class cannot be read.
    """
    for extension in _LABELS:
        if member := group.members.get(extension):
            return _value(_told(member, read, where).strip())
    if (member := group.members.get("json")) is None or member.size > _LONGEST:
        return None
    try:
        told = from_json(_told(member, read, where))
    except ValueError:
        name = printable(member.name)
        raise GridcodeError(f"{where}: '{name}' is not JSON; write it again, or set data.on_error=skip") from None
    return _field(told) if isinstance(told, Mapping) else None


def _field(told: Mapping[str, Any]) -> int | str | None:
    value = next((told[name] for name in _FIELDS if name in told), None)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return value if isinstance(value, str) else _value(str(value))


def _told(member: Member, read: Callable[[Member], bytes], where: str) -> str:
    name = printable(member.name)
    if member.size > _LONGEST:
        raise GridcodeError(f"{where}: '{name}' is no class, it has {member.size:,} bytes; write a number or a name")
    try:
        return read(member).decode("utf-8")
    except UnicodeDecodeError:
        raise GridcodeError(f"{where}: '{name}' is not UTF-8; write it again, or set data.on_error=skip") from None


def _value(text: str) -> int | str:
    """The number that a text is; one of more digits than int64 has is a name."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def class_names(text: str, where: str) -> tuple[str, ...]:
    r"""The names in the text of a file of class names.

    Raises:
        GridcodeError: It has none, or one twice.

    >>> class_names("cat\ndog\n", "classnames.txt")
    ('cat', 'dog')
    """
    names = tuple(printable(line.strip()) for line in text.removeprefix("\ufeff").splitlines() if line.strip())
    if not names:
        raise GridcodeError(f"{where}: no names of classes; write one a line, or remove it")
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise GridcodeError(f"{where}: the class '{twice}' is named twice; make the names differ")
    return names
