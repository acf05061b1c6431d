"""Images with label maps on disk: columns of Parquet files, or folders of files with the same names.

    a.parquet                      columns image and depth (or segmentation), each {bytes, path}
    root/image/ROOM/1.jpg          images; also images/
    root/depth/ROOM/1.png          depth of the same name: .png, .tif, .tiff, .npy or .npz
    root/segmentation/ROOM/1.png   classes, likewise; value 0 is unlabelled, and so is 255; also masks/ or labels/
    root/classes.txt               names of classes 1, 2, …, one a line; without it the highest value counts

A semantic map is a panoptic one in which each class is one segment of stuff. ``classes.txt`` may lie beside the folders
of the splits, too.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from gridcode.data.folder import ImageFolder
from gridcode.data.image import file_orientation
from gridcode.data.layout import Places
from gridcode.data.parquet import ParquetImages
from gridcode.data.source import EncodedImages
from gridcode.domains.dense.data.config import Categories, DepthConfig, Orientation
from gridcode.domains.dense.data.files import SUFFIXES, highest_class, read_classes, read_depth
from gridcode.domains.dense.data.source import DenseExample, DenseSource, LabelledImages, Planes
from gridcode.errors import GridcodeError

StoredTask: TypeAlias = Literal["depth", "panoptic"]
IGNORED: Final = 255
"""The value of semantic maps that says unlabelled in most data sets."""
COLUMN: Final[dict[StoredTask, str]] = {"depth": "depth", "panoptic": "segmentation"}
"""Name of the column of a task's labels."""
IMAGE_FOLDERS: Final = ("image", "images")
"""What a folder of images beside one of labels may be called."""
LABELS: Final[dict[StoredTask, tuple[str, ...]]] = {
    "depth": ("depth", "depths"),
    "panoptic": ("segmentation", "segmentations", "masks", "labels"),
}
"""What a folder of a task's labels may be called."""


@dataclass(frozen=True)
class Reading:
    """How label files and their images are read.

    Attributes:
        ignore_value: A value of semantic maps that is unlabelled, unless so many classes have names.
        orientation: Whether images and maps are turned by their EXIF orientation.
        max_pixels: Images and maps of more are refused; None for Pillow's own limit.
    """

    ignore_value: int = IGNORED
    orientation: Orientation = "exif"
    max_pixels: int | None = None


AS_IS: Final = Reading()


class StoredLabels(DenseSource):
    """Images and a label file each.

    Args:
        images: The images.
        task: What the labels are.
        depth: Scale of depth files.
        names: Class names; where there are none, numbers up to the highest value of all maps, which are read once.
        reading: How files are read.

    Attributes:
        named: Whether the classes have names, which do not depend on what the maps hold.
    """

    def __init__(
        self,
        images: EncodedImages,
        task: StoredTask,
        depth: DepthConfig,
        names: tuple[str, ...] = (),
        *,
        reading: Reading = AS_IS,
    ) -> None:
        self.name = images.name
        self._images = images
        self._scale = depth.png_scale
        self._labelled = LabelledImages(self.name, reading.orientation, reading.max_pixels)
        self.named = bool(names)
        self.ignored = -1 if names and reading.ignore_value <= len(names) else reading.ignore_value
        if task == "panoptic":
            ignored = "0 is" if self.ignored == -1 else f"0 and {self.ignored} are"
            told = "classes.txt" if names else "the highest value; classes.txt would name them"
            self.notes = (f"semantic maps: classes by {told}; {ignored} unlabelled",)
            names = names or self._numbers()
            self.categories = Categories(names, (False,) * len(names))

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        """The image's key among the images."""
        return self._images.key(index)

    @property
    def places(self) -> Places:
        """Where the images lie, behind links."""
        return self._images.places

    def tag(self, index: int) -> int:
        """The EXIF orientation of the image's file."""
        return file_orientation(self._images.encoded(index))

    def __getitem__(self, index: int) -> DenseExample:
        (source, name), key = self._label(index), self.key(index)
        up, most = self._labelled.orientation, self._labelled.max_pixels
        planes: Planes
        if self.categories is None:
            planes = read_depth(source, scale=self._scale, name=name, orientation=up, max_pixels=most)
        else:
            count = len(self.categories.names)
            planes = read_classes(source, count=count, name=name, ignore=self.ignored, orientation=up, max_pixels=most)
        shape = (planes.shape[1], planes.shape[2])
        image, where = self._images.encoded(index), self._images.where(index)
        return DenseExample(self._labelled.read(image, name=where, key=key, shape=shape, labels=name), planes, key)

    @abstractmethod
    def _label(self, index: int) -> tuple[bytes | Path, str]:
        """The label file of an image, and what to call it."""

    def _numbers(self) -> tuple[str, ...]:
        labels = (self._label(index) for index in range(len(self._images)))
        most = self._labelled.max_pixels
        highest = max(highest_class(source, name=name, ignore=self.ignored, max_pixels=most) for source, name in labels)
        if not highest:
            marks = "0" if self.ignored == -1 else f"0 and {self.ignored}"
            raise GridcodeError(
                f"{self.name}: no label map holds a value but {marks}, which mean unlabelled; write classes as 1, 2, "
                "…, or set data.ignore_value"
            )
        return tuple(str(number) for number in range(1, highest + 1))


class ParquetLabels(StoredLabels):
    """Rows of Parquet files with a column of images and one of label maps.

    Args:
        paths: The files, in order.
        task: 'depth' (column depth) or 'panoptic' (column segmentation).
        depth: Scale of depth files.
        reading: How files are read.

    Raises:
        GridcodeError: A file is missing or damaged, or lacks a column.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        task: StoredTask,
        depth: DepthConfig,
        *,
        reading: Reading = AS_IS,
    ) -> None:
        self._labels = ParquetImages(paths, image_column=COLUMN[task])
        folder = paths[0].parent
        names = _names(folder, folder.parent) if task == "panoptic" else ()
        images = ParquetImages(paths, max_pixels=reading.max_pixels)
        super().__init__(images, task, depth, names, reading=reading)

    def _label(self, index: int) -> tuple[bytes | Path, str]:
        return self._labels.encoded(index), f"{self._labels.where(index)}, label map"


class FolderLabels(StoredLabels):
    """A folder of images and one of label files with the same names.

    Args:
        root: The folder that holds both, as in the table above.
        task: 'depth' or 'panoptic'.
        depth: Scale of depth files.
        part: A subfolder of both, where the splits lie inside them.
        reading: How files are read.

    Raises:
        GridcodeError: A folder is missing, an image has no label file or two, or two images share one.
    """

    def __init__(
        self,
        root: Path,
        task: StoredTask,
        depth: DepthConfig,
        *,
        part: str = "",
        reading: Reading = AS_IS,
    ) -> None:
        pictures, labels = label_folders(root, task)
        self._folder = labels / part
        images = ImageFolder(pictures / part, name=str(root / part))
        inside = (images.encoded(index).relative_to(images.path) for index in range(len(images)))
        self._files = [self._file(path) for path in inside]
        owner: dict[Path, int] = {}
        for index, file in enumerate(self._files):
            if (other := owner.setdefault(file, index)) != index:
                raise GridcodeError(f"{file}: {images.key(other)} and {images.key(index)} share it; rename one image")
        names = _names(root, root.parent) if task == "panoptic" else ()
        super().__init__(images, task, depth, names, reading=reading)

    def _label(self, index: int) -> tuple[bytes | Path, str]:
        return self._files[index], str(self._files[index])

    def _file(self, image: Path) -> Path:
        stem = self._folder / image
        endings = [*SUFFIXES, *(ending.upper() for ending in SUFFIXES)]
        candidates = (stem.with_suffix(ending) for ending in endings)
        found = [path for path in candidates if os.path.isfile(path)]  # Path's own raises where a name is too long
        if len(found) == 2 and found[0].samefile(found[1]):
            found = found[:1]  # a disk that does not tell large letters from small ones
        if len(found) != 1:
            seen = "no label file" if not found else "two label files"
            raise GridcodeError(f"{self._folder}: {seen} for {image}; give one {', '.join(SUFFIXES)} of its name")
        return found[0]


def label_folders(root: Path, task: StoredTask) -> tuple[Path, Path]:
    """The folder of images and the folder of label files in ``root``.

    Raises:
        GridcodeError: One is missing, or there are two.
    """
    found = []
    for words in (IMAGE_FOLDERS, LABELS[task]):
        here = sorted(entry for entry in root.iterdir() if entry.name.lower() in words and entry.is_dir())
        if len(here) != 1:
            seen = "no such folder" if not here else f"beside {here[1].name}"
            raise GridcodeError(
                f"{here[0] if here else root / words[0]}: {seen}; a folder of labelled images holds image/ and "
                f"{LABELS[task][0]}/ with files of the same names"
            )
        found += here
    return found[0], found[1]


def _names(*folders: Path) -> tuple[str, ...]:
    """The lines of the first ``classes.txt`` in the folders; none without one."""
    listed = next((path for folder in folders if (path := folder / "classes.txt").is_file()), None)
    if listed is None:
        return ()
    try:
        names = tuple(line.strip() for line in listed.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise GridcodeError(f"{listed}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
    if not names:
        raise GridcodeError(f"{listed}: no class names; write one a line, class 1 first")
    return names
