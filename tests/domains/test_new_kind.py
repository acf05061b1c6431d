"""A kind of data that gridcode does not know, sine waves, goes through every public interface."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import pi
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from gridcode.data.workers import TrainOrder
from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.publish import Findings, Runs, publish
from gridcode.evaluation.report import Figure, Table
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.prior.train import train_prior
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tasks.generate import Generator
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer import Domain, Measurement, Objective, Sources, Tokenizer, register_domain, train_tokenizer
from gridcode.tokenizer.alarms import AlarmConfig
from gridcode.tokenizer.config import Architecture, TokenizerSettings
from gridcode.tokenizer.usage import TokenUsageMeter
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.run import RunOptions

LENGTH, FACTOR = 32, 4


@dataclass(frozen=True)
class Waves(Sequence[int]):
    """Waves by number: frequency and phase are the number's."""

    name: str
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return self.start + index

    def batch(self, places: Sequence[int]) -> WaveBatch:
        draws = torch.stack([torch.rand(2, generator=torch.Generator().manual_seed(self[p])) for p in places])
        time = torch.linspace(0, 2 * pi, LENGTH)
        waves = torch.sin((1 + 2 * draws[:, :1]) * time + 2 * pi * draws[:, 1:])
        return WaveBatch(waves[:, None], tuple(str(self[place]) for place in places))


@dataclass(frozen=True)
class WaveBatch:
    waves: Tensor
    keys: tuple[str, ...]


@dataclass(frozen=True)
class WaveData:
    source: str = "waves"
    workers: int = 0


@dataclass(frozen=True)
class WaveConfig(Architecture):
    domain: ClassVar[str] = "wave"
    quantizer: QuantizerConfig = field(default_factory=lambda: FSQConfig(levels=(8, 5)))

    @property
    def grid_names(self) -> tuple[str, ...]:
        return "1", "t"

    def grid(self, *shape: int) -> tuple[int, ...]:
        return 1, shape[0] // FACTOR


@dataclass(frozen=True)
class WaveRun(TokenizerSettings):
    data: WaveData = field(default_factory=WaveData)
    model: WaveConfig = field(default_factory=WaveConfig)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=1e-2, warmup=5, ema=0.9))
    loop: LoopConfig = field(default_factory=LoopConfig)
    alarms: AlarmConfig = field(default_factory=AlarmConfig)


class WaveLoss(Objective):
    def inputs(self, batch: WaveBatch, step: int) -> tuple[Tensor, ...]:
        return (batch.waves,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        return {"l2": (outputs.float() - inputs[0]).square().mean()}


@register_domain
class WaveDomain(Domain):
    name: ClassVar[str] = "wave"
    architecture = WaveConfig.from_json

    @classmethod
    def open(cls, data: WaveData, split: str) -> Waves:
        return Waves("waves", *((0, 64) if split == "train" else (64, 16)))

    @classmethod
    def train_batches(cls, source: Waves, data: WaveData, order: TrainOrder) -> Iterator[WaveBatch]:
        for places in order.positions():
            yield source.batch([place % len(source) for place in places])

    @classmethod
    def eval_batches(cls, source: Waves, data: WaveData, *, batch_size: int) -> Iterator[WaveBatch]:
        for start in range(0, len(source), batch_size):
            yield source.batch(range(start, min(start + batch_size, len(source))))

    @classmethod
    def part(cls, source: Waves, count: int) -> Waves:
        return replace(source, length=min(count, len(source)))

    @classmethod
    def identity(cls, source: Waves) -> dict[str, Any]:
        return {"count": len(source)}

    def shape(self, data: WaveData) -> tuple[int, ...]:
        return (LENGTH,)

    def make_networks(self, config: WaveConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        down = nn.Sequential(nn.Conv1d(1, 16, FACTOR, stride=FACTOR), nn.GELU(), nn.Conv1d(16, latents, 1))
        up = nn.Sequential(nn.Conv1d(latents, 16, 3, padding=1), nn.GELU(), nn.ConvTranspose1d(16, 1, FACTOR, FACTOR))
        return nn.Sequential(down, nn.Unflatten(2, (1, -1))), nn.Sequential(nn.Flatten(2), up)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        return list(network.children())

    def encoder_inputs(self, config: WaveConfig, examples: Tensor, context: Tensor | None) -> tuple[Tensor]:
        return (examples,)

    def decoded(self, config: WaveConfig, outputs: Tensor) -> Tensor:
        return outputs.float()

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        return {"example": "indices = tokenizer.encode(waves)"}

    def encode_inputs(self, batch: WaveBatch) -> tuple[Tensor]:
        return (batch.waves,)

    def make_objective(self, *_: Any, **__: Any) -> WaveLoss:
        return WaveLoss()

    @torch.inference_mode()
    def measure(self, tokenizer: Tokenizer, batches: Any) -> Measurement:
        meter, errors = TokenUsageMeter(tokenizer.quantizer), []
        for batch in batches:
            out = tokenizer(batch.waves)
            meter.update(out.quantized.indices)
            errors.append((out.outputs - batch.waves).square().flatten(1).mean(1))
        error = float(torch.cat(errors).mean())
        return Measurement({"mse": error}, meter.compute(), score=-error)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: WaveBatch) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(tokenizer.decode(tokenizer.encode(batch.waves)).tolist()))


def test_a_new_kind_of_data_goes_all_the_way(tmp_path: Path) -> None:
    loop = LoopConfig(
        steps=60, batch_size=16, log_every=20, val_every=60, val_count=16, checkpoint_every=60, precision="fp32"
    )
    lines: list[str] = []
    run = WaveRun(loop=loop)
    tokenizer = train_tokenizer(run, RunOptions(tmp_path / "tokenizer", show=False), say=lines.append)
    assert lines == ["train: 64 of waves", "val: 16 of waves"]
    assert "wave" in (tmp_path / "tokenizer/best/README.md").read_text()
    sources = Sources(WaveDomain.open(run.data, "train"), WaveDomain.open(run.data, "val"))
    measured = tokenizer.domain.measure(tokenizer, tokenizer.domain.eval_batches(sources.val, run.data, batch_size=8))
    assert measured.scores["mse"] < 0.35  # a wave's own power is 0.5

    store = tokenize(tokenizer, vars(sources), run.data, StoreOptions(tmp_path / "tokens"))
    assert (store.rows("train"), store.rows("val"), store.manifest.grid) == (64, 16, (1, LENGTH // FACTOR))
    settings = PriorRun(
        model=MaskGITConfig(width=32, depth=1, heads=2, mlp=64), loop=replace(loop, steps=20, val_every=20)
    )
    train_prior(settings, store, RunOptions(tmp_path / "prior", show=False))
    generator = Generator.from_pretrained(tmp_path / "prior", tmp_path / "tokenizer")
    drawn = generator.sample([-1, -1, -1], steps=4)
    assert drawn.shape == (3, 1, LENGTH)
    assert drawn.isfinite().all()

    figures = [Figure("error", measured.scores["mse"])]
    findings = Findings(
        title="Waves",
        figures=measured.scores,
        key_figures=figures,
        tables=[Table("All", figures)],
        galleries=[],
        codes=CodeUsage.from_indices(store.load("val").tokens.numpy(), (8, 5)),
        overview=((drawn[:, 0, :, None] + 1) * 127).clamp(0, 255).byte().numpy(),
        settings={},
    )
    runs = Runs(tokenizer=tmp_path / "tokenizer", prior=tmp_path / "prior")
    report = publish(findings, runs, out=tmp_path / "report", command="python waves.py")
    assert "Waves" in report.read_text()
    assert json.loads((tmp_path / "report/report.json").read_text())


def test_a_tokenizer_of_an_unknown_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    Tokenizer(WaveConfig()).save_pretrained(tmp_path / "model")
    file = tmp_path / "model/config.json"
    file.write_text(file.read_text().replace('"wave"', '"smell"'))
    with pytest.raises(ValueError, match="no kind of data 'smell'"):
        Tokenizer.from_pretrained(tmp_path / "model")
