"""An encoder that starts from timm's weights, against a vision transformer in numpy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.prior.config import CrossAttentionConfig, FeatureEncoderConfig
from gridcode.prior.encoder import FeatureEncoder, load_vit

D, DEPTH, HEADS, MLP, P = 24, 2, 3, 40, 4
CONFIG = FeatureEncoderConfig(patch=P, width=D, depth=DEPTH, heads=HEADS, mlp=MLP)


def timm_weights(side: int = 3, *, cls: bool = True, channels: int = 3) -> dict[str, Tensor]:
    """Random weights with the names and shapes of timm's ``VisionTransformer``, 5 classes."""
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, side * side + cls, D),
        "patch_embed.proj.weight": (D, channels, P, P),
        "patch_embed.proj.bias": (D,),
        "norm.weight": (D,),
        "norm.bias": (D,),
        "head.weight": (5, D),
        "head.bias": (5,),
    }
    shapes |= {"cls_token": (1, 1, D)} if cls else {}
    for index in range(DEPTH):
        layer = {
            "norm1": (D,),
            "attn.qkv": (3 * D, D),
            "attn.proj": (D, D),
            "norm2": (D,),
            "mlp.fc1": (MLP, D),
            "mlp.fc2": (D, MLP),
        }
        for name, shape in layer.items():
            shapes |= {f"blocks.{index}.{name}.weight": shape, f"blocks.{index}.{name}.bias": shape[:1]}
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) * 0.3 for name, shape in shapes.items()}


def numpy_vit(weights: dict[str, Tensor], images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of the patches, written from the paper's equations, positions taken as they are and no class token."""
    w = {name: tensor.double().numpy() for name, tensor in weights.items()}

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    B, C, H, W = images.shape
    patches = images.reshape(B, C, H // P, P, W // P, P).transpose(0, 2, 4, 1, 3, 5).reshape(B, -1, C * P * P)
    x = patches @ w["patch_embed.proj.weight"].reshape(D, -1).T + w["patch_embed.proj.bias"]
    x = x + w["pos_embed"][:, 1:]
    for i in range(DEPTH):
        y = linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv")
        q, k, v = y.reshape(B, -1, 3, HEADS, D // HEADS).transpose(2, 0, 3, 1, 4)
        scores = np.exp(q @ k.transpose(0, 1, 3, 2) / math.sqrt(D // HEADS))
        heads = (scores / scores.sum(-1, keepdims=True)) @ v
        x = x + linear(heads.transpose(0, 2, 1, 3).reshape(B, -1, D), f"blocks.{i}.attn.proj")
        hidden = linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")
        gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = x + linear(gelu, f"blocks.{i}.mlp.fc2")
    return norm(x, "norm")


def saved(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    save_file(weights, tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


def test_the_features_are_those_of_a_numpy_vit(tmp_path: Path) -> None:
    encoder, weights = FeatureEncoder(CONFIG, 3, (12, 12)), timm_weights()
    load_vit(encoder, saved(tmp_path, weights))
    images = torch.rand(2, 3, 12, 12) * 2 - 1
    expected = numpy_vit(weights, images.double().numpy())
    np.testing.assert_allclose(encoder(images).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_every_weight_but_the_class_tokens_and_the_heads_is_taken(tmp_path: Path) -> None:
    encoder, weights = FeatureEncoder(CONFIG, 3, (12, 12)), timm_weights()
    load_vit(encoder, saved(tmp_path, weights))
    own = encoder.state_dict()
    assert weights.keys() - own.keys() == {"cls_token", "head.weight", "head.bias"}
    assert own.keys() <= weights.keys()
    for name in own.keys() - {"pos_embed"}:
        assert torch.equal(own[name], weights[name])
    assert torch.equal(own["pos_embed"], weights["pos_embed"][:, 1:])


@pytest.mark.parametrize("cls", [True, False])
def test_positions_are_resized_as_images_are(tmp_path: Path, cls: bool) -> None:
    encoder, weights = FeatureEncoder(CONFIG, 3, (16, 24)), timm_weights(cls=cls)
    load_vit(encoder, saved(tmp_path, weights))
    square = weights["pos_embed"][0, int(cls) :].T.reshape(1, D, 3, 3)
    expected = F.interpolate(square, (4, 6), mode="bicubic", antialias=True)
    torch.testing.assert_close(encoder.pos_embed.detach(), expected.flatten(2).transpose(1, 2))


def test_a_grey_image_is_seen_as_one_of_three_equal_channels(tmp_path: Path) -> None:
    path = saved(tmp_path, timm_weights())
    grey, rgb = FeatureEncoder(CONFIG, 1, (12, 12)), FeatureEncoder(CONFIG, 3, (12, 12))
    load_vit(grey, path)
    load_vit(rgb, path)
    images = torch.rand(2, 1, 12, 12) * 2 - 1
    torch.testing.assert_close(grey(images), rgb(images.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_the_papers_encoder_has_the_names_and_shapes_of_vit_large() -> None:
    with torch.device("meta"):
        encoder = FeatureEncoder(CrossAttentionConfig.paper().encoder, 3, (224, 224))
    shapes = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    assert len(shapes) == 24 * 12 + 5
    assert shapes["patch_embed.proj.weight"] == (1024, 3, 16, 16)
    assert shapes["blocks.23.attn.qkv.weight"] == (3072, 1024)
    assert shapes["blocks.23.mlp.fc1.weight"] == (4096, 1024)
    assert shapes["pos_embed"] == (1, 196, 1024)
    # timm's vit_large_patch16_224 without head (1000 classes) and class token, and its position: 304,326,632 in all.
    assert sum(math.prod(shape) for shape in shapes.values()) == 304_326_632 - 1_025_000 - 2 * 1024


class TestRefused:
    def refused(self, tmp_path: Path, weights: dict[str, Tensor], match: str, *, channels: int = 3) -> None:
        encoder = FeatureEncoder(CONFIG, channels, (12, 12))
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        with pytest.raises(GridcodeError, match=match) as caught:
            load_vit(encoder, saved(tmp_path, weights))
        assert "\n" not in str(caught.value)
        assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())

    def test_more_layers(self, tmp_path: Path) -> None:
        weights = timm_weights()
        more = {name.replace("blocks.1", "blocks.2"): tensor.clone() for name, tensor in weights.items()}
        self.refused(
            tmp_path, weights | more, r"of 2 layers: it has blocks\.2\.attn\.proj\.bias, which the encoder has"
        )

    def test_fewer_layers(self, tmp_path: Path) -> None:
        weights = {name: tensor for name, tensor in timm_weights().items() if not name.startswith("blocks.1")}
        self.refused(tmp_path, weights, r"it lacks blocks\.1\.attn\.proj\.bias; give a plain vision transformer")

    def test_another_width(self, tmp_path: Path) -> None:
        weights = timm_weights() | {"blocks.0.mlp.fc1.weight": torch.zeros(48, D)}
        self.refused(
            tmp_path, weights, r"blocks\.0\.mlp\.fc1\.weight of .* has shape \(48, 24\), the encoder's has \(40, 24\)"
        )

    def test_another_patch(self, tmp_path: Path) -> None:
        weights = timm_weights() | {"patch_embed.proj.weight": torch.zeros(D, 3, 8, 8)}
        self.refused(tmp_path, weights, r"patch_embed\.proj\.weight .* \(24, 3, 8, 8\)")

    def test_positions_of_no_square(self, tmp_path: Path) -> None:
        weights = timm_weights() | {"pos_embed": torch.zeros(1, 12, D)}
        self.refused(tmp_path, weights, "11 positions beside the class token's make no square")

    def test_channels_that_are_not_the_images(self, tmp_path: Path) -> None:
        self.refused(tmp_path, timm_weights(channels=1), "take inputs of 1 channels, the encoder's have 3")

    def test_no_file_and_no_weights(self, tmp_path: Path) -> None:
        encoder = FeatureEncoder(CONFIG, 3, (12, 12))
        with pytest.raises(GridcodeError, match=r"vit_weights: there is no file .*none\.safetensors; download"):
            load_vit(encoder, tmp_path / "none.safetensors")
        (tmp_path / "bad.safetensors").write_bytes(b"no weights")
        with pytest.raises(GridcodeError, match=r"bad\.safetensors is no readable safetensors file"):
            load_vit(encoder, tmp_path / "bad.safetensors")
