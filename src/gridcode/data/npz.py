"""Images as arrays in one .npz file: ``images``, and if known ``labels`` and ``classes``.

images:  uint8, (N, H, W), (N, H, W, 1) or (N, H, W, 3)
labels:  integers, (N,) or (N, 1); negative means none
classes: strings, (K,)

A file whose only array is uint8 with three or four dimensions will do as well, under any name.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridcode.data.source import Example, StoredImages
from gridcode.errors import GridcodeError


class NpzImages(StoredImages):
    """The images of a .npz file, held in memory.

    Args:
        path: The file. Pickled objects in it are refused, never run.
        name: What to record as the origin; the path where not given.

    Raises:
        GridcodeError: The file is missing or damaged, or its arrays have other types or shapes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     np.savez(Path(name) / "a.npz", images=np.zeros((2, 8, 8), np.uint8), labels=[1, 0])
    ...     source = NpzImages(Path(name) / "a.npz")
    >>> len(source), source[0].image.shape, source[0].label, source.classes
    (2, (8, 8, 1), 1, ('0', '1'))
    """

    in_memory = True

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self.name = name or str(path)
        arrays = _load(path)
        self._images = _images(arrays, path)
        self._labels = _labels(arrays, len(self._images), path)
        self.classes = _classes(arrays, self._labels, path)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        label = -1 if self._labels is None else int(self._labels[index])
        return Example(image=self._images[index], label=label if label >= 0 else None, key=self.key(index))

    def key(self, index: int) -> str:
        """The image's number."""
        return str(index)


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with open(path, "rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise GridcodeError(f"{path}: a single array, not a .npz file; write it with numpy.savez(images=...)")
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise GridcodeError(f"{path}: there is no such file; check data.source") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise GridcodeError(f"{path}: not a readable .npz file ({error}); write it with numpy.savez") from None


def _images(arrays: dict[str, NDArray[np.generic]], path: Path) -> NDArray[np.uint8]:
    """The images as (N, H, W, C)."""
    seen = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()) or "nothing"
    found = arrays.get("images")
    if found is None and len(arrays) == 1:
        found = next(iter(arrays.values()))
    if found is None or found.dtype != np.uint8 or found.ndim not in (3, 4):
        raise GridcodeError(f"{path}: needs `images`, uint8 (N, H, W) or (N, H, W, C), but holds {seen}")
    images = (found[..., None] if found.ndim == 3 else found).view(np.uint8)
    if images.shape[3] not in (1, 3) or 0 in images.shape:
        raise GridcodeError(f"{path}: `images` must be (N, H, W, 1 or 3) and not empty, but the file holds {seen}")
    return images


def _labels(arrays: dict[str, NDArray[np.generic]], count: int, path: Path) -> NDArray[np.int64] | None:
    labels = arrays.get("labels")
    if labels is None:
        return None
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise GridcodeError(
            f"{path}: `labels` must be {count} integers, one an image, not {labels.dtype} {labels.shape}"
        )
    return labels.reshape(count).astype(np.int64)


def _classes(arrays: dict[str, NDArray[np.generic]], labels: NDArray[np.int64] | None, path: Path) -> tuple[str, ...]:
    if labels is None:
        return ()
    highest = int(labels.max())
    if "classes" not in arrays:
        return tuple(str(label) for label in range(highest + 1))
    names = arrays["classes"]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) <= highest:
        raise GridcodeError(
            f"{path}: `classes` must be at least {highest + 1} strings (labels reach {highest}), "
            f"not {names.dtype} {names.shape}"
        )
    return tuple(str(name) for name in names)
