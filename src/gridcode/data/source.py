"""What every source of images offers: a length, and one labelled image by its position. Parts and views of sources."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from gridcode.data.image import decode_image
from gridcode.data.layout import Places
from gridcode.errors import GridcodeError
from gridcode.training.resume import describe
from gridcode.training.seeding import fixed_sample


@dataclass(frozen=True)
class Example:
    """One image as a source holds it, before any crop.

    >>> Example(image=np.zeros((4, 6, 3), np.uint8), label=None, key="a.png").image.shape
    (4, 6, 3)
    """

    image: NDArray[np.uint8]
    """uint8, (H, W, 3) in RGB or (H, W, 1) in grey."""
    label: int | None
    """Position in the source's ``classes``, or None where the image has no label."""
    key: str
    """Name of the image inside its source; unique, and the same on every run."""
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What stands beside it, by column (:mod:`gridcode.data.shards.beside`); nothing unless it was asked for."""


ExampleT = TypeVar("ExampleT")


class Source(ABC, Generic[ExampleT]):
    """An ordered, finite set of examples of one kind of data, read one at a time.

    A source may be sent to worker processes, so it must pickle, and it holds no open handle that a fork would
    share.
    """

    name: str
    """Where the examples come from, as recorded in manifests."""
    notes: tuple[str, ...] = ()
    """What else was understood of the files, a line each."""
    in_memory: bool = False
    """True where reading decodes nothing, so that worker processes would only cost time."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def __getitem__(self, index: int) -> ExampleT:
        """Example number ``index``, 0 <= index < len(self).

        Raises:
            GridcodeError: A file cannot be decoded; the message names the path and the row.
        """

    def __iter__(self) -> Iterator[ExampleT]:
        """All examples in order."""
        return (self[index] for index in range(len(self)))

    def cuts(self, count: int) -> list[range]:
        """All places, in runs of ``count``."""
        return [range(start, min(start + count, len(self))) for start in range(0, len(self), count)]

    def cut(self, places: range) -> Source[ExampleT]:
        """The examples of a run of :meth:`cuts`."""
        return Part(self, places, name=self.name)


class Part(Source[ExampleT]):
    """Some examples of a source, in the order given: what :class:`Subset` and other kinds' parts share."""

    def __init__(self, source: Source[ExampleT], indices: Sequence[int], *, name: str) -> None:
        self.name, self.notes, self.in_memory = name, source.notes, source.in_memory
        self._source = source
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> ExampleT:
        return self._source[self._indices[index]]


class ImageSource(Source[Example]):
    """An ordered, finite set of images, read one at a time.

    >>> class Grey(ImageSource):
    ...     name = "grey"
    ...
    ...     def __len__(self) -> int:
    ...         return 3
    ...
    ...     def __getitem__(self, index: int) -> Example:
    ...         return Example(np.full((2, 2, 1), 128, np.uint8), None, str(index))
    >>> [example.key for example in Grey()]
    ['0', '1', '2']
    """

    classes: tuple[str, ...] = ()
    """Class names in label order; empty where the images have no labels."""


class StoredImages(ImageSource):
    """A source on disk: its keys are known without decoding, so that a part can be held out by key."""

    @abstractmethod
    def key(self, index: int) -> str:
        """The key of image number ``index``: what ``self[index].key`` would be."""

    @property
    def places(self) -> Places:
        """Where the files lie, behind links; nothing where that is not known."""
        return Places()


class EncodedImages(StoredImages):
    """Images in files of their own or in cells: the encoded file is at hand, for readers that need more than pixels."""

    max_pixels: int | None = None
    """An image of more is refused; None for Pillow's own limit."""

    @abstractmethod
    def encoded(self, index: int) -> bytes | Path:
        """The file of image number ``index``, or its bytes.

        Raises:
            GridcodeError: There is none.
        """

    @abstractmethod
    def where(self, index: int) -> str:
        """What an error calls image number ``index``: its path, and its row if it has one."""

    def decoded(self, index: int, *, orientation: Literal["exif", "stored"] = "exif") -> NDArray[np.uint8]:
        """The pixels of image number ``index``, as :func:`gridcode.data.image.decode_image` gives them.

        Raises:
            GridcodeError: It cannot be decoded, or has more pixels than ``max_pixels``.
        """
        encoded, where = self.encoded(index), self.where(index)
        return decode_image(encoded, name=where, orientation=orientation, max_pixels=self.max_pixels)


_NAMED: Final = 8
"""Images whose names stand for all, where names are not known without decoding."""


class Subset(Part[Example], ImageSource):
    """Some images of a source, in the order given.

    >>> from gridcode.data.adapter import TorchDataset
    >>> import torch
    >>> whole = TorchDataset(torch.utils.data.StackDataset(torch.zeros(5, 1, 2, 2)), name="zeros")
    >>> part = Subset(whole, [4, 0], name="zeros, two of them")
    >>> len(part), part.name
    (2, 'zeros, two of them')
    """

    def __init__(self, source: ImageSource, indices: Sequence[int], *, name: str) -> None:
        super().__init__(source, indices, name=name)
        self.classes = source.classes


def fixed_subset(source: ImageSource, count: int) -> ImageSource:
    """At most ``count`` images from all over the source, always the same ones, in its order.

    Args:
        source: The images.
        count: How many, at least 1.

    >>> from gridcode.data.scenes.source import Scenes
    >>> len(fixed_subset(Scenes(seed=0, start=0, count=6, size=8), 3))
    3
    """
    if count < 1:
        raise GridcodeError(f"{source.name}: {count} images are none to look at; take at least 1")
    if count >= len(source):
        return source
    return Subset(source, fixed_sample(len(source), count).tolist(), name=source.name)


def described(source: ImageSource) -> dict[str, Any]:
    """What makes a source's images the same ones, wherever they lie: their number, classes and names.

    Where names are not known without decoding, those of :data:`_NAMED` images stand for all.

    >>> from gridcode.data.scenes.source import Scenes
    >>> described(Scenes(seed=0, start=0, count=6, size=8))["count"]
    6
    """
    places = range(len(source)) if _stored(source) else fixed_sample(len(source), _NAMED).tolist()
    return describe(len(source), source.classes, (_key(source, place) for place in places))


def origin(source: Source[Example], index: int) -> tuple[Source[Example], int]:
    """The source that parts and views rest on, and an image's number there."""
    while isinstance(source, Part | View):
        index = source._indices[index] if isinstance(source, Part) else index
        source = source._source
    return source, index


def _stored(source: Source[Example]) -> bool:
    return len(source) > 0 and isinstance(origin(source, 0)[0], StoredImages)


def _key(source: Source[Example], index: int) -> str:
    """An image's key, by decoding it only where there is no other way; none of an image that cannot be decoded."""
    base, place = origin(source, index)
    if isinstance(base, StoredImages):
        return base.key(place)
    try:
        return base[place].key
    except GridcodeError:  # training says so, or passes it over
        return ""


class View(ImageSource):
    """The images of another source, in its order, with something else told of them."""

    def __init__(self, source: ImageSource) -> None:
        self.name, self.classes, self.in_memory, self.notes = (
            source.name,
            source.classes,
            source.in_memory,
            source.notes,
        )
        self._source = source

    def __len__(self) -> int:
        return len(self._source)


class Relabelled(View):
    """A source whose labels are renumbered to another list of class names.

    Validation images may lack some of the training classes; their labels must still be the training labels.

    Args:
        source: Labelled images.
        classes: The new list; it must contain all class names of ``source``.

    Raises:
        GridcodeError: A class of ``source`` is not in ``classes``.
    """

    def __init__(self, source: ImageSource, classes: Sequence[str]) -> None:
        unknown = [name for name in source.classes if name not in set(classes)]
        if unknown:
            raise GridcodeError(
                f"{source.name}: class '{unknown[0]}' is not among the {len(classes)} training classes "
                f"({', '.join(list(classes)[:5])}, …); rename it or use another val_source"
            )
        super().__init__(source)
        self.classes = tuple(classes)
        self._number = tuple(self.classes.index(name) for name in source.classes)

    def __getitem__(self, index: int) -> Example:
        example = self._source[index]
        return example if example.label is None else replace(example, label=self._number[example.label])


class Unlabelled(View):
    """A source of one class without its labels: they tell nothing.

    >>> from gridcode.data.adapter import TorchDataset
    >>> import numpy as np
    >>> pairs = [(np.zeros((2, 2), np.uint8), 0)]
    >>> Unlabelled(TorchDataset(pairs, name="zeros", classes=("cat",)))[0].label is None
    True
    """

    def __init__(self, source: ImageSource) -> None:
        super().__init__(source)
        self.classes, self.notes = (), (*source.notes, f"labels: none, for '{source.classes[0]}' is the only class")

    def __getitem__(self, index: int) -> Example:
        return replace(self._source[index], label=None)


def hold_out(source: StoredImages, fraction: float, *, seed: int) -> tuple[Subset, Subset]:
    """Split a source into disjoint parts for training and validation, by a hash of the seed and each key.

    The share ``fraction`` of images with the lowest hashes (at least one) is held out. The choice depends on no
    order and no machine, and adding images moves only few of the old ones.

    Args:
        source: At least two images.
        fraction: Share to hold out, in (0, 1).
        seed: Another seed holds out other images.

    Returns:
        The training part and the validation part, each in the order of ``source``.

    Raises:
        GridcodeError: There are fewer than two images.
    """
    count = len(source)
    if count < 2:
        raise GridcodeError(f"{source.name}: {count} image cannot be split; add images or set data.val_source")
    train, held = split_keys([source.key(index) for index in range(count)], fraction, seed=seed)
    return (
        Subset(source, train, name=f"{source.name} (train)"),
        Subset(source, held, name=f"{source.name} (held out)"),
    )


def split_keys(keys: Sequence[str], fraction: float, *, seed: int) -> tuple[list[int], list[int]]:
    """The places of the keys to train on and of those to hold out, chosen as by :func:`hold_out`.

    Args:
        keys: At least two.
        fraction: Share to hold out, in (0, 1); at least one key stays on either side.
        seed: Another seed holds out other keys.

    >>> split_keys(["a", "b", "c", "d"], 0.5, seed=0)
    ([0, 3], [1, 2])
    """
    held = min(max(1, round(len(keys) * fraction)), len(keys) - 1)
    ranked = sorted(range(len(keys)), key=lambda index: (_hash(seed, keys[index]), index))
    chosen = set(ranked[:held])
    return [index for index in range(len(keys)) if index not in chosen], sorted(chosen)


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(errors="surrogateescape"), digest_size=8).digest()
