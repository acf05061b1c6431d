"""Clouds from files: .npy, .npz and .ply, read by hand so that a broken one is told of in one line.

    .npy   (N, 3), or (N, k) with x, y, z first
    .npz   the same, under the name 'points', 'xyz', 'pos' or 'vertices', or as the only array
    .ply   element 'vertex' with properties x, y, z among others; ASCII, binary little-endian or big-endian

Floats of any size and integers are taken over as float32. No pickled object is ever loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gridcode.data.file_names import printable
from gridcode.data.labelled.arrays import ARRAY_ERRORS, load_array
from gridcode.errors import FileError, MissingFileError

SUFFIXES: Final = frozenset({".npy", ".npz", ".ply"})
_NAMES: Final = ("points", "xyz", "pos", "vertices")
_TYPES: Final = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_ORDERS: Final = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_HEADER: Final = 2**16


def read_points(path: Path) -> NDArray[np.float32]:
    """The points of a file, (N, 3), N >= 1, all finite.

    Raises:
        FileError: It is empty, damaged, of another shape, or holds NaN or infinity; the message names it.
    """
    name = printable(str(path))
    try:
        encoded = path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"{name}: no such file; check data.source") from None
    except OSError as error:
        raise FileError(f"{name}: cannot be read ({error.strerror or error})") from None
    if not encoded:
        raise FileError(f"{name}: is empty; remove it, or set data.on_error=skip")
    try:
        values = _ply(encoded) if path.suffix.lower() == ".ply" else load_array(encoded, _NAMES)
    except ARRAY_ERRORS as error:
        reason = " ".join(str(error).split())[:120]
        raise FileError(
            f"{name}: not a readable cloud ({reason}); mend or remove it, or set data.on_error=skip"
        ) from None
    return _checked(values, name)


def _checked(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    if values.ndim != 2 or values.shape[1] < 3 or values.dtype.kind not in "fiu":
        raise FileError(f"{name}: {values.dtype} of shape {values.shape} is no cloud; give numbers (N, 3)")
    if not len(values):
        raise FileError(f"{name}: a cloud of no points; remove it, or set data.on_error=skip")
    with np.errstate(over="ignore"):
        points = values[:, :3].astype(np.float32)
    broken = int((~np.isfinite(points).all(1)).sum())
    if broken:
        raise FileError(
            f"{name}: {broken} of {len(points)} points are NaN or infinite; remove them, or set data.on_error=skip"
        )
    return points


def _ply(encoded: bytes) -> NDArray[Any]:
    """The vertices of a PLY file (Turk 1994); elements after them are not looked at."""
    end = encoded.find(b"end_header", 0, _HEADER)
    if not encoded.startswith(b"ply") or end < 0:
        raise ValueError("no PLY header")
    start = encoded.index(b"\n", end) + 1
    order, count, fields = _ply_header(encoded[:end].decode("ascii").split("\n"))
    body = encoded[start:]
    if order:
        row = np.dtype([(name, order + kind) for name, kind in fields])
        if len(body) < count * row.itemsize:
            raise ValueError(f"{len(body) // row.itemsize} of {count} vertices")
        vertices = np.frombuffer(body, row, count)
        return np.stack([vertices[axis].astype(np.float64) for axis in "xyz"], 1)
    lines = body.decode("ascii").splitlines()[:count]
    if len(lines) < count:
        raise ValueError(f"{len(lines)} of {count} vertices")
    places = [[name for name, _ in fields].index(axis) for axis in "xyz"]
    rows = [[float(words[place]) for place in places] for words in (line.split() for line in lines)]
    return np.array(rows, np.float64).reshape(-1, 3)


def _ply_header(lines: list[str]) -> tuple[str, int, list[tuple[str, str]]]:
    """Byte order ("" for ASCII), number and properties of the vertices."""
    words = [line.split() for line in lines]
    form = next((line[1] for line in words if line[:1] == ["format"] and len(line) > 1), "")
    if form not in _ORDERS:
        raise ValueError(f"format {form!r}")
    first = next((place for place, line in enumerate(words) if line[:1] == ["element"]), len(words))
    if first == len(words) or words[first][1] != "vertex":
        raise ValueError("the first element is not 'vertex'")
    fields = list[tuple[str, str]]()
    for line in words[first + 1 :]:
        if line[:1] == ["element"]:
            break
        if line[:1] == ["property"]:
            fields.append((line[2], _TYPES[line[1]]))
    missing = [axis for axis in "xyz" if axis not in dict(fields)]
    if missing:
        raise ValueError(f"no property {missing[0]!r}")
    count = int(words[first][2])
    if count < 0:
        raise ValueError(f"{count} vertices")
    return _ORDERS[form], count, fields
