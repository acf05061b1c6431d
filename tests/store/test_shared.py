"""Stores that several processes write: shards by number, whatever dies on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.store.manifest import MANIFEST, PARTIAL, PLAN, Manifest, Shard
from gridcode.store.reader import TokenStore
from gridcode.store.shared import Plan, begin, commit, complete, make_shard
from gridcode.store.writer import StoreWriter, record_batch

MANIFEST_OF_ALL = Manifest({"name": "fsq", "levels": [8, 5]}, 40, (2, 2), "0123456789abcdef", {"size": 8}, ())
WHOLE = Plan(3, {"train": 2, "val": 1})


def make(folder: Path, split: str, number: int, rows: int = 3) -> Shard | None:
    keys = [f"{split}{number}:{row}" for row in range(rows)]
    tokens = torch.arange(4 * rows).reshape(rows, 2, 2)
    batch = record_batch(MANIFEST_OF_ALL, tokens, torch.full((rows,), -1), keys, {})
    return make_shard(folder, MANIFEST_OF_ALL, split, number, [batch])


def test_shards_made_in_any_order_are_a_store_in_the_plans_order(tmp_path: Path) -> None:
    assert begin(tmp_path, MANIFEST_OF_ALL, WHOLE) == {}
    shards = {name: made for name in reversed(list(WHOLE.names())) if (made := make(tmp_path, *name))}
    complete(tmp_path, MANIFEST_OF_ALL, shards, WHOLE)
    store = TokenStore.open(tmp_path)
    assert store.load("train").keys == ("train0:0", "train0:1", "train0:2", "train1:0", "train1:1", "train1:2")
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".json"} == {MANIFEST}


def test_what_is_there_is_found_listed_or_not(tmp_path: Path) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    listed, unlisted = make(tmp_path, "train", 1), make(tmp_path, "val", 0)
    assert listed
    commit(tmp_path, MANIFEST_OF_ALL, {("train", 1): listed}, WHOLE)
    assert TokenStore.open(tmp_path, growing=True).rows("train") == 3
    (tmp_path / ".train-00000.parquet.77.tmp").write_bytes(b"half a sh")  # of a process that was killed
    found = begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    assert found == {("train", 1): listed, ("val", 0): unlisted}
    complete(tmp_path, MANIFEST_OF_ALL, found, WHOLE)  # train 0 had nothing to hold
    assert TokenStore.open(tmp_path).rows("train") == 3
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("manifest", "plan", "told"),
    [
        (replace(MANIFEST_OF_ALL, tokenizer="fedcba9876543210"), WHOLE, "another tokenizer"),
        (replace(MANIFEST_OF_ALL, data={"size": 9, "channels": 1}), WHOLE, "another channels, size"),
        (MANIFEST_OF_ALL, replace(WHOLE, rows=4), "another size of a shard or of a batch"),
        (MANIFEST_OF_ALL, replace(WHOLE, examples={"train": {"count": 7}}), "another set of examples"),
    ],
)
def test_what_was_begun_otherwise_is_kept(tmp_path: Path, manifest: Manifest, plan: Plan, told: str) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    make(tmp_path, "train", 0)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(GridcodeError, match=f"was begun with {told}; go on with the same settings"):
        begin(tmp_path, manifest, plan)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert begin(tmp_path, manifest, plan, overwrite=True) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == [PARTIAL, PLAN]


def test_a_store_of_another_writer_is_replaced_only_if_asked(tmp_path: Path) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    shards = {name: made for name in WHOLE.names() if (made := make(tmp_path, *name))}
    complete(tmp_path, MANIFEST_OF_ALL, shards, WHOLE)
    with pytest.raises(GridcodeError, match="already holds one"):
        begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    assert begin(tmp_path, MANIFEST_OF_ALL, WHOLE, overwrite=True) == {}
    (tmp_path / PLAN).unlink()  # killed in the midst of it
    assert begin(tmp_path, MANIFEST_OF_ALL, WHOLE) == {}
    (tmp_path / "notes.txt").touch()
    (tmp_path / PARTIAL).unlink()
    with pytest.raises(GridcodeError, match="holds other files"):
        begin(tmp_path, MANIFEST_OF_ALL, WHOLE, overwrite=True)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    (tmp_path / "train-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(GridcodeError, match=r"train-00001\.parquet is damaged \(.*\); remove it and go on"):
        begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    made = make(tmp_path, "train", 1)
    assert made
    commit(tmp_path, MANIFEST_OF_ALL, {("train", 1): made}, WHOLE)
    make(tmp_path, "train", 1, rows=2)
    with pytest.raises(GridcodeError, match=r"train-00001\.parquet has 2 rows, 3 were written"):
        begin(tmp_path, MANIFEST_OF_ALL, WHOLE)


def test_no_rows_are_no_shard(tmp_path: Path) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    assert make_shard(tmp_path, MANIFEST_OF_ALL, "train", 0, []) is None


def test_an_appended_shard_never_takes_the_name_of_one_that_is_there(tmp_path: Path) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    made = make(tmp_path, "train", 1)  # train 0 had nothing to hold
    assert made
    with pytest.raises(GridcodeError, match="is being made shard by shard"):
        StoreWriter.append(tmp_path)
    complete(tmp_path, MANIFEST_OF_ALL, {("train", 1): made}, WHOLE)
    with StoreWriter.append(tmp_path) as writer:
        writer.write("train", torch.zeros(1, 2, 2, dtype=torch.int64), torch.tensor([-1]), ["last"])
    assert TokenStore.open(tmp_path).load("train").keys == ("train1:0", "train1:1", "train1:2", "last")


def test_a_local_writer_that_takes_the_folder_over_takes_the_plan_away(tmp_path: Path) -> None:
    begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
    make(tmp_path, "train", 0)
    writer = StoreWriter.of(tmp_path, MANIFEST_OF_ALL, overwrite=True, shard_rows=1)
    writer.__enter__()
    writer.write("train", torch.zeros(2, 2, 2, dtype=torch.int64), torch.tensor([-1, -1]), ["a", "b"])
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)  # killed
    with pytest.raises(GridcodeError, match="already holds one"):
        begin(tmp_path, MANIFEST_OF_ALL, WHOLE)
