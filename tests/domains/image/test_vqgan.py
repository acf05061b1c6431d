"""VQ-GAN's layers: counts, shapes, identities. Parity with other people's code is in tests/convert."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import ViTConfig, VQGANConfig
from gridcode.domains.image.networks.make import blocks_of
from gridcode.domains.image.networks.vqgan import AsymmetricDownsample, SpatialAttention, VQGANDecoder, VQGANEncoder
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.tokenizer.model import Tokenizer

SMALL = VQGANConfig(quantizer=FSQConfig(levels=(5, 4, 3)), widths=(32, 64), encoder_attention=(1,), latents=6)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def make(config: VQGANConfig = SMALL, *, seed: int = 0) -> Tokenizer:
    torch.manual_seed(seed)
    return Tokenizer(config).eval()


def test_the_published_model_has_the_published_size() -> None:
    # 72,141,699: diffusers' VQModel of the same settings counts as many.
    with torch.device("meta"):
        tokenizer = Tokenizer(VQGANConfig.taming())
    assert tokenizer.parameter_count == 72_141_699
    assert tokenizer.token_grid(256, 256) == (16, 16)


@settings(max_examples=15, deadline=None)
@given(
    stages=st.integers(1, 3),
    h=st.integers(1, 3),
    w=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
    attention=st.booleans(),
)
def test_encoder_and_decoder_mirror_each_other_on_any_rectangle(
    stages: int, h: int, w: int, channels: int, attention: bool
) -> None:
    levels = tuple(range(stages)) if attention else ()
    config = VQGANConfig(
        widths=(32,) * stages, channels=channels, encoder_attention=levels, decoder_attention=levels, latents=3
    )
    f = config.downsampling
    pictures = torch.zeros(2, channels, h * f, w * f)
    latents = VQGANEncoder(config, 5)(pictures)
    assert latents.shape == (2, 5, h, w) == (2, 5, *config.grid(h * f, w * f))
    assert VQGANDecoder(config, 5)(latents).shape == pictures.shape


def test_downsampling_pads_at_the_right_and_below_alone() -> None:
    layer = AsymmetricDownsample(1)
    x = images(1, 1, 6, 8)
    with torch.no_grad():
        out = layer(x)[0, 0]
        padded = F.pad(x, (0, 1, 0, 1))[0, 0]
        for row in range(3):
            for column in range(4):
                window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                expected = (window * layer.conv.weight[0, 0]).sum() + layer.conv.bias[0]
                torch.testing.assert_close(out[row, column], expected)


def test_attention_sees_places_and_not_their_order() -> None:
    layer = SpatialAttention(32)
    x = images(2, 32, 4, 3)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        shuffled = layer(x.flatten(2)[:, :, order].reshape(2, 32, 4, 3))
        torch.testing.assert_close(shuffled.flatten(2), layer(x).flatten(2)[:, :, order], rtol=1e-5, atol=1e-5)
        layer.out.weight.zero_()
        layer.out.bias.zero_()
        assert torch.equal(layer(x), x)


def test_the_unit_range_is_undone_at_both_ends() -> None:
    config = VQGANConfig(quantizer=FSQConfig(levels=(5, 4, 3)), widths=(32, 64), latents=6, unit_range=True)
    signed = VQGANConfig(quantizer=FSQConfig(levels=(5, 4, 3)), widths=(32, 64), latents=6)
    unit, plain = make(config), make(signed, seed=1)
    plain.load_state_dict(unit.state_dict())
    pictures = images(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(unit.latents(pictures), plain.latents((pictures + 1) / 2))
        codes = unit.quantize(pictures).codes
        assert torch.equal(unit.decoder(codes), plain.decoder(codes) * 2 - 1)


def test_gradients_reach_every_weight() -> None:
    tokenizer = make().train()
    for part in tokenizer.modules():  # a new block begins as its shortcut
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.normal_(part.weight, std=0.1)
    pictures = images(2, 3, 8, 8)
    (tokenizer(pictures).outputs - pictures).square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in tokenizer.named_parameters()}
    # Softmax takes no notice of what is added to all the scores of a row, and so none of the keys' bias.
    still = [
        name for name, grad in gradients.items() if grad is None or (grad.abs().max() == 0 and ".k.bias" not in name)
    ]
    assert still == []


def test_it_learns_from_nothing() -> None:
    tokenizer = make().train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    pictures = F.interpolate(images(8, 3, 2, 2), scale_factor=4.0)
    losses = []
    for _ in range(25):
        loss = (tokenizer(pictures).outputs - pictures).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    tokenizer = make(VQGANConfig(quantizer=VQConfig(preset="plain", size=9, channels=2), widths=(32,), latents=3))
    tokenizer.save_pretrained(tmp_path)
    loaded = Tokenizer.from_pretrained(tmp_path)
    assert loaded.config == tokenizer.config
    pictures = images(2, 3, 5, 4)
    assert torch.equal(loaded.encode(pictures), tokenizer.encode(pictures))


def test_the_parts_between_which_activations_are_kept_take_and_give_tensors() -> None:
    tokenizer = make()
    parts = blocks_of(tokenizer.decoder)
    assert len(parts) == 7  # from_codes, conv_in, middle, two levels, norm_out, conv_out
    assert not any(isinstance(part, torch.nn.ModuleList) for part in parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ()}, "widths of vqgan must be positive multiples of 32, got ()"),
        ({"widths": (32, 48)}, "widths of vqgan must be positive multiples of 32, got (32, 48)"),
        ({"channels": 4}, "an image has 1 or 3 channels, got channels=4"),
        ({"latents": 0}, "tokenizer latents must be at least 1, got 0"),
        ({"encoder_attention": (3,)}, "encoder_attention lists levels from 0 to 2, each once, got (3,)"),
        ({"decoder_attention": (1, 1)}, "decoder_attention lists levels from 0 to 2, each once, got (1, 1)"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError) as found:
        VQGANConfig(**change)  # type: ignore[arg-type]
    assert message in str(found.value)


def test_another_architecture_s_grid_is_kept() -> None:
    for other in (TokenizerConfig(widths=(8,), patch=4), ViTConfig(patch=16), VQGANConfig(widths=(32,))):
        like = VQGANConfig.like(other)
        assert like.downsampling == other.downsampling
        assert like.quantizer == other.quantizer
    with pytest.raises(GridcodeError, match="a token covers 6 pixels; use conv"):
        VQGANConfig.like(ViTConfig(patch=6))
    assert VQGANConfig.taming().activations(256, 256) > VQGANConfig().activations(64, 64) > 0
