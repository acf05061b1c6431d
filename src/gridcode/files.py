"""Files are written whole or not at all, and JSON as every reader understands it.

A file that is written under its own name can be read half-written, and a kill leaves it torn. Everything gridcode
writes goes to a temporary neighbour first, is flushed to the disk, and takes its name in one atomic rename.

JSON has no NaN and no infinity, so a number that is not finite is written as null.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gridcode.errors import FileError, GridcodeError, MissingFileError

LOCK_FILE = ".lock"
"""What :func:`alone_in` leaves in a folder."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses in this block is told as an error in one line about ``path``.

    Raises:
        GridcodeError: The block raised an ``OSError``, and this is one too; or ``path`` is a URL.
    """
    if _URL.match(str(path)):
        url = re.sub(":/+", "://", str(path), count=1)  # a Path has lost one of the two slashes
        raise FileError(f"{url} is a URL, and files are written to folders; choose one, and copy it from there")
    try:
        yield
    except GridcodeError:
        raise
    except OSError as error:
        reason = error.strerror or error
        what = "check its permissions" if error.errno in _FORBIDDEN else "make room there"
        raise FileError(f"{path} cannot be written ({reason}); {what}, or choose another place") from error


_URL = re.compile(r"[a-z][a-z0-9+.-]+:/")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def make_folder(path: Path) -> Path:
    """Make a folder and its parents, where they are not there yet.

    Raises:
        GridcodeError: It cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def file_atomic(path: Path) -> Iterator[Path]:
    """Make a file under a temporary name; it takes the name ``path`` when the block ends without an error.

    Missing parent folders are made.

    Raises:
        GridcodeError: It cannot be written: the disk is full, say, or the folder is not ours.
    """
    temporary = _beside(path, "tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write(temporary_path)`` make a file, then rename it to ``path`` in one step: see :func:`file_atomic`."""
    with file_atomic(path) as temporary:
        write(temporary)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically; what UTF-8 lacks, of a file's name, becomes an escape."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, atomically."""
    write_atomic(path, lambda temporary: temporary.write_bytes(content))


def to_json(value: Any, *, indent: int | None = None, other: Callable[[Any], Any] | None = None) -> str:
    """A value as JSON by the letter of its standard.

    A number that is not finite becomes null, a tuple a list, a path a string; scalars and arrays of NumPy and PyTorch
    become numbers and lists. What Python makes of a file name that is not UTF-8 is written as an escape, and comes
    back by :func:`from_json`.

    Args:
        value: What to write.
        indent: Spaces for each level of nesting; None for a single line.
        other: Makes something that has JSON of a value that has none.

    Raises:
        TypeError: A value has no JSON, and there is no ``other``.

    >>> to_json({"loss": float("nan"), "bound": float("inf"), "levels": (8, 5)})
    '{"loss": null, "bound": null, "levels": [8, 5]}'
    """
    text = json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False, default=other)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def from_json(text: str | bytes) -> Any:
    """What a JSON text says; ``NaN`` and ``Infinity``, which other writers leave in it, are None.

    Raises:
        ValueError: It is not JSON.

    >>> from_json('{"loss": NaN, "psnr": null}')
    {'loss': None, 'psnr': None}
    """
    return json.loads(text, parse_constant=lambda name: None)


def _plain(value: Any) -> Any:
    """A value in the types that JSON has."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_name(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # a scalar or an array of NumPy or PyTorch, neither of which is imported for this
        return _plain(value.tolist())
    return value


def _name(key: Any) -> Any:
    """A key of a mapping, a string in JSON: what is not one is written as its value would be."""
    key = _plain(key)
    return key if isinstance(key, str) else json.dumps(key)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically; see :func:`to_json`."""
    write_text(path, to_json(value, indent=2) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        what: What the file is for, named in the error.

    Raises:
        GridcodeError: The file is missing, is not JSON, or holds something other than an object.
    """
    try:
        value = from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(f"{what}: there is no file {path}") from None
    except OSError as error:
        raise FileError(f"{what}: {path} cannot be read ({error.strerror}); check it") from None
    except (ValueError, RecursionError) as error:
        raise GridcodeError(f"{what}: {path} is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise GridcodeError(f"{what}: {path} holds a JSON {type(value).__name__}, not an object")
    return value


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Fill a new folder under a temporary name; it takes the name ``path`` when the block ends without an error.

    An existing folder ``path`` is replaced.

    Raises:
        GridcodeError: It cannot be written: the disk is full, say, or the folder above is not ours.
    """
    temporary = _beside(path, "tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush(file)
            old = _beside(path, "old")
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    """The temporary neighbour of a path; the long name of a file gives way to its hash, 255 bytes being the most."""
    name = f".{path.name}.{os.getpid()}.{ending}"
    if len(os.fsencode(name)) > 255:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.{os.getpid()}.{ending}"
    return path.with_name(name)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-done in a folder.

    A folder that :func:`folder_atomic` was just exchanging for a new one when the process died gets its old self back.

    Args:
        folder: Where things were written; nothing else may be writing there now.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> (place / ".best.77.old").mkdir(); (place / ".log.json.77.tmp").touch()
    >>> sweep(place); [path.name for path in place.iterdir()]
    ['best']
    """
    for path in folder.glob(".*.*.old"):
        name = path.name[1:].rsplit(".", 2)[0]
        if (folder / name).exists():
            shutil.rmtree(path)
        else:
            os.replace(path, folder / name)
    for path in folder.glob(".*.*.tmp"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def alone_in(folder: Path, doing: str, *, wait: bool = False) -> Iterator[None]:
    """Make a folder, and keep it from other processes for the length of a block; a killed process holds nothing.

    Where the file system has no locks the block runs all the same.

    Args:
        folder: Which.
        doing: What is done in it, for the error of the one that comes second.
        wait: Whether the one that comes second waits instead.

    Raises:
        GridcodeError: Another process holds it, or it cannot be made.
    """
    make_folder(folder)
    lock = FileLock(folder / LOCK_FILE, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise GridcodeError(f"another process is {doing} in {folder}; wait for it, or give another folder") from None
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()


def _flush(path: Path) -> None:
    """Bring a written file to the disk: a rename must not outlive a power cut that its bytes do not."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
