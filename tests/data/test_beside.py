"""What stands beside images, from every source that has something, through the loader into a store."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gridcode.cli.main import main
from gridcode.data.config import DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.open import keep_columns, open_images
from gridcode.data.shards.beside import Beside
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.store.reader import TokenStore
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.model import Tokenizer
from tests.data.test_shards import packed, picture, saved

DATA = DataConfig(size=8, workers=0, val_fraction=0.3)


def tars(folder: Path) -> dict[str, dict[str, Any]]:
    """Two tar files; the second image of each has no caption."""
    folder.mkdir()
    truth = {}
    for shard in range(2):
        members = []
        for row in range(3):
            key, caption, about = f"{shard}{row}", f"Bild {row} — größer\n", {"url": f"http://x/{row}", "width": row}
            members += [(f"{key}.png", picture(3 * shard + row)), (f"{key}.json", json.dumps(about).encode())]
            if row != 1:
                members.append((f"{key}.txt", caption.encode()))
            truth[f"{shard}.tar:{key}"] = {"txt": None if row == 1 else caption, "json": json.dumps(about)}
        (folder / f"{shard}.tar").write_bytes(packed(members))
    return truth


def parquet(folder: Path) -> dict[str, dict[str, Any]]:
    """Two Parquet files, whose integers have other widths."""
    folder.mkdir()
    truth = {}
    for shard, kind in enumerate((pa.int16(), pa.int32())):
        rows = [shard * 3 + row for row in range(3)]
        table = {
            "image": [{"bytes": picture(row), "path": None} for row in rows],
            "width": pa.array([None if row == 4 else row for row in rows], kind),
            "score": [row / 4 for row in rows],
            "box": [[row, 2] for row in rows],
            "text": pa.array([f"no. {row}" for row in rows]).dictionary_encode(),
            "thumbnail": [b"x"] * 3,
        }
        pq.write_table(pa.table(table), folder / f"{shard}.parquet")
        for place, row in enumerate(rows):
            width = None if row == 4 else row
            told = {"width": width, "score": row / 4, "box": f"[{row}, 2]", "text": f"no. {row}"}
            truth[f"{shard}.parquet:{place}"] = told
    return truth


WAYS = {"tar": (tars, ("txt", "json")), "parquet": (parquet, ("width", "score", "box", "text"))}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_columns_come_with_their_images(way: str, stream: bool, tmp_path: Path) -> None:
    write, names = WAYS[way]
    truth = write(tmp_path / way)
    config = replace(DATA, source=str(tmp_path / way), stream=stream)
    found = {}
    for split in ("train", "val"):
        source = keep_columns(open_images(config, split), names)
        for batch in eval_batches(source, config, batch_size=2):
            found |= dict(zip(batch.keys, batch.beside, strict=True))
    assert found == truth
    train = open_images(config, "train")
    assert all(batch.beside in ((), ({}, {}), ({},)) for batch in eval_batches(train, config, batch_size=2))


def test_a_saved_data_set_has_its_other_columns(tmp_path: Path) -> None:
    saved(tmp_path / "saved", 5)
    config = replace(DATA, source=str(tmp_path / "saved"))
    source = keep_columns(open_images(config, "train"), ["label"])
    found = {
        key: beside
        for b in eval_batches(source, config, batch_size=8)
        for key, beside in zip(b.keys, b.beside, strict=True)
    }
    assert len(found) == 3
    assert found == {key: {"label": int(key) % 2} for key in found}


@pytest.mark.parametrize(
    ("way", "name", "said"),
    [
        ("tar", "txd", "nothing called 'txd' beside the images, only json, txt; name others"),
        ("parquet", "txt", "nothing called 'txt' beside the images, only width, score, box, text, thumbnail"),
        ("parquet", "thumbnail", "'thumbnail' holds bytes"),
        ("scenes", "txt", "scenes: nothing stands beside these images"),
    ],
)
def test_what_cannot_be_kept_is_said(way: str, name: str, said: str, tmp_path: Path) -> None:
    if way != "scenes":
        WAYS[way][0](tmp_path / way)
    config = replace(DATA, source=str(tmp_path / way) if way != "scenes" else "scenes")
    with pytest.raises(GridcodeError, match=said):
        keep_columns(open_images(config, "train"), [name])


def test_a_stream_of_tar_files_keeps_no_images(tmp_path: Path) -> None:
    tars(tmp_path / "tar")
    train = open_images(replace(DATA, source=str(tmp_path / "tar"), stream=True), "train")
    with pytest.raises(GridcodeError, match="'png' is an image, which a token store does not keep; leave it out"):
        keep_columns(train, ["png"])


def test_values_of_other_types_become_text() -> None:
    day = date(2024, 5, 1)
    table = pa.table({"taken": [day, None], "seen": [[day], None], "what": [{"price": Decimal("1.50")}, None]})
    beside = Beside.of([table], "a")
    assert beside[0] == {"taken": "2024-05-01", "seen": '["2024-05-01"]', "what": '{"price": "1.50"}'}
    assert beside[1] == dict.fromkeys(table.column_names)
    with pytest.raises(GridcodeError, match="'data' holds bytes"):
        Beside.of([pa.table({"data": pa.array([[b"a"]], pa.list_(pa.dictionary(pa.int8(), pa.binary())))})], "a")
    latin = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xe9"]).buffers())
    with pytest.raises(GridcodeError, match="'caption' has a text that is not UTF-8"):
        Beside.of([pa.table({"caption": latin})], "a")[0]


def test_a_store_keeps_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = tars(tmp_path / "tar")
    torch.manual_seed(0)
    config = TokenizerConfig(quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)
    model = Tokenizer(config).eval()
    model.info["data"] = asdict(DATA)
    model.save_pretrained(tmp_path / "tokenizer")
    words = (
        f"tokenize --tokenizer {tmp_path}/tokenizer --out {tmp_path}/store --data.source {tmp_path}/tar --data.size 8"
    )
    assert main([*words.split(), "--data.workers=0", "--flips", "--columns", "txt", "json"]) == 0
    store = TokenStore.open(tmp_path / "store")
    assert store.manifest.columns == {"txt": "string", "json": "string"}
    for split in store.splits:
        keys = list(store.load(split).keys)[::-1]
        table = store.take(split, store.find(split, keys))
        assert table.keys == tuple(keys)
        for row, key in enumerate(keys):
            assert {name: table.columns[name][row] for name in ("txt", "json")} == truth[key.removesuffix("#flip")]
    assert any(key.endswith("#flip") for key in store.load("train").keys)
    assert main(["info", str(tmp_path / "store")]) == 0
    assert "columns: txt, json" in capsys.readouterr().out
    with pytest.raises(GridcodeError, match="no example 'x' in split 'val'; check its key"):
        store.find("val", ["x"])


def test_splits_have_the_same_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "parquet")
    config = replace(DATA, source=str(tmp_path / "parquet"))
    torch.manual_seed(0)
    model = Tokenizer(TokenizerConfig(quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8))).eval()
    splits = {
        "train": keep_columns(open_images(config, "train"), ["width"]),
        "val": open_images(config, "val"),
    }
    with pytest.raises(GridcodeError, match=r"columns are width \(int64\) of train, but none of val; keep the same"):
        tokenize(model, splits, config, StoreOptions(tmp_path / "store"))
