"""Encoder and decoder of patches: with silent blocks a token is its own patch's, and everything can be learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import ViTConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.networks.vit import ViTDecoder, ViTEncoder
from gridcode.errors import GridcodeError
from gridcode.nn.vit import ViTBlock
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions

CONFIG = ViTConfig(
    quantizer=FSQConfig(levels=(5, 4, 3)),
    patch=4,
    width=32,
    encoder_depth=2,
    decoder_depth=2,
    heads=4,
    mlp=64,
    side=4,
)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=64, val_count=16, workers=0, crop=CropPolicy(train="center", flip=False)),
    model=CONFIG,
    optim=OptimConfig(lr=3e-3, warmup=5, ema=0.9),
    loop=LoopConfig(
        steps=30,
        batch_size=16,
        log_every=5,
        val_every=30,
        val_count=16,
        checkpoint_every=30,
        accelerator="cpu",
        precision="fp32",
    ),
)


def silent(network: nn.Module) -> None:
    """Blocks that pass their input on, and positions of 0."""
    for part in network.modules():
        if isinstance(part, ViTBlock):
            for layer in (part.attn.proj, part.mlp.fc2):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
    nn.init.zeros_(network.get_submodule("positions").get_parameter("weight"))


def layer_norm(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)


@settings(max_examples=20, deadline=None)
@given(
    patch=st.integers(1, 5),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    channels=st.sampled_from([1, 3]),
)
def test_encoder_and_decoder_mirror_each_other_on_any_rectangle(patch: int, h: int, w: int, channels: int) -> None:
    config = replace(CONFIG, patch=patch, channels=channels)
    pictures = torch.zeros(2, channels, h * patch, w * patch)
    latents = ViTEncoder(config, 5)(pictures)
    assert latents.shape == (2, 5, *config.grid(h * patch, w * patch)) == (2, 5, h, w)
    assert ViTDecoder(config, 5)(latents).shape == pictures.shape


def test_a_silent_encoder_is_linear_norm_linear_of_each_patch() -> None:
    encoder = ViTEncoder(CONFIG, 3).double()
    silent(encoder)
    pictures = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    seen = encoder(pictures).detach().numpy()
    weight, bias = (p.detach().numpy() for p in (encoder.patches.weight, encoder.patches.bias))
    head = encoder.head.weight.detach().numpy(), encoder.head.bias.detach().numpy()
    for i in range(2):
        for j in range(3):
            patch = pictures[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].numpy()
            features = layer_norm(np.einsum("bcyx,dcyx->bd", patch, weight) + bias)
            np.testing.assert_allclose(seen[:, :, i, j], features @ head[0].T + head[1], rtol=1e-9)


def test_a_silent_decoder_writes_each_code_into_its_own_patch() -> None:
    decoder = ViTDecoder(CONFIG, 3).double()
    silent(decoder)
    codes = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    seen = decoder(codes).detach().numpy()
    weight, bias = (p.detach().numpy() for p in (decoder.codes.weight[..., 0, 0], decoder.codes.bias))
    head = decoder.head.weight.detach().numpy(), decoder.head.bias.detach().numpy()
    for i in range(2):
        for j in range(3):
            features = layer_norm(codes[:, :, i, j].numpy() @ weight.T + bias)
            patch = (features @ head[0].T + head[1]).reshape(2, 3, 4, 4)
            np.testing.assert_allclose(seen[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4], patch, rtol=1e-9)


def test_every_token_sees_the_whole_image_and_gradients_reach_every_weight() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIG).train()
    pictures = (torch.rand(2, 3, 16, 16) * 2 - 1).requires_grad_()
    tokenizer.latents(pictures)[:, :, 0, 0].square().sum().backward()
    assert pictures.grad is not None
    assert (pictures.grad.abs().sum(1) > 0).all()
    tokenizer.zero_grad()
    (tokenizer(pictures).outputs - pictures.detach()).square().mean().backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_parameters_are_those_of_the_papers_sizes() -> None:
    def transformer(depth: int, D: int = 768, M: int = 3072) -> int:
        block = 2 * 2 * D + 4 * (D * D + D) + D * M + M + M * D + D
        return 32 * 32 * D + depth * block + 2 * D

    with torch.device("meta"):
        tokenizer = Tokenizer(ViTConfig.paper())
    pixels, d = 3 * 16 * 16, 4
    encoder = pixels * 768 + 768 + transformer(6) + 768 * d + d
    decoder = d * 768 + 768 + transformer(12) + 768 * pixels + pixels
    assert tokenizer.parameter_count == encoder + decoder
    assert tokenizer.token_grid(512, 512) == (32, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 30}, "width must be a multiple of heads, got width=30 and heads=4"),
        ({"channels": 2}, "an image has 1 or 3 channels, got channels=2"),
        ({"patch": 0}, "tokenizer patch must be at least 1, got 0"),
        ({"decoder_depth": 0}, "tokenizer decoder_depth must be at least 1, got 0"),
        ({"side": 0}, "tokenizer side must be at least 1, got 0"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        replace(CONFIG, **change)  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match=r"multiples of 4 .* got 10x16; resize or crop to 8x16"):
        CONFIG.grid(10, 16)


def test_it_trains_saves_and_takes_other_sizes(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(RUN, RunOptions(tmp_path / "run", show=False))
    losses = [line["train/loss"] for line in read_log(tmp_path / "run") if "train/loss" in line]
    assert losses[-1] < 0.7 * losses[0]
    loaded = Tokenizer.from_pretrained(tmp_path / "run")
    assert loaded.config == CONFIG
    assert loaded.weights_hash() == tokenizer.weights_hash()
    pictures = torch.rand(2, 3, 8, 28) * 2 - 1
    indices = loaded.encode(pictures)
    assert indices.shape == (2, 2, 7)
    assert loaded.decode(indices).shape == pictures.shape


def test_recomputed_blocks_give_the_same_weights(tmp_path: Path) -> None:
    run = replace(RUN, loop=replace(RUN.loop, steps=2, log_every=1, val_every=2, checkpoint_every=2))
    plain = train_tokenizer(run, RunOptions(tmp_path / "plain", show=False))
    again = replace(run, loop=replace(run.loop, recompute=True))
    assert train_tokenizer(again, RunOptions(tmp_path / "again", show=False)).weights_hash() == plain.weights_hash()


def test_bfloat16_trains_too_and_keeps_float32_weights(tmp_path: Path) -> None:
    loop = replace(RUN.loop, precision="bf16", steps=2, log_every=1, val_every=2, checkpoint_every=2)
    tokenizer = train_tokenizer(replace(RUN, loop=loop), RunOptions(tmp_path, show=False))
    assert {p.dtype for p in tokenizer.parameters()} == {torch.float32}
    assert tokenizer.decode(tokenizer.encode(torch.zeros(1, 3, 16, 16))).dtype == torch.float32
