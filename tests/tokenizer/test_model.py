"""The tokenizer's identities: forward is decode after encode, and a saved model is the same model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.networks.conv import Decoder, Encoder
from gridcode.errors import GridcodeError
from gridcode.hub import save_model
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.range import check_images, warn_of_brightness

CONFIG = TokenizerConfig(
    quantizer=FSQConfig(levels=(5, 4, 3)), widths=(8, 16), encoder_blocks=1, decoder_blocks=1, patch=2
)


def make(config: TokenizerConfig = CONFIG, *, seed: int = 0) -> Tokenizer:
    torch.manual_seed(seed)
    return Tokenizer(config).eval()


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(max_examples=20, deadline=None)
@given(
    patch=st.integers(1, 3),
    stages=st.integers(1, 3),
    h=st.integers(1, 3),
    w=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
)
def test_encoder_and_decoder_mirror_each_other_on_any_rectangle(
    patch: int, stages: int, h: int, w: int, channels: int
) -> None:
    config = TokenizerConfig(patch=patch, widths=(8,) * stages, channels=channels)
    f = config.downsampling
    pictures = torch.zeros(2, channels, h * f, w * f)
    latents = Encoder(config, 5)(pictures)
    assert latents.shape == (2, 5, h, w) == (2, 5, *config.grid(h * f, w * f))
    assert Decoder(config, 5)(latents).shape == pictures.shape


def test_forward_is_the_decoder_on_the_codes() -> None:
    tokenizer = make()
    pictures = images(3, 3, 8, 16)
    out = tokenizer(pictures)
    assert torch.equal(out.outputs, tokenizer.decoder(out.quantized.codes))
    assert torch.equal(out.quantized.indices, tokenizer.encode(pictures))
    assert torch.equal(tokenizer.decode(out.quantized.indices), out.outputs.float().clamp(-1, 1))
    assert out.quantized.indices.unique().numel() > 1, "a constant would pass without being right"


def test_decoded_images_stay_in_range() -> None:
    tokenizer = make()
    with torch.no_grad():
        tokenizer.decoder[-2].weight.mul_(1000)
    pictures = images(2, 3, 8, 8)
    assert tokenizer(pictures).outputs.abs().max() > 1
    decoded = tokenizer.decode(tokenizer.encode(pictures))
    assert decoded.dtype == torch.float32
    assert decoded.abs().max() == 1


def test_gradients_pass_the_quantizer_to_every_weight() -> None:
    tokenizer = make().train()
    # A residual block starts as its shortcut, so its first convolution learns from the second step on.
    for part in tokenizer.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.normal_(part.weight, std=0.1)
    pictures = images(2, 3, 8, 8)
    (tokenizer(pictures).outputs - pictures).square().mean().backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 8, 8), r"takes images \(B, 3, H, W\), got shape \(2, 1, 8, 8\)"),
        ((3, 8, 8), r"takes images \(B, 3, H, W\), got shape \(3, 8, 8\)"),
        ((2, 3, 8, 10), r"multiples of 4 .* got 8x10; resize or crop to 8x8"),
        ((2, 3, 0, 8), r"multiples of 4 .* got 0x8"),
    ],
)
def test_images_that_do_not_fit_are_one_line(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(GridcodeError, match=message) as caught:
        make().encode(torch.zeros(shape))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"got torch\.uint8; give images / 127\.5 - 1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.bool), r"give images \* 2\.0 - 1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), r"must be floats in \[-1, 1\], got torch\.int64"),
        (torch.rand(1, 3, 8, 8) * 255, r"images must be in \[-1, 1\].*; give images / 127\.5 - 1"),
        (torch.rand(1, 3, 8, 8) * 65535, r"give images / 32767\.5 - 1"),
        (torch.full((1, 3, 8, 8), float("nan")), r"mend NaN"),
        (torch.linspace(-2.1, 2.6, 192).view(1, 3, 8, 8), r"undo the normalisation"),
        (torch.linspace(-1.2, 1, 192).view(1, 3, 8, 8), r"give images\.clamp\(-1, 1\)"),
    ],
)
def test_images_of_another_range_are_one_line(wrong: torch.Tensor, message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        make().encode(wrong)


def check_compiled(pictures: torch.Tensor) -> torch.Tensor:
    check_images(pictures, check_range=True)
    return pictures


def test_what_may_be_right_is_encoded(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_brightness.cache_clear()
    tokenizer = make()
    for right in (images(1, 3, 8, 8), torch.ones(1, 3, 8, 8), -torch.ones(1, 3, 8, 8)):
        tokenizer.encode(right)
    assert not caplog.records
    bright = images(1, 3, 8, 8).abs()
    assert torch.equal(tokenizer.encode(bright), tokenizer.encode(bright, check_range=False))
    tokenizer.encode(bright)
    assert "if they are in [0, 1], give images * 2 - 1" in caplog.text
    assert len(caplog.records) == 1
    tokenizer.encode(images(1, 3, 8, 8) * 9, check_range=False)
    check_images(torch.empty(1, 3, 8, 8, device="meta"), check_range=True)
    with FakeTensorMode():
        check_images(torch.empty(1, 3, 8, 8), check_range=True)
    assert torch.compile(check_compiled, backend="eager", fullgraph=True)(images(1, 3, 8, 8) * 9).max() > 2


def test_indices_outside_the_book_are_refused() -> None:
    for wrong in (60, -1):
        with pytest.raises(GridcodeError, match=str(wrong)):
            make().decode(torch.full((1, 2, 2), wrong))


def test_a_saved_tokenizer_is_the_same_tokenizer(tmp_path: Path) -> None:
    tokenizer = make()
    tokenizer.info = {"data": {"size": 8}, "dataset": "scenes"}
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    loaded = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert not loaded.training
    assert loaded.config == tokenizer.config
    assert loaded.info == tokenizer.info
    assert loaded.weights_hash() == tokenizer.weights_hash() != make(seed=1).weights_hash()
    expected = tokenizer.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    pictures = images(2, 3, 8, 16)
    assert torch.equal(loaded.encode(pictures), tokenizer.encode(pictures))
    torch.testing.assert_close(loaded(pictures).outputs, tokenizer(pictures).outputs)
    loaded.save_pretrained(tmp_path / "again")
    one, two = (tmp_path / name / "model.safetensors" for name in ("tokenizer", "again"))
    assert one.read_bytes() == two.read_bytes()


def test_the_card_says_what_a_reader_needs(tmp_path: Path) -> None:
    tokenizer = make()
    tokenizer.info = {"data": {"size": 8, "crop": {"train": "center"}}, "dataset": "my images"}
    tokenizer.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    count = sum(p.numel() for p in tokenizer.parameters())
    for fact in ("5 x 4 x 3 = 60 codes", "5.91 bits", "4 pixels per place", f"{count:,}", "my images, 8 px"):
        assert fact in card
    assert "converted from" not in card
    tokenizer.info["converted_from"] = "diffusers"
    tokenizer.save_pretrained(tmp_path / "converted")
    assert "| converted from | diffusers |" in (tmp_path / "converted" / "README.md").read_text()


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m", tensors={"w": torch.zeros(1)}, config={"kind": "prior"}, card="")
    with pytest.raises(GridcodeError, match="holds a 'prior', not a 'tokenizer'"):
        Tokenizer.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": [8, 24]}, "does not fit this model: .* of another shape"),
        ({"quantizer": {"name": "fsq", "levels": [5, 3, 4]}}, r"form 'paper', levels \[5, 4, 3\]"),
        ({"quantizer": {"name": "fsq", "levels": [5, 4, 3], "form": "ifsq"}}, "form 'paper'.*has .*form 'ifsq'"),
        ({"quantizer": {"name": "vq", "size": 60, "channels": 3}}, "does not fit this model"),
        ({"quantizer": {"name": "rvq"}}, "there is no quantizer 'rvq'; choose one of fsq,"),
        ({"decoder_blocks": 2}, "weights missing"),
        ({"future": 1}, r"config\.json is not a tokenizer's .*future"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_one_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    make().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["model"] |= change
    path.write_text(json.dumps(config))
    with pytest.raises(GridcodeError, match=message) as caught:
        Tokenizer.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
