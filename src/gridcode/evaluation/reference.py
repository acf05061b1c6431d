"""What generated images are compared with: statistics of real ones, measured once and kept in a .npz file.

    mu, sigma                 mean (F,) and unbiased covariance (F, F) of the features, float64: a Fréchet distance
    features                  (m, F) float32 of at most 10,000 images: KID, precision, recall, density, coverage
    count, source, split, crop, hash                  which images they are of, where gridcode wrote the file
    extractor, extractor_hash                         and what measured them

ADM's reference batches have ``mu`` and ``sigma`` of a whole training set and its images ``arr_0``, uint8
(n, H, W, 3), of which the features are then measured here. Images alone, as ADM lays out samples, are measured by
whatever network reads them, here and by ADM's own program. Files with ``mu`` and ``sigma`` alone, as pytorch-fid and
clean-fid write, give a Fréchet distance only. What others' statistics were measured with, the files do not say.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.evaluation.images import to_uint8
from gridcode.features.extractor import Extractor
from gridcode.files import sha256, write_atomic
from gridcode.metrics.frechet import GaussianStatistics
from gridcode.training.seeding import generator

KEPT_FEATURES: Final = 10_000
"""Feature vectors that are kept, as many as ADM's reference batches have images."""
BATCH: Final = 50
"""Images of a file that are measured at a time."""


@dataclass(frozen=True)
class Reference:
    """Statistics of real images.

    Attributes:
        statistics: Mean and covariance of their features.
        features: Of 10,000 of them at most, drawn from all, (m, F) float32; None where a file has none.
        count: Images behind the statistics; None where a file does not say.
        source: Where they come from.
        hash: Of the images' pixels, or of a file that has others' statistics, 16 hexadecimal digits.
        split: The data's part, 'val' or 'train'; None where a file does not say.
        crop: How images were cropped, and to which side; None where a file does not say.
    """

    statistics: GaussianStatistics
    features: Tensor | None
    count: int | None
    source: str
    hash: str
    split: str | None = None
    crop: str | None = None


class PixelHash:
    """A hash of images as files hold them: the same on every machine, whatever batches they come in.

    >>> two, one_by_one = PixelHash(), PixelHash()
    >>> images = torch.zeros(2, 3, 8, 8)
    >>> two.update(images); one_by_one.update(images[:1]); one_by_one.update(images[1:])
    >>> two.value == one_by_one.value
    True
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, images: Tensor) -> None:
        """Add images in [-1, 1], (B, C, H, W); grey ones count as the RGB ones that look alike."""
        pictures = to_uint8(images.expand(-1, 3, -1, -1))
        self._digest.update(np.ascontiguousarray(pictures).tobytes())

    @property
    def value(self) -> str:
        """16 hexadecimal digits."""
        return self._digest.hexdigest()[:16]


def measure_reference(
    batches: Iterable[Tensor],
    extractor: Extractor,
    *,
    source: str,
    split: str | None = None,
    crop: str | None = None,
) -> Reference:
    """The statistics of real images.

    Args:
        batches: Images in [-1, 1], (B, C, H, W) each.
        extractor: What measures them.
        source: What they are called.
        split: The data's part.
        crop: How they were cropped.

    Raises:
        GridcodeError: There are fewer than two, or the extractor does not take them.
    """
    pixels = PixelHash()

    def vectors() -> Iterator[Tensor]:
        for images in batches:
            pixels.update(images)
            yield extractor(images).vectors

    return reference_of(vectors(), extractor, source=source, pixels=pixels, split=split, crop=crop)


def reference_of(
    batches: Iterable[Tensor],
    extractor: Extractor,
    *,
    source: str,
    pixels: PixelHash,
    split: str | None = None,
    crop: str | None = None,
) -> Reference:
    """The statistics of real images whose features are there.

    Args:
        batches: Their feature vectors, (B, F) each.
        extractor: What measured them.
        source: What the images are called.
        pixels: Has seen the images once the last batch is taken.
        split: The data's part.
        crop: How they were cropped.

    Raises:
        GridcodeError: There are fewer than two, or a value is not finite.
    """
    statistics, draw = GaussianStatistics(extractor.dim), generator(0, "reference features")
    kept, order = torch.empty(0, extractor.dim), torch.empty(0, dtype=torch.int64)
    for vectors in batches:
        statistics.update(vectors)
        kept = torch.cat([kept, vectors])
        order = torch.cat([order, torch.randint(2**62, (len(vectors),), generator=draw)])
        if len(kept) > KEPT_FEATURES:  # as likely every one of all, as folders are sorted by class
            chosen = order.topk(KEPT_FEATURES, largest=False).indices.sort().values
            kept, order = kept[chosen], order[chosen]
    return Reference(statistics, kept, statistics.count, source, pixels.value, split, crop)


def save_reference(reference: Reference, extractor: Extractor, path: Path) -> None:
    """Write statistics to a .npz file, whole or not at all.

    Args:
        reference: What to write.
        extractor: What measured it.
        path: The file.

    Raises:
        GridcodeError: It cannot be written.
    """
    arrays: dict[str, Any] = {
        "mu": reference.statistics.mean.numpy(),
        "sigma": reference.statistics.covariance.numpy(),
        "count": reference.count or 0,
        "source": reference.source,
        "hash": reference.hash,
        **{name: told for name in ("split", "crop") if (told := getattr(reference, name)) is not None},
        "extractor": extractor.name,
        "extractor_hash": extractor.hash,
    }
    if reference.features is not None:
        arrays["features"] = reference.features.numpy()
    _write(path, arrays)


def save_image_batch(batches: Iterable[Tensor], path: Path) -> int:
    """Write images in ADM's layout, ``arr_0`` alone, whole or not at all.

    Args:
        batches: Images in [-1, 1], (B, 3 or 1, H, W) each; grey ones are repeated.
        path: The .npz file; it takes H W 3 bytes per image.

    Returns:
        How many there are.

    Raises:
        GridcodeError: There are none, or the file cannot be written.
    """
    parts = [to_uint8(images.expand(-1, 3, -1, -1)) for images in batches]
    if not parts:
        raise GridcodeError("a batch of reference images: there are no images; give at least two")
    pictures = np.concatenate(parts)
    _write(path, {"arr_0": pictures})
    return len(pictures)


def load_reference(path: str | Path, extractor: Extractor) -> Reference:
    """Read statistics from a .npz file: gridcode's, ADM's, pytorch-fid's or clean-fid's.

    Args:
        path: The file.
        extractor: What the images to be compared are measured with; it measures ``arr_0`` too.

    Raises:
        GridcodeError: The file is missing or damaged, has neither statistics nor images, or was measured with
            another extractor.
    """
    path = Path(path).expanduser()
    arrays = read_arrays(path)
    for name, own in (("extractor", extractor.name), ("extractor_hash", extractor.hash)):
        if name in arrays and str(arrays[name]) != own:
            raise GridcodeError(
                f"{path} was measured with {name.replace('_', ' ')} {arrays[name]}, not {own}; measure it again"
            )
    measured = None
    if "arr_0" in arrays and "features" not in arrays:
        measured = measure_reference(image_batches(arrays["arr_0"], path), extractor, source=str(path))
    if not {"mu", "sigma"} <= arrays.keys():
        if measured is None:
            raise GridcodeError(
                f"{path} has neither mu and sigma nor arr_0 ({', '.join(sorted(arrays)[:5]) or 'no arrays'}); give "
                "reference statistics or a batch of images"
            )
        return measured
    mean, covariance = (torch.from_numpy(np.asarray(arrays[name], np.float64)) for name in ("mu", "sigma"))
    if tuple(mean.shape) != (extractor.dim,) or tuple(covariance.shape) != (extractor.dim, extractor.dim):
        raise GridcodeError(
            f"{path} has mu {tuple(mean.shape)} and sigma {tuple(covariance.shape)}, but {extractor.name} has features "
            f"of length {extractor.dim}; give statistics of the same network"
        )
    told = {name: str(arrays[name]) for name in ("source", "hash", "split", "crop") if name in arrays}
    count = _count(arrays.get("count"), path)
    statistics = GaussianStatistics.known(mean, covariance, count=max(count, 2))
    features = measured.features if measured is not None else _features(arrays.get("features"), extractor, path)
    source, digest = told.get("source", str(path)), told.get("hash") or sha256(path)[:16]
    return Reference(statistics, features, count or None, source, digest, told.get("split"), told.get("crop"))


def _count(value: NDArray[Any] | None, path: Path) -> int:
    """How many images a file says there were; 0 where it does not."""
    if value is None:
        return 0
    if value.ndim or value.dtype.kind not in "iu" or value < 0:
        raise GridcodeError(f"{path} has a count that is no number of images; measure it again")
    return int(value)


def _features(value: NDArray[Any] | None, extractor: Extractor, path: Path) -> Tensor | None:
    """A file's features; None where it has none."""
    if value is None:
        return None
    if value.ndim != 2 or value.shape[1] != extractor.dim or value.dtype.kind != "f":
        raise GridcodeError(
            f"{path} has features of shape {value.shape}, but those of {extractor.name} are (m, {extractor.dim}); "
            "measure it again"
        )
    return torch.from_numpy(np.asarray(value, np.float32))


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)

    write_atomic(path, write)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a .npz file; pickled objects in it are refused, never run.

    Raises:
        GridcodeError: The file is missing or damaged.
    """
    if not path.is_file():
        raise MissingFileError(f"there is no file of reference statistics {path}; check the path")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files if name not in ("mu_s", "sigma_s")}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile, TypeError, zlib.error) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileError(f"{path} cannot be read as a .npz file ({reason}); make it again") from None


def image_batches(images: NDArray[Any], path: Path) -> Iterator[Tensor]:
    """Images in [-1, 1] of arrays in ADM's layout, some at a time.

    Args:
        images: uint8, (n, H, W, 3).
        path: Their file.

    Raises:
        GridcodeError: They are something else.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise GridcodeError(
            f"{path}: arr_0 is {images.dtype} {images.shape}; ADM's layout has uint8 images (n, H, W, 3)"
        )
    for start in range(0, len(images), BATCH):
        yield torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).float() / 127.5 - 1
