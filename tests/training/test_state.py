"""Checkpoints: exact, whole or absent, and refused in one line where they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.nn.conv import Conv2d
from gridcode.training.config import OptimConfig
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.state import Trainee, checkpoints, load_state, save_state
from tests.test_errors import full_disk


def trainee(width: int = 4, *, seed: int = 0) -> Trainee:
    """A convolutional model, as Stage I trains it."""
    torch.manual_seed(seed)
    model = nn.Sequential(Conv2d(3, width, 3), nn.GroupNorm(2, width), Conv2d(width, 3, 3))
    return Trainee(model, make_ema(model, OptimConfig()), make_optimizer(model, OptimConfig(lr=0.01)))


def train(what: Trainee, steps: range) -> None:
    for step in steps:
        torch.manual_seed(step)
        what.optimizer.zero_grad()
        what.model(torch.randn(2, 3, 8, 8)).square().mean().backward()
        what.optimizer.step()
        what.ema.update_parameters(what.model)  # type: ignore[operator]


def tensors(what: Trainee) -> dict[str, torch.Tensor]:
    found = {f"model/{name}": t for name, t in what.model.state_dict().items()}
    found |= {f"ema/{name}": t for name, t in what.ema.state_dict().items()}
    for index, entries in what.optimizer.state_dict()["state"].items():
        found |= {f"optimizer/{index}/{name}": t for name, t in entries.items()}
    return found


def test_a_resumed_trainee_goes_on_bit_for_bit(tmp_path: Path) -> None:
    one = trainee()
    train(one, range(5))
    save_state(tmp_path, 5, one, {"best": 12.25})
    two = trainee(seed=1)
    assert load_state(tmp_path, two) == {"step": 5, "best": 12.25}
    train(one, range(5, 9))
    train(two, range(5, 9))
    expected = tensors(one)
    assert len(expected) == 6 + 7 + 18
    for name, tensor in tensors(two).items():
        assert torch.equal(tensor, expected[name]), name


def test_only_the_newest_checkpoint_stays(tmp_path: Path) -> None:
    one = trainee()
    for step in (1, 2, 10):
        save_state(tmp_path, step, one, {})
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000010"]


def test_a_kill_during_a_write_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    one = trainee()
    train(one, range(3))
    folder = save_state(tmp_path, 3, one, {})
    torn = folder.with_name(".step-00000006.4711.tmp")
    shutil.copytree(folder, torn)
    file = torn / "state.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    two = trainee(seed=1)
    assert load_state(tmp_path, two)["step"] == 3
    assert all(torch.equal(t, tensors(one)[name]) for name, t in tensors(two).items())
    train(two, range(3, 6))
    newest = save_state(tmp_path, 6, two, {})
    assert list(newest.parent.iterdir()) == [newest], "what the kill left behind goes with the next checkpoint"


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    one = trainee(width=64)
    folder = save_state(tmp_path, 3, one, {})
    assert (folder / "state.safetensors").stat().st_size > 8192
    before = {name: tensor.clone() for name, tensor in tensors(one).items()}
    train(one, range(1))
    with full_disk(), pytest.raises(GridcodeError, match=r"step-00000006 cannot be written \(.*\); make room there"):
        save_state(tmp_path, 6, one, {})
    assert list(folder.parent.iterdir()) == [folder], "nothing half-written stays"
    two = trainee(width=64, seed=1)
    assert load_state(tmp_path, two)["step"] == 3
    assert all(torch.equal(t, before[name]) for name, t in tensors(two).items())


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, file: str, harm: str) -> None:
    one = trainee()
    train(one, range(1))
    path = save_state(tmp_path, 1, one, {}) / file
    data = path.read_bytes()
    path.unlink()
    if harm == "truncated":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(GridcodeError, match=r"step-00000001") as caught:
        load_state(tmp_path, trainee())
    assert "\n" not in str(caught.value)


def test_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GridcodeError, match="has no checkpoint to resume from; start it again with force=True"):
        load_state(tmp_path, trainee())


def test_a_checkpoint_of_another_model_is_one_line(tmp_path: Path) -> None:
    save_state(tmp_path, 1, trainee(width=4), {})
    other = trainee(width=8)
    before = {name: tensor.clone() for name, tensor in other.model.state_dict().items()}
    message = r"step-00000001 does not fit this model: 0 weights missing, 0 unknown, 5 of another shape"
    with pytest.raises(GridcodeError, match=message) as caught:
        load_state(tmp_path, other)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(t, before[name]) for name, t in other.model.state_dict().items())
