"""Files behind a URL, read from front to back, and the names that patterns of URLs stand for.

What fsspec can open is read: http(s)://, s3://, gs://, memory:// and others, each by a package of its own. A shard is
read once, from its beginning, in large pieces: no server needs to know of ranges, and no disk needs room.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from gridcode.data.file_names import printable
from gridcode.data.shards.names import is_url, shard_urls
from gridcode.errors import FileError, GridcodeError, MissingFileError

_LOG = logging.getLogger(__name__)


class ConnectionFailedError(FileError):
    """A :class:`FileError` about what may work at another time."""


_PIECE: Final = 1 << 20
"""Bytes that are asked for at a time."""


def expand_urls(pattern: str) -> list[str]:
    """The URLs that a pattern stands for: braces, and ``*`` where the server lists its files; sorted as they come.

    Raises:
        GridcodeError: The pattern is wrong or not of shards, no file has such a name, or the server cannot be asked.
    """
    found: dict[str, None] = {}
    for url in shard_urls(pattern):
        if "*" not in url:  # ? begins a query
            found[url] = None
            continue
        with telling(url):
            system, path = _system(url)
            names = sorted(system.glob(path))
        scheme = url.partition("://")[0]
        found |= dict.fromkeys(name if is_url(name) else f"{scheme}://{name.lstrip('/')}" for name in names)
    if not found:
        raise MissingFileError(f"'{pattern}': no file has such a name; check data.source")
    return list(found)


def read_url(url: str) -> bytes | None:
    """A small file as a whole; None where there is none, or where the server does not say whether there is one.

    Raises:
        GridcodeError: The server cannot be asked.
    """
    try:
        with telling(url):
            system, path = _system(url)
            try:
                return bytes(system.cat_file(path))
            except Exception as error:
                # Buckets that may be read and not listed forbid what is not there.
                if isinstance(error, PermissionError) or getattr(error, "status", None) == HTTPStatus.FORBIDDEN:
                    return None
                raise
    except MissingFileError:
        return None


@contextmanager
def open_forward(place: str) -> Iterator[BinaryIO]:
    """A local file or one behind a URL, for reading from front to back; ``seek`` goes forward.

    Raises:
        GridcodeError: It is missing, or cannot be read; so is what the block raises of the system or the network.
    """
    # A file that is asked for without blocks comes in one piece, where the protocol is http.
    with open_anywhere(place, block_size=0 if place.startswith("http") else _PIECE) as file:
        yield cast(BinaryIO, _Forward(file)) if is_url(place) else file


@contextmanager
def open_anywhere(place: str, *, block_size: int = 8 * _PIECE) -> Iterator[BinaryIO]:
    """The same for a file that must be read out of order, as Parquet must: the server needs to know of ranges."""
    with telling(place):
        if not is_url(place):
            with open(Path(place).expanduser(), "rb") as file:
                yield file
            return
        system, path = _system(place)
        with system.open(path, "rb", block_size=block_size) as opened:
            _reached.add(_server(place))
            yield cast(BinaryIO, opened)


def wait_for_another_try(error: ConnectionFailedError, place: str, tries: int) -> None:
    """Wait before a place is read again, longer each time.

    Args:
        error: What went wrong; raised again where its server never answered, or all tries are used up.
        place: The URL.
        tries: How often it went wrong in a row, from 1.
    """
    if tries > len(WAITS) or not is_url(place) or _server(place) not in _reached:
        raise error
    _LOG.warning("%s; trying again in %g s", error, WAITS[tries - 1])
    time.sleep(WAITS[tries - 1])


WAITS: Final = [1.0, 5.0, 25.0]
"""Seconds before the second, the third and the last try."""
_reached: Final[set[str]] = set()


def _server(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


@contextmanager
def telling(place: str) -> Iterator[None]:
    """What the system, the network or its packages raise in the block becomes one line about a place.

    Raises:
        GridcodeError: It did.
    """
    name = printable(place)
    try:
        yield
    except GridcodeError:
        raise
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such file; check data.source") from None
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise GridcodeError(f"{name} cannot be read ({reason}); pip install 'gridcode[remote]'") from None
    except Exception as error:
        if not _of_the_network(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConnectionFailedError(
            f"{name}: cannot be read ({reason}); check the address and the connection"
        ) from None


def _of_the_network(error: Exception) -> bool:
    """Whether an error is one of files or connections; packages of protocols have types of their own."""
    packages = (
        "aiohttp",
        "fsspec",
        "botocore",
        "aiobotocore",
        "s3fs",
        "gcsfs",
        "google",
        "requests",
        "huggingface_hub",
        "httpx",
    )
    return isinstance(error, OSError | ValueError | TimeoutError) or type(error).__module__.split(".")[0] in packages


def _system(url: str) -> tuple[Any, str]:
    """What fsspec reads a URL with, and the path there."""
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    return system, path


class _Raw(io.RawIOBase):
    """Any object with ``read`` as a raw stream, so that Python can buffer it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill as much of the buffer as comes at once."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Forward:
    """A stream that can be sought forward, by reading."""

    def __init__(self, file: Any) -> None:
        self._file = io.BufferedReader(_Raw(file), _PIECE)
        self._place = 0

    def read(self, size: int) -> bytes:
        """That many bytes; fewer at the end."""
        data = self._file.read(size)
        self._place += len(data)
        return data

    def seek(self, place: int) -> int:
        """Go on to a place; beyond the end, to the end."""
        assert place >= self._place, "a stream cannot be read again"
        while self._place < place and self.read(min(place - self._place, _PIECE)):
            pass
        return self._place
