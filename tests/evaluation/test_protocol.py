from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import Protocol, Score, over_seeds, score_table
from gridcode.files import from_json, to_json

PROTOCOL = Protocol(
    name="fd-lite0",
    measured="samples",
    data="pictures",
    split="val",
    count=500,
    crop="center 128",
    resize="bicubic 224",
    extractor="lite0",
    extractor_hash="57934424" * 8,
    reference="pictures",
    reference_hash="0123456789abcdef",
    reference_count=500,
    seeds=(0,),
)
OTHER: dict[str, Any] = {
    "name": "fd-lite2",
    "measured": "reconstructions",
    "count": 100,
    "reference_count": None,
    "seeds": (1,),
}
NAMES_OF_THE_REFERENCE = ("data", "reference")


def score(value: float, **changes: Any) -> Score:
    return Score("FD (lite0)", value, replace(PROTOCOL, **changes))


@pytest.mark.parametrize("name", [field.name for field in fields(Protocol)])
def test_any_field_that_differs_keeps_scores_out_of_one_column(name: str) -> None:
    other = score(2.0, **{name: OTHER.get(name, "another")})
    if name in NAMES_OF_THE_REFERENCE:  # the hash says which it is
        assert "another protocol" not in score_table({"FSQ": [score(1.0)], "VQ": [other]})
        other = score(2.0, **{name: "another", "reference_hash": "f" * 16})
    if name == "measured":
        assert score_table({"FSQ": [score(1.0)], "VQ": [other]}).splitlines()[0] == (
            "| model | FD (lite0), samples | FD (lite0), reconstructions |"
        )
        return
    with pytest.raises(
        GridcodeError, match=rf"FD .lite0. of VQ was measured by another protocol .{name.split('_')[0]}"
    ):
        score_table({"FSQ": [score(1.0)], "VQ": [other]})
    table = score_table({"FSQ": [score(1.0)], "VQ": [other]}, mark=True)
    assert "| VQ | 2 (a) |" in table
    assert table.splitlines()[-1].startswith(f"(a) another protocol: {name.replace('_', ' ')} ")


def test_reconstructions_and_samples_have_their_own_columns() -> None:
    rows = {name: [score(value, measured="reconstructions"), score(9.0)] for name, value in (("A", 1.0), ("B", 2.0))}
    assert score_table(rows).splitlines()[2:] == ["| A | 1 | 9 |", "| B | 2 | 9 |"]
    with pytest.raises(GridcodeError, match=r"A has FD .lite0. of samples twice; give over_seeds"):
        score_table({"A": [score(1.0), score(2.0, seeds=(1,))]})


def test_marks_do_not_run_out() -> None:
    rows = {str(count): [score(1.0, count=count)] for count in range(1, 31)}
    lines = score_table(rows, mark=True).splitlines()
    assert len({line for line in lines if "another protocol" in line}) == 29
    assert lines[-1].startswith("(ac) another protocol")


def test_equal_differences_share_a_mark() -> None:
    rows = {
        "one": [score(1.0)],
        "two": [score(2.0, count=10)],
        "three": [score(3.0, count=10)],
        "four": [score(4.0, split="train")],
    }
    table = score_table(rows, mark=True)
    assert "| two | 2 (a) |\n| three | 3 (a) |\n| four | 4 (b) |" in table
    assert table.count("another protocol") == 2


def test_columns_have_their_own_protocol() -> None:
    second = Score("FD (lite2)", 7.0, replace(PROTOCOL, name="fd-lite2", extractor="lite2"))
    assert score_table({"FSQ": [score(1.0), second], "VQ": [second]}).splitlines()[2:] == [
        "| FSQ | 1 | 7 |",
        "| VQ | | 7 |",
    ]


def test_mean_over_seeds_and_its_interval() -> None:
    found = over_seeds([score(value, seeds=(seed,)) for seed, value in enumerate((1.0, 2.0, 3.0))])
    assert found.value == 2.0
    assert found.half == pytest.approx(4.302653 / 3**0.5)
    assert found.protocol == replace(PROTOCOL, seeds=(0, 1, 2))
    assert "2 ± 2.484" in score_table({"FSQ": [found]})
    with pytest.raises(GridcodeError, match="a seed occurs twice"):
        over_seeds([score(1.0), score(2.0)])
    with pytest.raises(GridcodeError, match=r"different protocols .count 10 instead of 500"):
        over_seeds([score(1.0), score(2.0, seeds=(1,), count=10)])
    with pytest.raises(GridcodeError, match="is a mean over seeds already"):
        over_seeds([found, score(3.0, seeds=(7,))])
    with pytest.raises(GridcodeError, match="there is no score"):
        over_seeds([])


def test_a_score_survives_json() -> None:
    found = over_seeds([score(1.0), score(2.0, seeds=(1,))])
    assert Score.from_record(from_json(to_json(found.record()))) == found
    for broken in ({}, found.record() | {"colour": 1}, {"protocol": {"seeds": [1]}}):
        with pytest.raises(GridcodeError, match="no record of a score"):
            Score.from_record(broken)


def test_names_that_are_no_protocols() -> None:
    with pytest.raises(GridcodeError, match="protocol must be one of fid-adm, fid-clean, fd-lite0"):
        replace(PROTOCOL, name="fid")  # type: ignore[arg-type]
