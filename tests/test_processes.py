"""Two processes, a batch in parts, recomputed activations and captured graphs give the losses of one plain process."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partialmethod
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gridcode.cli.main import main
from gridcode.quantize.config import FSQConfig, LFQConfig, QuantizerConfig, VQConfig
from gridcode.quantize.make import make_quantizer
from gridcode.store.writer import StoreWriter
from gridcode.training.log import read_log


def words(text: str) -> list[str]:
    return text.split()


LOOP = words(
    "--loop.steps 6 --loop.batch-size 8 --loop.log-every 1 --loop.val-every 6 --loop.val-count 4 "
    "--loop.precision fp32 --loop.accelerator cpu"
)
TOKENIZER = words(
    "train tokenizer scenes_smoke --data.train-count 32 --data.val-count 8 --data.size 16 --data.workers 0 "
    "--model.widths 8 8 --model.patch 1"
)
PRIOR = words(
    "train prior scenes_smoke --model.width 16 --model.depth 2 --model.heads 2 --model.mlp 32 --model.dropout 0"
)

DENSE = words(
    "dense train --quantizer vq --model.quantizer.preset uvim --model.quantizer.size 12 --model.quantizer.channels 4 "
    "--data.height 32 --data.width 32 --data.workers 0 --data.train-count 12 --data.val-count 4 "
    "--data.depth.bins 8 --model.width 16 --model.heads 2 --model.mlp 32 --model.encoder-depth 1 "
    "--model.decoder-depth 1 --model.codes 2 2 --loop.steps 2 --loop.batch-size 4 --prior.model.width 16 "
    "--prior.model.depth 1 --prior.model.heads 2 --prior.model.mlp 32 --prior.model.encoder.width 16 "
    "--prior.model.encoder.depth 1 --prior.model.encoder.heads 2 --prior.model.encoder.mlp 32 --prior.loop.steps 2 "
    "--prior.loop.batch-size 4 --loop.accelerator cpu --prior.loop.accelerator cpu"
)

GAME = words(
    "--loss.adversarial.kind non-saturating --loss.adversarial.width 8 --loss.adversarial.lr 1e-3 "
    "--loss.adversarial.start 1 --loss.adversarial.r1-every 2 "
    "--loss.perceptual.kind self --loss.perceptual.widths 8 8 --loss.perceptual.steps 3 --loss.perceptual.batch-size 8"
)
TERMS = ("loss", "l2", "perceptual", "adversarial", "quantizer", "discriminator", "real_score", "fake_score", "r1")


def losses(run: Path) -> torch.Tensor:
    """The training losses of every step, 0 where a term took no part: (steps, terms)."""
    lines = [line for line in read_log(run) if "train/loss" in line]
    return torch.tensor([[line.get(f"train/{name}", 0.0) for name in TERMS] for line in lines], dtype=torch.float64)


def alone(command: list[str], out: Path) -> torch.Tensor:
    assert main([*command, *LOOP, "--out", str(out)]) == 0
    return losses(out)


IN_TURN = """
import json
import sys
from pathlib import Path

import torch

from gridcode.cli.main import main
from gridcode.training import fabric


# PyTorch's FSDP works on CPUs if it is told so; Fabric and gridcode refuse.
def allow_sharding_on_cpu():
    from lightning_fabric.connector import _Connector
    from torch.distributed.fsdp import FullyShardedDataParallel

    whole = FullyShardedDataParallel.__init__

    def on_cpu(self, *args, device_id=None, **settings):
        whole(self, *args, device_id=torch.device("cpu"), **settings)

    FullyShardedDataParallel.__init__ = on_cpu
    _Connector._check_strategy_and_fallback = lambda self: None
    fabric.SHARDED = ("cpu",)


for command in json.loads(Path(sys.argv[1]).read_text()):
    if "fsdp" in command:
        allow_sharding_on_cpu()
    if main(command):
        sys.exit(f"ended with an error: {command}")
"""

TORCHRUN = """
from torch.distributed.run import main

os.environ["OMP_NUM_THREADS"] = "1"
main({words!r})
"""

StartPython = Callable[[str, Path], BaseProcess]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """A short run of each stage."""
    store = tmp_path_factory.mktemp("tokens") / "store"
    with StoreWriter(
        store,
        quantizer={"name": "fsq", "levels": [4, 3]},
        codebook_size=12,
        grid=(2, 3),
        tokenizer="0123456789abcdef",
        data={},
        classes=("a", "b", "c"),
    ) as writer:
        generator = torch.Generator().manual_seed(0)
        for split, count in (("train", 37), ("val", 5)):
            tokens = torch.randint(0, 12, (count, 2, 3), generator=generator)
            writer.write(split, tokens, torch.arange(count) % 3, [f"{split}{n}" for n in range(count)])
    uvim = words("--quantizer vq --model.quantizer.preset uvim --model.quantizer.size 12 --model.quantizer.channels 4")
    prior = [*PRIOR, "--tokens", str(store)]
    return {
        "vq": [*TOKENIZER, *uvim],
        "vq with a game": [*TOKENIZER, *uvim, *GAME],
        "game": [*TOKENIZER, *GAME],
        "prior": prior,
    }


@pytest.fixture(scope="module")
def plain(commands: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of one plain process for a stage, made once."""
    folder = tmp_path_factory.mktemp("plain")

    def run(stage: str) -> Path:
        if not (folder / stage).exists():
            alone(commands[stage], folder / stage)
        return folder / stage

    return run


FSDP = ["--loop.strategy", "fsdp"]


@pytest.fixture(scope="module")
def by_two(commands: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory, start_python: StartPython) -> Path:
    """A folder of runs by torchrun's two processes, which make one run after another."""
    folder = tmp_path_factory.mktemp("by-two")
    runs = {
        "vq with a game": [*commands["vq with a game"], *LOOP],
        "prior": [*commands["prior"], *LOOP],
        "dense": DENSE,
        "sharded vq": [*commands["vq"], *FSDP, *LOOP],
        "sharded prior": [*commands["prior"], *FSDP, *LOOP],
    }
    driver, todo = folder / "driver.py", folder / "commands.json"
    driver.write_text(IN_TURN)
    todo.write_text(json.dumps([[*command, "--out", str(folder / name)] for name, command in runs.items()]))
    # torchrun as it is, but that its two processes are forks that have PyTorch loaded, too.
    launcher = ["--standalone", "--nproc-per-node", "2", "--start-method", "fork", "--run-path"]
    errors = folder / "errors"
    process = start_python(TORCHRUN.format(words=[*launcher, str(driver), str(todo)]), errors)
    process.join(timeout=200)
    assert process.exitcode == 0, errors.read_text()
    return folder


@pytest.mark.parametrize("stage", ["vq with a game", "prior"])
def test_two_processes_have_the_losses_of_one(stage: str, plain: Callable[[str], Path], by_two: Path) -> None:
    one = losses(plain(stage))
    torch.testing.assert_close(losses(by_two / stage), one, rtol=0, atol=1e-5)
    seen = {name for name, taken in zip(TERMS, one.ne(0).any(0), strict=True) if taken}
    # This codebook moves by statistics and has no loss of its own.
    assert seen == ({"loss"} if stage == "prior" else set(TERMS) - {"quantizer"})


@pytest.mark.parametrize("stage", ["vq", "prior"])
def test_two_processes_with_half_the_model_each_have_the_losses_of_one(
    stage: str, plain: Callable[[str], Path], by_two: Path
) -> None:
    one, two = plain(stage), by_two / f"sharded {stage}"
    torch.testing.assert_close(losses(two), losses(one), rtol=0, atol=1e-5)
    kept = [load_file(run / "last" / "model.safetensors") for run in (one, two)]
    assert kept[0].keys() == kept[1].keys()
    for name, tensor in kept[0].items():
        torch.testing.assert_close(kept[1][name], tensor, rtol=1e-3, atol=1e-3, msg=name)
    assert not (two / "state").exists()
    assert "no checkpoints to resume from" in read_log(two)[0]["warning"]


def test_two_processes_train_both_stages_of_dense_prediction(by_two: Path) -> None:
    assert (by_two / "dense/prior/done.json").is_file()


@pytest.mark.parametrize("stage", ["game", "prior"])
@pytest.mark.parametrize("settings", [["--loop.accumulate", "3"], ["--loop.recompute"]], ids=lambda words: words[0])
def test_saving_memory_changes_no_loss(
    stage: str, settings: list[str], commands: dict[str, list[str]], plain: Callable[[str], Path], tmp_path: Path
) -> None:
    sparing = alone([*commands[stage], *settings], tmp_path / "sparing")
    torch.testing.assert_close(sparing, losses(plain(stage)), rtol=0, atol=1e-5)


# Dynamo looks at the .grad of whatever enters a graph, and PyTorch warns where that is no leaf.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("stage", ["game", "prior"])
def test_compilation_changes_no_loss(
    stage: str,
    commands: dict[str, list[str]],
    plain: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The graphs are captured and run as they are: what the default backend makes of them is PyTorch's to test."""
    captured: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        captured.append(len(graph.graph.nodes))
        return graph

    compile_with = torch.nn.Module.compile
    usual = plain(stage)
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compile_with, backend=backend))
    compiled = alone([*commands[stage], "--loop.compile"], tmp_path / "compiled")
    torch.testing.assert_close(compiled, losses(usual), rtol=0, atol=1e-5)
    assert sum(captured) > 20
    # The saved names are those of a plain model.
    names = [load_file(run / "last" / "model.safetensors").keys() for run in (usual, tmp_path / "compiled")]
    assert names[0] == names[1]


@pytest.mark.parametrize("config", [FSQConfig(levels=(8, 5, 5, 5)), VQConfig(size=64, channels=4), LFQConfig(bits=6)])
def test_bfloat16_leaves_the_quantizer_in_float32(config: QuantizerConfig) -> None:
    torch.manual_seed(0)
    quantizer = make_quantizer(config, channel_dim=1).eval()
    latents = torch.randn(4, quantizer.channels, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = quantizer(latents)
    expected = quantizer(latents.float())
    assert out.codes.dtype == torch.bfloat16, "what it gives on has the decoder's precision"
    assert torch.equal(out.indices, expected.indices)
    assert torch.equal(out.codes, expected.codes.bfloat16())
