"""``gridcode levels``: the sets of ``level_candidates``, and a line that can be pasted."""

from __future__ import annotations

import re

import pytest

from gridcode.cli.main import main
from gridcode.quantize.fsq.levels import level_candidates


def rows(text: str) -> list[list[str]]:
    """The table's rows, whatever it is drawn with."""
    split = (re.split(r"\s*[│|┃]\s*", line.strip()) for line in text.splitlines())
    return [row[1:-1] for row in split if len(row) == 8 and row[1].replace(" ", "").isdigit()]


def test_the_table_is_the_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["levels", "--bits", "14", "--count", "5"]) == 0
    out = capsys.readouterr().out
    seen = rows(out)
    assert seen[0] == ["8 8 8 6 5", "15,360", "13.91", "-6.2%", "5", "paper, Table 1"]
    assert seen[1] == ["16 16 8 8", "16,384", "14.00", "exact", "4", "exact power of two"]
    expected = level_candidates(14, count=5)
    assert [tuple(int(level) for level in row[0].split()) for row in seen] == [each.levels for each in expected]
    assert out.splitlines()[-1] == (
        "to use the first: gridcode train tokenizer RECIPE --model.quantizer.levels 8 8 8 6 5 --out DIR"
    )


def test_its_flags_are_those_of_the_search(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--min-level", "3", "--max-level", "7", "--channels", "6", "--tolerance", "0.05", "--count", "4"]
    assert main(["levels", "--bits", "12", *words]) == 0
    expected = level_candidates(12, min_level=3, max_level=7, channels=6, tolerance=0.05, count=4)
    seen = rows(capsys.readouterr().out)
    assert [tuple(int(level) for level in row[0].split()) for row in seen] == [each.levels for each in expected]


def test_the_largest_book_is_not_cut_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["levels", "--bits", "63", "--count", "1"]) == 0
    assert rows(capsys.readouterr().out)[0][:2] == [" ".join(["8"] * 21), f"{2**63:,}"]
