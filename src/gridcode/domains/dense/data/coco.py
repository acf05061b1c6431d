"""Panoptic segmentation in COCO's official layout.

    root/val2017/000000000139.jpg               images
    root/panoptic_val2017/000000000139.png      ids, R + 256 G + 65536 B; also under root/annotations/
    root/annotations/panoptic_val2017.json      images, annotations with segments_info, categories

Classes are numbered from 1 in the order of the category ids (COCO's 133 have gaps up to 200), instances by the
order of ``segments_info``. All of the JSON is checked at once, before any image is read. As in COCO's own tools, the
annotations say what belongs to a split: images without one are left out, and a file name may have folders in it.
A segment without pixels is accepted: where maps were shrunk, small ones vanish.

Reference: Kirillov et al., "Panoptic Segmentation", CVPR 2019; format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gridcode.data.file_names import split_of
from gridcode.data.image import file_orientation
from gridcode.data.layout import Places, places_of_files
from gridcode.domains.dense.data.config import Categories, Orientation
from gridcode.domains.dense.data.files import read_ids, write_ids
from gridcode.domains.dense.data.source import DenseExample, DenseSource, LabelledImages, Planes
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import make_folder, read_json, write_json


@dataclass(frozen=True)
class _Entry:
    """One image of the JSON."""

    image: str
    ids: str
    segments: Planes
    """id, class, crowd of each segment, int64 (S, 3)."""


class CocoPanoptic(DenseSource):
    """The images of one split.

    Args:
        root: The folder that holds ``annotations/``.
        split: 'train2017', 'val2017' or whatever stands between ``panoptic_`` and ``.json``.
        orientation: Whether images and maps are turned by their EXIF orientation.
        max_pixels: Images and maps of more are refused; None for Pillow's own limit.

    Raises:
        GridcodeError: A folder, file or JSON entry is missing, or a segment's category is unknown.
    """

    def __init__(
        self, root: Path, split: str, orientation: Orientation = "exif", max_pixels: int | None = None
    ) -> None:
        self.name = f"{root} ({split})"
        self._labelled = LabelledImages(self.name, orientation, max_pixels)
        self.annotations = root / "annotations" / f"panoptic_{split}.json"
        self.images = _folder(root / split, what="images")
        beside, inside = root / f"panoptic_{split}", root / "annotations" / f"panoptic_{split}"
        self.maps = _folder(inside if inside.is_dir() else beside, what="panoptic PNGs")
        content = read_json(self.annotations, "panoptic annotations")
        self.categories, number = _categories(_list(content, "categories", self.annotations), self.annotations)
        self._entries = self._read_entries(content, number)
        self._check_files()

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, index: int) -> str:
        """The image's file name."""
        return self._entries[index].image

    @property
    def places(self) -> Places:
        """Where the images lie, behind links."""
        return places_of_files(self.images / entry.image for entry in self._entries)

    def tag(self, index: int) -> int:
        """The EXIF orientation of the image's file."""
        return file_orientation(self.images / self._entries[index].image)

    def __getitem__(self, index: int) -> DenseExample:
        entry = self._entries[index]
        path, picture = self.maps / entry.ids, self.images / entry.image
        up, most = self._labelled.orientation, self._labelled.max_pixels
        ids = read_ids(path, name=str(path), orientation=up, max_pixels=most)
        image = self._labelled.read(
            picture, name=str(picture), key=entry.image, shape=(ids.shape[0], ids.shape[1]), labels=str(path)
        )
        found, place = np.unique(ids, return_inverse=True)
        table = {int(row[0]): (int(row[1]), order, int(row[2])) for order, row in enumerate(entry.segments, start=1)}
        unknown = [int(value) for value in found if value and int(value) not in table]
        if unknown:
            raise GridcodeError(f"{path}: segment {unknown[0]} is not in segments_info of {self.annotations}; add it")
        rows = np.array([table.get(int(value), (0, 0, 0)) for value in found], np.int32)
        return DenseExample(image, rows[place.reshape(ids.shape)].transpose(2, 0, 1), entry.image)

    def _read_entries(self, content: dict[str, Any], number: dict[int, int]) -> list[_Entry]:
        where = self.annotations
        files = _image_files(content, where)
        entries: dict[int, _Entry] = {}
        for annotation in _list(content, "annotations", where):
            identity = _number(annotation, "image_id", where)
            if identity not in files:
                raise GridcodeError(f"{where}: annotation of image {identity}, which 'images' does not list; add it")
            if identity in entries:
                raise GridcodeError(f"{where}: image {identity} ({files[identity]}) has two annotations; remove one")
            name = str(_field(annotation, "file_name", where))
            segments = [_segment(info, number, name, where) for info in _list(annotation, "segments_info", where)]
            ids = [segment[0] for segment in segments]
            if len(set(ids)) != len(ids):
                twice = next(one for place, one in enumerate(ids) if one in ids[:place])
                raise GridcodeError(f"{where}: segment {twice} of {name} is listed twice; give each segment its own id")
            entries[identity] = _Entry(files[identity], name, np.array(segments, np.int64).reshape(-1, 3))
        if left_out := len(files) - len(entries):
            self.notes = (f"{where}: images listed without an annotation are left out ({left_out:,})",)
        if not entries:
            raise GridcodeError(f"{where}: no annotations; check the file")
        return sorted(entries.values(), key=lambda entry: entry.image)

    def _check_files(self) -> None:
        for entry in self._entries:
            if not (self.images / entry.image).is_file():
                raise MissingFileError(f"{self.images / entry.image}: no such image, but {self.annotations} lists it")
            if not (self.maps / entry.ids).is_file():
                raise MissingFileError(f"{self.maps / entry.ids}: no such map, but {self.annotations} lists it")


def coco_splits(root: Path) -> dict[str, str]:
    """The splits of a COCO folder, 'train' and 'val' to their full names; empty where it is none.

    >>> coco_splits(Path("nowhere"))
    {}
    """
    names = sorted(path.stem.removeprefix("panoptic_") for path in root.glob("annotations/panoptic_*.json"))
    found = {part: [name for name in names if split_of(name) == part] for part in ("train", "val")}
    return {part: matches[0] for part, matches in found.items() if matches}


def write_coco(
    root: Path,
    split: str,
    maps: Iterable[tuple[str, Planes]],
    categories: Categories,
    *,
    stem: Callable[[str], str] = lambda file: Path(file).stem,
    image_ids: Mapping[str, int] | None = None,
) -> None:
    """Write panoptic maps as PNGs with a JSON, with the category ids of the data set's own files.

    Args:
        root: Where to make ``panoptic_{split}/`` and ``annotations/panoptic_{split}.json``.
        split: Name of the set.
        maps: File name of each image and its class and instance (and crowd), (2 or 3, H, W); class 0 is unlabelled.
        categories: Names and ids of the classes.
        stem: What an image's PNG is called, without the ending.
        image_ids: Ids of the images by their file names; their places where not given.
    """
    folder = root / f"panoptic_{split}"
    make_folder(folder)
    make_folder(root / "annotations")
    images, annotations = [], []
    numbers = categories.ids or tuple(range(1, 1 + len(categories.names)))
    for place, (file, planes) in enumerate(maps):
        number = place if image_ids is None else image_ids[file]
        ids, segments = _segments(planes, numbers)
        name = f"{stem(file)}.png"
        write_ids(folder / name, ids)
        images.append({"id": number, "file_name": file, "height": ids.shape[0], "width": ids.shape[1]})
        annotations.append({"image_id": number, "file_name": name, "segments_info": segments})
    listed = [
        {"id": number, "name": name, "isthing": int(thing), "supercategory": ""}
        for number, name, thing in zip(numbers, categories.names, categories.things, strict=True)
    ]
    content = {"images": images, "annotations": annotations, "categories": listed}
    write_json(root / "annotations" / f"panoptic_{split}.json", content)


def coco_image_ids(folder: Path | None, keys: Sequence[str]) -> dict[str, int]:
    """The ids of the images of a folder, for the official tool to match predictions by.

    They are those of ``annotations/panoptic_NAME.json`` (or ``image_info_NAME.json``, ``instances_NAME.json``) beside
    the folder NAME; images that it does not list get numbers after its last. Without such a file an image called by
    a number, as COCO's are, has that number, if all are called so; else each has its place.

    Args:
        folder: The images' folder, if they lie in one.
        keys: Their paths inside it.

    Raises:
        GridcodeError: The JSON is damaged.

    >>> coco_image_ids(None, ["000000000139.jpg", "000000000285.jpg"])
    {'000000000139.jpg': 139, '000000000285.jpg': 285}
    >>> coco_image_ids(None, ["1.jpg", "b.jpg"])
    {'1.jpg': 0, 'b.jpg': 1}
    """
    listed = None
    if folder is not None:
        names = (f"{kind}_{folder.resolve().name}.json" for kind in ("panoptic", "image_info", "instances"))
        annotations = folder.resolve().parent / "annotations"
        listed = next((path for name in names if (path := annotations / name).is_file()), None)
    if listed is None:
        stems = [Path(key).stem for key in keys]
        numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
        return dict(zip(keys, numbers if len(set(numbers)) == len(keys) else range(len(keys)), strict=True))
    known = {file: number for number, file in _image_files(read_json(listed, "annotations"), listed).items()}
    last = max(known.values(), default=-1)
    others = {key: last + place for place, key in enumerate((key for key in keys if key not in known), start=1)}
    return {key: known[key] if key in known else others[key] for key in keys}


def _image_files(content: dict[str, Any], where: Path) -> dict[int, str]:
    """The file name of each image id."""
    files: dict[int, str] = {}
    for image in _list(content, "images", where):
        identity, file = _number(image, "id", where), str(_field(image, "file_name", where))
        if identity in files:
            raise GridcodeError(f"{where}: 'images' lists id {identity} twice; give each image its own")
        files[identity] = file
    if len(set(files.values())) != len(files):
        raise GridcodeError(f"{where}: 'images' lists a file name twice; give each image one id")
    return files


def _segments(planes: Planes, numbers: Sequence[int]) -> tuple[Planes, list[dict[str, Any]]]:
    """Segment ids from 1, (H, W), and their ``segments_info``; ``numbers`` are the category ids of the classes."""
    classes, instances = planes[0].astype(np.int64), planes[1].astype(np.int64)
    wide = int(instances.max(initial=0)) + 1
    found, place = np.unique(np.where(classes > 0, classes * wide + instances, 0), return_inverse=True)
    ids = (place + (0 if found[0] == 0 else 1)).reshape(classes.shape)
    infos = []
    for value in range(1, int(ids.max(initial=0)) + 1):
        rows, columns = np.nonzero(ids == value)
        top, left = int(rows.min()), int(columns.min())
        infos.append(
            {
                "id": value,
                "category_id": numbers[int(classes[rows[0], columns[0]]) - 1],
                "iscrowd": int(planes[2, rows[0], columns[0]]) if len(planes) > 2 else 0,
                "area": len(rows),
                "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
            }
        )
    return ids, infos


def _segment(info: Any, number: dict[int, int], name: str, where: Path) -> tuple[int, int, int]:
    category = _number(info, "category_id", where)
    if category not in number:
        raise GridcodeError(f"{where}: category {category} of {name} is not in 'categories'; add it or correct the id")
    identity = _number(info, "id", where)
    if not 0 < identity < 1 << 24:
        raise GridcodeError(f"{where}: segment id {identity} of {name}; ids are 1 … 16777215, and 0 is unlabelled")
    return identity, number[category], int(bool(info.get("iscrowd", 0)))


def _categories(listed: list[Any], where: Path) -> tuple[Categories, dict[int, int]]:
    """The classes, and the class number of each category id."""
    rows = sorted(
        (_number(row, "id", where), str(_field(row, "name", where)), bool(_field(row, "isthing", where)))
        for row in listed
    )
    if len({row[0] for row in rows}) != len(rows) or not rows:
        raise GridcodeError(f"{where}: 'categories' is empty or lists an id twice; correct it")
    ids, names, things = zip(*rows, strict=True)
    return Categories(names, things, ids), {row[0]: place for place, row in enumerate(rows, start=1)}


def _list(content: dict[str, Any], name: str, where: Path) -> list[Any]:
    rows = content.get(name)
    if not isinstance(rows, list):
        raise GridcodeError(f"{where}: no list '{name}'; is this COCO's panoptic JSON (not instances or stuff)?")
    return rows


def _number(row: Any, name: str, where: Path) -> int:
    value = _field(row, name, where)
    if not isinstance(value, int):
        raise GridcodeError(f"{where}: '{name}' must be a whole number, not {str(value)[:40]!r}; correct the file")
    return value


def _field(row: Any, name: str, where: Path) -> Any:
    if not isinstance(row, dict) or name not in row:
        raise GridcodeError(f"{where}: an entry lacks '{name}' ({str(row)[:80]}); is this COCO's panoptic JSON?")
    return row[name]


def _folder(path: Path, *, what: str) -> Path:
    if not path.is_dir():
        raise MissingFileError(
            f"{path}: no such folder of {what}; COCO's layout is SPLIT/, panoptic_SPLIT/ and "
            "annotations/panoptic_SPLIT.json"
        )
    return path
