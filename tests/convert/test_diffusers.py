"""diffusers' VQModel: converted tokenizers against the library itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import VQModel
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from gridcode.cli.main import main
from gridcode.convert import check_conversion, convert_tokenizer
from gridcode.convert.check import random_images
from gridcode.convert.shape import shape_of
from gridcode.convert.source import Source
from gridcode.domains.image.config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.tokenizer.model import Tokenizer

DOWN, ATTENTIVE_DOWN = "DownEncoderBlock2D", "AttnDownEncoderBlock2D"
UP, ATTENTIVE_UP = "UpDecoderBlock2D", "AttnUpDecoderBlock2D"

MODELS: dict[str, dict[str, Any]] = {
    "small": {
        "block_out_channels": (32, 64),
        "down_block_types": (DOWN, DOWN),
        "up_block_types": (UP, UP),
        "num_vq_embeddings": 50,
        "latent_channels": 4,
    },
    "as VQ-GAN's, attention at the last level": {
        "block_out_channels": (32, 32, 64),
        "down_block_types": (DOWN, DOWN, ATTENTIVE_DOWN),
        "up_block_types": (ATTENTIVE_UP, UP, UP),
        "layers_per_block": 2,
        "latent_channels": 8,
        "vq_embed_dim": 5,
        "num_vq_embeddings": 64,
    },
    "attention of encoder and decoder at different levels": {
        "block_out_channels": (64, 32, 32),
        "down_block_types": (DOWN, ATTENTIVE_DOWN, DOWN),
        "up_block_types": (UP, UP, ATTENTIVE_UP),
        "num_vq_embeddings": 32,
    },
    "as aMUSEd's, no attention at all": {
        "block_out_channels": (32, 64),
        "down_block_types": (DOWN, DOWN),
        "up_block_types": (UP, UP),
        "mid_block_add_attention": False,
        "lookup_from_codebook": True,
        "layers_per_block": 2,
        "latent_channels": 6,
        "num_vq_embeddings": 40,
        "norm_num_groups": 32,
    },
    "grey": {"in_channels": 1, "out_channels": 1, "block_out_channels": (32,), "num_vq_embeddings": 30},
}


def make(name: str = "small") -> VQModel:
    torch.manual_seed(len(name))
    model = VQModel(**MODELS[name]).eval()
    with torch.no_grad():  # as made, every norm is the identity and the whole codebook lies at the origin
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.quantize.embedding.weight.normal_()
        model.quant_conv.weight.mul_(4)
    return model


def theirs(model: VQModel, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, indices (B, h, w) and decoded images."""
    with torch.no_grad():
        latents = model.encode(images).latents
        indices = model.quantize(latents)[2][2].reshape(len(images), *latents.shape[-2:])
        return latents, indices, model.decode(latents).sample


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_tokenizer_computes_what_its_source_does(name: str, tmp_path: Path) -> None:
    model = make(name)
    model.save_pretrained(tmp_path)
    conversion = convert_tokenizer(tmp_path)
    tokenizer = conversion.tokenizer
    assert (conversion.project, conversion.used) == ("diffusers", len(model.state_dict()))
    assert tokenizer.parameter_count == sum(parameter.numel() for parameter in model.parameters())
    images = random_images(3, tokenizer.config.channels, side=32, seed=1)
    for batch in (images, images[:, :, :8, :24].contiguous()):
        latents, indices, decoded = theirs(model, batch)
        with torch.no_grad():
            torch.testing.assert_close(tokenizer.latents(batch), latents, rtol=0, atol=2e-4)
            assert torch.equal(tokenizer.encode(batch), indices)
            torch.testing.assert_close(tokenizer(batch).outputs, decoded, rtol=0, atol=2e-4)
        assert indices.unique().numel() > 3, "a constant would pass without being right"
        assert torch.equal(tokenizer.decode(indices), tokenizer(batch).outputs.clamp(-1, 1))


def test_pixels_in_the_unit_range_are_the_layers_affair_alone(tmp_path: Path) -> None:
    model = make("as aMUSEd's, no attention at all")
    model.save_pretrained(tmp_path)
    conversion = convert_tokenizer(tmp_path, unit_range=True)
    images = random_images(2, 3, side=16, seed=0)
    _, indices, decoded = theirs(model, (images + 1) / 2)
    assert torch.equal(conversion.tokenizer.encode(images), indices)
    torch.testing.assert_close(conversion.tokenizer(images).outputs, decoded * 2 - 1, rtol=0, atol=4e-4)
    assert check_conversion(conversion, tmp_path).holds
    assert not torch.equal(convert_tokenizer(tmp_path).tokenizer.encode(images), indices)


def test_a_converted_tokenizer_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "source")
    tokenizer = convert_tokenizer(tmp_path / "source", data="faces", size=64).tokenizer
    again = convert_tokenizer(tmp_path / "source", data="faces", size=64).tokenizer
    assert tokenizer.weights_hash() == again.weights_hash()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    loaded = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert loaded.config == tokenizer.config
    assert loaded.weights_hash() == tokenizer.weights_hash()
    assert (loaded.info["dataset"], loaded.info["data"]["size"]) == ("faces", 64)
    assert loaded.info["converted_from"] == "diffusers"


def test_training_goes_on_from_the_book_as_it_is(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    tokenizer = convert_tokenizer(tmp_path).tokenizer.train()
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    out = tokenizer(random_images(2, 3, side=16, seed=0))
    (out.outputs.square().mean() + out.quantized.loss).backward()
    assert torch.equal(tokenizer.quantizer.state_dict()["codebook"], before["quantizer.codebook"])
    still = [name for name, parameter in tokenizer.named_parameters() if parameter.grad is None]
    assert still == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_float_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    model = make().to(dtype)
    model.save_pretrained(tmp_path)
    tensors = convert_tokenizer(tmp_path).tokenizer.state_dict()
    assert torch.equal(tensors["quantizer.codebook"], model.quantize.embedding.weight.detach().float())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}


def test_attention_under_its_names_of_before(tmp_path: Path) -> None:
    model = make()
    model.save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    before = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in load_file(path).items():
        for today, then in before.items():
            name = name.replace(f".attentions.0.{today}.", f".attentions.0.{then}.")
        renamed[name] = tensor
    assert sum(".query." in name for name in renamed) == 4
    save_file(renamed, path)
    images = random_images(2, 3, side=16, seed=0)
    conversion = convert_tokenizer(tmp_path)
    assert torch.equal(conversion.tokenizer.encode(images), theirs(model, images)[1])
    agreement = check_conversion(conversion, tmp_path)
    assert agreement.holds
    assert agreement.difference < 2e-4


def test_a_wrong_conversion_does_not_hold(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    conversion = convert_tokenizer(tmp_path)
    assert check_conversion(conversion, tmp_path).holds
    with torch.no_grad():
        conversion.tokenizer.decoder.conv_out.bias.add_(1e-2)
    decoded = check_conversion(conversion, tmp_path)
    assert decoded.equal == decoded.tokens
    assert not decoded.holds
    with torch.no_grad():
        conversion.tokenizer.encoder.to_codes.weight.neg_()
    assert check_conversion(conversion, tmp_path).equal < 0.5 * decoded.tokens


def test_pickles_are_read_only_when_that_is_said(tmp_path: Path) -> None:
    model = make()
    model.save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "diffusion_pytorch_model.bin").is_file()
    with pytest.raises(GridcodeError, match=r"model\.bin is a pickle; .* allow_pickle=True"):
        convert_tokenizer(tmp_path)
    conversion = convert_tokenizer(tmp_path, allow_pickle=True)
    assert check_conversion(conversion, tmp_path).holds


CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "norm": ({"norm_type": "spatial"}, "says norm_type 'spatial'; only 'group' can be converted"),
    "activation": ({"act_fn": "gelu"}, "says act_fn 'gelu'; only 'silu'"),
    "groups": ({"norm_num_groups": 16}, "says norm_num_groups 16; only 32"),
    "out channels": ({"out_channels": 1}, "makes 1 channels of 3"),
    "blocks": ({"down_block_types": ["DownBlock2D", DOWN]}, "lists DownBlock2D, DownEncoderBlock2D for 2 levels"),
    "levels": ({"up_block_types": [UP]}, "lists UpDecoderBlock2D for 2 levels"),
    "book": ({"num_vq_embeddings": 1}, "size is 1; it must be a whole number from 2"),
    "size of the codebook": (
        {"num_vq_embeddings": 51},
        r"1 of another shape \(the first: quantize.embedding.weight \(50, 4",
    ),
    "attention": (
        {"mid_block_add_attention": False},
        r"0 tensors missing, 20 unknown, .* decoder\.mid_block\.attentions\.0\.group_norm\.bias\)",
    ),
    "more layers": (
        {"layers_per_block": 2},
        r"missing, 0 unknown, .*encoder\.down_blocks\.0\.resnets\.1\.norm1\.weight\)",
    ),
    "kind": ({"_class_name": "AutoencoderKL"}, "holds AutoencoderKL, not a VQModel"),
    "no widths": ({"block_out_channels": None}, "config.json is not a VQModel's"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_config_that_does_not_fit_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    changes, message = CHANGED[what]
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(GridcodeError, match=message) as found:
        convert_tokenizer(tmp_path)
    assert str(found.value).startswith(f"{tmp_path}")
    assert "\n" not in str(found.value)


VALUES = st.none() | st.booleans() | st.integers(-3, 70) | st.floats() | st.text(max_size=3)
CONFIG = json.loads(json.dumps({"in_channels": 3, "layers_per_block": 1} | MODELS["small"]))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*CONFIG, "act_fn", "vq_embed_dim"]), VALUES | st.lists(VALUES, max_size=2)))
def test_any_config_gives_a_shape_or_an_error_of_ours(changes: dict[str, Any]) -> None:
    try:
        config = shape_of(Source(Path("folder"), "diffusers", {}, CONFIG | changes, ()))
    except GridcodeError:
        return
    assert isinstance(config, VQGANConfig)


def test_folders_without_a_model_say_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(GridcodeError, match=r"no file or folder .*nowhere"):
        convert_tokenizer(tmp_path / "nowhere")
    make().save_pretrained(tmp_path / "pipeline" / "vqvae")
    with pytest.raises(GridcodeError, match=r"has no config.json; perhaps .*vqvae was meant"):
        convert_tokenizer(tmp_path / "pipeline")
    weights = tmp_path / "pipeline" / "vqvae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with pytest.raises(GridcodeError, match=r"\(diffusion_pytorch_model.fp16.safetensors\); save the model whole"):
        convert_tokenizer(tmp_path / "pipeline" / "vqvae")


def test_the_command_converts_and_the_other_verbs_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make().save_pretrained(tmp_path / "source")
    words = ["convert", str(tmp_path / "source"), "--out", str(tmp_path / "tokenizer"), "--size", "16"]
    assert main([*words, "--check"]) == 0
    said = capsys.readouterr().out
    assert "diffusers: " in said
    assert "tokens equal (100.00%), decoded pixels differ by at most" in said
    assert main(["info", str(tmp_path / "tokenizer")]) == 0
    assert '"name": "vqgan"' in capsys.readouterr().out
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        Image.new("RGB", (20, 16), (60 * number, 90, 30)).save(tmp_path / "pictures" / f"{number}.png")
    data = ["--data.source", str(tmp_path / "pictures"), "--data.workers", "0"]
    words = ["tokenize", "--tokenizer", str(tmp_path / "tokenizer"), "--out", str(tmp_path / "store")]
    assert main(words) == 2
    assert "unknown: no such file or folder" in capsys.readouterr().err
    assert main([*words, *data]) == 0
    assert main(["info", str(tmp_path / "store")]) == 0
    assert "grid 8x8 of 50 codes" in capsys.readouterr().out
