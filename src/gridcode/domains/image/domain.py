"""Images as a kind of data: how they are read, tokenized, measured and shown.

images (B, C, H, W) in [-1, 1] --Encoder--> latents (B, d, h, w);   codes (B, d, h, w) --Decoder--> images
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.loader import Batch, eval_batches, train_batches
from gridcode.data.open import open_images, understood
from gridcode.data.shards.stream import ImageStream
from gridcode.data.source import ImageSource, described, fixed_subset
from gridcode.data.workers import TrainOrder
from gridcode.domains.image.config import ArchitectureConfig, TokenizerRun, architecture_from_json
from gridcode.domains.image.loss import ImageObjective, make_discriminator
from gridcode.domains.image.networks.make import blocks_of, make_networks
from gridcode.domains.image.show import save_strip
from gridcode.errors import GridcodeError
from gridcode.metrics.image import psnr
from gridcode.nn.module import count_parameters
from gridcode.tokenizer.domain import Domain, Measurement, Outline, Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.range import check_images
from gridcode.tokenizer.usage import TokenUsageMeter
from gridcode.training.run import RunOptions
from gridcode.training.state import Memory

if TYPE_CHECKING:
    from lightning_fabric import Fabric

NETWORKS = {
    "conv": "convolutions",
    "vit": "vision transformers",
    "vqgan": "VQ-GAN's convolutions and attention",
}
"""What each kind of architecture is made of."""


@final
class ImageDomain(Domain):
    """Images of 1 or 3 channels, of any size that is a multiple of the tokenizer's downsampling."""

    name: ClassVar[str] = "image"

    @classmethod
    def open(cls, data: DataConfig, split: Literal["train", "val"]) -> ImageSource | ImageStream:
        """See :func:`gridcode.data.open.open_images`."""
        return open_images(data, split)

    @classmethod
    def train_batches(cls, source: ImageSource | ImageStream, data: DataConfig, order: TrainOrder) -> Iterator[Batch]:
        """See :func:`gridcode.data.loader.train_batches`."""
        return train_batches(source, data, **vars(order))

    @classmethod
    def eval_batches(cls, source: ImageSource | ImageStream, data: DataConfig, *, batch_size: int) -> Iterator[Batch]:
        """See :func:`gridcode.data.loader.eval_batches`."""
        return eval_batches(source, data, batch_size=batch_size)

    @classmethod
    def part(cls, source: ImageSource | ImageStream, count: int) -> ImageSource | ImageStream:
        """See :class:`Domain`."""
        return source.first(count) if isinstance(source, ImageStream) else fixed_subset(source, count)

    @classmethod
    def identity(cls, source: ImageSource | ImageStream) -> dict[str, Any]:
        """Number, classes and names of the images; of a stream the names of its shards."""
        return source.described() if isinstance(source, ImageStream) else described(source)

    @classmethod
    def memories(cls, source: ImageSource | ImageStream) -> dict[str, Memory]:
        """Where training is in a stream."""
        return {"stream": source.position} if isinstance(source, ImageStream) else {}

    @classmethod
    def understood(cls, data: DataConfig, sources: Sources) -> Sequence[str]:
        """Splits, counts, classes and what is left out."""
        return understood(sources.train, sources.val)

    @classmethod
    def recorded(cls, data: DataConfig, source: ImageSource | ImageStream) -> DataConfig:
        """See :class:`Domain`."""
        return replace(data, source=source.name, val_source=None)

    def shape(self, data: DataConfig) -> tuple[int, int]:
        """Height and width."""
        return data.size, data.size

    architecture = staticmethod(architecture_from_json)

    def make_networks(self, config: ArchitectureConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        """See :func:`gridcode.domains.image.networks.make.make_networks`."""
        return make_networks(config, latents)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """See :func:`gridcode.domains.image.networks.make.blocks_of`."""
        return blocks_of(network)

    def encoder_inputs(self, config: ArchitectureConfig, examples: Tensor, context: Tensor | None) -> tuple[Tensor]:
        """The images, (B, C, H, W).

        Raises:
            GridcodeError: The channels differ from the config's, a side is no multiple of the downsampling, or there is
                a context.
        """
        if context is not None:
            raise GridcodeError("a tokenizer of images sees images alone; give no context")
        if examples.ndim != 4 or examples.shape[1] != config.channels:
            raise GridcodeError(
                f"the tokenizer takes images (B, {config.channels}, H, W), got shape {tuple(examples.shape)}; convert "
                "the channels"
            )
        config.grid(*examples.shape[-2:])
        return (examples,)

    def check_range(
        self, config: ArchitectureConfig, examples: Tensor, context: Tensor | None, *, check_values: bool
    ) -> None:
        """Refuse integers and values outside [-1, 1]."""
        check_images(examples, check_range=check_values)

    def decoded(self, config: ArchitectureConfig, outputs: Tensor) -> Tensor:
        """Images in [-1, 1], float32."""
        return outputs.float().clamp(-1, 1)

    def outline(self, tokenizer: Tokenizer, run: TokenizerRun, *, bytes_per_value: int) -> Outline:
        """See :class:`Domain`; with the rate in bits per pixel."""
        size = run.data.size
        bits = prod(tokenizer.token_grid(size, size)) * log2(tokenizer.codebook_size)
        return replace(
            super().outline(tokenizer, run, bytes_per_value=bytes_per_value),
            facts={"rate": f"{bits / size**2:.3f} bits per pixel"},
            activations=run.model.activations(size, size) * bytes_per_value,
            beside=networks_of_the_loss(run),
        )

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """See :class:`Domain`."""
        config, data = tokenizer.config, tokenizer.info.get("data", {})
        f = config.downsampling
        sides = (str(count) for count in tokenizer.quantizer.index_shape)
        return {
            "networks": NETWORKS[config.name],
            "downsampling": f"{f} pixels per place and side",
            "channels": str(config.channels),
            "data": f"{tokenizer.info.get('dataset', 'unknown')}, {data.get('size', '?')} px",
            "crop": f"{data.get('crop', {}).get('train', '?')} (training), center (evaluation)",
            "example": f"indices = tokenizer.encode(images)   # (B, {config.channels}, H, W) in [-1, 1] -> "
            f"({', '.join(('B', f'H/{f}', f'W/{f}', *sides))})\nimages = tokenizer.decode(indices)",
        }

    def encode_inputs(self, batch: Batch) -> tuple[Tensor]:
        """The images."""
        return (batch.images,)

    def mirrored(self, batch: Batch) -> tuple[Tensor]:
        """The images with left and right exchanged."""
        return (batch.images.flip(-1),)

    def class_labels(self, batch: Batch) -> Tensor:
        """See :class:`Domain`."""
        return batch.labels

    def store_record(
        self, data: DataConfig, splits: Mapping[str, Any], *, flips: bool, precision: str
    ) -> dict[str, Any]:
        """See :class:`Domain`; the crop by its name."""
        return super().store_record(data, splits, flips=flips, precision=precision) | {"crop": data.crop.name}

    def make_objective(
        self, run: TokenizerRun, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> ImageObjective:
        """See :class:`gridcode.domains.image.loss.ImageObjective`."""
        return ImageObjective(run, sources, options, fabric=fabric)

    @torch.inference_mode()
    def measure(self, tokenizer: Tokenizer, batches: Iterable[Batch]) -> Measurement:
        """``psnr`` (dB, mean over images, range [0, 1]), ``mse`` (on [-1, 1]), ``usage``, ``perplexity``."""
        meter, quality, errors = TokenUsageMeter(tokenizer.quantizer), [], []
        for batch in batches:
            images = batch.images.to(tokenizer.device)
            out = tokenizer(images)
            meter.update(out.quantized.indices)
            reconstructions = out.outputs.float().clamp(-1, 1)
            quality.append(psnr(reconstructions, images))
            errors.append((reconstructions - images).square().flatten(1).mean(1))
        usage = meter.compute()
        scores = {
            "psnr": float(torch.cat(quality).mean()),
            "mse": float(torch.cat(errors).mean()),
        }
        signs = {"validation_psnr": scores["psnr"]}
        return Measurement.of(scores, usage, score=scores["psnr"], signs=signs)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: Batch) -> None:
        """Images in a row, their reconstructions below."""
        save_strip(path, batch.images, tokenizer.decode(tokenizer.encode(batch.images.to(tokenizer.device))))


def networks_of_the_loss(run: TokenizerRun) -> str:
    """What the loss takes beside the tokenizer, in words; nothing if pixels alone are compared."""
    perceptual, adversarial, networks = run.loss.perceptual, run.loss.adversarial, []
    if perceptual.active:
        names = {"lpips": "VGG-16", "lite0": "EfficientNet-lite0"}
        networks.append(names.get(perceptual.kind, "a perceptual network"))
    if adversarial.active:
        with torch.device("meta"):
            discriminator = make_discriminator(run)
        networks.append(f"a discriminator of {count_parameters(discriminator):,} parameters")
    return " and ".join(networks)


def data_of(tokenizer: Tokenizer) -> DataConfig:
    """The :class:`DataConfig` in the tokenizer's own record.

    Raises:
        GridcodeError: It has none, or one that this version cannot read.
    """
    try:
        settings = dict(tokenizer.info["data"])
        return DataConfig(**{**settings, "crop": CropPolicy(**settings["crop"])})
    except GridcodeError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise GridcodeError(
            f"the tokenizer does not say what images it was trained on ({error}); train it with "
            "gridcode train tokenizer"
        ) from None


DOMAIN = ImageDomain
