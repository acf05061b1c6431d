"""Random values through the one writer and reader of JSON, and damaged JSON files through everything that reads one.

What is written is JSON by the letter of its standard, and comes back as it was, with null for what was not finite. A
file whose bytes or whose values were changed by a random hand is read, or refused in one line.
"""

import atexit
import contextlib
import io
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridcode import Tokenizer
from gridcode.cli.main import main
from gridcode.domains.dense.data.coco import CocoPanoptic
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.domain import data_of
from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier, load_classifier, save_classifier
from gridcode.features.config import ClassifierConfig
from gridcode.files import from_json, read_json, to_json, write_json
from gridcode.prior.ar import Autoregressive
from gridcode.prior.config import CrossAttentionConfig, FeatureEncoderConfig, MaskGITConfig, TokenSpace
from gridcode.prior.make import load_prior
from gridcode.prior.maskgit import MaskGIT
from gridcode.quantize.config import FSQConfig
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.studies.results import RESULT, read_result
from gridcode.studies.study import Cell, cell_folder
from gridcode.training.config import LoopConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions, prepare_folder

Random = np.random.Generator
CELL = Cell("fsq", 0)


def value(random: Random, depth: int = 0) -> Any:
    """A random value of the kinds that reports, logs, manifests and configs hold."""
    kind = random.integers(14 if depth < 3 else 10)
    numbers = (0.0, -0.0, 1.5, 1e300, 5e-324, math.nan, math.inf, -math.inf)
    number = numbers[random.integers(len(numbers))]
    text = ("", "a", "ä\n\t\0", "\ud800x", os.fsdecode(b"caf\xe9"), "NaN", "\u2028", "😀")[random.integers(8)]
    if kind >= 10:
        parts = [value(random, depth + 1) for _ in range(random.integers(4))]
        if kind >= 12:
            return {f"{text}{place}": part for place, part in enumerate(parts)}
        return parts if kind == 10 else tuple(parts)
    with np.errstate(all="ignore"):
        made = (
            None,
            bool(random.integers(2)),
            int(random.integers(-(1 << 62), 1 << 62)),
            number,
            text,
            np.float32(number),
            np.array([number, 1.0]),
            torch.tensor(number),
            np.int64(random.integers(9)),
            Path("a") / "b",
        )
    return made[kind]


def plain(found: Any) -> Any:
    """What a value is in JSON, by the words of the documentation."""
    if isinstance(found, np.ndarray | np.generic | torch.Tensor):
        found = np.asarray(found).tolist()
    match found:
        case float():
            return found if math.isfinite(found) else None
        case tuple() | list():
            return [plain(part) for part in found]
        case dict():
            return {key: plain(part) for key, part in found.items()}
        case Path():
            return str(found)
    return found


def check_value(random: Random) -> tuple[str, str]:
    """Write and read a value."""
    given_value = value(random)
    try:
        text = to_json(given_value, indent=None if random.integers(2) else 2)
        text.encode("utf-8")

        def refuse(name: str) -> None:
            raise ValueError(f"{name} is not JSON")

        strict, own = json.loads(text, parse_constant=refuse), from_json(text)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    same = strict == own == plain(given_value)
    return ("decoded", "") if same else ("changed", f"{own!r} instead of {plain(given_value)!r}")


def mutated(random: Random, text: bytes, most: int) -> bytes:
    """A JSON file with some bytes or some values changed."""
    if random.random() < 0.3:
        changed = bytearray(text)
        for place in random.integers(0, len(text), random.integers(1, 4)):
            changed[place] = random.integers(256)
        return bytes(changed[: random.integers(len(text))] if random.random() < 0.2 else changed)
    content = [json.loads(text)]
    for _ in range(random.integers(1, 3)):
        _change(random, content, most)
    return json.dumps(content[0], allow_nan=True).encode()


def _change(random: Random, content: Any, most: int) -> None:
    """Another value somewhere, or none, or one more."""
    inside = [key for key, part in _items(content) if isinstance(part, dict | list) and part]
    if inside and random.random() < 0.75:
        return _change(random, content[inside[random.integers(len(inside))]], most)
    places = [key for key, _ in _items(content)]
    others = (None, True, -1, 0, most, 1.5, math.nan, "", "a", "\ud800", [], [1], [None], {}, {"a": 1}, [[1]], "fsq")
    other = others[random.integers(len(others))]
    if places and random.random() < 0.85:
        place = places[random.integers(len(places))]
        if random.random() < 0.2 and len(content) > 1:
            del content[place]
        else:
            content[place] = other
    elif isinstance(content, dict):
        content["more"] = other
    else:
        content.append(other)
    return None


def _items(content: Any) -> list[tuple[Any, Any]]:
    return list(content.items() if isinstance(content, dict) else enumerate(content))


@cache
def _files() -> Path:
    """A folder with one of each kind of file that is read; what is made once is copied for each case."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    shape = TokenizerConfig(quantizer=FSQConfig(levels=(4, 4)), widths=(8, 8), decoder_blocks=1)
    tokenizer = Tokenizer(shape)
    tokenizer.info = {
        "data": {"source": "scenes", "size": 8, "crop": {"train": "center", "flip": True, "min_scale": 1}}
    }
    tokenizer.save_pretrained(root / "model")
    space = TokenSpace(8, (2, 2), ("a", "b"), tokenizer="0" * 16, data={}, levels=(4, 2))
    MaskGIT(MaskGITConfig(width=8, depth=1, heads=1, mlp=8), space).save_pretrained(root / "model-prior")
    encoder = FeatureEncoderConfig(width=8, depth=1, heads=1, mlp=8)
    config = CrossAttentionConfig(width=8, depth=1, heads=1, mlp=8, encoder=encoder)
    Autoregressive(config, space, (1, 8, 8)).save_pretrained(root / "model-prior-of-examples")
    shape = ClassifierConfig(classes=2, size=16, widths=(8,), feature_dim=8)
    save_classifier(Classifier(shape), root / "model-classifier")
    found = {"usage": 0.5, "scores": {"oracle": {"rmse": 0.5}}}
    write_json(
        cell_folder(root, CELL) / RESULT, {"cell": {"setting": "fsq", "seed": 0}, "found": found, "seconds": 1.0}
    )
    levels = {"name": "fsq", "levels": [8, 5]}
    with StoreWriter(
        root / "store", quantizer=levels, codebook_size=40, grid=(2, 2), tokenizer="0" * 16, data={}, classes=("cat",)
    ) as writer:
        writer.write("train", torch.tensor([[[0, 1], [2, 39]]]), torch.tensor([0]), ["first"])
    prepare_folder(RunOptions(root / "run"), LoopConfig())
    write_json(root / "run" / "run.json", {"loop": {"steps": 9}, "seed": 0})
    lines = [{"step": 1, "loss": 2.5}, {"step": 2, "val/psnr": 20.5, "loss": None}, {"step": 3, "warning": "a"}]
    (root / "run" / "log.jsonl").write_text("".join(to_json(line) + "\n" for line in lines))
    coco = root / "coco"
    for folder in ("annotations", "val", "panoptic_val"):
        (coco / folder).mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(coco / "val/1.png")
    Image.new("RGB", (2, 2), (1, 0, 0)).save(coco / "panoptic_val/1.png")
    segment = {"id": 1, "category_id": 7, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2]}
    annotation = {"image_id": 3, "file_name": "1.png", "segments_info": [segment]}
    images = [{"id": 3, "file_name": "1.png", "height": 2, "width": 2}]
    categories = [{"id": 7, "name": "cat", "isthing": 1}]
    content = {"images": images, "annotations": [annotation], "categories": categories}
    write_json(coco / "annotations/panoptic_val.json", content)
    return root


def _info(folder: Path) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["info", str(folder)])
    if code and len(said.getvalue().strip().splitlines()) != 1:
        raise AssertionError(f"not one line: {said.getvalue()}")


def _tokenizer(folder: Path) -> None:
    data_of(Tokenizer.from_pretrained(folder))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "any file": ("run/run.json", lambda root: read_json(root / "run/run.json", "a file")),
    "a model's config": ("model/config.json", lambda root: _tokenizer(root / "model")),
    "a model's config, told": ("model/config.json", lambda root: _info(root / "model")),
    "a prior's config": ("model-prior/config.json", lambda root: load_prior(root / "model-prior")),
    "a prior's config, with an encoder": (
        "model-prior-of-examples/config.json",
        lambda root: load_prior(root / "model-prior-of-examples"),
    ),
    "a classifier's config": ("model-classifier/config.json", lambda root: load_classifier(root / "model-classifier")),
    "a cell's result": (f"cells/fsq-0/{RESULT}", lambda root: read_result(root, CELL)),
    "a manifest": ("store/manifest.json", lambda root: TokenStore.open(root / "store").load("train")),
    "a manifest, told": ("store/manifest.json", lambda root: _info(root / "store")),
    "a log": ("run/log.jsonl", lambda root: read_log(root / "run")),
    "a log, told": ("run/log.jsonl", lambda root: _info(root / "run")),
    "a run, told": ("run/run.json", lambda root: _info(root / "run")),
    "a run, resumed": (
        "run/run.json",
        lambda root: prepare_folder(RunOptions(root / "run", resume=True), LoopConfig()),
    ),
    "panoptic annotations": (
        "coco/annotations/panoptic_val.json",
        lambda root: list(CocoPanoptic(root / "coco", "val")),
    ),
}
"""What reads each file: where it lies, and how it is read."""


def check_file(random: Random) -> tuple[str, str]:
    """Damage a file, and read it; the file is put back after it."""
    name = list(READERS)[random.integers(len(READERS))]
    place, read = READERS[name]
    path = _files() / place
    whole = path.read_bytes()
    most = 1000 if place.startswith("model") else 10**30  # a network of so many layers would be built
    if path.suffix == ".jsonl":
        lines = whole.splitlines()
        chosen = random.integers(len(lines))
        lines[chosen] = mutated(random, lines[chosen], most)
        damaged = b"\n".join(lines) + b"\n"
    else:
        damaged = mutated(random, whole, most)
    try:
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(_files())
    except GridcodeError as error:
        return ("refused" if "\n" not in str(error) else "traceback"), str(error)
    except BaseException as error:
        return "traceback", f"{name}: {type(error).__name__}: {error} <- {damaged.decode(errors='replace')[:2000]}"
    finally:
        path.write_bytes(whole)
    return "decoded", ""


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 1 << 32))
def test_values_come_back_from_json(seed):
    outcome, seen = check_value(np.random.default_rng(seed))
    assert outcome == "decoded", seen


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 1 << 32))
def test_a_damaged_file_is_read_or_refused_in_one_line(seed):
    outcome, seen = check_file(np.random.default_rng(seed))
    assert outcome in ("decoded", "refused"), seen


FOUND = {
    "a log, told": [
        "null",
        '{"val/psnr": 1}',
        '{"step": 3, "warning": -1}',
        '{"step": 3, "val/psnr": "a", "val/ssim": [1]}',
        '[["a"]]',
    ],
    "a manifest, told": [
        "classes=[[1]]",
        "data=true",
        "shards.0.split=[1]",
        'quantizer.levels=["a", 9e99]',
        "quantizer=1",
    ],
    "a model's config, told": ["parameters=null", 'parameters="a"'],
    "a model's config": ["model=[[1]]", "model.encoder_blocks=1.5", "model.name=[1]", "info.data=[1]"],
    "a prior's config": ["space.grid=[2, 1.5]", "space.codebook_size=null", "model=[1]"],
    "a classifier's config": ["classifier.widths=1", 'classifier.classes="a"'],
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, changes in FOUND.items() for change in changes])
def test_what_the_fuzzing_found(name, change):
    place, read = READERS[name]
    path = _files() / place
    whole = path.read_bytes()
    if path.suffix == ".jsonl":
        damaged = whole + change.encode() + b"\n"
    else:
        keys, _, other = change.partition("=")
        content = inside = json.loads(whole)
        *upper, last = (int(key) if key.isdigit() else key for key in keys.split("."))
        for key in upper:
            inside = inside[key]
        inside[last] = json.loads(other)
        damaged = json.dumps(content).encode()
    try:
        path.write_bytes(damaged)
        with contextlib.suppress(GridcodeError):
            read(_files())
    finally:
        path.write_bytes(whole)
