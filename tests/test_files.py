from __future__ import annotations

import ast
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gridcode
from gridcode.errors import GridcodeError
from gridcode.files import folder_atomic, from_json, read_json, sha256, to_json, write_atomic, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "note.txt", "ünïcode")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "ünïcode".encode()
    assert names(tmp_path / "a" / "b") == ["note.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_json_survives(tmp_path: Path) -> None:
    value = {"name": "größe", "levels": [8, 5], "nested": {"none": None, "share": 0.1}}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json", "a test") == value
    assert "größe" in (tmp_path / "v.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a test: there is no file"),
        (b"", "is not valid JSON"),
        (b'{"half": ', "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b"[1, 2]", "holds a JSON list, not an object"),
        (b'{"a": ' + b"[" * 100_000, "is not valid JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not valid JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "v.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GridcodeError, match=message) as caught:
        read_json(path, "a test")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with folder_atomic(folder) as temporary:
        (temporary / "one").write_text("1")
        assert not folder.exists()
    with folder_atomic(folder) as temporary:
        (temporary / "two").write_text("2")
        assert names(folder) == ["one"]
    assert names(folder) == ["two"]
    assert names(tmp_path) == ["model"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with folder_atomic(folder) as temporary:
        (temporary / "one").write_text("1")

    def fail() -> None:
        with folder_atomic(folder) as temporary:
            (temporary / "two").write_text("2")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert names(folder) == ["one"]
    assert names(tmp_path) == ["model"]


def test_the_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(256)) * 5000)
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_json_holds_file_names_of_any_bytes(tmp_path: Path) -> None:
    value = {os.fsdecode(b"caf\xe9.png"): ["ü \n \\ \U0001f600", os.fsdecode(b"\xff")]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", "names") == value
    assert "ü" in (tmp_path / "a.json").read_text(encoding="utf-8"), "readable where it can be"


def strictly(text: str) -> Any:
    """What a reader makes of a text that has no leniency for NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def as_read(value: Any) -> Any:
    """What a value should come back as, said in another way than the writer's."""
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return as_read(value.tolist())
    if isinstance(value, dict):
        return {key: as_read(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_read(entry) for entry in value]
    return None if isinstance(value, float) and (value != value or abs(value) == math.inf) else value


numbers = (
    st.floats()
    | st.floats(width=32).map(np.float32)
    | st.floats(width=16).map(np.float16)
    | st.floats().map(np.float64)
    | st.integers(-(2**63), 2**63 - 1).map(np.int64)
    | st.booleans().map(np.bool_)
    | st.integers()
    | st.lists(st.floats(width=32), max_size=3).map(torch.tensor)
    | st.lists(st.floats(), max_size=3).map(np.array)
)
plain = numbers | st.none() | st.booleans() | st.text()
values = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(values)
def test_any_value_is_strict_json_and_comes_back(value: Any) -> None:
    text = to_json(value)
    assert "\n" not in text, "a line of a log"
    assert strictly(text) == from_json(text) == as_read(value)
    assert strictly(to_json(value, indent=2)) == as_read(value)
    assert to_json(from_json(text)) == text


def test_numbers_that_are_not_finite_are_null_wherever_they_stand(tmp_path: Path) -> None:
    scores = {"a": math.nan, "b": [math.inf, (-math.inf, 1.5)], "c": {"d": np.float32("nan")}, "e": torch.tensor(1e39)}
    write_json(tmp_path / "a.json", scores)
    back = {"a": None, "b": [None, [None, 1.5]], "c": {"d": None}, "e": None}
    assert strictly((tmp_path / "a.json").read_text()) == read_json(tmp_path / "a.json", "scores") == back
    (tmp_path / "b.json").write_text('{"a": NaN, "b": [Infinity, [-Infinity, 1.5]], "c": {"d": NaN}, "e": null}')
    assert read_json(tmp_path / "b.json", "another writer's") == back


def test_keys_are_strings_and_paths_too() -> None:
    assert to_json({1: Path("a") / "b", np.int64(2): True, None: 0}) == '{"1": "a/b", "2": true, "null": 0}'
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json({"when": object()})


def test_nothing_else_writes_json() -> None:
    source = Path(gridcode.__file__).parent
    benchmarks = source.parent.parent / "benchmarks"
    for path in (*source.rglob("*.py"), *benchmarks.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "json" not in text:
            continue
        called = {
            node.attr
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "json"
        }
        assert path == source / "files.py" or not called & {"dump", "dumps", "JSONEncoder"}, path
        assert "from json import" not in text, path
