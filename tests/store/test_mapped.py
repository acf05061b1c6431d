"""Tokens mapped for training: the same numbers as in memory, and no room is one line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from gridcode.errors import FileError, GridcodeError
from gridcode.store import TokenStore
from gridcode.store.mapped import map_tokens
from tests.store.test_store import rows, writer
from tests.test_errors import full_disk


@pytest.mark.parametrize(
    ("size", "kind"), [(2**15, torch.int16), (2**15 + 1, torch.int32), (2**31, torch.int32), (2**40, torch.int64)]
)
def test_a_mapped_split_is_the_loaded_one(tmp_path: Path, size: int, kind: torch.dtype) -> None:
    with writer(tmp_path / "t", quantizer={"name": "vq"}, codebook_size=size) as store:
        store.write("train", torch.randint(0, size, (11, 2, 3)), torch.arange(11) % 3 - 1, [f"a{n}" for n in range(11)])
        store.write("train", torch.tensor([[[0, size - 1, 0]] * 2]), torch.tensor([0]), ["last"])
    opened = TokenStore.open(tmp_path / "t")
    loaded, mapped = opened.load("train"), map_tokens(opened, "train")
    assert mapped.tokens.dtype == kind
    assert torch.equal(mapped.tokens.long(), loaded.tokens)
    assert torch.equal(mapped.labels, loaded.labels)
    assert tuple(opened.keys("train")) == loaded.keys
    order = torch.tensor([11, 0, 5, 5])
    assert torch.equal(mapped.tokens[order].long(), loaded.tokens[order])


def test_no_room_and_no_split_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(tmp_path / "t", shard_rows=2000) as store:
        store.write("train", *rows(1000))
    opened = TokenStore.open(tmp_path / "t")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with full_disk(), pytest.raises(FileError, match=r"t: its tokens cannot be unpacked into .*temporary \(.*\); free"):
        map_tokens(opened, "train")
    assert not list((tmp_path / "temporary").iterdir())
    with pytest.raises(GridcodeError, match="has no split 'other'"):
        map_tokens(opened, "other")
    (tmp_path / "t" / "train-00000.parquet").unlink()
    for read in (map_tokens, TokenStore.load):
        with pytest.raises(FileError, match=r"the shard .*train-00000.parquet cannot be read \(.*No such file"):
            read(opened, "train")
