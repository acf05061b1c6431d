"""MaskGIT's discriminator: its widths, its parameters counted by hand, its blur against a convolution."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gridcode.domains.image.networks.discriminator import Discriminator, DownBlock, blur_and_halve, width_at
from gridcode.errors import GridcodeError


@settings(deadline=None)
@given(batch=st.integers(1, 2), channels=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9))
def test_the_blur_is_a_strided_depthwise_convolution(batch: int, channels: int, height: int, width: int) -> None:
    x = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(height * width))
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = torch.outer(line, line).expand(channels, 1, 4, 4)
    padded = F.pad(x, (1, 1 + width % 2, 1, 1 + height % 2))
    expected = F.conv2d(padded, kernel, stride=2, groups=channels)
    ours = blur_and_halve(x)
    assert ours.shape[2:] == (math.ceil(height / 2), math.ceil(width / 2))
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize(("size", "widths"), [(128, (128, 256, 512, 512, 512, 512)), (256, (64, 128, 256, *[512] * 4))])
def test_the_widths_are_maskgits(size: int, widths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = Discriminator(3, size, width=512)
    blocks = list(network.blocks)
    assert all(isinstance(block, DownBlock) for block in blocks)
    assert (network.first.out_channels, *(block.conv2.out_channels for block in blocks)) == widths  # type: ignore[union-attr]
    assert network.dense.in_features == 512 * 4 * 4


def parameters_by_hand(size: int) -> int:
    """MaskGIT's StyleGAN discriminator, layer by layer: biases everywhere but in the 1x1 shortcuts."""
    filters = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
    total = 3 * filters[size] * 9 + filters[size]
    side = size
    while side > 4:
        a, b = filters[side], filters[side // 2]
        total += (a * a * 9 + a) + (a * b * 9 + b) + a * b
        side //= 2
    total += 512 * 512 * 9 + 512
    return total + (512 * 16 * 512 + 512) + (512 + 1)


@pytest.mark.parametrize(("size", "count"), [(128, 23_880_833), (256, 23_998_017)])
def test_parameters_are_counted_by_hand(size: int, count: int) -> None:
    with torch.device("meta"):
        network = Discriminator(3, size, width=512)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters_by_hand(size) == count


@settings(deadline=None)
@given(side=st.integers(4, 40), patch=st.sampled_from([1, 2]), channels=st.sampled_from([1, 3]))
def test_any_size_of_at_least_four_patches_gives_one_score_an_image(side: int, patch: int, channels: int) -> None:
    network = Discriminator(channels, side * patch, width=8, patch=patch)
    assert network(torch.zeros(2, channels, side * patch, side * patch)).shape == (2,)


@pytest.mark.parametrize(("size", "patch"), [(3, 1), (6, 2), (17, 2)])
def test_images_that_do_not_fit_are_one_line(size: int, patch: int) -> None:
    message = f"at least {4 * patch} pixels, a multiple of its patch {patch}, got {size}; change loss.adversarial"
    with pytest.raises(GridcodeError, match=message):
        Discriminator(3, size, width=8, patch=patch)


def test_a_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block = DownBlock(8, 16)
    x = torch.randn(2, 8, 6, 6)

    def lrelu(t: torch.Tensor) -> torch.Tensor:
        return torch.where(t > 0, t, 0.2 * t)

    inner = lrelu(block.conv2(blur_and_halve(lrelu(block.conv1(x)))))
    expected = (block.shortcut(blur_and_halve(x)) + inner) / math.sqrt(2)
    torch.testing.assert_close(block(x), expected)


def test_one_image_does_not_change_another_ones_score() -> None:
    """No batch statistics."""
    torch.manual_seed(0)
    network = Discriminator(3, 16, width=16)
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_weights_start_xavier_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    network = Discriminator(3, 16, width=64)
    bound = math.sqrt(6 / (64 * 9 + 64 * 9))
    weight = network.last.weight.detach()
    assert bound * 0.99 < float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert all(float(p.detach().abs().max()) == 0 for name, p in network.named_parameters() if name.endswith("bias"))


def test_widths_are_multiples_of_eight() -> None:
    assert all(width_at(side, width) % 8 == 0 for side in range(4, 600, 7) for width in (8, 24, 64, 512))
