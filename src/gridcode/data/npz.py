"""Images as arrays in one .npz or .npy file.

    images, labels, classes             one pool; `x` and `y` as well, or `arr_0` and `arr_1` as numpy.savez has them
    x_train, y_train, x_test, y_test    splits as Keras names them, `x_val` and `y_val` too
    train_images, train_labels, …       splits as MedMNIST names them
    a single array                      the images, under any name; a .npy file is that

images:  (N, H, W), (N, H, W, C) or (N, C, H, W), C of 1 or 3
labels:  whole numbers, (N,) or (N, 1); negative means none
classes: strings, (K,)

Arrays come in other types, ranges and layouts; :func:`pixels_of` and :func:`labels_of` take each over or refuse it by
name:

    uint8           as it is; a stack that holds only 0 and 1 is refused, because it would be black
    uint16          8 bits by v / 257, as for 16-bit files; refused where no value exceeds 255
    bool            black and white
    float           [0, 1], up to 1e-4 of rounding
    labels          integers, bool, or floats that are whole; negative means none
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridcode.data.file_names import Split, printable, split_of
from gridcode.data.layout import Places
from gridcode.data.source import Example, StoredImages
from gridcode.errors import FileError, GridcodeError, MissingFileError

_IMAGES = frozenset({"images", "image", "x", "imgs"})
_LABELS = frozenset({"labels", "label", "y"})


class NpzImages(StoredImages):
    """The images of a .npz or .npy file, held in memory.

    Args:
        path: The file. Pickled objects in it are refused, never run.
        name: What to record as the origin; the path where not given.
        split: Which split of a file that has them; where not given, all images, in the order train, val, test.

    Raises:
        GridcodeError: The file is missing or damaged, or its arrays have other names, types or shapes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     np.savez(Path(name) / "a.npz", images=np.zeros((2, 8, 8), np.uint8), labels=[1, 0])
    ...     source = NpzImages(Path(name) / "a.npz")
    >>> len(source), source[0].image.shape, source[0].label, source.classes
    (2, (8, 8, 1), 1, ('0', '1'))
    """

    in_memory = True

    def __init__(self, path: Path, *, name: str | None = None, split: Split | None = None) -> None:
        self.name = printable(name or str(path))
        self._places = Places(files={os.path.join(os.path.realpath(path), split or ""): str(path)})
        arrays = _load(path)
        parts = _parts(arrays, path)
        if split is not None and split not in parts:
            raise GridcodeError(f"{path}: no split '{split}'; it holds {_seen(arrays)}")
        wanted = [part for at, part in parts.items() if split in (None, at)]
        images = [_images(arrays[part[0]], f"{path}, `{part[0]}`") for part in wanted]
        shapes = {stack.shape[1:] for stack in images}
        if len(shapes) > 1:
            raise GridcodeError(
                f"{path}: its splits differ in size {sorted(shapes)}; write each into a file of its own"
            )
        self._images = np.concatenate(images) if len(images) > 1 else images[0]
        labels = [
            None if part[1] is None else _labels(arrays[part[1]], len(stack), f"{path}: `{part[1]}`")
            for part, stack in zip(wanted, images, strict=True)
        ]
        self._labels = None
        if any(values is not None for values in labels):
            unlabelled = [np.full(len(stack), -1, np.int64) for stack in images]
            self._labels = np.concatenate([a if a is not None else b for a, b in zip(labels, unlabelled, strict=True)])
        self.classes = _classes(arrays.get("classes"), self._labels, path)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        label = -1 if self._labels is None else int(self._labels[index])
        return Example(image=self._images[index], label=label if label >= 0 else None, key=self.key(index))

    def key(self, index: int) -> str:
        """The image's number."""
        return str(index)

    @property
    def places(self) -> Places:
        """The file, or the split in it."""
        return self._places


def npz_splits(path: Path) -> tuple[Split, ...]:
    """The splits that the names of a .npz file's arrays tell, in the order train, val, test; none in a .npy file.

    Raises:
        GridcodeError: The file is missing or damaged.
    """
    found = {split_of(name) for name in _names(path) if _role(name)}
    order: tuple[Split, ...] = ("train", "val", "test")
    return tuple(split for split in order if split in found)


def _names(path: Path) -> list[str]:
    """The names of a .npz file's arrays, without reading these; none of a .npy file."""
    if path.suffix.lower() != ".npz":
        return []
    with _opened(path) as file:
        return list(file.files) if isinstance(file, np.lib.npyio.NpzFile) else []


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    with _opened(path) as file:
        return {name: file[name] for name in file.files} if isinstance(file, np.lib.npyio.NpzFile) else {"images": file}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """What numpy finds in a file; what goes wrong with it in the block, too, is one line."""
    try:
        with open(path, "rb") as opened:
            yield np.load(opened, allow_pickle=False)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: there is no such file; check data.source") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: not a readable .npz file ({error}); write it with numpy.savez") from None


def _parts(arrays: dict[str, NDArray[np.generic]], path: Path) -> dict[Split | None, tuple[str, str | None]]:
    """Of each split, or of None where there are none, the names of its images and of its labels."""
    if set(arrays) == {"arr_0", "arr_1"}:
        return {None: ("arr_0", "arr_1")}
    if len(arrays) == 1:
        return {None: (next(iter(arrays)), None)}
    named: dict[tuple[Split | None, str], str] = {}
    for name in arrays:
        if role := _role(name):
            if (split_of(name), role) in named:
                raise GridcodeError(f"{path}: `{named[split_of(name), role]}` and `{name}` mean the same; keep one")
            named[split_of(name), role] = name
    order: tuple[Split | None, ...] = (None, "train", "val", "test")
    found = {at: (named[at, "images"], named.get((at, "labels"))) for at in order if (at, "images") in named}
    alone = [name for (at, role), name in named.items() if at not in found]
    if not found or alone or (None in found and len(found) > 1):
        raise GridcodeError(
            f"{path}: needs `images` and perhaps `labels`, or `x_train`, `y_train`, `x_test`, `y_test`, "
            f"but holds {_seen(arrays)}"
        )
    return found


def _role(name: str) -> str | None:
    words = set(re.split(r"[^a-z]+", name.lower()))
    return "images" if words & _IMAGES else "labels" if words & _LABELS else None


def _images(values: NDArray[np.generic], where: str) -> NDArray[np.uint8]:
    if values.ndim not in (3, 4):
        raise GridcodeError(
            f"{where}: images must be (N, H, W), (N, H, W, C) or (N, C, H, W), not {values.dtype} {values.shape}"
        )
    return pixels_of(values, where, stack=True)


def _labels(values: NDArray[np.generic], count: int, where: str) -> NDArray[np.int64]:
    if values.shape not in ((count,), (count, 1)):
        advice = "; of one-hot labels give labels.argmax(1)" if values.ndim == 2 and len(values) == count else ""
        raise GridcodeError(
            f"{where} must be {count} integers, one an image, not {values.dtype} {values.shape}{advice}"
        )
    return labels_of(values.reshape(count), where)


def _seen(arrays: dict[str, NDArray[np.generic]]) -> str:
    return ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()) or "nothing"


def _classes(names: NDArray[np.generic] | None, labels: NDArray[np.int64] | None, path: Path) -> tuple[str, ...]:
    if labels is None:
        return ()
    highest = int(labels.max())
    if names is None:
        if highest >= max(len(labels), 100_000):
            raise GridcodeError(f"{path}: labels reach {highest} for {len(labels)} images; number the classes from 0")
        return tuple(str(label) for label in range(highest + 1))
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) <= highest:
        raise GridcodeError(
            f"{path}: `classes` must be at least {highest + 1} strings (labels reach {highest}), "
            f"not {names.dtype} {names.shape}"
        )
    return tuple(str(name) for name in names)


_ROUNDING = 1e-4


def pixels_of(
    values: NDArray[np.generic], where: str, *, stack: bool = False, channels_first: bool = False
) -> NDArray[np.uint8]:
    """An image, or a stack of images of one size, as uint8 with the channels last.

    Args:
        values: (H, W), (H, W, C) or (C, H, W) with C of 1 or 3; in a stack with N before them.
        where: What to call it in an error.
        stack: Whether there are N images.
        channels_first: Which layout is meant where both would do.

    Returns:
        uint8, (H, W, C) or (N, H, W, C).

    Raises:
        GridcodeError: Another type, shape or range.

    >>> pixels_of(np.ones((3, 4, 5), np.float32), "a").shape
    (4, 5, 3)
    """
    return _to_uint8(_channels_last(values, where, stack=stack, channels_first=channels_first), where, stack=stack)


def labels_of(values: NDArray[np.generic], where: str) -> NDArray[np.int64]:
    """Labels as int64, -1 for every negative one.

    Args:
        values: Of any shape.
        where: What to call them in an error.

    Raises:
        GridcodeError: They are no whole numbers.

    >>> labels_of(np.array([1.0, 0.0, -7.0]), "labels").tolist()
    [1, 0, -1]
    """
    whole = values.dtype.kind in "biu"
    if values.dtype.kind == "f":
        whole = bool(np.isfinite(values).all() and (values == np.trunc(values)).all())
    if not whole:
        raise GridcodeError(f"{where} must be an integer, not {_some(values)}; give class numbers")
    if values.size and not -(2.0**62) < float(values.min()) <= float(values.max()) < 2.0**62:
        raise GridcodeError(f"{where} must be a class number, not {_some(values)}")
    return np.maximum(values.astype(np.int64), -1)


def _channels_last(
    values: NDArray[np.generic], where: str, *, stack: bool, channels_first: bool
) -> NDArray[np.generic]:
    shape = values.shape[1:] if stack else values.shape
    names = "(N, H, W), (N, H, W, C) or (N, C, H, W)" if stack else "(H, W), (H, W, C) or (C, H, W)"
    if 0 in values.shape:
        raise GridcodeError(f"{where}: an image must not be empty, but its shape is {values.shape}")
    if len(shape) == 2:
        if stack and shape[0] > 1 and (values.shape[0] == 3 or shape[1] in (1, 3)):
            raise GridcodeError(
                f"{where}: {values.shape} may be one image or many; give (N, H, W, C), for one image images[None]"
            )
        return values[..., None]
    if len(shape) == 3:
        first, last = shape[0] in (1, 3), shape[2] in (1, 3)
        if first and (channels_first or not last):
            return np.moveaxis(values, -3, -1)
        if last:
            return values
    raise GridcodeError(f"{where}: an image must be {names} with C of 1 or 3, not {values.dtype} {values.shape}")


def _to_uint8(values: NDArray[np.generic], where: str, *, stack: bool) -> NDArray[np.uint8]:
    kind = values.dtype
    if kind == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if kind == np.uint8:
        if stack and int(values.max()) == 1:
            raise GridcodeError(f"{where}: uint8 images of only 0 and 1 would be black; multiply them by 255")
        return values.view(np.uint8)
    if kind.kind not in "fu" or (kind.kind == "u" and kind != np.uint16):
        raise GridcodeError(f"{where}: an image must be uint8 or float in [0, 1], not {kind}; images.astype('uint8')")
    low, high = float(values.min()), float(values.max())
    if kind == np.uint16:
        if high <= 255:
            raise GridcodeError(
                f"{where}: uint16 images up to {high:.0f} look like 8 bits in wide numbers; images.astype('uint8')"
            )
        narrow: NDArray[np.uint8] = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return narrow
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise GridcodeError(
            f"{where}: float images must lie in [0, 1], not [{low:.3g}, {high:.3g}]; {_advice(low, high)}"
        )
    scaled: NDArray[np.uint8] = np.rint(values.astype(np.float32).clip(0, 1) * 255).astype(np.uint8)
    return scaled


def _advice(low: float, high: float) -> str:
    if not np.isfinite([low, high]).all():
        return "mend NaN and infinity"
    if low < 0:
        return "give (images + 1) / 2" if low >= -1 - _ROUNDING and high <= 1 + _ROUNDING else "undo Normalize"
    return "give images / 255" if high <= 255 else "give images / 65535"


def _some(values: NDArray[np.generic]) -> str:
    return f"{values.dtype} {np.array2string(values.ravel()[:3], threshold=3)}"
