from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gridcode.errors import GridcodeError
from gridcode.files import folder_atomic, read_json, sha256, write_atomic, write_json, write_text


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
