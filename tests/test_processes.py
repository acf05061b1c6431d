"""Two processes, a batch in parts, and recomputed activations give the losses of one plain process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gridcode.cli.main import main
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


def losses(run: Path) -> torch.Tensor:
    """The training loss of every step."""
    return torch.tensor([line["train/loss"] for line in read_log(run) if "train/loss" in line], dtype=torch.float64)


def alone(command: list[str], out: Path) -> torch.Tensor:
    assert main([*command, *LOOP, "--out", str(out)]) == 0
    return losses(out)


def by_two(command: list[str], out: Path) -> torch.Tensor:
    """The losses of torchrun's two processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gridcode"]
    program = [sys.executable, *launcher, *command, *LOOP, "--out", str(out)]
    done = subprocess.run(
        program, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return losses(out)


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
    return {"fsq": TOKENIZER, "vq": [*TOKENIZER, *uvim], "prior": [*PRIOR, "--tokens", str(store)]}


@pytest.mark.parametrize("stage", ["vq", "prior"])
def test_two_processes_have_the_losses_of_one(stage: str, commands: dict[str, list[str]], tmp_path: Path) -> None:
    torch.testing.assert_close(
        by_two(commands[stage], tmp_path / "two"), alone(commands[stage], tmp_path / "one"), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("stage", ["fsq", "prior"])
@pytest.mark.parametrize("settings", [["--loop.accumulate", "3"], ["--loop.recompute"]], ids=lambda words: words[0])
def test_saving_memory_changes_no_loss(
    stage: str, settings: list[str], commands: dict[str, list[str]], tmp_path: Path
) -> None:
    plain = alone(commands[stage], tmp_path / "plain")
    sparing = alone([*commands[stage], *settings], tmp_path / "sparing")
    torch.testing.assert_close(sparing, plain, rtol=0, atol=1e-5)
