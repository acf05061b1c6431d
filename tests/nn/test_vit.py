"""The ViT block against PyTorch's own pre-norm layer, and positions on grids of any shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gridcode.nn.vit import GridPositions, ViTBlock


def block(width: int = 24, heads: int = 3, mlp: int = 40, *, seed: int = 0) -> ViTBlock:
    torch.manual_seed(seed)
    made = ViTBlock(width, heads, mlp=mlp)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def test_the_block_is_pytorchs_pre_norm_layer() -> None:
    ours = block()
    theirs = nn.TransformerEncoderLayer(
        24, 3, 40, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    names = {
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
    }
    own, taken = ours.state_dict(), {}
    for name in theirs.state_dict():
        mapped = name
        for there, here in names.items():
            mapped = mapped.replace(there, here)
        taken[name] = own.pop(mapped)
    assert not own, "every parameter has a counterpart"
    theirs.load_state_dict(taken)
    x = torch.randn(2, 7, 24)
    torch.testing.assert_close(ours(x), theirs(x))


def test_parameters_have_timms_names_and_shapes() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in ViTBlock(192, 3, mlp=768).state_dict().items()}
    assert shapes == {
        "norm1.weight": (192,),
        "norm1.bias": (192,),
        "attn.qkv.weight": (576, 192),
        "attn.qkv.bias": (576,),
        "attn.proj.weight": (192, 192),
        "attn.proj.bias": (192,),
        "norm2.weight": (192,),
        "norm2.bias": (192,),
        "mlp.fc1.weight": (768, 192),
        "mlp.fc1.bias": (768,),
        "mlp.fc2.weight": (192, 768),
        "mlp.fc2.bias": (192,),
    }


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), tokens=st.integers(1, 9))
def test_the_block_knows_no_order(seed: int, tokens: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, tokens, 24, generator=draw)
    order = torch.randperm(tokens, generator=draw)
    made = block()
    torch.testing.assert_close(made(x)[:, order], made(x[:, order]))


def test_without_its_last_layers_the_block_is_the_identity() -> None:
    made = block()
    for part in (made.attn.proj, made.mlp.fc2):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    x = torch.randn(2, 7, 24)
    assert torch.equal(made(x), x)


class TestPositions:
    def test_on_their_own_grid_they_are_added_as_they_are(self) -> None:
        positions = GridPositions(6, side=5)
        x = torch.randn(2, 6, 5, 5)
        assert torch.equal(positions(x), x + positions.weight)

    @settings(max_examples=30, deadline=None)
    @given(h=st.integers(1, 12), w=st.integers(1, 12))
    def test_on_any_grid_they_are_resampled_as_images_are(self, h: int, w: int) -> None:
        positions = GridPositions(2, side=5)
        with torch.no_grad():
            positions.weight[:, 0] = 0.75
        added = positions(torch.zeros(1, 2, h, w))
        torch.testing.assert_close(added[:, 0], torch.full((1, h, w), 0.75))
        own = positions.weight.detach()
        if w > 1:
            expected = F.interpolate(own, (h, w), mode="bicubic", antialias=True)
        else:  # PyTorch's is wrong where the result is one column wide
            expected = F.interpolate(own.mT.contiguous(), (w, h), mode="bicubic", antialias=True).mT
        torch.testing.assert_close(added, expected)

    @pytest.mark.parametrize("factor", [2, 3])
    def test_a_ramp_on_a_finer_grid_is_a_ramp_between_the_same_ends(self, factor: int) -> None:
        positions = GridPositions(1, side=8)
        with torch.no_grad():  # the centre of cell i lies at i + 1/2
            positions.weight.copy_((torch.arange(8) + 0.5).expand(1, 1, 8, 8))
        added = positions(torch.zeros(1, 1, 8, 8 * factor))[0, 0, 0]
        expected = (torch.arange(8 * factor) + 0.5) / factor
        inner = slice(2 * factor, -2 * factor)
        torch.testing.assert_close(added[inner], expected[inner])
