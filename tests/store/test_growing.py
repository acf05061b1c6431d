"""Stores as they grow: snapshots of what is committed, appending, any rows, further columns, and merging."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gridcode.cli.main import main
from gridcode.errors import GridcodeError
from gridcode.store import StoreWriter, TokenStore, merge_stores
from gridcode.store import reader as reader_module
from gridcode.store import writer as writer_module
from gridcode.store.manifest import Manifest, newest_manifest
from tests.store.test_store import HASH, rows, writer
from tests.test_errors import full_disk


def test_a_store_that_is_being_written_is_a_snapshot_for_those_who_ask(tmp_path: Path) -> None:
    seen = []
    with writer(tmp_path / "t") as store:
        for start in range(0, 12, 3):
            store.write("train", *rows(3, start=start))
            snapshot = TokenStore.open(tmp_path / "t", growing=True)
            seen.append(snapshot.rows("train") if snapshot.splits else 0)
            assert store.rows("train") == seen[-1]
            if snapshot.splits:
                assert snapshot.load("train").keys == tuple(f"é{number}" for number in range(seen[-1]))
            with pytest.raises(GridcodeError, match="is incomplete"):
                TokenStore.open(tmp_path / "t")
    assert seen == [0, 4, 8, 12]
    assert TokenStore.open(tmp_path / "t").rows("train") == 12


def test_a_shard_between_its_rename_and_the_manifest_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, hashed = [], writer_module.sha256

    def looked_at(path: Path) -> str:
        snapshot = TokenStore.open(tmp_path / "t", growing=True)
        committed.append(snapshot.rows("train") if snapshot.splits else 0)
        return hashed(path)

    monkeypatch.setattr(writer_module, "sha256", looked_at)
    with writer(tmp_path / "t") as store:
        store.write("train", *rows(8))
    assert committed == [0, 4]


def test_a_full_disk_leaves_what_is_committed(tmp_path: Path) -> None:
    large = {"columns": {"text": "string"}, "shard_rows": 4}
    words = ["a", "b", "c", "d"]
    noise = [random.Random(number).randbytes(4000).hex() for number in range(4)]  # no compression makes it small
    with (  # noqa: PT012
        pytest.raises(GridcodeError, match=r"train-00001.parquet cannot be written \(.*\); make room there"),
        writer(tmp_path / "t", **large) as store,
    ):
        store.write("train", *rows(4), {"text": words})
        with full_disk():
            store.write("train", *rows(4, start=4), {"text": noise})
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["manifest.partial.json", "train-00000.parquet"]
    assert TokenStore.open(tmp_path / "t", growing=True).load("train").columns == {"text": tuple(words)}
    with StoreWriter.append(tmp_path / "t", shard_rows=4) as store:
        store.write("train", *rows(4, start=store.rows("train")), {"text": noise})
    assert TokenStore.open(tmp_path / "t").load("train").columns == {"text": (*words, *noise)}


def test_an_interrupted_store_is_continued_and_a_whole_one_is_added_to(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "t") as store:  # noqa: PT012
        store.write("train", *rows(6))
        raise KeyboardInterrupt
    (tmp_path / "t" / "train-00009.parquet").write_bytes(b"left by a process that died")
    with StoreWriter.append(tmp_path / "t", shard_rows=4) as store:
        assert store.rows("train") == 4
        store.write("train", *rows(3, start=store.rows("train")))
    assert TokenStore.open(tmp_path / "t").load("train").keys == tuple(f"é{number}" for number in range(7))
    with StoreWriter.append(tmp_path / "t", shard_rows=4) as store:
        store.write("val", *rows(5))
        assert TokenStore.open(tmp_path / "t").splits == ("train",), "as it was, until the end"
    assert TokenStore.open(tmp_path / "t").splits == ("train", "val")
    assert [shard.file for shard in TokenStore.open(tmp_path / "t").manifest.shards] == [
        "train-00000.parquet", "train-00001.parquet", "val-00000.parquet", "val-00001.parquet",
    ]  # fmt: skip
    with pytest.raises(GridcodeError, match="there is none in"):
        StoreWriter.append(tmp_path / "nowhere")
    (tmp_path / "t" / "train-00001.parquet").unlink()
    with pytest.raises(GridcodeError, match=r"train-00001\.parquet is missing"):
        StoreWriter.append(tmp_path / "t")


def test_overwriting_that_is_killed_lists_nothing_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(tmp_path / "t") as store:
        store.write("train", *rows(8))

    def killed(path: Path) -> None:
        assert TokenStore.open(tmp_path / "t", growing=True).splits == ()
        unlink(path)
        raise KeyboardInterrupt

    unlink = Path.unlink
    monkeypatch.setattr(writer_module, "shard_files", lambda folder: [killed(folder / "train-00000.parquet")])
    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "t", overwrite=True):
        pass
    monkeypatch.undo()
    assert TokenStore.open(tmp_path / "t", growing=True).splits == ()
    with StoreWriter.append(tmp_path / "t") as store:
        store.write("train", *rows(3))
    assert TokenStore.open(tmp_path / "t").rows("train") == 3


def test_a_writer_that_ends_while_a_reader_looks_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends_at_once(folder: Path) -> Manifest | None:
        manifest = newest_manifest(folder)
        if (folder / "manifest.partial.json").exists():
            store.write("train", *rows(5, start=4))
            store.__exit__(None, None, None)
        return manifest

    monkeypatch.setattr(reader_module, "newest_manifest", ends_at_once)
    store = writer(tmp_path / "t").__enter__()
    store.write("train", *rows(4))
    assert TokenStore.open(tmp_path / "t", growing=True).rows("train") == 4
    assert TokenStore.open(tmp_path / "t", growing=True).rows("train") == 9


def test_any_rows_are_taken_out_of_the_row_groups_that_hold_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_ROW_GROUP", 3)
    with writer(tmp_path / "t", shard_rows=8) as store:
        store.write("train", *rows(20))
    opened = TokenStore.open(tmp_path / "t")
    whole = opened.load("train")
    read: list[int] = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, group: (read.append(group), original(file, group))[1]
    )
    for wanted in ([19, 0, 7, 8, 8], [], [5], list(range(20))[::-1]):
        table = opened.take("train", wanted)
        assert table.tokens.equal(whole.tokens[wanted])
        assert table.labels.equal(whole.labels[wanted])
        assert table.keys == tuple(whole.keys[row] for row in wanted)
        if wanted == [5]:
            assert read.pop() == 1
        read.clear()
    with pytest.raises(GridcodeError, match=r"rows -1 to 20 of 'train', which has 20"):
        opened.take("train", [-1, 20])


def captioned(folder: Path, **changes: Any) -> StoreWriter:
    return writer(folder, columns={"caption": "string", "score": "float64"}, **changes)


def test_further_columns_pass_through(tmp_path: Path) -> None:
    captions = [f"an image {number}" if number % 3 else None for number in range(7)]
    with captioned(tmp_path / "t") as store:
        store.write("train", *rows(7), columns={"caption": captions, "score": range(7)})
        for columns, message in (
            (None, "columns given are none, and the store has caption, score; give these"),
            ({"caption": ["a"], "score": [1, 2]}, "column 'score' has 2 values for 1 keys"),
            ({"caption": [1], "score": [0]}, r"column 'caption' is of string \(.*\); convert its values"),
        ):
            with pytest.raises(GridcodeError, match=message):
                store.write("train", *rows(1, start=9), columns=columns)
    opened = TokenStore.open(tmp_path / "t")
    assert opened.load("train").columns == {"caption": tuple(captions), "score": tuple(map(float, range(7)))}
    assert opened.take("train", [4, 1]).columns["caption"] == ("an image 4", "an image 1")
    assert "columns" not in json.loads(_plain(tmp_path).read_text()), "as versions without such columns read it"
    for name, kind in (("key", "string"), ("x", "image")):
        with pytest.raises(GridcodeError, match=f"a column '{name}' of '{kind}' cannot be kept"):
            writer(tmp_path / "u", columns={name: kind})


def _plain(tmp_path: Path) -> Path:
    with writer(tmp_path / "plain"):
        pass
    return tmp_path / "plain" / "manifest.json"


def test_stores_merge(tmp_path: Path) -> None:
    for number in range(3):
        data = {"source": f"shard {number}", "crop": "center", "size": 32}
        with captioned(tmp_path / str(number), data=data) as store:
            columns = {"caption": [str(number)] * 5, "score": [0.5] * 5}
            store.write("val" if number == 2 else "train", *rows(5, start=10 * number), columns=columns)
    merged = merge_stores([tmp_path / "0", tmp_path / "1", tmp_path / "2"], tmp_path / "all")
    assert (merged.rows("train"), merged.rows("val")) == (10, 5)
    assert TokenStore.open(tmp_path / "all").load("train").keys == (*rows(5)[2], *rows(5, start=10)[2])
    assert merged.load("train").columns["caption"] == ("0",) * 5 + ("1",) * 5
    for folders, message in (
        ([tmp_path / "0"], "is there already"),
        ([], "no stores were given"),
    ):
        with pytest.raises(GridcodeError, match=message):
            merge_stores(folders, tmp_path / "all")
    with pytest.raises(GridcodeError, match=r"'é0' of .*0 comes twice in split 'train'"):
        merge_stores([tmp_path / "0", tmp_path / "0"], tmp_path / "twice")
    for number, (changes, message) in enumerate(
        (
            ({"tokenizer": "f" * 16}, "another tokenizer"),
            ({"data": {"crop": "center", "size": 64}}, "another data setting 'size'"),
        )
    ):
        with captioned(tmp_path / f"other{number}", **changes) as store:
            pass
        with pytest.raises(GridcodeError, match=message):
            merge_stores([tmp_path / "0", tmp_path / f"other{number}"], tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_info_sums_a_store_also_while_it_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with captioned(tmp_path / "t", data={"dataset": "x", "crop": "c"}) as store:
        store.write("train", *rows(5), columns={"caption": ["a"] * 5, "score": [0.0] * 5})
        assert main(["info", str(tmp_path / "t")]) == 0
        assert (told := capsys.readouterr().out).startswith("token store: 4 train; grid 2x3 of 40 codes")
        assert "state: being written, or interrupted: this is what is committed" in told
    assert main(["info", str(tmp_path / "t")]) == 0
    told = capsys.readouterr().out
    assert "token store: 5 train; grid 2x3 of 40 codes\n" in told
    assert "shards: 2, 0.0 MB\ncolumns: caption, score\n" in told
    assert f"made by tokenizer {HASH} from x, crop c" in told
