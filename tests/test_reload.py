"""What a person saves is what they get back: every network, by its own files, safetensors and PyTorch, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gridcode.compat.vector_quantize_pytorch import FSQ, GroupedResidualFSQ, ResidualFSQ
from gridcode.domains.dense.config import LabelTokenizerConfig
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.image.architectures import TokenizerConfig, ViTConfig
from gridcode.domains.image.networks.discriminator import Discriminator
from gridcode.domains.image.vqgan_config import VQGANConfig
from gridcode.features.classifier import Classifier, load_classifier, save_classifier
from gridcode.features.config import ClassifierConfig, ObserverConfig
from gridcode.features.lpips import LPIPS
from gridcode.features.observer import Observer, load_observer, save_observer
from gridcode.features.vgg import VGG16, WIDTHS
from gridcode.prior.config import (
    AutoregressiveConfig,
    CrossAttentionConfig,
    Decoding,
    FeatureEncoderConfig,
    Head,
    MaskGITConfig,
    PriorConfig,
    TokenSpace,
)
from gridcode.prior.make import load_prior, make_prior
from gridcode.quantize.config import QUANTIZERS
from gridcode.quantize.make import make_quantizer
from gridcode.tokenizer.model import Tokenizer

HEADS: tuple[Head, ...] = ("joint", "independent", "chain")
DECODINGS: tuple[Decoding, ...] = ("ar", "maskgit")
SPACE = TokenSpace(codebook_size=6, grid=(2, 2), classes=("a", "b"), tokenizer="t", data={}, levels=(3, 2))


@dataclass(frozen=True)
class Kind:
    """A kind of network: how to make one, what to ask it, and how its files are read back."""

    make: Callable[[], nn.Module]
    ask: Callable[[nn.Module, torch.memory_format], Sequence[Tensor]]
    reload: Callable[[nn.Module, Path], nn.Module] | None = None


def pictures(layout: torch.memory_format, channels: int = 3, size: int = 16) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(4, channels, size, size, generator=draw) * 2 - 1
    return images.to(memory_format=layout)


def again(network: nn.Module, folder: Path) -> nn.Module:
    network.save_pretrained(folder)  # type: ignore[operator]
    loaded: nn.Module = type(network).from_pretrained(folder)  # type: ignore[attr-defined]
    return loaded


def ask_tokenizer(network: nn.Module, layout: torch.memory_format) -> Sequence[Tensor]:
    assert isinstance(network, Tokenizer)
    images = pictures(layout, network.config.channels)
    out = network(images)
    return out.outputs, out.quantized.codes, out.quantized.indices


def ask_features(network: nn.Module, layout: torch.memory_format) -> Sequence[Tensor]:
    images = pictures(layout)
    assert isinstance(network, Observer | Classifier)
    maps = network.features(images)
    return (network(images), *([maps] if isinstance(maps, Tensor) else maps))


def ask_labels(network: nn.Module, layout: torch.memory_format) -> Sequence[Tensor]:
    assert isinstance(network, Tokenizer)
    images = pictures(layout, dense_domain(network).label_map.context_channels, 32)
    labels = (
        pictures(layout, 3, 32)
        if dense_domain(network).data.task == "colour"
        else torch.ones(4, 1, 32, 32, dtype=torch.int64)
    )
    out = network(labels, images)
    return (*out.outputs, out.quantized.codes)


def ask_prior(network: nn.Module, layout: torch.memory_format) -> Sequence[Tensor]:
    tokens = torch.tensor([[0, 5, 2, 3], [4, 1, 1, 0]])
    labels = torch.tensor([1, -1])
    return (network.log_probs(tokens, labels, steps=2),)  # type: ignore[operator]


def ask_conditional(network: nn.Module, layout: torch.memory_format) -> Sequence[Tensor]:
    tokens = torch.tensor([[0, 5, 2, 3]] * 4)
    images = pictures(layout)
    scores = network(tokens, images, torch.ones(4, 4, dtype=torch.bool))
    return scores.losses, network.predict(images)  # type: ignore[operator]


def ask_latents(network: nn.Module, layout: torch.memory_format) -> Sequence[Tensor]:
    out = network(pictures(layout, network.channels, 4))  # type: ignore[arg-type]
    return out.codes, out.indices


def kinds() -> Iterator[tuple[str, Kind]]:
    """Every public network, and those that only training or measuring makes."""
    architectures = {
        "conv": TokenizerConfig(widths=(8, 16)),
        "grey": TokenizerConfig(widths=(8, 16), channels=1, patch=1),
        "maskgit": TokenizerConfig(widths=(8, 16), style="maskgit"),
        "vit": ViTConfig(width=16, encoder_depth=1, decoder_depth=1, side=3),
        "vqgan": VQGANConfig(widths=(32, 32)),
    }
    for name, config in architectures.items():
        yield f"tokenizer-{name}", Kind(lambda config=config: Tokenizer(config), ask_tokenizer, again)  # type: ignore[misc]
    for name, settings in QUANTIZERS.items():
        shape = TokenizerConfig(widths=(8,), quantizer=settings())  # type: ignore[arg-type]
        yield f"tokenizer-{name}", Kind(lambda shape=shape: Tokenizer(shape), ask_tokenizer, again)  # type: ignore[misc]
        yield f"quantizer-{name}", Kind(lambda one=settings: make_quantizer(one(), channel_dim=1), ask_latents)  # type: ignore[misc]
    for task in ("depth", "colour"):
        data = DenseConfig(task=task, height=32, width=32)
        yield (
            f"labels-{task}",
            Kind(lambda d=data: Tokenizer(LabelTokenizerConfig.laptop(), DenseDomain(d)), ask_labels, again),
        )  # type: ignore[misc]
    small = {"width": 8, "depth": 1, "heads": 2, "mlp": 16}
    encoder = FeatureEncoderConfig(patch=8, **small)
    for head in HEADS:
        priors: tuple[PriorConfig, ...] = (
            MaskGITConfig(head=head, **small),
            MaskGITConfig(head=head, style="maskgit", **small),
            AutoregressiveConfig(head=head, **small),
        )
        for number, shape in enumerate(priors):
            make = lambda shape=shape: make_prior(shape, SPACE)  # noqa: E731
            yield f"prior-{head}-{number}", Kind(make, ask_prior, lambda prior, to: load_prior(_saved(prior, to)))  # type: ignore[misc]
        for decoding in DECODINGS:
            config = CrossAttentionConfig(head=head, encoder=encoder, **small)
            make = lambda how=decoding, config=config: make_prior(config, SPACE, (3, 16, 16), decoding=how)  # noqa: E731
            yield (
                f"conditional-{head}-{decoding}",
                Kind(make, ask_conditional, lambda prior, to: load_prior(_saved(prior, to))),  # type: ignore[misc]
            )
    yield "observer", Kind(lambda: Observer(ObserverConfig(targets=4, widths=(8, 16))), ask_features, _observer_again)
    yield "classifier", Kind(lambda: Classifier(ClassifierConfig(classes=2, size=16)), ask_features, _classifier_again)
    yield "discriminator", Kind(lambda: Discriminator(3, 16, width=8), lambda net, to: [net(pictures(to))])
    yield (
        "lpips",
        Kind(
            lambda: LPIPS(VGG16(), [torch.ones(1, width, 1, 1) for width in WIDTHS]),
            lambda net, to: [net(pictures(to), pictures(to).flip(0))],
        ),
    )
    peers: dict[str, Callable[[], nn.Module]] = {
        "fsq": lambda: FSQ(levels=[5, 3], dim=8),
        "residual": lambda: ResidualFSQ(levels=[5, 3], dim=8, num_quantizers=2),
        "grouped": lambda: GroupedResidualFSQ(levels=[5, 3], dim=8, groups=2, num_quantizers=2),
    }
    for name, peer in peers.items():
        yield f"compat-{name}", Kind(peer, lambda net, to: net(pictures(to, 4, 8).flatten(1, 2))[:2])


def _saved(network: nn.Module, folder: Path) -> Path:
    network.save_pretrained(folder)  # type: ignore[operator]
    return folder


def _observer_again(network: nn.Module, folder: Path) -> nn.Module:
    assert isinstance(network, Observer)
    save_observer(network, folder)
    return load_observer(folder)


def _classifier_again(network: nn.Module, folder: Path) -> nn.Module:
    assert isinstance(network, Classifier)
    save_classifier(network, folder)
    return load_classifier(folder)


KINDS = dict(kinds())
READ_BACK = [name for name, kind in KINDS.items() if kind.reload]


def made(name: str, seed: int = 0) -> nn.Module:
    """A network as it is after some training: no weight or statistic has its first value."""
    torch.manual_seed(seed)
    network = KINDS[name].make().eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and not name.startswith(("quantizer", "compat")):
                tensor.add_(torch.rand_like(tensor) * 0.05)
    return network


@torch.no_grad()
def answers(name: str, network: nn.Module, layout: torch.memory_format = torch.contiguous_format) -> list[Tensor]:
    """What a network says in float32 and in bfloat16, under a seed."""
    found: list[Tensor] = []
    for reduced in (False, True):
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            found += KINDS[name].ask(network, layout)
    return found


def assert_same(name: str, one: nn.Module, two: nn.Module) -> None:
    for kind in ("named_parameters", "named_buffers"):
        ours, theirs = dict(getattr(one, kind)()), dict(getattr(two, kind)())
        assert {key: (t.stride(), t.dtype, t.shape) for key, t in ours.items()} == {
            key: (t.stride(), t.dtype, t.shape) for key, t in theirs.items()
        }
    assert all(torch.equal(a, b) for a, b in zip(answers(name, one), answers(name, two), strict=True))


@pytest.mark.parametrize("name", READ_BACK)
def test_a_network_that_was_read_says_the_bits_of_the_one_that_was_written(name: str, tmp_path: Path) -> None:
    network, reload = made(name), KINDS[name].reload
    assert reload is not None
    assert_same(name, network, reload(network, tmp_path / "model"))


@pytest.mark.parametrize("name", READ_BACK)
def test_the_layout_of_weights_in_memory_changes_no_files(name: str, tmp_path: Path) -> None:
    """Also where a person has moved a network to another layout."""
    network, reload = made(name), KINDS[name].reload
    assert reload is not None
    loaded = reload(network, tmp_path / "one")
    reload(made(name).to(memory_format=torch.channels_last), tmp_path / "two")  # type: ignore[call-overload]
    one, two = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in ("one", "two"))
    assert one == two
    assert all(tensor.is_contiguous() for tensor in loaded.state_dict().values())


@pytest.mark.parametrize("name", KINDS)
def test_a_state_dict_goes_through_safetensors_and_pytorch(name: str, tmp_path: Path) -> None:
    network = made(name)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    read, twin = load_file(tmp_path / "weights.safetensors"), torch.load(tmp_path / "weights.pt", weights_only=True)
    other = made(name, seed=7)
    other.load_state_dict(read)
    assert_same(name, network, other)
    assert read.keys() == twin.keys()
    assert all(torch.equal(tensor, twin[key]) for key, tensor in read.items())


@pytest.mark.parametrize("name", KINDS)
def test_the_layout_of_examples_in_memory_changes_no_bit(name: str) -> None:
    network = made(name)
    usual, other = answers(name, network), answers(name, network, torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(usual, other, strict=True))
