"""A sharded run is refused where it cannot be, and is PyTorch's own where nothing is sharded.

Two processes with half a model each are in ``tests/test_processes.py``.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import AdversarialConfig, LossConfig, TokenizerRun
from gridcode.errors import GridcodeError
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training import fabric as fabrics
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import make_fabric
from gridcode.training.log import read_log
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.parallel import clip_gradients, whole
from gridcode.training.run import RunOptions, open_run
from gridcode.training.state import Trainee

RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=32, val_count=8, workers=0),
    model=TokenizerConfig(widths=(8, 8), encoder_blocks=1, decoder_blocks=1),
    loop=LoopConfig(steps=3, batch_size=8, log_every=1, accelerator="cpu", precision="fp32"),
)


@pytest.mark.parametrize("largest", [0.0, 0.1, 1e6])
def test_one_process_clips_as_pytorch_does(largest: float) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    theirs = copy.deepcopy(ours)
    model = make_fabric(RUN.loop).setup(ours)
    for network in (ours, theirs):
        network(torch.ones(2, 3)).square().sum().backward()
    norm = clip_gradients(model, ours, largest)
    assert torch.equal(norm, nn.utils.clip_grad_norm_(theirs.parameters(), largest or float("inf")))
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad)
    with whole(model):
        assert all(torch.equal(one, two) for one, two in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("accelerator", ["cpu", "mps", "auto"])
def test_without_cuda_it_is_one_line(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(GridcodeError) as caught:
        make_fabric(LoopConfig(strategy="fsdp", accelerator=accelerator))  # type: ignore[arg-type]
    message = str(caught.value)
    assert message == f"loop.strategy=fsdp needs CUDA devices, got accelerator={accelerator}; use loop.strategy=ddp"


def test_another_strategy_is_refused() -> None:
    with pytest.raises(GridcodeError, match=r"loop.strategy must be 'ddp' or 'fsdp', got 'zero'"):
        LoopConfig(strategy="zero")  # type: ignore[arg-type]


def test_a_sharded_run_is_not_resumed(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    trainee = Trainee(model, make_ema(model, OptimConfig()), make_optimizer(model, OptimConfig()))
    loop = replace(RUN.loop, strategy="fsdp")
    options = RunOptions(tmp_path, resume=True, show=False)
    with (
        pytest.raises(GridcodeError, match=r"a run with loop.strategy=fsdp cannot be resumed: start it again"),
        open_run(options, loop, trainee, fabric=make_fabric(RUN.loop), title="sharded"),
    ):
        pass


def test_a_sharded_run_has_no_discriminator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fabrics, "_sharded", lambda config: "auto")
    loss = LossConfig(adversarial=AdversarialConfig(kind="hinge", width=8))
    run = replace(RUN, loss=loss, loop=replace(RUN.loop, strategy="fsdp"))
    with pytest.raises(GridcodeError, match=r"loop.strategy=fsdp cannot train a discriminator; use loop.strategy"):
        train_tokenizer(run, RunOptions(tmp_path / "run", show=False))


@pytest.mark.gpu
def test_one_cuda_device_trains_sharded(tmp_path: Path) -> None:
    for strategy in ("ddp", "fsdp"):
        loop = replace(RUN.loop, accelerator="cuda", strategy=strategy)  # type: ignore[arg-type]
        train_tokenizer(replace(RUN, loop=loop), RunOptions(tmp_path / strategy, show=False))
    one, two = (
        torch.tensor([line["train/loss"] for line in read_log(tmp_path / name) if "train/loss" in line])
        for name in ("ddp", "fsdp")
    )
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
