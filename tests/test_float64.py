"""No float64 tensor where a model runs: not every device has float64 (Apple's has none).

Everything runs on the CPU here, under a mode that sees every operator. One that takes or gives a float64 tensor is a
fault, unless a function asked for it that says it works on the CPU, whatever the device.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import gridcode
from gridcode.cli.main import main
from gridcode.prior.schedule import still_masked
from gridcode.quantize.config import (
    QUANTIZERS,
    BSQConfig,
    FSQConfig,
    GroupedFSQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualFSQConfig,
    VQConfig,
)
from gridcode.quantize.make import make_quantizer

ROOT = str(Path(gridcode.__file__).parent)
ON_THE_CPU = {
    "domains/dense/baselines.py": {"_mean_depth"},
    "evaluation/reference.py": {"load_reference"},
    "metrics/colour.py": {"__init__", "update", "merge", "compute"},
    "metrics/depth.py": {"__init__", "update", "merge", "compute"},
    "metrics/frechet.py": {"__init__", "known", "update", "merge", "mean", "covariance", "frechet_distance"},
    "metrics/inception_score.py": {"inception_score"},
    "metrics/kernel.py": {"kernel_distance"},
    "metrics/panoptic.py": {"__init__", "update", "merge", "compute"},
    "nn/vit.py": {"bicubic"},
    "prior/bits.py": {"measure_bits"},
    "prior/coding/coder.py": {"__init__", "_walk"},
    "prior/schedule.py": {"training_mask"},
    "quantize/fsq/residual.py": {"__init__"},
    "quantize/usage.py": {"compute"},
    "domains/dense/loss.py": {"draw_dropped"},
    "domains/dense/measure.py": {"update"},
    "domains/dense/networks.py": {"linear"},
}
"""The functions that work in float64 on the CPU."""


def has_float64(values: Iterable[Any]) -> bool:
    """Whether a float64 tensor is among an operator's values, which may be lists of tensors."""
    for value in values:
        if isinstance(value, Tensor):
            if value.dtype == torch.float64:
                return True
        elif isinstance(value, (list, tuple)) and has_float64(value):
            return True
    return False


class NoFloat64(TorchDispatchMode):
    """Notes every operator that takes or gives a float64 tensor, with the line of ours that asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen += 1
        if has_float64((args, (kwargs or {}).values(), [result])):
            self._note(str(func))
        return result

    def _note(self, operator: str) -> None:
        frame, ours = sys._getframe(2), ""
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(ROOT):
                name = Path(code.co_filename).relative_to(ROOT).as_posix()
                if code.co_name in ON_THE_CPU.get(name, ()):
                    return
                ours = ours or f"{name}:{frame.f_lineno} {code.co_name}"
            frame = frame.f_back  # type: ignore[assignment]
        self.found.setdefault(ours, operator)


@contextmanager
def no_float64() -> Iterator[NoFloat64]:
    with NoFloat64() as mode:
        yield mode
    assert mode.found == {}
    assert mode.seen


def test_the_mode_sees_what_it_forbids() -> None:
    with NoFloat64() as mode:
        torch.ones(2).double().sum()
        torch.ones(2) * 0.5 + 1.0
    assert len(mode.found) == 1


CONFIGS: dict[str, QuantizerConfig] = {
    "fsq": FSQConfig(levels=(8, 5, 5)),
    "fsq, many levels": FSQConfig(levels=(200, 3)),
    "fsq, dithered": FSQConfig(levels=(8, 5), form="dithered"),
    "residual": ResidualFSQConfig(levels=(5, 3), stages=3),
    "residual, stages dropped": ResidualFSQConfig(levels=(5, 3), stages=3, stage_dropout=0.5),
    "residual, 2^20 bins": ResidualFSQConfig(levels=(1024,), stages=2),
    "grouped": GroupedFSQConfig(levels=(5, 3)),
    "lfq": LFQConfig(bits=6),
    "bsq": BSQConfig(bits=6),
    "vq": VQConfig(size=12, channels=3),
    "vq, plain": VQConfig(preset="plain", size=12, channels=3),
}


def test_every_quantizer_is_there() -> None:
    assert {type(config) for config in CONFIGS.values()} == set(QUANTIZERS.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("what", CONFIGS)
def test_quantizers(what: str, dtype: torch.dtype) -> None:
    with no_float64():
        quantizer = make_quantizer(CONFIGS[what])
        for training in (True, False):
            quantizer.train(training)
            latents = torch.randn(7, 5, quantizer.channels, dtype=dtype, requires_grad=True)
            out = quantizer(latents)
            (out.codes.float().square().sum() + out.loss).backward()
        codes = quantizer.indices_to_codes(out.indices)
        assert torch.equal(quantizer.codes_to_indices(codes), out.indices)


def test_how_many_stay_masked() -> None:
    with no_float64():
        still_masked(torch.tensor([256, 3]), torch.tensor([9, 3]), step=3, steps=12)


DATA = "--data.size 16 --data.train-count 12 --data.val-count 6 --data.workers 0"
LOOP = "--loop.steps 2 --loop.batch-size 4 --loop.val-every 1 --loop.val-count 4 --loop.accelerator cpu"
GAN = (
    "--loss.adversarial.kind hinge --loss.adversarial.width 8 --loss.adversarial.start 0 --loss.adversarial.r1-every 1"
)
SELF = (
    "--loss.perceptual.kind self --loss.perceptual.widths 8 8 --loss.perceptual.steps 1 --loss.perceptual.batch-size 2"
)
PRIOR = "--model.width 16 --model.depth 1 --model.heads 2 --model.mlp 32"
EVAL = "--count 6 --samples 10 --batch-size 5 --classifier-steps 2"
DENSE = (
    "--data.height 16 --data.width 16 --data.workers 0 --data.train-count 12 --data.val-count 4 --model.width 16 "
    "--model.heads 2 --model.mlp 32 --model.encoder-depth 1 --model.decoder-depth 1 --model.codes 2 2 --loop.steps 2 "
    "--loop.batch-size 4 --loop.val-every 1 --loop.val-count 4 --prior.model.width 16 --prior.model.depth 1 "
    "--prior.model.heads 2 --prior.model.mlp 32 --prior.model.encoder.width 16 --prior.model.encoder.depth 1 "
    "--prior.model.encoder.heads 2 --prior.model.encoder.mlp 32 --prior.loop.steps 2 --prior.loop.batch-size 4 "
    "--prior.loop.val-every 1 --prior.loop.val-count 4 --loop.accelerator cpu --prior.loop.accelerator cpu"
)


def run(words: str, out: Path) -> Path:
    """What a command writes, without float64."""
    with no_float64():
        assert main([*words.split(), "--out", str(out)]) == 0
    return out


@dataclass(frozen=True)
class Models:
    """A tokenizer, its tokens and both priors, trained for two steps each."""

    tokenizer: Path
    tokens: Path
    maskgit: Path
    ar: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    words = f"{DATA} {LOOP} {GAN} {SELF} --quantizer-dropout 0.5 --model.widths 8 8"
    tokenizer = run(f"train tokenizer scenes_smoke {words}", folder / "tokenizer")
    tokens = run(f"tokenize --tokenizer {tokenizer}", folder / "tokens")
    priors = [
        run(f"train prior scenes_smoke --prior {kind} --tokens {tokens} {PRIOR} {LOOP}", folder / kind)
        for kind in ("maskgit", "ar")
    ]
    return Models(tokenizer, tokens, *priors)


@pytest.mark.parametrize("form", ["vit", "vqgan"])
def test_other_architectures(form: str, tmp_path: Path) -> None:
    model = "--model.widths 32 32" if form == "vqgan" else "--model.width 16 --model.heads 2 --model.mlp 32"
    words = f"{DATA} {LOOP} {model} --architecture {form} --quantizer residual --loop.steps 1"
    run(f"train tokenizer scenes_smoke {words}", tmp_path / "tokenizer")


@pytest.mark.parametrize("sampler", ["confidence", "halton", "random", "remask"])
def test_sampling(sampler: str, models: Models, tmp_path: Path) -> None:
    words = f"--tokenizer {models.tokenizer} --count 2 --steps 3 --guidance 0.5 --top-p 0.9 --sampler {sampler}"
    run(f"sample scenes_smoke --prior {models.maskgit} {words}", tmp_path / "samples")


def test_sampling_one_after_another(models: Models, tmp_path: Path) -> None:
    words = f"--tokenizer {models.tokenizer} --count 2 --guidance 0.5 --top-k 9"
    run(f"sample scenes_smoke --prior {models.ar} {words}", tmp_path / "samples")


def test_editing_and_reconstructing(models: Models, tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((20, 18)).convert("RGB").save(tmp_path / "a.png")
    words = f"--prior {models.maskgit} --tokenizer {models.tokenizer} --input {tmp_path / 'a.png'} --count 1 --steps 2"
    run(f"edit scenes_smoke {words} --box 2 2 12 12", tmp_path / "edits")
    run(f"edit scenes_smoke {words} --outpaint 4 0 4 0", tmp_path / "wider")
    run(f"reconstruct --tokenizer {models.tokenizer} --count 2", tmp_path / "pictures")


@pytest.mark.parametrize("prior", ["maskgit", "ar"])
def test_evaluation(prior: str, models: Models, tmp_path: Path) -> None:
    words = f"--tokenizer {models.tokenizer} --prior {getattr(models, prior)} {EVAL}"
    run(f"eval scenes_smoke {words}", tmp_path / "report")


@pytest.mark.parametrize(("task", "prior"), [("depth", "ar"), ("panoptic", "maskgit"), ("colour", "ar")])
def test_dense_prediction(task: str, prior: str, tmp_path: Path) -> None:
    folder = run(f"dense train --task {task} --decoding {prior} {DENSE}", tmp_path / "run")
    words = "--count 4 --train-count 4 --batch-size 4 --draws 2 --shown 1 --observer-steps 1"
    run(f"dense eval --run {folder} {words}", tmp_path / "report")
    Image.new("RGB", (20, 18)).save(tmp_path / "a.png")
    draws = 1 if task == "panoptic" else 2
    run(f"dense predict --run {folder} --input {tmp_path / 'a.png'} --draws {draws}", tmp_path / "predicted")
