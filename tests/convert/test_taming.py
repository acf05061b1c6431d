"""taming-transformers' VQGAN: converted tokenizers against its layers, written out as functions over a state dict.

The functions use nothing of gridcode's: names, shapes and arithmetic are an account of their own of the published code.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from gridcode.cli.main import main
from gridcode.convert import check_conversion, convert_tokenizer
from gridcode.domains.image.config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig
from gridcode.tokenizer.model import Tokenizer

State = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """A taming ddconfig, its codebook, and the resolution that its attention is named by."""

    ch: int = 32
    ch_mult: tuple[int, ...] = (1, 2)
    num_res_blocks: int = 1
    attn_resolutions: tuple[int, ...] = (8,)
    resolution: int = 16
    in_channels: int = 3
    z_channels: int = 6
    n_embed: int = 40
    embed_dim: int = 5


def _conv(state: State, name: str, out: int, into: int, side: int, random: torch.Generator) -> None:
    state[f"{name}.weight"] = torch.randn(out, into, side, side, generator=random) / (into * side * side) ** 0.5
    state[f"{name}.bias"] = torch.randn(out, generator=random) * 0.1


def _norm(state: State, name: str, width: int, random: torch.Generator) -> None:
    state[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=random)
    state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=random)


def _block(state: State, name: str, into: int, out: int, random: torch.Generator) -> None:
    _norm(state, f"{name}.norm1", into, random)
    _conv(state, f"{name}.conv1", out, into, 3, random)
    _norm(state, f"{name}.norm2", out, random)
    _conv(state, f"{name}.conv2", out, out, 3, random)
    if into != out:
        _conv(state, f"{name}.nin_shortcut", out, into, 1, random)


def _attention(state: State, name: str, width: int, random: torch.Generator) -> None:
    _norm(state, f"{name}.norm", width, random)
    for part in ("q", "k", "v", "proj_out"):
        _conv(state, f"{name}.{part}", width, width, 1, random)


def _middle(state: State, name: str, width: int, random: torch.Generator) -> None:
    _block(state, f"{name}.mid.block_1", width, width, random)
    _attention(state, f"{name}.mid.attn_1", width, random)
    _block(state, f"{name}.mid.block_2", width, width, random)


def state_dict(s: Settings, *, seed: int = 0) -> State:
    """A VQGAN's tensors, random, under taming's names."""
    random, state = torch.Generator().manual_seed(seed), State()
    widths, last = [s.ch * mult for mult in s.ch_mult], len(s.ch_mult) - 1
    _conv(state, "encoder.conv_in", s.ch, s.in_channels, 3, random)
    before, resolution = s.ch, s.resolution
    for i, width in enumerate(widths):
        for j in range(s.num_res_blocks):
            _block(state, f"encoder.down.{i}.block.{j}", before, width, random)
            before = width
            if resolution in s.attn_resolutions:
                _attention(state, f"encoder.down.{i}.attn.{j}", width, random)
        if i != last:
            _conv(state, f"encoder.down.{i}.downsample.conv", width, width, 3, random)
            resolution //= 2
    _middle(state, "encoder", before, random)
    _norm(state, "encoder.norm_out", before, random)
    _conv(state, "encoder.conv_out", s.z_channels, before, 3, random)
    _conv(state, "decoder.conv_in", before, s.z_channels, 3, random)
    _middle(state, "decoder", before, random)
    for i in reversed(range(len(widths))):
        for j in range(s.num_res_blocks + 1):
            _block(state, f"decoder.up.{i}.block.{j}", before, widths[i], random)
            before = widths[i]
            if resolution in s.attn_resolutions:
                _attention(state, f"decoder.up.{i}.attn.{j}", before, random)
        if i != 0:
            _conv(state, f"decoder.up.{i}.upsample.conv", before, before, 3, random)
            resolution *= 2
    _norm(state, "decoder.norm_out", before, random)
    _conv(state, "decoder.conv_out", s.in_channels, before, 3, random)
    state["quantize.embedding.weight"] = torch.randn(s.n_embed, s.embed_dim, generator=random)
    _conv(state, "quant_conv", s.embed_dim, s.z_channels, 1, random)
    _conv(state, "post_quant_conv", s.z_channels, s.embed_dim, 1, random)
    return state


def _apply_conv(state: State, name: str, x: Tensor, *, padding: int = 0, stride: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride, padding=padding)


def _apply_norm(state: State, name: str, x: Tensor) -> Tensor:
    B, C, H, W = x.shape
    rows = x.reshape(B, 32, -1)
    rows = (rows - rows.mean(2, keepdim=True)) / torch.sqrt(rows.var(2, unbiased=False, keepdim=True) + 1e-6)
    return rows.reshape(B, C, H, W) * state[f"{name}.weight"].view(1, C, 1, 1) + state[f"{name}.bias"].view(1, C, 1, 1)


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def _apply_block(state: State, name: str, x: Tensor) -> Tensor:
    h = _apply_conv(state, f"{name}.conv1", _swish(_apply_norm(state, f"{name}.norm1", x)), padding=1)
    h = _apply_conv(state, f"{name}.conv2", _swish(_apply_norm(state, f"{name}.norm2", h)), padding=1)
    return h + (_apply_conv(state, f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in state else x)


def _apply_attention(state: State, name: str, x: Tensor) -> Tensor:
    h = _apply_norm(state, f"{name}.norm", x)
    q, k, v = (_apply_conv(state, f"{name}.{part}", h).flatten(2) for part in "qkv")
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) * x.shape[1] ** -0.5, dim=2)
    seen = torch.einsum("bij,bcj->bci", weights, v).reshape(x.shape)
    return x + _apply_conv(state, f"{name}.proj_out", seen)


def _apply_middle(state: State, name: str, x: Tensor) -> Tensor:
    x = _apply_block(state, f"{name}.mid.block_1", x)
    return _apply_block(state, f"{name}.mid.block_2", _apply_attention(state, f"{name}.mid.attn_1", x))


def encode(state: State, s: Settings, images: Tensor) -> Tensor:
    """Latents before the codebook, (B, embed_dim, h, w)."""
    x, resolution = _apply_conv(state, "encoder.conv_in", images, padding=1), s.resolution
    for i in range(len(s.ch_mult)):
        for j in range(s.num_res_blocks):
            x = _apply_block(state, f"encoder.down.{i}.block.{j}", x)
            if resolution in s.attn_resolutions:
                x = _apply_attention(state, f"encoder.down.{i}.attn.{j}", x)
        if i != len(s.ch_mult) - 1:
            x = _apply_conv(state, f"encoder.down.{i}.downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
            resolution //= 2
    x = _swish(_apply_norm(state, "encoder.norm_out", _apply_middle(state, "encoder", x)))
    return _apply_conv(state, "quant_conv", _apply_conv(state, "encoder.conv_out", x, padding=1))


def indices(state: State, latents: Tensor) -> Tensor:
    """The nearest codeword of each place by all the squared differences, (B, h, w)."""
    book = state["quantize.embedding.weight"]
    return (latents.unsqueeze(1) - book.view(1, *book.shape, 1, 1)).square().sum(2).argmin(1)


def decode(state: State, s: Settings, tokens: Tensor) -> Tensor:
    """Images of indices (B, h, w)."""
    codes = state["quantize.embedding.weight"][tokens].permute(0, 3, 1, 2)
    x = _apply_conv(state, "decoder.conv_in", _apply_conv(state, "post_quant_conv", codes), padding=1)
    x, resolution = _apply_middle(state, "decoder", x), s.resolution >> (len(s.ch_mult) - 1)
    for i in reversed(range(len(s.ch_mult))):
        for j in range(s.num_res_blocks + 1):
            x = _apply_block(state, f"decoder.up.{i}.block.{j}", x)
            if resolution in s.attn_resolutions:
                x = _apply_attention(state, f"decoder.up.{i}.attn.{j}", x)
        if i != 0:
            x = _apply_conv(
                state, f"decoder.up.{i}.upsample.conv", x.repeat_interleave(2, 2).repeat_interleave(2, 3), padding=1
            )
            resolution *= 2
    return _apply_conv(state, "decoder.conv_out", _swish(_apply_norm(state, "decoder.norm_out", x)), padding=1)


def pictures(s: Settings, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape[0], s.in_channels, *shape[1:], generator=torch.Generator().manual_seed(seed)) * 2 - 1


def saved(tmp_path: Path, state: State, name: str = "vqgan.safetensors") -> Path:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    return path


SHAPES = {
    "small": Settings(),
    "attention at two levels": Settings(ch_mult=(1, 2, 3), attn_resolutions=(8, 4), num_res_blocks=2),
    "attention at the finest": Settings(ch_mult=(1, 2), attn_resolutions=(16,)),
    "attention in the middle only": Settings(ch_mult=(1, 1), attn_resolutions=()),
    "grey, one level": Settings(ch_mult=(1,), in_channels=1, attn_resolutions=()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_converted_tokenizer_computes_what_its_source_does(shape: str, tmp_path: Path) -> None:
    s = SHAPES[shape]
    state = state_dict(s)
    conversion = convert_tokenizer(saved(tmp_path, state))
    tokenizer = conversion.tokenizer
    assert (conversion.project, conversion.used, conversion.set_aside) == ("taming", len(state), ())
    assert tokenizer.parameter_count == sum(tensor.numel() for tensor in state.values())
    assert (tokenizer.codebook_size, tokenizer.config.channels) == (s.n_embed, s.in_channels)
    for size in ((3, 16, 16), (2, 8, 24)):
        images = pictures(s, *size)
        latents = encode(state, s, images)
        with torch.no_grad():
            torch.testing.assert_close(tokenizer.latents(images), latents, rtol=0, atol=2e-4)
        tokens = tokenizer.encode(images)
        assert torch.equal(tokens, indices(state, latents))
        assert tokens.unique().numel() > 3, "a constant would pass without being right"
        with torch.no_grad():
            decoded = tokenizer.decoder(tokenizer.quantizer.indices_to_codes(tokens))
        torch.testing.assert_close(decoded, decode(state, s, tokens), rtol=0, atol=2e-4)
        assert torch.equal(tokenizer.decode(tokens), decoded.clamp(-1, 1))


@settings(max_examples=15, deadline=None)
@given(
    ch_mult=st.lists(st.integers(1, 2), max_size=2).map(lambda rest: (1, *rest)),
    num_res_blocks=st.integers(1, 2),
    attn=st.sets(st.sampled_from([16, 8, 4])).map(tuple),
    z_channels=st.integers(1, 5),
    embed=st.tuples(st.integers(2, 9), st.integers(1, 5)),
)
def test_every_shape_is_seen_in_the_tensors(
    tmp_path_factory: pytest.TempPathFactory,
    ch_mult: tuple[int, ...],
    num_res_blocks: int,
    attn: tuple[int, ...],
    z_channels: int,
    embed: tuple[int, int],
) -> None:
    s = Settings(
        ch_mult=ch_mult,
        num_res_blocks=num_res_blocks,
        attn_resolutions=attn,
        z_channels=z_channels,
        n_embed=embed[0],
        embed_dim=embed[1],
    )
    path = saved(tmp_path_factory.mktemp("vqgan"), state_dict(s))
    config = convert_tokenizer(path).tokenizer.config
    assert isinstance(config, VQGANConfig)
    attended = tuple(level for level in range(len(ch_mult)) if 16 >> level in attn)
    assert config.widths == tuple(32 * mult for mult in ch_mult)
    assert (config.encoder_blocks, config.decoder_blocks) == (num_res_blocks, num_res_blocks + 1)
    assert (config.encoder_attention, config.decoder_attention) == (attended, attended)
    assert (config.latents, config.quantizer.size, config.quantizer.channels) == (z_channels, *embed)


def test_diffusers_layers_agree_with_the_converted_ones(tmp_path: Path) -> None:
    path = saved(tmp_path, state_dict(SHAPES["attention at two levels"]))
    agreement = check_conversion(convert_tokenizer(path), path)
    assert agreement.holds
    assert agreement.equal == agreement.tokens == 2 * 16 * 16
    assert agreement.difference < 2e-4


def test_what_cannot_be_checked_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, state_dict(Settings()))
    conversion = convert_tokenizer(path)
    shallow = Tokenizer(VQGANConfig(quantizer=VQConfig(size=4, channels=2), widths=(32,), decoder_blocks=1))
    with pytest.raises(GridcodeError, match="cannot build 1 blocks a level before 1; leave the check out"):
        check_conversion(replace(conversion, tokenizer=shallow), path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(GridcodeError, match=r"the check needs diffusers .*; pip install diffusers"):
        check_conversion(conversion, path)


def test_what_only_training_needs_is_left_out(tmp_path: Path) -> None:
    s = Settings()
    state = state_dict(s)
    extra = {
        "loss.discriminator.main.0.weight": torch.zeros(4, 3, 4, 4),
        "loss.logvar": torch.zeros(()),
        "quantize.embedding.cluster_size": torch.zeros(s.n_embed),
    }
    plain = convert_tokenizer(saved(tmp_path, state))
    conversion = convert_tokenizer(saved(tmp_path, state | extra, "whole.ckpt"), allow_pickle=True)
    assert {*conversion.set_aside} == {*extra}
    assert conversion.tokenizer.weights_hash() == plain.tokenizer.weights_hash()


def test_the_command_converts_checks_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = Settings()
    state = state_dict(s) | {"loss.logvar": torch.zeros(())}
    source, out = saved(tmp_path, state, "last.ckpt"), tmp_path / "out"
    words = ["convert", str(source), "--out", str(out), "--size", "16"]
    assert main(words) == 2
    assert "is a pickle; if you trust where it comes from, set --allow-pickle" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--allow-pickle", "--check"]) == 0
    said = capsys.readouterr().out
    assert (
        f"taming: {len(state) - 1} tensors, each used once; found under state_dict.; 1 of its training left out" in said
    )
    assert "check against diffusers: 2,048 of 2,048 tokens equal (100.00%)" in said
    assert f"{out}: 2 pixels per token, 40 codes" in said
    images = pictures(s, 2, 16, 16)
    assert torch.equal(Tokenizer.from_pretrained(out).encode(images), indices(state, encode(state, s, images)))
    assert main([*words, "--allow-pickle"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([*words, "--allow-pickle", "--force"]) == 0
