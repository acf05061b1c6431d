"""fp16 with a loss scale, on a CPU: steps that overflow are passed over and told; resumed runs have the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.dense.config import LabelTokenizerConfig, LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import AdversarialConfig, LossConfig, TokenizerRun
from gridcode.errors import GridcodeError
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.prior.train import train_prior
from gridcode.quantize.config import FSQConfig
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training import fabric as fabric_module
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import loss_scaler, make_fabric
from gridcode.training.log import read_log
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.run import RunOptions
from gridcode.training.step import finish_step

LOOP = LoopConfig(
    steps=4, batch_size=8, log_every=1, val_every=4, val_count=8, accelerator="cpu", precision="fp16", accumulate=2
)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=32, val_count=8, workers=0, crop=CropPolicy(train="center", flip=False)),
    model=TokenizerConfig(quantizer=FSQConfig(levels=(5, 4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1),
    loss=LossConfig(adversarial=AdversarialConfig(kind="non-saturating", width=8, lr=1e-3)),
    optim=OptimConfig(lr=1e-3, warmup=2),
    loop=LOOP,
)


def begin_with(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    """Let runs begin with another loss scale than PyTorch's."""
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(fabric_module.torch.amp, "GradScaler", lambda device: scaler(device, init_scale=scale))


def folders(out: Path) -> RunOptions:
    return RunOptions(out, show=False)


def test_a_step_is_that_of_the_unscaled_gradient() -> None:
    fabric = make_fabric(LOOP)
    torch.manual_seed(0)
    module = nn.Linear(4, 1)
    twin = nn.Linear(4, 1)
    twin.load_state_dict(module.state_dict())
    x = torch.randn(8, 4) / 10
    config = OptimConfig(lr=0.1, clip=0.01)
    ema, theirs = make_ema(module, config), make_optimizer(twin, config)
    model, optimizer = fabric.setup(module, make_optimizer(module, config))
    fabric.backward(model(x).square().mean())
    figures = finish_step(model, module, ema, optimizer, clip=config.clip, fabric=fabric)
    with torch.autocast("cpu", torch.float16):
        twin(x).float().square().mean().backward()
    norm = nn.utils.clip_grad_norm_(twin.parameters(), config.clip)
    theirs.step()
    assert figures["loss_scale"] == 65536.0
    torch.testing.assert_close(figures["gradient_norm"], norm, rtol=1e-2, atol=0)
    for ours, expected in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_step_that_overflows_changes_nothing_but_the_scale(clip: float) -> None:
    fabric = make_fabric(LOOP)
    module = nn.Linear(4, 1)
    optim = OptimConfig(clip=clip)
    ema = make_ema(module, optim)
    model, optimizer = fabric.setup(module, make_optimizer(module, optim))
    before = {name: tensor.clone() for name, tensor in [*module.state_dict().items(), *ema.state_dict().items()]}
    fabric.backward(model(torch.ones(2, 4)).mean() * 1e38)
    figures = finish_step(model, module, ema, optimizer, clip=clip, fabric=fabric)
    assert figures == {"loss_scale": 32768.0, "skipped": 1.0}
    after = dict([*module.state_dict().items(), *ema.state_dict().items()])
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_overflow_at_every_scale_ends_in_one_line() -> None:
    fabric = make_fabric(LOOP)
    scaler = loss_scaler(fabric)
    assert scaler is not None
    module = nn.Linear(4, 1)
    model, optimizer = fabric.setup(module, make_optimizer(module, OptimConfig()))
    ema = make_ema(module, OptimConfig())

    def step() -> None:
        fabric.backward(model(torch.ones(2, 4)).mean() * float("inf"))
        finish_step(model, module, ema, optimizer, clip=1.0, fabric=fabric)

    while scaler.get_scale() > 2.0**-20:
        step()
    with pytest.raises(GridcodeError, match=r"not finite in fp16, at a loss scale of .* lower optim\.lr") as caught:
        step()
    assert "\n" not in str(caught.value)


def test_other_precisions_scale_nothing() -> None:
    for precision in ("fp32", "bf16"):
        assert loss_scaler(make_fabric(replace(LOOP, precision=precision))) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "fsdp"}, r"loop\.precision=fp16 cannot train with loop\.strategy=fsdp; use bf16 or ddp"),
        ({"precision": "fp8"}, r"loop\.precision must be one of auto, fp32, bf16, fp16, got 'fp8'"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, str], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        replace(LOOP, **settings)  # type: ignore[arg-type]


def test_a_game_of_two_skips_tells_and_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun with a scale that overflows: both optimisers' first steps are passed over, and training goes on."""
    begin_with(monkeypatch, 2.0**22)
    train_tokenizer(RUN, folders(tmp_path / "straight"))
    log = read_log(tmp_path / "straight")
    told = [line["warning"] for line in log if "overflowed" in line.get("warning", "")]
    assert told
    assert told[0] == "the gradient overflowed in fp16: its step was skipped, the loss scale fell to 2.09715e+06"
    skipped = [line["train/skipped"] for line in log if "train/skipped" in line]
    assert skipped[0] == 1.0
    assert "train/gradient_norm" not in next(line for line in log if "train/skipped" in line)
    assert skipped[-1] == 0.0, "the scale has come down to one that fits"

    half = replace(RUN, loop=replace(LOOP, checkpoint_every=2))

    class Killed(Exception):
        """Stands for a kill."""

    def kill(done: int) -> None:
        if done == 3:
            raise Killed

    from gridcode.tokenizer.progress import Progress

    end = Progress.end_step
    monkeypatch.setattr(Progress, "end_step", lambda self, step, *a, **k: (end(self, step, *a, **k), kill(step + 1)))
    with pytest.raises(Killed):
        train_tokenizer(half, folders(tmp_path / "resumed"))
    monkeypatch.setattr(Progress, "end_step", end)
    state = json.loads((tmp_path / "resumed" / "state" / "step-00000002" / "state.json").read_text())
    assert state["memories"]["loss scale"]["scale"] < 2.0**22
    train_tokenizer(half, RunOptions(tmp_path / "resumed", resume=True, show=False))
    one, two = (run / "state" / "step-00000004" for run in (tmp_path / "straight", tmp_path / "resumed"))
    assert (one / "state.safetensors").read_bytes() == (two / "state.safetensors").read_bytes()
    assert (one / "state.json").read_bytes() == (two / "state.json").read_bytes()
    dtypes = {tensor.dtype for tensor in load_file(one / "state.safetensors").values()}
    assert dtypes == {torch.float32, torch.int64}


def test_a_prior_learns_in_fp16(tmp_path: Path) -> None:
    spec = {"name": "fsq", "levels": [4, 3]}
    with StoreWriter(
        tmp_path / "tokens",
        quantizer=spec,
        codebook_size=12,
        grid=(2, 3),
        tokenizer="0123456789abcdef",
        data={},
        classes=(),
    ) as writer:
        tokens = torch.randint(0, 12, (16, 2, 3), generator=torch.Generator().manual_seed(0))
        writer.write("train", tokens, torch.full((16,), -1), [str(number) for number in range(16)])
    run = PriorRun(model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32), loop=LOOP)
    train_prior(run, TokenStore.open(tmp_path / "tokens"), folders(tmp_path / "run"))
    lines = [line for line in read_log(tmp_path / "run") if "train/loss" in line]
    assert [line["train/loss_scale"] for line in lines] == [65536.0] * 4
    assert all(line["train/gradient_norm"] > 0 for line in lines)


def test_a_label_tokenizer_learns_in_fp16(tmp_path: Path) -> None:
    data = DenseConfig(height=32, width=32, train_count=16, val_count=4, workers=0)
    run = LabelTokenizerRun(data=data, model=LabelTokenizerConfig.laptop(), loop=replace(LOOP, steps=2, accumulate=1))
    train_tokenizer(run, folders(tmp_path / "run"))
    lines = [line for line in read_log(tmp_path / "run") if "train/loss" in line]
    assert [line["train/skipped"] for line in lines] == [0.0, 0.0]
