"""Patterns of file names, and the shards that they stand for.

    train-{000..146}.tar        numbers, padded with zeros to the longer end
    {train,val}-{0..9}.tar      each word with each number
    shards/*.tar                what lies there, sorted

Every file that a brace stands for must be there: a missing shard would be missing images. A file whose own name has
such letters is taken as it is.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gridcode.data.file_names import printable
from gridcode.errors import GridcodeError, MissingFileError

_MOST: Final = 1_000_000
"""Names that a pattern may stand for."""


def is_pattern(place: str) -> bool:
    """Whether a place is a pattern of names, and no file or folder of that name.

    >>> is_pattern("a-{0..9}.tar"), is_pattern("a-0.tar")
    (True, False)
    """
    return any(letter in place for letter in "{}*?[") and not Path(place).expanduser().exists()


def is_url(place: str) -> bool:
    """Whether a place is a URL, not a path.

    >>> is_url("s3://bucket/a.tar"), is_url("shards/a.tar")
    (True, False)
    """
    return re.match(r"[a-z][a-z0-9+.-]*://", place) is not None


def shard_urls(pattern: str) -> list[str]:
    """The URLs, perhaps with ``*``, that the braces of a pattern stand for.

    Raises:
        GridcodeError: The pattern is wrong, or stands for other files than .tar and .parquet.

    >>> shard_urls("s3://bucket/{0..1}.tar")
    ['s3://bucket/0.tar', 's3://bucket/1.tar']
    """
    urls = expand(pattern)
    if wrong := next((url for url in urls if not is_shard(url)), None):
        raise no_shard(wrong)
    return urls


def is_shard(name: str) -> bool:
    """Whether a stream can be read of a file of that name, or of a URL with a query.

    >>> is_shard("a.tar"), is_shard("https://host/a.parquet?key=1"), is_shard("a.tar.gz")
    (True, True, False)
    """
    return name.partition("?")[0].lower().endswith((".tar", ".parquet"))


def no_shard(name: str) -> GridcodeError:
    """What is said of another one."""
    return GridcodeError(
        f"{printable(name)}: a stream reads .tar and .parquet files; give the pattern of some, such as "
        "URL/{000..099}.tar"
    )


def expand(pattern: str) -> list[str]:
    """The names that the braces of a pattern stand for, in order.

    Args:
        pattern: Names with ``{first..last}`` and ``{one,other}``.

    Raises:
        GridcodeError: A brace is open, nested or empty, its numbers fall, or there are more than a million names.

    >>> expand("{a,b}-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    names = [""]
    for part in re.split(r"(\{[^{}]*\})", pattern):
        if part.startswith("{"):
            choices = list(_choices(part, pattern))
            if len(names) * len(choices) > _MOST:
                raise GridcodeError(f"'{pattern}' stands for more than {_MOST:,} files; check its numbers")
            names = [name + choice for name in names for choice in choices]
        elif "{" in part or "}" in part:
            raise _bad(pattern, "a brace is open, or stands in another")
        else:
            names = [name + part for name in names]
    return names


def local_shards(pattern: str) -> list[Path]:
    """The files that a pattern stands for, each once, in order.

    Raises:
        GridcodeError: One is missing, there are none, or the pattern is wrong.
    """
    found: dict[Path, None] = {}
    for name in expand(pattern):
        name = str(Path(name).expanduser())
        if any(letter in name for letter in "*?["):
            found |= dict.fromkeys(Path(path) for path in sorted(glob.glob(name, recursive=True)))
        elif Path(name).exists():
            found[Path(name)] = None
        else:
            raise MissingFileError(f"{printable(name)}: no such file, though '{pattern}' names it; check data.source")
    if not found:
        raise MissingFileError(f"'{pattern}': no file has such a name; check data.source")
    return list(found)


def _choices(brace: str, pattern: str) -> Iterator[str]:
    inside = brace[1:-1]
    if found := re.fullmatch(r"(\d+)\.\.(\d+)", inside):
        first, last = int(found[1]), int(found[2])
        if last < first:
            raise _bad(pattern, f"{brace} counts down")
        if last - first >= _MOST:
            raise GridcodeError(f"'{pattern}' stands for more than {_MOST:,} files; check its numbers")
        padded = found[1].startswith("0") or found[2].startswith("0")
        width = max(len(found[1]), len(found[2])) if padded else 0
        return (f"{number:0{width}d}" for number in range(first, last + 1))
    if ".." in inside or not inside.strip(","):
        raise _bad(pattern, f"{brace} is neither two numbers nor a list")
    return iter(inside.split(","))


def _bad(pattern: str, why: str) -> GridcodeError:
    return GridcodeError(f"'{pattern}': {why}; write {{000..099}} or {{train,val}}")
