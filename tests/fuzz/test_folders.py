"""Random data sets on disk: what is understood of a tree is what its maker meant, or there is one clear line.

A case is made from its meaning (which images are of which split and class), which is then written in one of the
ways that docs/guides/data.md allows: names of splits in any spelling, clutter, documents, links, odd names, folders in
folders. Some get one fault that makes them ambiguous; these must be refused.
"""

import io
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode.data import DataConfig, open_split
from gridcode.data.file_names import unprintable
from gridcode.data.open import understood
from gridcode.errors import GridcodeError

Random = np.random.Generator
SPELLINGS = {
    "train": ("train", "Train", "TRAIN", "training", "trn", "train_images", "training-set", "train.data"),
    "val": ("val", "Valid", "validation", "VAL", "dev", "val_set", "validation images"),
    "test": ("test", "Testing", "TEST", "eval", "test-set", "tst"),
    "aside": ("unlabeled", "Extra", "unlabelled"),
}
CLASSES = (
    b"cat",
    b"Dog",
    b"bullet train",
    b"contest",
    b"valley",
    b"trainer",
    b"na\xc3\xafve",
    b"caf\xe9",
    b"a\nb",
    b"~x",
)
CLASSES += (b" sp ", b"back\\slash", b"0", b"-n", b"[x]", b"n" * 200)
CLUTTER = ("__MACOSX/._a.png", ".DS_Store", "Thumbs.db", ".git/config", "@eaDir/x.png", ".hidden.png", "~$a.png")
DOCUMENTS = ("README.md", "LICENSE", "dataset_info.json", "classes.txt")
STEMS = (
    b"%d",
    b"a %d",
    b"caf\xe9 %d",
    b"new\nline %d",
    b"%d" + b"x" * 230,
    b"%d.train",
    b"Test %d",
    b"\xf0\x9f\x98\x80%d",
)
ENDINGS = (b".png", b".PNG", b".Png", b".jpg", b".JPEG")
_PNG = io.BytesIO()
Image.new("L", (1, 1)).save(_PNG, "png")

FAULTS = {
    "an image beside class folders": "picture",
    "a class without images": "empty",
    "a file that is none": "file",
    "a class beside splits": "class",
    "no split to train on": "no train",
    "one split twice": "twice",
    "a split in a split": "nested",
    "a link to nothing": "link",
}


@dataclass
class Meaning:
    """What a tree holds: the class of each image, by its number; None where it has none."""

    train: dict[int, bytes | None] = field(default_factory=dict)
    val: dict[int, bytes | None] = field(default_factory=dict)
    held_out: bool = False
    """Whether a share of ``train`` is to be held out instead of ``val``."""
    refused: str = ""
    """The fault that must be told; none otherwise."""


def written(random: Random, root: Path) -> Meaning:
    """A random tree below a folder that is there."""
    meaning, splits = Meaning(), _splits(random)
    names = [CLASSES[place] for place in random.choice(len(CLASSES), random.integers(1, 5), replace=False)]
    names = names if random.random() < 0.7 else []
    home = root / "set" if splits and random.random() < 0.3 else root
    home.mkdir(exist_ok=True)
    numbers = iter(range(10_000))
    places: dict[str, Path] = {}
    for split in splits or ("all",):
        folder = home / str(random.choice(SPELLINGS[split])) if splits else home
        folder.mkdir(exist_ok=True)
        places[split] = folder
        kept = names if split in ("train", "all") or not names else names[: random.integers(1, len(names) + 1)]
        told = {"train": meaning.train, "all": meaning.train, "val": meaning.val}.get(split)
        if split == "test" and "val" not in splits:
            told = meaning.val
        for name in kept or [None]:
            inside = folder if name is None else _class_folder(random, folder, name, root)
            for _ in range(random.integers(2 if name is None else 1, 4)):
                number = next(numbers)
                _image(random, inside, number, root, deep=name is not None)
                if told is not None:
                    told[number] = name
    meaning.held_out = not meaning.val
    while len(meaning.train) < 2:
        number = next(numbers)
        name = names[0] if names else None
        place = places.get("train", home)
        _image(random, place if name is None else place / os.fsdecode(name), number, root, deep=False)
        meaning.train[number] = name
    _clutter(random, [root, *places.values()])
    if random.random() < 0.25:
        fault = str(random.choice(list(FAULTS)))
        if _faulty(fault, home, places, splits, names):
            meaning.refused = fault
    return meaning


def _splits(random: Random) -> tuple[str, ...]:
    ways = ((), ("train",), ("train", "val"), ("train", "test"), ("train", "val", "test"), ("train", "val", "aside"))
    return ways[random.integers(len(ways))]


def _class_folder(random: Random, folder: Path, name: bytes, root: Path) -> Path:
    place = folder / os.fsdecode(name)
    if random.random() < 0.15:
        elsewhere = root.parent / f"elsewhere-{random.integers(1 << 40)}"
        elsewhere.mkdir()
        place.symlink_to(elsewhere, target_is_directory=True)
    else:
        place.mkdir()
        if random.random() < 0.05:
            (place / "loop").symlink_to(place, target_is_directory=True)
    return place


def _image(random: Random, folder: Path, number: int, root: Path, *, deep: bool) -> None:
    name = STEMS[random.integers(len(STEMS))] % number + b"_%d" % number + ENDINGS[random.integers(len(ENDINGS))]
    if deep and random.random() < 0.2:
        folder = folder / "deep" / "er"
        folder.mkdir(parents=True, exist_ok=True)
    place = folder / os.fsdecode(name)
    if random.random() < 0.1:
        elsewhere = root.parent / f"file-{random.integers(1 << 40)}"
        elsewhere.write_bytes(_PNG.getvalue())
        place.symlink_to(elsewhere)
    else:
        place.write_bytes(_PNG.getvalue())


def _clutter(random: Random, folders: list[Path]) -> None:
    for folder in folders:
        for name in (*CLUTTER, *DOCUMENTS):
            if random.random() < 0.12:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(b"x")


def _faulty(fault: str, home: Path, places: dict[str, Path], splits: tuple[str, ...], names: list[bytes]) -> bool:
    """Put a fault into a tree; False where the tree has no place for it."""
    train = places.get("train", home)
    kind = FAULTS[fault]
    if kind == "picture" and names:
        (train / "top.png").write_bytes(_PNG.getvalue())
    elif kind == "empty" and names:
        (train / "nothing here").mkdir()
    elif kind == "file":
        (train / "notes.csv").write_bytes(b"x")
    elif kind == "link":
        (train / "gone.png").symlink_to(home / "nowhere.png")
    elif kind == "class" and len(splits) > 1:
        (home / "cow").mkdir()
        (home / "cow" / "1.png").write_bytes(_PNG.getvalue())
    elif kind == "no train" and "val" in splits and "test" in splits:
        places["train"].rename(home.parent / "moved-away" if home.name != "set" else home.parent.parent / "moved-away")
    elif kind == "twice" and len(splits) > 1:
        other = home / ("Validate" if "val" in splits else "TRAINSET")
        other.mkdir()
        (other / "1.png").write_bytes(_PNG.getvalue())
    elif kind == "nested" and names:
        (train / "Validation").mkdir()
        (train / "Validation" / "1.png").write_bytes(_PNG.getvalue())
    else:
        return False
    return True


def judge(root: Path, meaning: Meaning) -> tuple[str, str]:
    """'decoded', 'refused', 'traceback' or 'changed', and what was seen."""
    config = DataConfig(source=str(root))
    try:
        train, val = open_split(config, "train"), open_split(config, "val")
        seen = [{_number(example.key): _class(source, example.label) for example in source} for source in (train, val)]
        lines = understood(train, val)
    except GridcodeError as error:
        if "\n" in str(error) or not str(error).isprintable():
            return "traceback", f"not one line: {error}"
        return ("refused", str(error)) if meaning.refused else ("changed", f"refused: {error}")
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    if meaning.refused:
        return "changed", f"read in spite of {meaning.refused}: {lines}"
    if any("\n" in line for line in lines):
        return "traceback", f"not one line: {lines}"
    expected = [_shown(meaning.train, meaning.train), _shown(meaning.val, meaning.train)]
    if meaning.held_out:
        apart = not seen[0].keys() & seen[1].keys() and seen[0] and seen[1]
        same = apart and seen[0] | seen[1] == expected[0]
    else:
        same = seen == expected
    return ("decoded", "") if same else ("changed", f"{seen} instead of {expected}")


def _shown(pictures: dict[int, bytes | None], train: dict[int, bytes | None]) -> dict[int, bytes | None]:
    """One class is none."""
    alone = len(set(train.values())) == 1
    return {number: None if alone else name for number, name in pictures.items()}


def _number(key: str) -> int:
    return int(key.rsplit(".", 1)[0].rsplit("_", 1)[1])


def _class(source, label: int | None) -> bytes | None:
    return None if label is None else os.fsencode(unprintable(source.classes[label]))


def check(seed: int | tuple[int, ...]) -> tuple[str, str]:
    """Make a tree, and judge how it is read."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "data"
        root.mkdir()
        return judge(root, written(np.random.default_rng(seed), root))


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(0, 1 << 32))
def test_a_data_set_is_read_as_it_is_meant(seed):
    outcome, seen = check(seed)
    assert outcome in ("decoded", "refused"), seen


def test_a_lone_class_is_no_split_once_more(tmp_path):
    for number, place in enumerate(("Train/bullet train", "val/bullet train", "Train/bullet train/deep")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / f"_{number}.png").write_bytes(_PNG.getvalue())
    (tmp_path / "Train/bullet train/_3.png").write_bytes(_PNG.getvalue())
    name = b"bullet train"
    outcome, seen = judge(tmp_path, Meaning(dict.fromkeys((0, 2, 3), name), {1: name}))
    assert outcome == "decoded", seen
