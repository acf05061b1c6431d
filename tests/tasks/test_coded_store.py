"""A token store as one coded file."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gridcode.codec import pack_stream
from gridcode.errors import GridcodeError
from gridcode.files import to_json
from gridcode.prior.bits import measure_bits
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.train import token_space
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.tasks.coded_store import CodedTokens, code_split, decode_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    folder, draw = tmp_path_factory.mktemp("store") / "tokens", torch.Generator().manual_seed(0)
    with StoreWriter(
        folder,
        quantizer={"name": "fsq", "levels": [5, 4]},
        codebook_size=20,
        grid=(5, 6),
        tokenizer="0123456789abcdef",
        data={"dataset": "x"},
        classes=("cat", "dog"),
    ) as writer:
        for split, rows in (("train", 70), ("val", 5)):
            tokens = (torch.rand(rows, 5, 6, generator=draw) ** 3 * 20).long()
            writer.write(split, tokens, torch.arange(rows) % 3 - 1, [f"{split}/{row}" for row in range(rows)])
    return TokenStore.open(folder)


@pytest.fixture(scope="module")
def prior(store: TokenStore) -> MaskGIT:
    torch.manual_seed(0)
    return MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), token_space(store)).eval()


@pytest.mark.parametrize("coder", ["raw", "static", "prior"])
def test_a_split_comes_back_whole_and_by_blocks(store: TokenStore, prior: MaskGIT, coder: str, tmp_path: Path) -> None:
    path, steps = tmp_path / "train.gc", []
    given = prior if coder == "prior" else None
    size = code_split(
        store,
        "train",
        path,
        prior=given,
        coder=coder,
        block=32,
        progress=lambda *done: steps.append(done),  # type: ignore[arg-type]
    )
    assert size == path.stat().st_size
    assert steps == [(32, 70), (64, 70), (70, 70)]
    found, table = CodedTokens.open(path, prior=given), store.load("train")
    assert torch.equal(found.load().tokens, table.tokens)
    assert torch.equal(found.load().labels, table.labels)
    assert found.load().keys == table.keys
    assert found.block(2).keys == table.keys[64:]
    assert (len(found), found.blocks, found.about["split"]) == (70, 3, "train")
    assert found.about["manifest"]["classes"] == ["cat", "dog"]
    if coder == "prior":
        coded = sum(map(len, found.stream.payloads())) - 4 * found.blocks
        bits = measure_bits(prior, table).per_token
        assert 8 * coded / table.tokens.numel() == pytest.approx(bits, rel=0.01)


def test_what_does_not_fit(store: TokenStore, prior: MaskGIT, tmp_path: Path) -> None:
    path = tmp_path / "val.gc"
    code_split(store, "val", path, prior=prior)
    with pytest.raises(GridcodeError, match=r"was coded by prior .* and none is given"):
        CodedTokens.open(path)
    torch.manual_seed(1)
    other = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), token_space(store)).eval()
    with pytest.raises(GridcodeError, match=r"was coded by prior .* the one given is"):
        CodedTokens.open(path, prior=other)
    with pytest.raises(GridcodeError, match="has the blocks 0 … 0, not 1"):
        CodedTokens.open(path, prior=prior).block(1)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(GridcodeError, match=r"block 0 of .* is damaged"):
        CodedTokens.open(path, prior=prior).load()
    with pytest.raises(GridcodeError, match="there is no file"):
        CodedTokens.open(tmp_path / "none.gc")
    with pytest.raises(GridcodeError, match="no split 'test'"):
        code_split(store, "test", path)
    with pytest.raises(GridcodeError, match="the coder prior needs a prior"):
        code_split(store, "val", path, coder="prior")
    prior.space.__dict__["tokenizer"] = "0" * 16
    with pytest.raises(GridcodeError, match="learned the tokens of tokenizer 0000"):
        code_split(store, "val", path, prior=prior)
    prior.space.__dict__["tokenizer"] = store.manifest.tokenizer
    for change, said in (
        ({"classes": ("cat",)}, "1 classes, the store has 2"),
        ({"grid": (6, 5)}, r"grids of \(6, 5\)"),
    ):
        config = MaskGITConfig(width=16, depth=1, heads=2, mlp=32)
        with pytest.raises(GridcodeError, match=f"this prior learned {said}"):
            code_split(store, "val", path, prior=MaskGIT(config, replace(token_space(store), **change)).eval())


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [0] * 4 + [2]},
        {"labels": ["0"] * 5},
        {"labels": 5},
        {"keys": [7] * 5},
        {"keys": ["a"]},
        {"split": 5},
        {"labels": [0] * 4 + [2], "manifest": {"classes": ["a", "b", "c"]}},
        {"manifest": []},
        {"manifest": {"classes": 3}},
    ],
)
def test_what_a_file_says_of_its_examples_is_checked(
    store: TokenStore, prior: MaskGIT, change: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "val.gc"
    code_split(store, "val", path, prior=prior)
    found = CodedTokens.open(path, prior=prior)
    about = zlib.compress(to_json({**found.about, **change}).encode())
    path.write_bytes(pack_stream(replace(found.stream.header, about=about), list(found.stream.payloads())))
    with pytest.raises(GridcodeError, match=r"is not a coded token store|do not fit each other"):
        CodedTokens.open(path, prior=prior)


def test_a_file_that_claims_more_grids_at_a_time_than_it_has(store: TokenStore, prior: MaskGIT, tmp_path: Path) -> None:
    path = tmp_path / "val.gc"
    code_split(store, "val", path, prior=prior)
    stream = CodedTokens.open(path, prior=prior).stream
    assert stream.header.coding is not None
    coding = replace(stream.header.coding, batch=2**12)
    path.write_bytes(pack_stream(replace(stream.header, coding=coding), list(stream.payloads())))
    with pytest.raises(GridcodeError, match="claims 4096 grids at a time, of 5 at most"):
        CodedTokens.open(path, prior=prior)


@pytest.mark.parametrize("tokenizer", ["mine", "ab", "0123456789ABCDEF0"])
def test_a_store_whose_tokenizer_has_no_hash(tokenizer: str, tmp_path: Path) -> None:
    with StoreWriter(
        tmp_path / "tokens", quantizer={}, codebook_size=4, grid=(1, 2), tokenizer=tokenizer, data={}, classes=()
    ) as writer:
        writer.write("train", torch.tensor([[[0, 1]]]), torch.tensor([-1]), ["a"])
    with pytest.raises(GridcodeError, match="which is no hash of weights"):
        code_split(TokenStore.open(tmp_path / "tokens"), "train", tmp_path / "train.gc")
    assert not (tmp_path / "train.gc").exists()


COLUMNS = {
    "caption": ["a coat", None, 'naïve\n"ship"', "", "\x00"],
    "index": [0, -(2**63), 2**63 - 1, None, 7],
    "score": [0.1, math.inf, math.nan, -0.0, None],
}


@pytest.fixture
def described(tmp_path: Path) -> TokenStore:
    """A store with a further column of each kind."""
    with StoreWriter(
        tmp_path / "described",
        quantizer={},
        codebook_size=4,
        grid=(1, 2),
        tokenizer="0123456789abcdef",
        data={},
        classes=(),
        columns={"caption": "string", "index": "int64", "score": "float64"},
    ) as writer:
        writer.write("val", torch.arange(10).view(5, 1, 2) % 4, torch.full((5,), -1), list("abcde"), COLUMNS)
    return TokenStore.open(tmp_path / "described")


def test_further_columns_come_back(described: TokenStore, tmp_path: Path) -> None:
    path = tmp_path / "val.gc"
    code_split(described, "val", path, block=2)
    found = CodedTokens.open(path)
    assert repr(found.block(1).columns) == repr({name: tuple(values[2:4]) for name, values in COLUMNS.items()})
    again = decode_store([path], tmp_path / "again")
    assert replace(again.manifest, shards=()) == replace(described.manifest, shards=())
    assert repr(again.load("val").columns) == repr(described.load("val").columns) == repr(found.load().columns)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": {}},
        {"columns": []},
        {"columns": {**COLUMNS, "score": [None] * 4}},
        {"columns": {**COLUMNS, "score": ["much"] * 5}},
        {"columns": {**COLUMNS, "score": ["0x1p9999"] * 5}},
        {"columns": {**COLUMNS, "score": [1.5] * 5}},
        {"columns": {**COLUMNS, "score": [None] * 5, "index": [True] * 5}},
        {"columns": {**COLUMNS, "score": [None] * 5, "caption": [[]] * 5}},
        {"manifest": {"classes": [], "columns": {"caption": "pickle"}}},
        {"manifest": {"classes": [], "columns": ["caption"]}},
        {"manifest": {"classes": [], "columns": {"caption": ["string"]}}},
    ],
)
def test_what_a_file_says_of_columns_is_checked(described: TokenStore, change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "val.gc"
    code_split(described, "val", path)
    found = CodedTokens.open(path)
    about = zlib.compress(to_json({**found.about, **change}).encode())
    path.write_bytes(pack_stream(replace(found.stream.header, about=about), list(found.stream.payloads())))
    with pytest.raises(GridcodeError, match=r"is not a coded token store|do not fit each other"):
        CodedTokens.open(path)
