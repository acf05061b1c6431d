"""Tokenizing by shards that are handed out.

A stand-in for Ray calls the actors in this process; ``python -m tests.faults`` kills those of a real cluster.
"""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gridcode.cli.main import main
from gridcode.data.config import DataConfig
from gridcode.data.open import keep_columns, open_images
from gridcode.domains.audio.architectures import WaveformConfig
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import write
from gridcode.domains.audio.domain import AudioDomain
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.points.config import CloudConfig, PointsConfig
from gridcode.domains.points.domain import PointsDomain
from gridcode.domains.text.config import TextConfig, TextTokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.tasks import on_ray
from gridcode.tasks.on_ray import RayOptions, tokenize_on_ray
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.model import Tokenizer
from tests.data.test_shards import packed, picture
from tests.test_errors import full_disk

DATA = DataConfig(size=16, train_count=11, val_count=5, workers=0)


class DiedError(Exception):
    """What Ray raises of an actor that died too often."""


@dataclass(eq=False)
class Reference:
    """What a task, or a value, will be."""

    value: Any = None
    actor: Any = None
    task: tuple[Any, ...] = ()


class StandIn:
    """As much of Ray as is used. A task runs when it is waited for, the newest first.

    Args:
        dies_after: Tasks until the driver is killed.
        kills: The number of a training shard that kills every actor.
    """

    exceptions = SimpleNamespace(RayTaskError=ZeroDivisionError, RayError=DiedError)

    def __init__(self, dies_after: int = 99, kills: int | None = None) -> None:
        self.gpus = 0
        self.left, self.kills, self.made, self.asked = dies_after, kills, list[tuple[str, int]](), dict[str, Any]()

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": self.gpus}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.cluster_resources()}]

    def put(self, value: Any) -> Reference:
        return Reference(pickle.dumps(value))

    def remote(self, kind: Any) -> Any:
        def start(*arguments: Any) -> Any:
            actor = kind(*pickle.loads(pickle.dumps(arguments)))
            return SimpleNamespace(make=SimpleNamespace(remote=lambda *task: Reference(None, actor, task)))

        def options(**settings: Any) -> Any:
            self.asked = settings
            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def wait(self, references: list[Reference]) -> tuple[list[Reference], list[Reference]]:
        return references[-1:], references[:-1]

    def get(self, reference: Any) -> Any:
        if isinstance(reference, list):
            return [self.get(each) for each in reference]
        if reference.actor is None:
            return pickle.loads(reference.value)
        _, split, number, _ = reference.task
        if not self.left:
            raise KeyboardInterrupt
        if (split, number) == ("train", self.kills):
            raise DiedError("The actor died.\nAnd more.")
        self.left -= 1
        self.made.append((split, number))
        return pickle.loads(pickle.dumps(reference.actor.make(*reference.task)))


@pytest.fixture(scope="module")
def model() -> Tokenizer:
    torch.manual_seed(0)
    config = TokenizerConfig(quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)
    return Tokenizer(config).eval()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    def start(**settings: int) -> StandIn:
        found = StandIn(**settings)
        monkeypatch.setattr(on_ray, "package", lambda: found)
        return found

    monkeypatch.setattr(on_ray, "SHARD_EXAMPLES", 4)
    return start


def opened(data: DataConfig) -> dict[str, Any]:
    return {"train": open_images(data, "train"), "val": open_images(data, "val")}


def test_the_store_is_that_of_the_local_engine(ray: Any, model: Tokenizer, tmp_path: Path) -> None:
    cluster, splits, seen = ray(), opened(DATA), list[tuple[int, int | None]]()
    options = StoreOptions(tmp_path / "alone", batch_size=4, flips=True)
    alone = tokenize(model, splits, DATA, options)
    options = replace(options, out=tmp_path / "store")
    store = tokenize_on_ray(model, splits, DATA, options, progress=lambda *line: seen.append(line))
    for split in ("train", "val"):
        one, other = alone.load(split), store.load(split)
        assert (one.keys, one.labels.tolist()) == (other.keys, other.labels.tolist())
        assert torch.equal(one.tokens, other.tokens)
    assert replace(store.manifest, shards=()) == replace(alone.manifest, shards=())
    assert sorted(cluster.made) == [("train", 0), ("train", 1), ("train", 2), ("val", 0), ("val", 1)]
    assert cluster.made != sorted(cluster.made)
    assert seen[-1] == (16, 16)


@pytest.mark.parametrize("stream", [False, True])
def test_what_stands_beside_images_is_kept(ray: Any, model: Tokenizer, tmp_path: Path, stream: bool) -> None:
    for shard in range(3):
        rows = [(f"{row}.png", picture(row)) for row in range(5)] + [(f"{row}.txt", b"%d" % row) for row in (0, 3)]
        (tmp_path / f"{shard}.tar").write_bytes(packed(sorted(rows)))
    data, _ = replace(DATA, source=str(tmp_path / "*.tar"), stream=stream), ray()
    splits = {split: keep_columns(source, ["txt"]) for split, source in opened(data).items()}
    alone = tokenize(model, splits, data, StoreOptions(tmp_path / "alone", batch_size=4, flips=not stream))
    store = tokenize_on_ray(model, splits, data, StoreOptions(tmp_path / "store", batch_size=4, flips=not stream))
    for split in ("train", "val"):
        one, other = alone.load(split), store.load(split)
        assert (one.keys, one.columns) == (other.keys, other.columns)
        numbers = (key.removesuffix("#flip").rpartition(":")[2] for key in one.keys)
        assert one.columns["txt"] == tuple(number if number in "03" else None for number in numbers)


def kinds(folder: Path) -> dict[str, tuple[Tokenizer, Any]]:
    """A tokenizer of each other kind that ``gridcode tokenize`` shares its code with, and its data."""
    (folder / "a.txt").write_bytes(bytes(range(256)) * 3)
    for number in range(9):
        write(folder / f"{number}.wav", np.sin(np.arange(300 + 40 * number) / (number + 1)).astype(np.float32), 8000)
    texts = TextConfig(source=str(folder / "a.txt"), window=64, val_fraction=0.3)
    sounds = AudioConfig(source=str(folder), samples=256, val_fraction=0.4, labels="none", workers=0)
    solids = PointsConfig(train_count=9, val_count=5, points=16, workers=0)
    quantizer = FSQConfig(levels=(4, 3))
    attention = CloudConfig(quantizer=quantizer, tokens=4, width=16, heads=2, encoder_depth=1, decoder_depth=1)
    codec = WaveformConfig(quantizer=quantizer, strides=(4, 2), widths=(6, 8), dilations=(1,))
    return {
        "text": (Tokenizer(TextTokenizerConfig(width=16, head=4, quantizer=quantizer)), texts),
        "audio": (Tokenizer(codec, AudioDomain(8000)), sounds),
        "points": (Tokenizer(attention, PointsDomain(16)), solids),
    }


@pytest.mark.parametrize("kind", ["text", "audio", "points"])
def test_other_kinds_of_data_too(kind: str, ray: Any, tmp_path: Path) -> None:
    cluster = ray()
    tokenizer, data = kinds(tmp_path)[kind]
    splits = {split: tokenizer.domain.open(data, split) for split in ("train", "val")}
    alone = tokenize(tokenizer.eval(), splits, data, StoreOptions(tmp_path / "alone", batch_size=2))
    store = tokenize_on_ray(tokenizer, splits, data, StoreOptions(tmp_path / "store", batch_size=2))
    assert len(cluster.made) > 2
    for split in ("train", "val"):
        one, other = alone.load(split), store.load(split)
        assert (one.keys, one.labels.tolist()) == (other.keys, other.labels.tolist())
        assert torch.equal(one.tokens, other.tokens)


def test_a_command_that_was_killed_is_gone_on_with(ray: Any, model: Tokenizer, tmp_path: Path) -> None:
    options, said = StoreOptions(tmp_path / "store", batch_size=4), list[str]()
    first = ray(dies_after=2)
    with pytest.raises(KeyboardInterrupt):
        tokenize_on_ray(model, opened(DATA), DATA, options)
    second, fewer = ray(), replace(DATA, train_count=7)
    with pytest.raises(GridcodeError, match="was begun with another set of examples"):  # as many, and other ones
        tokenize_on_ray(model, opened(DATA) | {"val": opened(replace(DATA, seed=5))["val"]}, DATA, options)
    with pytest.raises(GridcodeError, match="was begun with another train_count"):
        tokenize_on_ray(model, opened(fewer), fewer, options)
    store = tokenize_on_ray(model, opened(DATA), DATA, options, say=said.append)
    assert not set(first.made) & set(second.made)
    assert said[0] == "going on: 2 of 5 shards are there"
    assert (store.rows("train"), store.rows("val")) == (11, 5)


def test_a_full_disk_is_one_line_and_the_next_call_goes_on(ray: Any, model: Tokenizer, tmp_path: Path) -> None:
    noise = [random.Random(row).randbytes(8000).hex().encode() for row in range(12)]  # no compression makes it small
    rows = [(f"{row:02d}.png", picture(row)) for row in range(12)] + [
        (f"{row:02d}.txt", noise[row]) for row in range(12)
    ]
    (tmp_path / "a.tar").write_bytes(packed(sorted(rows)))
    data, _ = replace(DATA, source=str(tmp_path / "a.tar"), val_fraction=0.1), ray()
    splits = {split: keep_columns(source, ["txt"]) for split, source in opened(data).items()}
    options = StoreOptions(tmp_path / "store", batch_size=4)
    alone = tokenize(model, splits, data, replace(options, out=tmp_path / "alone"))
    with full_disk(), pytest.raises(GridcodeError, match=r"0000\d.parquet cannot be written \(.*\); make room there"):
        tokenize_on_ray(model, splits, data, options)
    assert {path.name for path in options.out.iterdir()} == {"manifest.partial.json", "plan.json"}
    store = tokenize_on_ray(model, splits, data, options)
    assert (store.load("train").keys, store.load("train").columns) == (
        alone.load("train").keys,
        alone.load("train").columns,
    )
    assert torch.equal(store.load("train").tokens, alone.load("train").tokens)


def test_a_shard_that_kills_ends_the_command(ray: Any, model: Tokenizer, tmp_path: Path) -> None:
    ray(kills=1)
    with pytest.raises(
        GridcodeError, match=r"train-00001\.parquet: the process that makes it died 21 times \(The actor"
    ):
        tokenize_on_ray(model, opened(DATA), DATA, StoreOptions(tmp_path / "store", batch_size=4))


@pytest.fixture
def shards(tmp_path: Path) -> DataConfig:
    """A stream of three tar files, one of them broken, and one for validation."""
    for name in ("0", "1", "2", "val"):
        members = [(f"{row}.png", picture(row)) for row in range(2)] if name != "1" else [("0.png", b"no image")]
        (tmp_path / f"{name}.tar").write_bytes(packed(members))
    return DataConfig(
        source=str(tmp_path / "{0..2}.tar"), val_source=str(tmp_path / "val.tar"), size=16, workers=0, stream=True
    )


def test_a_shard_of_a_stream_is_a_shard(
    ray: Any, model: Tokenizer, shards: DataConfig, tmp_path: Path, caplog: Any
) -> None:
    options = StoreOptions(tmp_path / "store", batch_size=4)
    ray()
    with pytest.raises(GridcodeError, match=r"1\.tar, key 0: not an image"):
        tokenize_on_ray(model, opened(shards), shards, options)
    data = replace(shards, on_error="skip")
    store = tokenize_on_ray(model, opened(data), data, replace(options, force=True))
    assert store.load("train").keys == ("0.tar:0", "0.tar:1", "2.tar:0", "2.tar:1")
    assert [shard.file for shard in store.manifest.shards] == [
        "train-00000.parquet", "train-00002.parquet", "val-00000.parquet"
    ]  # fmt: skip
    assert "none of the 1 images can be read" in caplog.text


@pytest.mark.parametrize(
    ("where", "workers", "asked"),
    [
        (RayOptions(), 0, (2, 1)),
        (RayOptions(), 1, (1, 2)),
        (RayOptions(), 7, (1, 2)),
        (RayOptions(actors=2), 1, (2, 1)),
        (RayOptions(actors=4), 0, (4, 0.5)),
        (RayOptions(actors=9), 0, (5, 0.4)),
        (RayOptions(device="cuda"), 0, (1, 1)),
    ],
)
def test_actors_fit_the_cluster(
    where: RayOptions, workers: int, asked: tuple[int, float], ray: Any, model: Tokenizer, tmp_path: Path
) -> None:
    cluster, said = ray(dies_after=0), list[str]()
    cluster.gpus = 1
    with pytest.raises(KeyboardInterrupt):
        tokenize_on_ray(
            model, opened(DATA), replace(DATA, workers=workers), StoreOptions(tmp_path / "store", batch_size=4), where,
            say=said.append,
        )  # fmt: skip
    assert said[0].startswith(f"ray: {asked[0]} actor{'s' * (asked[0] > 1)} on {where.device}, with {asked[1]:g} CPU")
    assert (cluster.asked["num_cpus"], cluster.asked["num_gpus"]) == (asked[1], where.device == "cuda")


@pytest.mark.parametrize("actors", [None, 2])
def test_gpus_that_are_not_there_are_one_line(actors: int | None, ray: Any, model: Tokenizer, tmp_path: Path) -> None:
    ray()
    where = RayOptions(actors, device="cuda")
    with pytest.raises(GridcodeError, match=f"the cluster has 0 GPUs for {actors or 1} actors; lower actors, or"):
        tokenize_on_ray(model, opened(DATA), DATA, StoreOptions(tmp_path / "store", batch_size=4), where)


def test_what_cannot_be_is_one_line(model: Tokenizer, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    model.save_pretrained(tmp_path / "model")
    words = ["tokenize", "--tokenizer", str(tmp_path / "model"), "--out", str(tmp_path / "store")]
    assert main([*words, "--actors", "2"]) == 2
    assert "--actors and --address are of --engine ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words, "--engine", "ray", "--actors", "0"]) == 2
    assert "actors must be at least 1, got 0" in capsys.readouterr().err
    assert main([*words, "--engine", "ray", "--device", "mps"]) == 2
    assert "actors encode on cpu or on cuda, a GPU each, not on mps" in capsys.readouterr().err
    assert main([*words, "--engine", "ray"]) == 2
    assert "pip install 'gridcode[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "auto"])
def test_a_cluster_that_does_not_answer_is_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(GridcodeError, match=rf"no Ray cluster at {address} \(.*refused.*\); check address"):
        on_ray._join(None, address)
