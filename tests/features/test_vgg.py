"""VGG-16 has torchvision's names and shapes, takes the layers LPIPS takes, and reads files without running code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.features.vgg import VGG16, load_vgg16, read_tensors

TORCHVISION = {
    "features.0": (64, 3),
    "features.2": (64, 64),
    "features.5": (128, 64),
    "features.7": (128, 128),
    "features.10": (256, 128),
    "features.12": (256, 256),
    "features.14": (256, 256),
    "features.17": (512, 256),
    "features.19": (512, 512),
    "features.21": (512, 512),
    "features.24": (512, 512),
    "features.26": (512, 512),
    "features.28": (512, 512),
}
"""The convolutions of torchvision's vgg16: name, (channels out, channels in)."""


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    found = {}
    for name, (outputs, inputs) in TORCHVISION.items():
        scale = (2 / (9 * inputs)) ** 0.5
        found[f"{name}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=draw) * scale
        found[f"{name}.bias"] = torch.randn(outputs, generator=draw) * 0.1
    return found


@pytest.fixture(scope="module")
def file(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(weights | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def test_names_and_shapes_are_torchvisions() -> None:
    with torch.device("meta"):
        ours = {name: tuple(tensor.shape) for name, tensor in VGG16().state_dict().items()}
    expected = {f"{name}.weight": (*shape, 3, 3) for name, shape in TORCHVISION.items()}
    expected |= {f"{name}.bias": (shape[0],) for name, shape in TORCHVISION.items()}
    assert ours == expected
    assert sum(torch.Size(shape).numel() for shape in ours.values()) == 14_714_688  # torchvision's features


def test_features_are_those_before_each_pool(weights: dict[str, torch.Tensor], file: Path) -> None:
    vgg = load_vgg16(file)
    assert not any(parameter.requires_grad for parameter in vgg.parameters())
    images = torch.randn(1, 3, 32, 16, generator=torch.Generator().manual_seed(1))
    h, expected = images, []
    for stage in ([0, 2], [5, 7], [10, 12, 14], [17, 19, 21], [24, 26, 28]):
        h = nn.functional.max_pool2d(h, 2, 2) if expected else h
        for layer in stage:
            bias = weights[f"features.{layer}.bias"]
            h = nn.functional.conv2d(h, weights[f"features.{layer}.weight"], bias, padding=1).relu()
        expected.append(h)
    found = vgg(images)
    assert [tuple(f.shape[1:]) for f in found] == [(64, 32, 16), (128, 16, 8), (256, 8, 4), (512, 4, 2), (512, 2, 1)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_file_without_a_convolution_is_one_line(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file({name: tensor for name, tensor in weights.items() if name != "features.28.bias"}, path)
    with pytest.raises(
        GridcodeError, match=r"does not fit this model: 1 weights missing.*features\.28\.bias"
    ) as caught:
        load_vgg16(path)
    assert "\n" not in str(caught.value)


class Evil:
    """What a pickle of it does when it is loaded: makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    torch.save({"features.0.weight": Evil(str(trap))}, tmp_path / "evil.pth")
    with pytest.raises(GridcodeError, match=r"evil\.pth cannot be read as weights \(.*\); fetch the file") as caught:
        read_tensors(tmp_path / "evil.pth")
    assert not trap.exists()
    assert "\n" not in str(caught.value)


def test_missing_damaged_and_other_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(GridcodeError, match=r"there is no file of weights .*absent\.pth; check the path"):
        read_tensors(tmp_path / "absent.pth")
    torch.save({"w": torch.ones(100)}, tmp_path / "torn.pth")
    data = (tmp_path / "torn.pth").read_bytes()
    (tmp_path / "torn.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "torn.safetensors").write_bytes(b"\0" * 5)
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("torn.pth", "torn.safetensors", "empty.pth"):
        with pytest.raises(GridcodeError, match=rf"{name} cannot be read as weights") as caught:
            read_tensors(tmp_path / name)
        assert "\n" not in str(caught.value)
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "nested.pth")
    with pytest.raises(GridcodeError, match=r"holds no tensors by name; save the model's state_dict alone"):
        read_tensors(tmp_path / "nested.pth")
