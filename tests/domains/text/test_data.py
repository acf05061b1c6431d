"""How texts are read, cut and held out: any bytes are text, and nothing is in two splits."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.data.workers import TrainOrder
from gridcode.domains.text.config import TextConfig
from gridcode.domains.text.data import (
    Stretch,
    TextSource,
    as_batch,
    eval_batches,
    open_texts,
    read_texts,
    train_batches,
)
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.store.reader import TokenStore
from gridcode.studies.text.study import write_bytes_as_tokens


def write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


@given(content=st.binary(min_size=1, max_size=300), window=st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_any_bytes_pass_through_reader_and_token_store(
    content: bytes, window: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    [text] = read_texts(write(folder / "a.txt", content))
    source = TextSource("a", [text], window)
    write_bytes_as_tokens({"val": source}, folder / "tokens", TextConfig(window=window))
    tokens = TokenStore.open(folder / "tokens").load("val").tokens
    assert tokens.flatten().numpy().astype(np.uint8).tobytes()[: len(content)] == content
    batches = list(eval_batches(source, batch_size=3))
    assert torch.cat([batch.text[batch.own] for batch in batches]).numpy().tobytes() == content
    assert len({key for batch in batches for key in batch.keys}) == len(source)


@given(length=st.integers(9, 200), window=st.integers(1, 8), fraction=st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_training_reads_no_byte_of_what_is_held_out(
    length: int, window: int, fraction: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = write(tmp_path_factory.mktemp("split") / "a.txt", bytes(place % 251 for place in range(length)))
    config = TextConfig(source=place, window=window, val_fraction=fraction)
    train, val = open_texts(config, "train"), open_texts(config, "val")
    assert train.size + val.size == length
    assert val.size >= 1
    assert val.stretches[0].start == train.size
    assert train.size % window == 0
    batch = next(train_batches(train, TrainOrder(16, 0)))
    starts = [int(key.rpartition(":")[2]) for key in batch.keys]
    assert max(start + window for start in starts) <= train.size
    assert all(row[0] == start % 251 for row, start in zip(batch.text.tolist(), starts, strict=True))


def test_a_step_of_the_stream_is_the_same_wherever_it_is_resumed() -> None:
    source = TextSource("a", [Stretch("a", 0, np.arange(200, dtype=np.uint8))], 8)
    stream, resumed = train_batches(source, TrainOrder(4, 3)), train_batches(source, TrainOrder(4, 3, start_step=2))
    batches = [next(stream) for _ in range(3)]
    assert torch.equal(batches[2].text, next(resumed).text)
    assert not torch.equal(batches[0].text, batches[1].text)


def test_a_folder_is_read_in_order_and_each_text_holds_out_its_end(tmp_path: Path) -> None:
    write(tmp_path / "b/two.md", b"x" * 40)
    write(tmp_path / "one.txt.gz", gzip.compress(b"y" * 100, mtime=0))
    write(tmp_path / "picture.png", b"z")
    config = TextConfig(source=str(tmp_path), window=10, val_fraction=0.3)
    train, val = open_texts(config, "train"), open_texts(config, "val")
    assert [(text.key, len(text.content)) for text in train.stretches] == [("one.txt.gz", 70), ("b/two.md", 30)]
    assert val.content() == b"y" * 30 + b"x" * 10
    assert [val.key(index) for index in range(4)] == ["one.txt.gz:70", "one.txt.gz:80", "one.txt.gz:90", "b/two.md:30"]
    assert len(val.part(2)) == 2
    assert [window.start for window in val.cut(range(2, 4))] == [90, 30]


def test_a_text_shorter_than_a_window_is_filled_up(tmp_path: Path) -> None:
    place = write(tmp_path / "a.txt", b"hey")
    config = TextConfig(source=place, val_source=place, window=8)
    batch = next(eval_batches(open_texts(config, "val"), batch_size=4))
    assert batch.text.tolist() == [[*b"hey", 0, 0, 0, 0, 0]]
    assert batch.lengths.tolist() == [3]
    assert next(train_batches(open_texts(config, "train"), TrainOrder(2, 0))).lengths.tolist() == [3, 3]
    assert as_batch([], 8).text.shape == (0, 8)


@pytest.mark.parametrize(("name", "content", "error", "said"), [
    ("a.txt", b"", FileError, r"a\.txt: empty; a text has at least one byte"),
    ("a.txt.gz", b"no gzip", FileError, r"a\.txt\.gz: not a whole gzip file"),
    ("a.txt.gz", gzip.compress(b"x" * 999, mtime=0)[:-9], FileError, r"a\.txt\.gz: not a whole gzip file"),
    ("a.txt.gz", gzip.compress(b"", mtime=0), FileError, r"a\.txt\.gz: empty"),
    ("a.txt", b"short", GridcodeError, "no text is longer than a window of 64 bytes, so that nothing can be held out"),
])  # fmt: skip
def test_what_is_no_text_is_refused_in_one_line(
    name: str, content: bytes, error: type[Exception], said: str, tmp_path: Path
) -> None:
    place = write(tmp_path / name, content)
    with pytest.raises(error, match=said) as caught:
        open_texts(TextConfig(source=place), "train")
    assert "\n" not in str(caught.value)


def test_damaged_gzip_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    whole, path = gzip.compress(b"To be, or not to be" * 9, mtime=0), tmp_path / "a.txt.gz"
    for seed in range(200):
        draws, damaged = np.random.default_rng(seed), bytearray(whole)
        for _ in range(draws.integers(1, 4)):
            damaged[draws.integers(len(damaged))] = draws.integers(256)
        path.write_bytes(bytes(damaged[: draws.integers(len(damaged)) if seed % 2 else None]))
        said = ""
        try:
            assert len(read_texts(str(path))[0].content)
        except FileError as error:
            said = str(error)
        assert not said or (said.startswith(str(path)) and "\n" not in said)


def test_a_corpus_with_a_broken_file_names_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.txt", b"x" * 200)
    write(tmp_path / "b.txt", b"")
    with pytest.raises(GridcodeError, match=r"b\.txt: empty"):
        open_texts(TextConfig(source=str(tmp_path)), "train")
    with caplog.at_level(logging.WARNING):
        source = open_texts(TextConfig(source=str(tmp_path), on_error="skip"), "train")
    assert len(source.stretches) == 1
    assert "b.txt: empty" in caplog.text


def test_places_without_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file or folder"):
        open_texts(TextConfig(source=str(tmp_path / "none")), "train")
    with pytest.raises(GridcodeError, match=r"no texts here \(\.txt"):
        open_texts(TextConfig(source=str(tmp_path)), "train")
