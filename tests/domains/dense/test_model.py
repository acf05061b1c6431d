"""The label tokenizer part by part: what goes in where, that codes carry the answer, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gridcode.cli.shared.dry_run import describe_tokenizer_run
from gridcode.domains.dense.config import LabelTokenizerConfig, LabelTokenizerRun
from gridcode.domains.dense.data.config import Categories, DenseConfig, Task
from gridcode.domains.dense.data.loader import DenseBatch, dense_eval_batches
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.recipes import paper
from gridcode.errors import GridcodeError
from gridcode.nn.vit import ViTBlock
from gridcode.quantize.config import FSQConfig, QuantizerConfig, ResidualFSQConfig, VQConfig
from gridcode.tokenizer.model import Tokenizer

TinyRun = Callable[[Task], LabelTokenizerRun]
CATEGORIES = Categories(("sky", "ground", "sphere", "cube", "cone", "cylinder", "torus"), (False, False, *[True] * 5))
TASKS: tuple[Task, ...] = ("depth", "panoptic", "colour")


def awake(run: LabelTokenizerRun, **changes: object) -> Tokenizer:
    """A tokenizer whose heads are not zero, as after some training."""
    torch.manual_seed(0)
    model = replace(run.model, **changes)  # type: ignore[arg-type]
    tokenizer = Tokenizer(model, DenseDomain(run.data, CATEGORIES if run.data.task == "panoptic" else None))
    for head in tokenizer.decoder.heads:
        nn.init.normal_(head.weight, std=0.3)
    return tokenizer.eval()


def silent(tokenizer: Tokenizer) -> Tokenizer:
    """Blocks that pass their input on."""
    for part in tokenizer.modules():
        if isinstance(part, ViTBlock):
            for layer in (part.attn.proj, part.mlp.fc2):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
    return tokenizer


def batch_of(run: LabelTokenizerRun) -> DenseBatch:
    return next(dense_eval_batches(open_dense(run.data, "val"), run.data, batch_size=4))


def layer_norm(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


@pytest.mark.parametrize("task", TASKS)
def test_a_silent_encoder_adds_labels_image_and_place(task: Task, tiny_run: TinyRun) -> None:
    run = tiny_run(task)
    tokenizer = silent(awake(run, codes=(4, 6))).double()
    batch = batch_of(run)
    labels, images = batch.labels.double() if task == "colour" else batch.labels, batch.images.double()
    seen = array(tokenizer.latents(labels, images))
    encoder = tokenizer.encoder
    i, j, P = 2, 4, 4
    cut = (slice(None), slice(None), slice(i * P, i * P + P), slice(j * P, j * P + P))
    assert encoder.trunk.context is not None
    context = array(encoder.trunk.context.weight), array(encoder.trunk.context.bias)
    features = np.einsum("bcyx,dcyx->bd", array(images[cut]), context[0]) + context[1]
    features += array(encoder.trunk.positions)[0, :, i, j]
    for number, embedding in enumerate(encoder.embeddings):
        if task == "colour":
            weight, bias = array(embedding.weight), array(embedding.bias)
            features += np.einsum("bcyx,dcyx->bd", array(labels[cut]), weight) + bias
        else:
            table = array(embedding.weight).reshape(P * P, -1, 32)
            for pixel, column in enumerate(array(labels[cut])[:, number].reshape(4, P * P).T):
                features += table[pixel, column]
    head = array(encoder.head.weight)[..., 0, 0], array(encoder.head.bias)
    np.testing.assert_allclose(seen[:, :, i, j], layer_norm(features) @ head[0].T + head[1], rtol=1e-8)


def test_a_silent_decoder_writes_code_image_and_place_into_a_patch(tiny_run: TinyRun) -> None:
    run = tiny_run("panoptic")
    tokenizer = silent(awake(run, codes=(4, 6))).double()
    decoder, images = tokenizer.decoder, batch_of(run).images.double()
    codes = torch.randn(4, 3, 4, 6, dtype=torch.float64)
    seen = decoder(codes, images)
    i, j, P = 1, 5, 4
    assert decoder.trunk.context is not None
    context = array(decoder.trunk.context.weight), array(decoder.trunk.context.bias)
    square = array(images[:, :, i * P : i * P + P, j * P : j * P + P])
    features = np.einsum("bcyx,dcyx->bd", square, context[0]) + context[1] + array(decoder.trunk.positions)[0, :, i, j]
    features += array(codes)[:, :, i, j] @ array(decoder.stem.weight)[..., 0, 0].T + array(decoder.stem.bias)
    for head, K, values in zip(decoder.heads, (8, 12), seen, strict=True):
        wanted = layer_norm(features) @ array(head.weight).T + array(head.bias)
        assert values.shape == (4, 24, P * P, K)
        np.testing.assert_allclose(array(values)[:, i * 6 + j], wanted.reshape(4, P * P, K), rtol=1e-8)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("context", [True, False])
def test_codes_carry_the_answer(task: Task, context: bool, tiny_run: TinyRun) -> None:
    run = tiny_run(task)
    tokenizer, batch = awake(run, context=context), batch_of(run)
    indices = tokenizer.encode(batch.labels, batch.images)
    assert indices.shape == (4, 2, 3)
    own = tokenizer.decode(indices, batch.images)
    assert torch.equal(own, tokenizer.domain.decoded(tokenizer.config, tokenizer(batch.labels, batch.images).outputs))
    assert own.shape == batch.planes[:, : own.shape[1]].shape
    others = indices.roll(1, 0)
    swapped = tokenizer.decode(others, batch.images)
    for example in range(4):
        different = not torch.equal(indices[example], others[example])
        assert torch.equal(own[example], swapped[example]) != different
    elsewhere = tokenizer.decode(indices, batch.images.roll(1, 0))
    assert torch.equal(own, elsewhere) != context


def test_without_context_the_gradient_passes_the_codes_alone(tiny_run: TinyRun) -> None:
    run = tiny_run("depth")
    tokenizer, batch = awake(run, context=False), batch_of(run)
    images = batch.images.clone().requires_grad_()
    out = tokenizer(batch.labels, images)
    out.quantized.codes.retain_grad()
    out.outputs[0].square().mean().backward()
    assert images.grad is None
    codes = out.quantized.codes
    assert codes.grad is not None
    way_back = torch.autograd.grad(
        tokenizer.quantizer(tokenizer.latents(batch.labels, None)).codes, [*tokenizer.encoder.parameters()], codes.grad
    )
    for parameter, wanted in zip(tokenizer.encoder.parameters(), way_back, strict=True):
        torch.testing.assert_close(parameter.grad, wanted)
    assert not any("context" in name for name, _ in tokenizer.named_parameters())


@pytest.mark.parametrize("task", TASKS)
def test_gradients_reach_every_weight(task: Task, tiny_run: TinyRun) -> None:
    run = tiny_run(task)
    tokenizer, batch = awake(run).train(), batch_of(run)
    dropped = torch.zeros(4, 2, 3, dtype=torch.bool)
    dropped[0] = True
    sum(values.square().mean() for values in tokenizer(batch.labels, batch.images, dropped).outputs).backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_dropped_code_is_the_null_whatever_it_was(tiny_run: TinyRun) -> None:
    run = tiny_run("depth")
    tokenizer, batch = awake(run), batch_of(run)
    indices = tokenizer.encode(batch.labels, batch.images)
    known = torch.tensor([[True, False, True], [False, True, True]]).expand(4, 2, 3)
    seen = tokenizer.decode(indices, batch.images, known=known)
    garbage = torch.where(known, indices, torch.full_like(indices, -1))
    assert torch.equal(tokenizer.decode(garbage, batch.images, known=known), seen)
    assert not torch.equal(tokenizer.decode(indices, batch.images), seen)
    assert torch.equal(
        tokenizer.domain.decoded(tokenizer.config, tokenizer(batch.labels, batch.images, ~known).outputs), seen
    )
    nothing = torch.zeros_like(known)
    seen = tokenizer.decode(indices, batch.images, known=nothing)
    with torch.no_grad():
        tokenizer.decoder.null.add_(5.0 * torch.randn(32))
    assert not torch.equal(tokenizer.decode(indices, batch.images, known=nothing), seen)
    assert torch.equal(tokenizer.decode(indices, batch.images), tokenizer.decode(indices, batch.images, known=~nothing))


@pytest.mark.parametrize(
    ("quantizer", "grid"),
    [
        (VQConfig("uvim", size=16, channels=4), (2, 3)),
        (VQConfig("uvim_unsplit", size=16, channels=4), (2, 3)),
        (VQConfig("maskgit", size=16, channels=4), (2, 3)),
        (ResidualFSQConfig(levels=(5, 5), stages=2), (2, 3, 2)),
    ],
)
def test_any_quantizer_fits(quantizer: QuantizerConfig, grid: tuple[int, ...], tiny_run: TinyRun) -> None:
    run = tiny_run("colour")
    tokenizer, batch = awake(run, quantizer=quantizer), batch_of(run)
    indices = tokenizer.encode(batch.labels, batch.images)
    assert tuple(indices.shape) == (4, *grid)
    assert indices.max() < tokenizer.codebook_size
    decoded = tokenizer.decode(indices, batch.images, known=torch.ones(4, 2, 3, dtype=torch.bool))
    assert torch.equal(
        decoded, tokenizer.domain.decoded(tokenizer.config, tokenizer(batch.labels, batch.images).outputs)
    )


@pytest.mark.parametrize("task", TASKS)
def test_it_saves_and_loads_itself_whole(task: Task, tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tiny_run(task)
    tokenizer, batch = awake(run), batch_of(run)
    tokenizer.info = {"dataset": "scenes"}
    tokenizer.save_pretrained(tmp_path / "model")
    loaded = Tokenizer.from_pretrained(tmp_path / "model")
    assert (loaded.config, dense_domain(loaded).data, dense_domain(loaded).categories) == (
        tokenizer.config,
        dense_domain(tokenizer).data,
        dense_domain(tokenizer).categories,
    )
    assert loaded.info == tokenizer.info
    assert loaded.weights_hash() == tokenizer.weights_hash()
    assert not loaded.training
    indices = loaded.encode(batch.labels, batch.images)
    assert torch.equal(indices, tokenizer.encode(batch.labels, batch.images))
    assert torch.equal(loaded.decode(indices, batch.images), tokenizer.decode(indices, batch.images))
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"| parameters | {tokenizer.parameter_count:,} |" in card
    assert ("sky, ground" in card) == (task == "panoptic")


def test_another_kind_or_a_damaged_config_is_one_line(tiny_run: TinyRun, tmp_path: Path) -> None:
    awake(tiny_run("depth")).save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"kind": "prior"}))
    with pytest.raises(GridcodeError, match="holds a 'prior', not a 'tokenizer'"):
        Tokenizer.from_pretrained(tmp_path / "model")
    file.write_text(json.dumps(config | {"model": config["model"] | {"depth": 3}}))
    with pytest.raises(GridcodeError, match=r"is not a tokenizer's .*another version"):
        Tokenizer.from_pretrained(tmp_path / "model")


def test_what_does_not_fit_is_refused_in_one_line(tiny_run: TinyRun) -> None:
    run = tiny_run("panoptic")
    tokenizer, batch = awake(run), batch_of(run)
    labels, images = batch.labels, batch.images
    indices = tokenizer.encode(labels, images)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: tokenizer.encode(labels[:, :1], images), r"takes labels \(B, 2, 16, 24\), got shape \(4, 1, 16, 24\)"),
        (lambda: tokenizer.encode(labels.float(), images), r"labels of integers, got torch.float32"),
        (lambda: tokenizer.encode(labels + 8, images), r"labels of channel 0 reach from .* takes 0 to 7"),
        (lambda: tokenizer.encode(labels - 2, images), r"labels of channel . reach from -[12]"),
        (lambda: tokenizer.encode(labels), r"sees the image too: give images"),
        (lambda: tokenizer.encode(labels, images[:, :, :8]), r"takes images \(B, 3, 16, 24\), got shape"),
        (lambda: tokenizer.encode(labels, images[:2]), r"2 images for 4 label maps"),
        (lambda: tokenizer.decode(indices.flatten(1), images), r"decodes indices \(B, 2, 3\), got shape \(4, 6\)"),
        (lambda: tokenizer.decode(indices + 75, images), r"75"),
        (lambda: tokenizer.decode(indices, images, known=indices), r"known is torch.int64 of shape .* give bool"),
    ]
    for call, message in cases:
        with pytest.raises(GridcodeError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    colour = tiny_run("colour")
    with pytest.raises(GridcodeError, match=r"labels of floats, got torch\.int64"):
        awake(colour).encode(batch_of(colour).labels.long(), batch_of(colour).images)


@pytest.mark.parametrize("context", [True, False])
def test_parameters_are_those_of_the_papers_sizes(context: bool) -> None:
    D, M, K, P, d = 768, 3072, 256, 16, 5

    def trunk(depth: int) -> int:
        block = 2 * 2 * D + 4 * (D * D + D) + D * M + M + M * D + D
        return context * (3 * P * P * D + D) + 32 * 32 * D + depth * block + 2 * D

    def parts_of(run: LabelTokenizerRun) -> Mapping[str, int]:
        domain = DenseDomain.of_settings(run.data)
        with torch.device("meta"):
            tokenizer = Tokenizer(run.model, domain)
        parts = domain.outline(tokenizer, run, bytes_per_value=4).parts
        assert sum(parts.values()) == tokenizer.parameter_count
        return parts

    parts = parts_of(paper("depth", context=context).tokenizer)
    labels = P * P * K * D + (D + 1) * P * P * K
    assert parts["labels"] == labels
    assert parts["encoder"] == trunk(6) + D * d + d
    assert parts["decoder"] == d * D + D + D + trunk(12)
    assert parts["quantizer"] == 0
    book = parts_of(paper("depth", context=context, quantizer=VQConfig("uvim", size=4096, channels=768)).tokenizer)
    assert book["quantizer"] == 4096 * 768
    assert book["encoder"] - parts["encoder"] == (768 - d) * (D + 1)


def test_a_dry_run_tells_codes_and_parameters() -> None:
    run = paper("panoptic").tokenizer
    domain = DenseDomain(run.data, Categories(tuple(map(str, range(133))), (True,) * 133))
    text = describe_tokenizer_run(run, domain)
    assert "16 x 16 = 256 tokens of 4,375 codes (12.10 bits)\nrate         3096 bits per example" in text
    count = 2 * 16 * 16 * (134 + 100) * 768 + 16 * 16 * (134 + 100)
    assert f"{count:,}" in text
    assert "token grid   8 x 8 = 64" in describe_tokenizer_run(LabelTokenizerRun(data=DenseConfig(task="panoptic")))


def test_books_need_no_multiple_of_the_grid() -> None:
    config = LabelTokenizerConfig(quantizer=FSQConfig(levels=(5, 3)), codes=(5, 7), width=16, heads=2, mlp=16, patch=4)
    tokenizer = Tokenizer(config, DenseDomain(DenseConfig(height=24, width=40)))
    labels, images = torch.ones(1, 1, 24, 40, dtype=torch.int64), torch.zeros(1, 3, 24, 40)
    assert tokenizer.encode(labels, images).shape == (1, 5, 7)
    assert tokenizer.decode(tokenizer.encode(labels, images), images).shape == (1, 1, 24, 40)
