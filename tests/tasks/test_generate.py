"""A prior and its tokenizer make images: the same for the same seed, and only for each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.prior.config import CrossAttentionConfig, MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer


def make_tokenizer(seed: int = 0) -> Tokenizer:
    torch.manual_seed(seed)
    return Tokenizer(
        TokenizerConfig(quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)
    ).eval()


def make_prior(tokenizer: Tokenizer, classes: tuple[str, ...] = ("a", "b", "c")) -> MaskGIT:
    torch.manual_seed(1)
    space = TokenSpace(12, (2, 3), classes, tokenizer.weights_hash(), {})
    prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32, dropout=0.5), space).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return prior


@pytest.fixture(scope="module")
def generator() -> Generator:
    tokenizer = make_tokenizer()
    return Generator(make_prior(tokenizer), tokenizer)


def test_images_are_decoded_tokens_in_range(generator: Generator) -> None:
    pictures = generator.sample([0, 2, -1], steps=3, seed=5)
    tokens = generator.sample_tokens([0, 2, -1], sampler=SamplerConfig(steps=3), seed=5)
    assert tokens.shape == (3, 2, 3)
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < 12
    assert torch.equal(pictures, generator.tokenizer.decode(tokens))
    assert pictures.shape == (3, 3, 4, 6)
    assert pictures.abs().max() <= 1


def test_same_seed_same_images_whatever_was_drawn_before(generator: Generator) -> None:
    one = generator.sample([0, 1, 2] * 3, steps=4, seed=7)
    torch.rand(11)
    assert torch.equal(one, generator.sample([0, 1, 2] * 3, steps=4, seed=7))
    assert not torch.equal(one, generator.sample([0, 1, 2] * 3, steps=4, seed=8))


def test_batches_keep_the_order_of_the_labels() -> None:
    tokenizer = make_tokenizer()
    # In float64, where products of other shapes, rounded otherwise, leave the most probable token alone.
    generator = Generator(make_prior(tokenizer).double(), tokenizer)
    labels = [0, 1, 2, 0, 1]
    sure = SamplerConfig(steps=1, temperature=0.0)
    whole = generator.sample_tokens(labels, sampler=sure)
    assert torch.equal(generator.sample_tokens(labels, sampler=sure, batch_size=2), whole)
    assert torch.equal(whole[0], whole[3])
    assert not torch.equal(whole[0], whole[1]), "classes differ"
    chance = generator.sample_tokens([0] * 4, sampler=SamplerConfig(steps=1), batch_size=2)
    assert not torch.equal(chance[:2], chance[2:]), "batches have noise of their own"


def test_known_tokens_stay_and_the_others_are_found(generator: Generator) -> None:
    known = torch.full((3, 2, 3), -1)
    known[:, 0] = torch.tensor([[1, 2, 3], [4, 5, 6], [11, 0, 7]])
    found = generator.sample_tokens([0, 1, -1], sampler=SamplerConfig(steps=2), known=known, batch_size=2)
    assert torch.equal(found[:, 0], known[:, 0])
    assert 0 <= int(found.min()) <= int(found.max()) < 12
    with pytest.raises(
        GridcodeError, match=r"known tokens are torch.int64 of shape \(3, 6\); give int64 of \(3, 2, 3\)"
    ):
        generator.sample_tokens([0, 1, -1], known=known.flatten(1))
    with pytest.raises(GridcodeError, match=r"known tokens must be in \[0, 12\), or -1"):
        generator.sample([0, 1, -1], known=known + 1)


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_an_images_noise_is_that_of_its_number(
    generator: Generator, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a prior that only looks at noise and class: products of other shapes may be rounded otherwise."""
    labels = [0, 1, 2, -1]

    def fill(tokens: Tensor, classes: Tensor, *, noise: Noise, **settings: object) -> Tensor:
        return (noise.spread(tokens.shape[1]).integers(3) + 3 * (classes[:, None] + 1)).view_as(tokens)

    monkeypatch.setattr(generator.prior, "fill", fill)
    four = generator.sample_tokens(labels, seed=2, batch_size=batch_size)
    assert torch.equal(four, generator.sample_tokens(labels, seed=2))
    assert torch.equal(four[:1], generator.sample_tokens(labels[:1], seed=2))
    assert torch.equal(four[2:], generator.sample_tokens(labels[2:], seed=2, first=2))
    assert torch.equal(four % 3, generator.sample_tokens([1, 1, 1, 1], seed=2) % 3), "noise knows no class"
    assert not torch.equal(four, generator.sample_tokens(labels, seed=3))
    pictures = generator.sample(labels, seed=2, batch_size=batch_size)
    torch.testing.assert_close(generator.sample(labels[2:3], seed=2, first=2), pictures[2:3])


@pytest.mark.parametrize(
    ("labels", "sampler", "guidance", "passes"),
    [
        ([0, 1], SamplerConfig(steps=3), 0.0, [2, 2, 2]),
        ([0, 1], SamplerConfig(steps=3), 0.5, [4, 4, 4]),
        ([0, 1], SamplerConfig(steps=3, guidance_from=1.0), 0.0, [4, 4, 2]),
        ([0, 1], SamplerConfig(steps=3, guidance_from=0.0), 1.0, [2, 4, 4]),
        ([-1, -1], SamplerConfig(steps=3), 0.5, [2, 2, 2]),
    ],
)
def test_without_guidance_nothing_is_computed_twice(
    generator: Generator, labels: list[int], sampler: SamplerConfig, guidance: float, passes: list[int]
) -> None:
    sizes: list[int] = []
    hook = generator.prior.trunk.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    generator.sample_tokens(labels, sampler=sampler, guidance=guidance)
    hook.remove()
    assert sizes == passes


@pytest.mark.parametrize("labels", [[0.5], [0.0], torch.tensor([1.0]), [True]])
def test_labels_are_integers(generator: Generator, labels: list[int]) -> None:
    with pytest.raises(GridcodeError, match=r"labels must be integers, got torch\.(float32|bool); give class indices"):
        generator.sample(labels)


def test_guidance_changes_what_is_drawn(generator: Generator) -> None:
    sure = SamplerConfig(steps=1, temperature=0.0)
    plain = generator.sample_tokens([0, 1, 2], sampler=sure, guidance=0.0)
    assert not torch.equal(plain, generator.sample_tokens([0, 1, 2], sampler=sure, guidance=9.0))


def test_no_labels_no_images(generator: Generator) -> None:
    assert generator.sample_tokens([]).shape == (0, 2, 3)
    assert generator.sample([]).shape == (0, 3, 4, 6)


@pytest.mark.parametrize("labels", [[3], [0, -2]])
def test_labels_out_of_range_are_one_line(generator: Generator, labels: list[int]) -> None:
    with pytest.raises(GridcodeError, match=r"labels must be 0 … 2, or -1 for any; got"):
        generator.sample(labels)


@pytest.mark.parametrize(("setting", "value"), [("guidance", -1.0), ("batch_size", 0), ("first", -1), ("steps", 0)])
def test_settings_out_of_range_are_refused(generator: Generator, setting: str, value: float) -> None:
    with pytest.raises(GridcodeError, match=str(value)):
        generator.sample([0], **{setting: value})  # type: ignore[arg-type]


def test_without_classes_any_is_the_only_label() -> None:
    tokenizer = make_tokenizer()
    generator = Generator(make_prior(tokenizer, ()), tokenizer)
    assert generator.sample([-1, -1], steps=2).shape == (2, 3, 4, 6)
    with pytest.raises(GridcodeError, match="only -1: the data had no labels"):
        generator.sample([0])


def test_another_tokenizers_prior_is_refused(tmp_path: Path) -> None:
    tokenizer, other = make_tokenizer(), make_tokenizer(seed=9)
    with pytest.raises(GridcodeError, match=f"{tokenizer.weights_hash()}, but .* given is {other.weights_hash()}"):
        Generator(make_prior(tokenizer), other)


def test_a_prior_that_needs_another_example_is_refused() -> None:
    tokenizer = make_tokenizer()
    config = CrossAttentionConfig(width=8, depth=1, heads=1, mlp=8)
    prior = MaskGIT(config, TokenSpace(12, (2, 3), (), tokenizer.weights_hash(), {}), (3, 16, 16))
    with pytest.raises(GridcodeError, match=r"predicts tokens from another example, of shape \(3, 16, 16\)"):
        Generator(prior, tokenizer)


def test_both_halves_load_from_their_folders(tmp_path: Path, generator: Generator) -> None:
    generator.prior.save_pretrained(tmp_path / "prior")
    generator.tokenizer.save_pretrained(tmp_path / "tokenizer")
    loaded = Generator.from_pretrained(tmp_path / "prior", tmp_path / "tokenizer")
    assert torch.equal(loaded.sample_tokens([0, 1], seed=3), generator.sample_tokens([0, 1], seed=3))
    make_tokenizer(seed=9).save_pretrained(tmp_path / "other")
    with pytest.raises(GridcodeError, match="this prior learned the tokens of tokenizer"):
        Generator.from_pretrained(tmp_path / "prior", tmp_path / "other")
