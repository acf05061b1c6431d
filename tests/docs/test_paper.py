"""The tables that lead to the code: every file is there, every test too, and every command can be read."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs/paper.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| paper"))
]
CODE = re.compile(r"`([^`]+)`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:2]).replace("/", "-")[:60])
def test_files_tests_and_programs_exist(row: list[str]) -> None:
    _, _, files, tests, command = row
    for name in CODE.findall(files):
        assert (ROOT / "src/gridcode" / name).is_file(), f"src/gridcode/{name} has moved; docs/paper.md names it"
    for name in CODE.findall(tests):
        assert (ROOT / "tests" / name).is_file(), f"tests/{name} has moved; docs/paper.md names it"
    for words in map(shlex.split, CODE.findall(command)):
        if words[:2] == ["python", "-m"]:
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file() or find_spec(words[2]) is not None
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file()
        else:  # read by the verb's parser in test_docs.py
            assert words[0] == "gridcode"


def test_the_files_that_concepts_and_contributing_name_exist() -> None:
    for page in ("docs/concepts.md", "CONTRIBUTING.md"):
        named = CODE.findall((ROOT / page).read_text(encoding="utf-8"))
        for name in [name for name in named if re.fullmatch(r"[\w./]+(\.py|/)", name)]:
            places = (ROOT / "src/gridcode" / name, ROOT / name)
            assert any(place.exists() for place in places), f"{name} has moved; {page} names it"


def test_the_paper_is_covered() -> None:
    named = " ".join(row[0] for row in ROWS)
    for part in ("3.1", "3.2", "3.3", "4.1", "4.2", "4.3", "4.4", "5.1", "5.2", "5.3", "A.1", "A.3", "A.4.1", "A.4.2"):
        assert part in named, part
    for part in ("Table 1", "Table 2", *(f"Fig. {number}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10))):
        assert part in named, part
