"""One public type of error that callers' usual ``except`` catches too, and that none of ours swallows."""

from __future__ import annotations

import errno
import os
import pickle
import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

import gridcode
from gridcode.cli.main import main
from gridcode.cli.shared.options import Output
from gridcode.cli.shared.parse import parse
from gridcode.convert.source import read_source
from gridcode.data.adapter import TorchDataset
from gridcode.data.config import DataConfig
from gridcode.data.image import decode_image
from gridcode.data.loader import eval_batches
from gridcode.data.mapped import MappedColumn
from gridcode.data.npz import NpzImages
from gridcode.data.open import open_source, open_split
from gridcode.data.parquet import ParquetImages
from gridcode.data.source import Example, ImageSource
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.files import read_values
from gridcode.domains.dense.data.open import open_dense
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.features.vgg import read_tensors
from gridcode.files import folder_atomic, make_folder, read_json, write_atomic, write_text
from gridcode.hub import load_model, save_model
from gridcode.prior.ar import Autoregressive
from gridcode.prior.config import CrossAttentionConfig, TokenSpace
from gridcode.prior.encoder import find_vit
from gridcode.quantize.config import quantizer_from_json
from gridcode.store.reader import TokenStore
from gridcode.training.config import LoopConfig
from gridcode.training.signals import Stopped
from gridcode.training.state import Trainee, load_state

VALUES: dict[str, Callable[[], object]] = {
    "levels": lambda: gridcode.FSQ([1]),
    "a setting": lambda: LoopConfig(steps=0),
    "a setting of the data": lambda: DataConfig(size=0),
    "a tensor's type": lambda: gridcode.FSQ([8, 5])(torch.zeros(2, 2, dtype=torch.int64)),
    "a tensor's shape": lambda: gridcode.FSQ([8, 5])(torch.zeros(2, 3)),
    "an index": lambda: gridcode.FSQ([8, 5]).indices_to_codes(torch.tensor([40])),
    "a quantizer's name": lambda: quantizer_from_json({"name": "rvq"}),
}

MISSING: dict[str, Callable[[Path], object]] = {
    "settings": lambda path: read_json(path, "settings"),
    "a model": lambda path: load_model(path / "model", kind="toy"),
    "a model in a folder": lambda path: load_model(path.parent, kind="toy"),
    "a tokenizer": lambda path: gridcode.Tokenizer.from_pretrained(path),
    "a token store": TokenStore.open,
    "an image": lambda path: decode_image(path, name="a"),
    "a label map": lambda path: read_values(path, name="a"),
    "pictures": open_source,
    "images with labels": lambda path: open_dense(DenseConfig(source=str(path)), "train"),
    "a .npz file": lambda path: NpzImages(path.with_suffix(".npz")),
    "a Parquet file": lambda path: ParquetImages([path.with_suffix(".parquet")]),
    "weights": read_tensors,
    "weights of a vision transformer": find_vit,
    "a model of another project": read_source,
    "a checkpoint": lambda path: load_state(path, trainee()),
}

UNREADABLE: dict[str, Callable[[Path], object]] = {
    "an image": lambda path: decode_image(path, name="a"),
    "a label map": lambda path: read_values(path, name="a"),
    "a .npz file": NpzImages,
    "a Parquet file": lambda path: ParquetImages([path]),
    "weights": read_tensors,
    "weights of another project": lambda path: read_source(path, allow_pickle=True),
}


def trainee() -> Trainee:
    model = torch.nn.Linear(1, 1)
    return Trainee(model, model, torch.optim.SGD(model.parameters()))


@pytest.mark.parametrize("what", VALUES)
def test_a_wrong_value_is_a_value_error(what: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the type is what is tested)
        VALUES[what]()
    assert isinstance(caught.value, GridcodeError)
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize("what", MISSING)
def test_a_missing_file_is_found_not_to_be_there(what: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        MISSING[what](tmp_path / "nothing")
    assert isinstance(caught.value, GridcodeError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("content", ["damaged", "a folder"])
def test_an_unreadable_file_is_an_error_of_the_system(what: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    if content == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"no file of any kind")
    with pytest.raises(OSError, match=r"damaged|: ") as caught:
        UNREADABLE[what](path)
    assert isinstance(caught.value, GridcodeError)


def test_settings_that_are_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"^settings: .* cannot be read \(Is a directory\); check it$"):
        read_json(tmp_path, "settings")


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 8 kB, as where the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def write_folder(path: Path) -> None:
    with folder_atomic(path) as temporary:
        (temporary / "a").write_text("a" * 100_000)


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "make room there"), (errno.EROFS, "check its permissions")]
)
def test_what_the_system_refuses_is_said_with_what_to_do(number: int, told: str, tmp_path: Path) -> None:
    def refused(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    reason = re.escape(os.strerror(number))
    with pytest.raises(FileError, match=rf"/a cannot be written \({reason}\); {told}, or choose another place$"):
        write_atomic(tmp_path / "a", refused)


def test_a_url_is_no_place_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for write in (make_folder, lambda path: write_text(path, "a"), write_folder):
        with pytest.raises(FileError, match=r"^s3://bucket/a is a URL, and files are written to folders; choose one"):
            write(Path("s3://bucket/a"))
    assert not list(tmp_path.iterdir())


WRITES: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: write_text(path, "a" * 100_000),
    "a folder": write_folder,
    "a model": lambda path: save_model(path, tensors={"w": torch.ones(10_000)}, config={"kind": "toy"}, card=""),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_is_an_error_of_the_system(what: str, tmp_path: Path) -> None:
    path = tmp_path / "written"
    with (
        full_disk(),
        pytest.raises(OSError, match=r"^\S*written cannot be written \(.*File too large.*\); ma") as caught,
    ):
        WRITES[what](path)
    assert isinstance(caught.value, GridcodeError)
    assert not list(tmp_path.iterdir()), "nothing half-written stays"


@pytest.mark.parametrize("what", [*WRITES, "an empty folder"])
def test_a_place_that_cannot_be_written_is_an_error_of_the_system(what: str, tmp_path: Path) -> None:
    write = (WRITES | {"an empty folder": lambda path: Output(path).make()})[what]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/written cannot be written \(\w.*\); make room there") as caught:
        write(tmp_path / "file" / "written")
    assert isinstance(caught.value, GridcodeError)


def test_a_full_disk_under_unpacked_images_is_one_line(tmp_path: Path) -> None:
    images = [{"bytes": b"a" * 100_000, "path": None}]
    pq.write_table(pa.table({"image": images, "label": [0]}), tmp_path / "a.parquet")
    with full_disk(), pytest.raises(FileError, match=r"cannot be unpacked into .*File too large.* TMPDIR") as caught:
        ParquetImages([tmp_path / "a.parquet"])
    assert "\n" not in str(caught.value)


def test_a_signal_keeps_its_number_between_processes() -> None:
    stopped = pickle.loads(pickle.dumps(Stopped("stopped by SIGTERM", signal.SIGTERM)))
    assert (type(stopped), str(stopped), stopped.number) == (Stopped, "stopped by SIGTERM", signal.SIGTERM)


@pytest.mark.parametrize("kind", [GridcodeError, FileError, MissingFileError])
def test_an_error_keeps_its_kind_and_its_line_between_processes(kind: type[GridcodeError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a: no; try b")))
    assert type(error) is kind
    assert str(error) == "a: no; try b"


class Moved(ImageSource):
    """Images whose files are gone."""

    name, classes = "moved", ()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Example:
        return Example(image=decode_image(Path("gone.png"), name=f"gone-{index}.png"), label=None, key="")

    def key(self, index: int) -> str:
        return ""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_image_is_one_also_from_a_worker_process(workers: int) -> None:
    batches = eval_batches(Moved(), DataConfig(size=8, workers=workers), batch_size=2)
    with pytest.raises(FileNotFoundError, match=r"^gone-0.png: there is no such file; was it moved") as caught:
        next(batches)
    assert isinstance(caught.value, GridcodeError)


def test_a_missing_label_map_is_one_also_from_the_loader(tmp_path: Path) -> None:
    from gridcode.domains.dense.data.loader import dense_eval_batches

    for folder in ("image", "depth"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            Image.new("L", (8, 8), 9).save(tmp_path / folder / f"{number}.png")
    config = DenseConfig(source=str(tmp_path), height=8, width=8, workers=0)
    source = open_dense(config, "val")
    for file in (tmp_path / "depth").iterdir():
        file.write_bytes(b"")
    with pytest.raises(OSError, match="not a readable PNG or TIFF") as caught:
        next(dense_eval_batches(source, config, batch_size=1))
    assert isinstance(caught.value, GridcodeError)


@dataclass(frozen=True)
class Inner:
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise GridcodeError(f"inner.share must be in [0, 1), got {self.share}; [bold] is no markup " * 3)


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None


class TestPassesThrough:
    """What gridcode says is not taken for what some other library said."""

    def test_a_quantizers_setting(self) -> None:
        with pytest.raises(GridcodeError, match=r"^quantizer lfq: bits is 64; it must be a whole number from 1 to 63$"):
            quantizer_from_json({"name": "lfq", "bits": 64})

    def test_a_setting_of_a_conditional_prior(self, tmp_path: Path) -> None:
        space = TokenSpace(40, (2, 2), (), "", {}, (8, 5))
        model = asdict(CrossAttentionConfig(width=8, heads=2)) | {"dropout": 1.0}
        config: dict[str, Any] = {"kind": "conditional-prior", "prior": "ar", "model": model, "space": asdict(space)}
        save_model(tmp_path / "prior", tensors={}, config={**config, "image": [3, 8, 8]}, card="")
        with pytest.raises(GridcodeError, match=r"^prior dropout must be in \[0, 1\), got 1.0$"):
            Autoregressive.from_pretrained(tmp_path / "prior")

    def test_a_damaged_parquet_file_is_not_a_full_disk(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        table = pa.table({"image": [np.random.default_rng(0).bytes(3000) for _ in range(4)]})
        pq.write_table(table, path, compression="snappy", use_dictionary=False)
        data = bytearray(path.read_bytes())
        data[4:40] = bytes(36)
        path.write_bytes(data)
        with pytest.raises(OSError, match=r"a\.parquet: not a readable Parquet file .*; download or write it again$"):
            MappedColumn([path], "image")

    def test_a_data_set_built_on_ours(self, tmp_path: Path) -> None:
        class Data(torch.utils.data.Dataset[Tensor]):
            def __len__(self) -> int:
                return 1

            def __getitem__(self, index: int) -> Tensor:
                return torch.from_numpy(decode_image(tmp_path / "no.png", name="no.png"))

        with pytest.raises(MissingFileError, match=r"^no.png: there is no such file"):
            TorchDataset(Data(), name="data")[0]

    def test_a_model_that_cannot_be_written_is_no_matter_of_json(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(FileError, match="cannot be written"):
            save_model(tmp_path / "file" / "m", tensors={}, config={"kind": "toy"}, card="")

    def test_a_setting_that_the_command_line_reads(self) -> None:
        with pytest.raises(GridcodeError) as caught:
            parse(Outer, ["--inner.share", "1.5"], prog="test")
        assert str(caught.value) == "inner.share must be in [0, 1), got 1.5; [bold] is no markup " * 3
        assert parse(Outer, ["--inner.share", "0.25"], prog="test").inner == Inner(0.25)

    def test_every_setting_of_a_recipe_says_its_own_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["train", "tokenizer", "scenes_smoke", "--out", "nowhere", "--data.crop.min-scale", "2"]
        assert main(words) == 2
        line = "crop.min_scale must lie in (0, 1], not 2.0; 1 keeps the whole shorter side"
        assert capsys.readouterr().err == f"gridcode train: {line.replace('crop.min_scale', '--data.crop.min-scale')}\n"

    def test_an_image_that_is_skipped_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "val").mkdir()
        Image.new("L", (8, 8)).save(tmp_path / "good.png")
        Image.new("L", (8, 8)).save(tmp_path / "val" / "good.png")
        (tmp_path / "val" / "none.png").write_bytes(b"")
        config = DataConfig(source=str(tmp_path / "good.png"), val_source=str(tmp_path / "val"), size=8, workers=0)
        config = replace(config, on_error="skip")
        batches = list(eval_batches(open_split(config, "val"), config, batch_size=2))
        assert [batch.keys for batch in batches] == [("good.png",)]
