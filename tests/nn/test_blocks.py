"""The blocks' identities: what a block is at its start, and what it may depend on."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gridcode.nn.conv import Downsample, Norm, ResidualBlock, Upsample
from gridcode.nn.transformer import PostNormBlock, SelfAttention, truncated_normal_


def test_a_residual_block_starts_as_its_shortcut() -> None:
    x = torch.randn(2, 8, 5, 7)
    block = ResidualBlock(8, 8)
    assert torch.equal(block(x), x + block.conv2.bias[:, None, None])
    wider = ResidualBlock(8, 16)
    torch.testing.assert_close(wider(x), wider.shortcut(x) + wider.conv2.bias[:, None, None])


def test_a_residual_block_learns_in_its_first_step() -> None:
    block = ResidualBlock(8, 8)
    block(torch.randn(2, 8, 4, 4)).square().mean().backward()
    assert block.conv2.weight.grad is not None
    assert block.conv2.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("width", "groups"), [(8, 8), (32, 32), (48, 16), (96, 32)])
def test_norm_has_the_most_groups_that_divide_the_width(width: int, groups: int) -> None:
    assert Norm(width).num_groups == groups


def test_upsampling_repeats_every_pixel_before_its_convolution() -> None:
    x = torch.randn(1, 4, 3, 5)
    up = Upsample(4)
    repeated = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(up(x), up.conv(repeated))
    assert Downsample(4)(repeated).shape == x.shape


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(12, 3).eval()
    x = torch.randn(2, 5, 12)
    q, k, v = attention.qkv(x).chunk(3, -1)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        weights = (q[..., part] @ k[..., part].transpose(1, 2) / 4**0.5).softmax(-1)
        heads.append(weights @ v[..., part])
    torch.testing.assert_close(attention(x), attention.out(torch.cat(heads, -1)))


def test_a_transformer_block_normalises_after_each_branch() -> None:
    torch.manual_seed(0)
    block = PostNormBlock(16, 4, mlp=32, dropout=0.0)
    truncated_normal_(block)
    x = torch.randn(2, 5, 16)
    middle = F.layer_norm(x + block.attention(x), (16,), eps=1e-12)
    torch.testing.assert_close(block(x), F.layer_norm(middle + block.mlp(middle), (16,), eps=1e-12))


def test_a_transformer_block_knows_no_order() -> None:
    torch.manual_seed(0)
    block = PostNormBlock(16, 4, mlp=32, dropout=0.0)
    x, order = torch.randn(2, 6, 16), torch.randperm(6)
    torch.testing.assert_close(block(x)[:, order], block(x[:, order]))


def test_initial_weights_are_truncated_at_two_deviations() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(500, 64), nn.Linear(64, 64), nn.LayerNorm(64))
    truncated_normal_(model)
    for weight in (model[0].weight, model[1].weight):
        assert weight.abs().max() <= 0.04
        # A normal cut at two deviations has 0.88 of the deviation.
        assert weight.std().item() == pytest.approx(0.88 * 0.02, rel=0.05)
    assert not model[1].bias.any()
    assert (model[2].weight == 1).all()
