"""Token stores: what is written comes back, and what is not whole is refused."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.files import sha256
from gridcode.store import Manifest, StoreWriter, TokenStore

HASH = "0123456789abcdef"


def writer(folder: Path, **changes: Any) -> StoreWriter:
    settings: dict[str, Any] = {
        "quantizer": {"name": "fsq", "form": "paper", "levels": [8, 5], "eps": 1e-3},
        "codebook_size": 40,
        "grid": (2, 3),
        "tokenizer": HASH,
        "data": {"source": "scenes", "crop": "center", "size": 32, "channels": 3},
        "classes": ("cat", "dog"),
        "shard_rows": 4,
    }
    return StoreWriter(folder, **(settings | changes))


def rows(count: int, start: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(start)
    tokens = torch.randint(0, 40, (count, 2, 3), generator=generator)
    return (
        tokens,
        torch.arange(start, start + count) % 3 - 1,
        [f"é{number}" for number in range(start, start + count)],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of 10 training rows in 3 shards and 3 validation rows."""
    path = tmp_path / "tokens"
    with writer(path) as store:
        store.write("train", *rows(7))
        store.write("val", *rows(3, start=100))
        store.write("train", *rows(3, start=7))
    return path


def edit_manifest(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


class TestRoundTrip:
    def test_what_is_written_comes_back_in_order(self, folder: Path) -> None:
        store = TokenStore.open(folder, tokenizer=HASH)
        assert store.splits == ("train", "val")
        assert (store.rows("train"), store.rows("val")) == (10, 3)
        table = store.load("train")
        first, second = rows(7), rows(3, start=7)
        assert torch.equal(table.tokens, torch.cat([first[0], second[0]]).flatten(1))
        assert torch.equal(table.labels, torch.cat([first[1], second[1]]))
        assert table.keys == (*first[2], *second[2])
        assert (table.tokens.dtype, table.labels.dtype) == (torch.int64, torch.int64)

    @pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 10, 100])
    def test_batches_cross_the_bounds_of_shards(self, folder: Path, batch_size: int) -> None:
        store = TokenStore.open(folder)
        batches = list(store.batches("train", batch_size))
        assert [len(batch.keys) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        whole = store.load("train")
        assert torch.equal(torch.cat([batch.tokens for batch in batches]), whole.tokens)
        assert torch.equal(torch.cat([batch.labels for batch in batches]), whole.labels)
        assert sum((batch.keys for batch in batches), ()) == whole.keys

    def test_the_manifest_comes_back(self, folder: Path) -> None:
        manifest = TokenStore.open(folder).manifest
        assert manifest.quantizer == {"name": "fsq", "form": "paper", "levels": [8, 5], "eps": 1e-3}
        assert (manifest.grid, manifest.tokens_per_example, manifest.codebook_size) == ((2, 3), 6, 40)
        assert (manifest.tokenizer, manifest.classes, manifest.version) == (HASH, ("cat", "dog"), 1)
        assert manifest.data == {"source": "scenes", "crop": "center", "size": 32, "channels": 3}
        assert [(shard.file, shard.rows) for shard in manifest.shards] == [
            ("train-00000.parquet", 4),
            ("train-00001.parquet", 4),
            ("train-00002.parquet", 2),
            ("val-00000.parquet", 3),
        ]
        assert all(sha256(folder / shard.file) == shard.sha256 for shard in manifest.shards)
        assert json.loads((folder / "manifest.json").read_text())["format"] == "gridcode-tokens"

    def test_the_writer_shows_the_same_manifest(self, tmp_path: Path) -> None:
        with writer(tmp_path / "t", data={"size": (32, 32)}) as store:
            store.write("train", *rows(5))
        assert store.manifest == TokenStore.open(tmp_path / "t").manifest

    def test_other_tools_can_read_the_shards(self, folder: Path) -> None:
        table = pq.read_table(folder / "train-00000.parquet")
        assert str(table.schema.field("tokens").type) == "fixed_size_list<element: uint16 not null>[6]"
        assert table["key"].to_pylist() == ["é0", "é1", "é2", "é3"]
        assert table["label"].to_pylist() == [None, 0, 1, None]
        assert table["tokens"][1].as_py() == rows(7)[0][1].flatten().tolist()

    @pytest.mark.parametrize(
        ("size", "kind"),
        [
            (2, "uint16"),
            (2**16, "uint16"),
            (2**16 + 1, "int32"),
            (2**31, "int32"),
            (2**31 + 1, "int64"),
            (2**63, "int64"),
        ],
    )
    def test_tokens_take_the_smallest_type_that_fits(self, tmp_path: Path, size: int, kind: str) -> None:
        tokens = torch.tensor([[0, size - 1]])
        with writer(tmp_path / "t", quantizer={"name": "other"}, codebook_size=size, grid=(2,)) as store:
            store.write("train", tokens, torch.tensor([-1]), ["a"])
        opened = TokenStore.open(tmp_path / "t")
        assert str(opened.manifest.schema.field("tokens").type.value_type) == kind
        assert torch.equal(opened.load("train").tokens, tokens)

    @settings(max_examples=25, deadline=None)
    @given(
        grid=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        size=st.sampled_from([2, 1000, 2**16, 2**20, 2**40, 2**63]),
        shard_rows=st.integers(1, 9),
        parts=st.lists(st.tuples(st.sampled_from(["train", "val", "test_2"]), st.integers(0, 11)), max_size=5),
        batch_size=st.integers(1, 9),
        keys=st.text(st.characters(exclude_categories=["Cs"])),
        seed=st.integers(0, 1000),
    )
    def test_any_store(
        self,
        grid: list[int],
        size: int,
        shard_rows: int,
        parts: list[tuple[str, int]],
        batch_size: int,
        keys: str,
        seed: int,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        written: dict[str, list[tuple[list[int], int, str]]] = {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "t"
            options = {"quantizer": {}, "codebook_size": size, "grid": grid, "shard_rows": shard_rows}
            with writer(folder, **options) as store:
                for split, count in parts:
                    tokens = torch.randint(0, size - 1, (count, *grid), generator=generator)
                    labels = torch.randint(-1, 2, (count,), generator=generator)
                    names = [f"{keys}{number}" for number in range(count)]
                    store.write(split, tokens, labels, names)
                    there = zip(tokens.flatten(1).tolist(), labels.tolist(), names, strict=True) if count else ()
                    written.setdefault(split, []).extend(there)
            opened = TokenStore.open(folder)
            assert set(opened.splits) == {split for split, content in written.items() if content}
            for split in opened.splits:
                read = [
                    row
                    for batch in opened.batches(split, batch_size)
                    for row in zip(batch.tokens.tolist(), batch.labels.tolist(), batch.keys, strict=True)
                ]
                assert read == written[split]
                assert opened.load(split).tokens.tolist() == [row[0] for row in read]

    def test_two_writings_of_the_same_rows_are_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        with writer(tmp_path / "again") as store:
            store.write("train", *rows(7))
            store.write("val", *rows(3, start=100))
            store.write("train", *rows(3, start=7))
        assert TokenStore.open(tmp_path / "again").manifest == TokenStore.open(folder).manifest

    def test_an_empty_store_has_no_splits(self, tmp_path: Path) -> None:
        with writer(tmp_path / "t"):
            pass
        store = TokenStore.open(tmp_path / "t")
        assert store.splits == ()
        with pytest.raises(GridcodeError, match=r"has no split 'train'; it has: none"):
            store.load("train")


class TestOpening:
    def test_another_tokenizers_tokens_are_refused_by_both_names(self, folder: Path) -> None:
        with pytest.raises(GridcodeError, match=f"made by tokenizer {HASH}, not by fedcba9876543210"):
            TokenStore.open(folder, tokenizer="fedcba9876543210")

    @pytest.mark.parametrize("place", ["first", "middle", "last"])
    def test_a_flipped_bit_is_refused(self, folder: Path, place: str) -> None:
        path = folder / "train-00001.parquet"
        content = bytearray(path.read_bytes())
        content[{"first": 0, "middle": len(content) // 3, "last": -1}[place]] ^= 1
        path.write_bytes(content)
        with pytest.raises(GridcodeError, match=r"train-00001.parquet is damaged, its checksum differs"):
            TokenStore.open(folder)

    def test_a_truncated_shard_is_refused(self, folder: Path) -> None:
        path = folder / "val-00000.parquet"
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(GridcodeError, match="its checksum differs"):
            TokenStore.open(folder)
        with pytest.raises(GridcodeError, match="cannot be read"):
            TokenStore.open(folder, verify=False)

    def test_a_missing_shard_is_refused(self, folder: Path) -> None:
        (folder / "val-00000.parquet").unlink()
        with pytest.raises(GridcodeError, match=r"the shard .*val-00000.parquet is missing"):
            TokenStore.open(folder)

    def test_an_unlisted_shard_is_refused(self, folder: Path) -> None:
        shutil.copy(folder / "val-00000.parquet", folder / "val-00001.parquet")
        with pytest.raises(GridcodeError, match=r"also holds val-00001.parquet, which its manifest does not list"):
            TokenStore.open(folder)

    def test_row_counts_and_columns_must_agree(self, folder: Path) -> None:
        shards = json.loads((folder / "manifest.json").read_text())["shards"]
        edit_manifest(folder, shards=[shards[0] | {"rows": 5}, *shards[1:]])
        with pytest.raises(GridcodeError, match=r"has 4 rows, the manifest says 5"):
            TokenStore.open(folder)
        edit_manifest(folder, shards=shards, grid=[3, 3])
        with pytest.raises(GridcodeError, match=r"\[6\], the manifest says .*\[9\]"):
            TokenStore.open(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": "other"}, "is not the manifest of a token store"),
            ({"version": 2}, "has version 2, this gridcode reads 1"),
            ({"version": None}, "has version None"),
            ({"codebook_size": 41}, r"levels \[8, 5\] make 40 codes, codebook_size is 41"),
            ({"codebook_size": "40"}, "codebook_size is '40'"),
            ({"grid": []}, r"grid is \(\)"),
            ({"grid": [2, 0]}, r"grid is \(2, 0\)"),
            ({"grid": 6}, "misses or misnames a field"),
            ({"tokenizer": ""}, "tokenizer is ''"),
            ({"surprise": 1}, "misses or misnames a field"),
            ({"shards": [{"file": "train-00000.parquet"}]}, "misses or misnames a field"),
            (
                {"shards": [{"file": "../x-00000.parquet", "split": "x", "rows": 1, "sha256": ""}]},
                "is no shard",
            ),
            (
                {"shards": [{"file": "x-00000.parquet", "split": "x", "rows": -1, "sha256": ""}]},
                "is no shard",
            ),
        ],
    )
    def test_a_wrong_manifest_is_refused(self, folder: Path, changes: dict[str, Any], message: str) -> None:
        edit_manifest(folder, **changes)
        with pytest.raises(GridcodeError, match=message) as caught:
            TokenStore.open(folder)
        assert "\n" not in str(caught.value)

    def test_a_torn_manifest_is_refused(self, folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(path.read_text()[:100])
        with pytest.raises(GridcodeError, match="is not valid JSON"):
            TokenStore.open(folder)

    def test_no_folder_and_no_store(self, tmp_path: Path) -> None:
        with pytest.raises(GridcodeError, match=r"there is no folder .*gridcode tokenize"):
            TokenStore.open(tmp_path / "none")
        with pytest.raises(GridcodeError, match=r"has no manifest.json; give a folder"):
            TokenStore.open(tmp_path)

    def test_tokens_beyond_the_book_are_refused_at_read(self, folder: Path) -> None:
        edit_manifest(folder, codebook_size=20, quantizer={})
        store = TokenStore.open(folder)
        with pytest.raises(GridcodeError, match=r"saw the token \d+, but they lie in \[0, 20\)"):
            store.load("train")

    def test_labels_beyond_the_classes_are_refused_at_read(self, folder: Path) -> None:
        edit_manifest(folder, classes=["cat"])
        with pytest.raises(GridcodeError, match=r"saw the label 1, but they lie in \[-1, 1\)"):
            TokenStore.open(folder).load("train")

    def test_unknown_splits_and_batch_sizes_are_refused_at_once(self, folder: Path) -> None:
        store = TokenStore.open(folder)
        with pytest.raises(GridcodeError, match=r"has no split 'test'; it has: train, val"):
            store.batches("test", 4)
        with pytest.raises(GridcodeError, match="batch_size is 0"):
            store.batches("train", 0)


class TestWriting:
    @pytest.mark.parametrize(
        ("tokens", "labels", "keys", "message"),
        [
            (torch.full((1, 2, 3), 40), [0], ["a"], r"saw 40 among the tokens, not in \[0, 40\)"),
            (torch.full((1, 2, 3), -1), [0], ["a"], "saw -1 among the tokens"),
            (torch.zeros(1, 2, 3), [0], ["a"], "tokens are torch.float32"),
            (
                torch.zeros(1, 6, dtype=torch.int64),
                [0],
                ["a"],
                r"tokens have shape \(1, 6\); 1 keys and the grid \(2, 3\)",
            ),
            (torch.zeros(2, 2, 3, dtype=torch.int64), [0], ["a"], r"tokens have shape \(2, 2, 3\)"),
            (torch.zeros(1, 2, 3, dtype=torch.int64), [0, 1], ["a"], r"labels have shape \(2,\)"),
            (
                torch.zeros(1, 2, 3, dtype=torch.int64),
                [2],
                ["a"],
                r"saw 2 among the labels, not in \[-1, 2\)",
            ),
            (torch.zeros(1, 2, 3, dtype=torch.int64), [-2], ["a"], "saw -2 among the labels"),
            (torch.zeros(1, 2, 3, dtype=torch.int64), [0.5], ["a"], "labels are torch.float32"),
            (torch.zeros(1, 2, 3, dtype=torch.int64), [0], "a", "keys must be a sequence of strings"),
            (torch.zeros(1, 2, 3, dtype=torch.int64), [0], [7], "keys must be a sequence of strings"),
        ],
    )
    def test_rows_that_do_not_fit_are_refused(
        self, tmp_path: Path, tokens: torch.Tensor, labels: list[int], keys: Any, message: str
    ) -> None:
        with writer(tmp_path / "t") as store:
            with pytest.raises(GridcodeError, match=message):
                store.write("train", tokens, torch.tensor(labels), keys)
            store.write("train", *rows(1))
        assert TokenStore.open(tmp_path / "t").rows("train") == 1

    @pytest.mark.parametrize("split", ["", "../train", "a-b", "a b", "train/x"])
    def test_splits_are_plain_names(self, tmp_path: Path, split: str) -> None:
        with writer(tmp_path / "t") as store, pytest.raises(GridcodeError, match="is no name for a split"):
            store.write(split, *rows(1))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"codebook_size": 41}, "they must agree"),
            ({"codebook_size": 0, "quantizer": {}}, "codebook_size is 0"),
            ({"codebook_size": 2**63 + 1, "quantizer": {}}, "codebook_size is"),
            ({"grid": ()}, r"grid is \(\)"),
            ({"tokenizer": ""}, "tokenizer is ''"),
            ({"data": {"path": object()}}, "cannot be written as JSON"),
            ({"shard_rows": 0}, "shard_rows is 0"),
        ],
    )
    def test_wrong_settings_are_refused_before_anything_is_written(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(GridcodeError, match=message):
            writer(tmp_path / "t", **changes)
        assert not (tmp_path / "t").exists()

    def test_writing_outside_the_block_is_refused(self, tmp_path: Path) -> None:
        store = writer(tmp_path / "t")
        with pytest.raises(GridcodeError, match="outside its block"):
            store.write("train", *rows(1))
        with store:
            pass
        with pytest.raises(GridcodeError, match="outside its block"):
            store.write("train", *rows(1))

    def test_memory_holds_less_than_a_shard_of_each_split(self, tmp_path: Path) -> None:
        with writer(tmp_path / "t") as store:
            for start in range(0, 30, 3):
                store.write("train", *rows(3, start=start))
                waiting = sum(batch.num_rows for batch in store._waiting["train"])
                assert waiting < 4
                assert sum(shard.rows for shard in store.manifest.shards) + waiting == start + 3

    def test_tokens_may_come_in_other_integer_types(self, tmp_path: Path) -> None:
        tokens, labels, keys = rows(3)
        with writer(tmp_path / "t") as store:
            store.write("train", tokens.to(torch.int32), labels.to(torch.int8), tuple(keys))
        assert torch.equal(TokenStore.open(tmp_path / "t").load("train").tokens, tokens.flatten(1))


class TestInterruption:
    def interrupt(self, path: Path, **changes: Any) -> None:
        with pytest.raises(KeyboardInterrupt), writer(path, **changes) as store:  # noqa: PT012
            store.write("train", *rows(9))
            raise KeyboardInterrupt

    def test_an_interrupted_store_is_refused_and_says_what_to_do(self, tmp_path: Path) -> None:
        self.interrupt(tmp_path / "t")
        assert (tmp_path / "t" / "train-00000.parquet").exists()
        with pytest.raises(GridcodeError, match="is incomplete, its writing was interrupted; tokenize again over it"):
            TokenStore.open(tmp_path / "t")

    def test_an_interrupted_store_can_be_overwritten_only_by_asking(self, tmp_path: Path) -> None:
        self.interrupt(tmp_path / "t")
        with pytest.raises(GridcodeError, match="set overwrite=True"), writer(tmp_path / "t"):
            pass
        with writer(tmp_path / "t", overwrite=True) as store:
            store.write("train", *rows(2))
        assert TokenStore.open(tmp_path / "t").load("train").keys == ("é0", "é1")
        assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
            "manifest.json",
            "train-00000.parquet",
        ]

    def test_interrupted_overwriting_does_not_leave_the_old_store_standing(self, folder: Path) -> None:
        self.interrupt(folder, overwrite=True)
        with pytest.raises(GridcodeError, match="is incomplete"):
            TokenStore.open(folder)

    def test_a_mark_left_beside_a_manifest_does_not_matter(self, folder: Path) -> None:
        shutil.copy(folder / "manifest.json", folder / "manifest.partial.json")
        assert TokenStore.open(folder).rows("train") == 10

    def test_a_whole_store_is_overwritten_only_by_asking(self, folder: Path) -> None:
        with pytest.raises(GridcodeError, match="already holds one"), writer(folder):
            pass
        assert TokenStore.open(folder).rows("train") == 10
        with writer(folder, overwrite=True) as store:
            store.write("test", *rows(1))
        assert TokenStore.open(folder).splits == ("test",)

    def test_other_files_are_never_removed(self, tmp_path: Path, folder: Path) -> None:
        (folder / "notes.txt").write_text("mine")
        with writer(folder, overwrite=True):
            pass
        assert (folder / "notes.txt").read_text() == "mine"
        shutil.copy(folder / "notes.txt", tmp_path / "train-00000.parquet")
        with (
            pytest.raises(GridcodeError, match="holds other files than a token store"),
            writer(tmp_path, overwrite=True),
        ):
            pass
        assert (tmp_path / "train-00000.parquet").read_text() == "mine"
        with pytest.raises(GridcodeError, match="is a file"), writer(folder / "notes.txt", overwrite=True):
            pass

    def test_a_failed_last_shard_leaves_no_manifest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(pq, "write_table", fail)
        with pytest.raises(OSError, match="disk full"), writer(tmp_path / "t") as store:
            store.write("train", *rows(2))
        assert [path.name for path in (tmp_path / "t").iterdir()] == ["manifest.partial.json"]


def test_a_manifest_counts_its_grid() -> None:
    manifest = Manifest({}, 10, (3, 4, 5), HASH, {}, ())
    assert manifest.tokens_per_example == 60
