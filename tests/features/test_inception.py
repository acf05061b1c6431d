"""The Inception network's shape, and what sets it apart from torchvision's; weights are stand-ins here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.features.inception import Inception, load_inception


@pytest.fixture(scope="module")
def network() -> Inception:
    torch.manual_seed(0)
    return Inception().eval()


def test_it_has_the_published_size_and_names(network: Inception) -> None:
    # torchvision's Inception v3 without its auxiliary classifier has 23,834,568 parameters with 1000 classes.
    assert sum(weight.numel() for weight in network.parameters()) == 23_834_568 + 8 * 2049
    names = network.state_dict()
    for name in ("Mixed_6c.branch7x7dbl_5.bn.running_var", "Mixed_7a.branch7x7x3_4.conv.weight", "fc.bias"):
        assert name in names
    assert tuple(names["Mixed_6b.branch7x7_2.conv.weight"].shape) == (128, 128, 1, 7)
    assert tuple(names["Mixed_7b.branch3x3dbl_3b.conv.weight"].shape) == (384, 384, 3, 1)


def test_grids_are_the_published_ones(network: Inception) -> None:
    sides: dict[str, tuple[int, ...]] = {}
    hooks = [
        getattr(network, name).register_forward_hook(
            lambda _module, _inputs, result, name=name: sides.update({name: tuple(result.shape[1:])})
        )
        for name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
    ]
    with torch.inference_mode():
        images = torch.rand(1, 3, 299, 299) * 2 - 1
        vectors = network.vectors(images)
        torch.testing.assert_close(network.classify(vectors) + network.fc.bias, network.fc(vectors))
    for hook in hooks:
        hook.remove()
    assert sides == {
        "Conv2d_2b_3x3": (64, 147, 147),
        "Conv2d_4a_3x3": (192, 71, 71),
        "Mixed_5d": (288, 35, 35),
        "Mixed_6e": (768, 17, 17),
        "Mixed_7c": (2048, 8, 8),
    }


def pooled(block: torch.nn.Module, grid: Tensor) -> Tensor:
    """What a block's pool gives, seen at the input of the convolution after it."""
    found: list[Tensor] = []
    hook = block.get_submodule("branch_pool").register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))
    block(grid)
    hook.remove()
    return found[0]


@torch.inference_mode()
def test_pools_leave_padding_out_and_the_last_is_a_maximum(network: Inception) -> None:
    grid = torch.rand(1, 192, 3, 3)
    corner = grid[..., :2, :2].mean((2, 3))
    torch.testing.assert_close(pooled(network.Mixed_5b, grid)[..., 0, 0], corner)
    wide = torch.rand(1, 2048, 3, 3)
    torch.testing.assert_close(pooled(network.Mixed_7c, wide)[..., 1, 1], wide.amax((2, 3)))


def test_weights_from_a_file(network: Inception, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(tensors, tmp_path / "weights.pth")
    loaded = load_inception(tmp_path / "weights.pth")
    torch.testing.assert_close(loaded.Mixed_7c.branch_pool.conv.weight, network.Mixed_7c.branch_pool.conv.weight)
    assert not any(weight.requires_grad for weight in loaded.parameters())
    torch.save({"fc.bias": tensors["fc.bias"]}, tmp_path / "less.pth")
    with pytest.raises(GridcodeError, match="weights missing"):
        load_inception(tmp_path / "less.pth")
    with pytest.raises(GridcodeError, match="resize them first"):
        network.vectors(torch.zeros(1, 3, 32, 32))
