"""Dense prediction as a kind of data: label maps, with the image that they are of as context.

labels, image --Encoder--> latents --Quantizer--> codes, indices --Decoder, image--> values of pixels --> planes
(B, c, H, W)               (B, d, h, w)         indices (B, h, w)   of each channel (B, K, H, W)     (B, n, H, W)

What labels and planes are, and how one becomes the other, is the task's
:class:`gridcode.domains.dense.data.source.LabelMap`. The image is RGB, or grey where the map is colour.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337); the paper, section 4.4, which puts FSQ into it.
Differs from paper: latents are not standardised before FSQ (on 5 channels that takes freedom away); before VQ they
are, inside the quantizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor, nn

from gridcode.data.open import SCENES
from gridcode.domains.dense.config import (
    LabelTokenizerConfig,
    LabelTokenizerRun,
    categories_from_json,
    dense_from_json,
)
from gridcode.domains.dense.data.config import Categories, DenseConfig
from gridcode.domains.dense.data.loader import DenseBatch, dense_eval_batches, dense_train_batches
from gridcode.domains.dense.data.open import make_label_map, open_dense, understood
from gridcode.domains.dense.data.scenes import SCENE_CATEGORIES
from gridcode.domains.dense.data.source import DensePart, DenseSource, LabelMap
from gridcode.domains.dense.loss import DenseObjective
from gridcode.domains.dense.measure import measure_labels
from gridcode.domains.dense.networks import LabelDecoder, LabelEncoder, LabelShape, to_maps, to_patches
from gridcode.domains.dense.show import save_strip
from gridcode.errors import GridcodeError
from gridcode.nn.module import count_parameters
from gridcode.tokenizer.domain import Domain, Measurement, Outline, Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.range import check_images
from gridcode.training.resume import describe
from gridcode.training.run import RunOptions
from gridcode.training.seeding import fixed_sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PLANES = {
    "depth": "depth in metres (or relative), float32, 0 where it is unknown",
    "panoptic": "class and instance, 0 where unlabelled",
    "colour": "red, green and blue, uint8",
}


@final
class DenseDomain(Domain):
    """Label maps of one task and size.

    Args:
        data: The task, and the size of maps and images.
        categories: The classes; only the task 'panoptic' has and needs them.

    Raises:
        GridcodeError: Classes lack.

    >>> from gridcode.domains.dense.config import LabelTokenizerConfig
    >>> import torch
    >>> tokenizer = Tokenizer(LabelTokenizerConfig.laptop(), DenseDomain(DenseConfig(height=32, width=64)))
    >>> labels, images = torch.ones(2, 1, 32, 64, dtype=torch.int64), torch.zeros(2, 3, 32, 64)
    >>> indices = tokenizer.encode(labels, images)
    >>> indices.shape, tokenizer.decode(indices, images).shape
    (torch.Size([2, 4, 4]), torch.Size([2, 1, 32, 64]))
    """

    name: ClassVar[str] = "dense"

    def __init__(self, data: DenseConfig, categories: Categories | None = None) -> None:
        self.data, self.categories = data, categories
        self.label_map: LabelMap = make_label_map(data, categories)

    @property
    def context_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return (self.label_map.context_channels, *self.data.shape)

    @classmethod
    def of(cls, data: DenseConfig, source: DenseSource) -> Self:
        """See :class:`Domain`."""
        return cls(data, source.categories)

    @classmethod
    def of_settings(cls, data: DenseConfig) -> Self:
        """The kind; the data are opened for the classes of the task 'panoptic', unless they are the scenes'."""
        if data.task != "panoptic":
            return cls(data)
        return cls(data, SCENE_CATEGORIES if data.source == SCENES else open_dense(data, "val").categories)

    open = staticmethod(open_dense)
    train_batches = staticmethod(dense_train_batches)
    eval_batches = staticmethod(dense_eval_batches)

    @classmethod
    def part(cls, source: DenseSource, count: int) -> DenseSource:
        """See :class:`Domain`."""
        if count >= len(source):
            return source
        return DensePart(source, fixed_sample(len(source), count).tolist(), name=source.name)

    @classmethod
    def identity(cls, source: DenseSource) -> dict[str, Any]:
        """Number, classes and names of the images."""
        names = source.categories.names if source.categories else ()
        return describe(len(source), names, (source.key(index) for index in range(len(source))))

    @classmethod
    def understood(cls, data: DenseConfig, sources: Sources) -> Sequence[str]:
        """Splits, classes, what is ignored, units and orientation."""
        return understood(data, sources.train, sources.val)

    def shape(self, data: DenseConfig) -> tuple[int, int]:
        """Height and width."""
        return data.shape

    architecture = LabelTokenizerConfig.from_json

    def to_json(self) -> dict[str, Any]:
        """Settings of the data, and the classes."""
        return {"data": asdict(self.data), "categories": asdict(self.categories) if self.categories else None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """See :class:`Domain`."""
        if "data" not in values:
            raise GridcodeError("a tokenizer of label maps needs the settings of its data; give a DenseDomain")
        return cls(dense_from_json(values["data"]), categories_from_json(values.get("categories")))

    def make_networks(self, config: LabelTokenizerConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        """See :mod:`gridcode.domains.dense.networks`."""
        channels, height, width = self.context_shape
        shape = LabelShape(self.label_map.groups, channels if config.context else 0, height, width)
        return LabelEncoder(config, shape, latents), LabelDecoder(config, shape, latents)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The transformer's."""
        assert isinstance(network, LabelEncoder | LabelDecoder)
        return list(network.trunk.blocks)

    def encoder_inputs(
        self, config: LabelTokenizerConfig, examples: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Labels and images.

        Args:
            config: The networks' shape.
            examples: int64 in [0, K), (B, channels, H, W); for colours float in [-1, 1], (B, 3, H, W).
            context: Images in [-1, 1], (B, C, H, W); ignored where the context is off.

        Raises:
            GridcodeError: A shape or type does not fit, or a label is out of range.
        """
        self._check_shape(examples, "labels", len(self.label_map.groups) or 3)
        self.label_map.check_labels(examples)
        return examples, self._checked_context(config, context, len(examples))

    def check_range(
        self, config: LabelTokenizerConfig, examples: Tensor, context: Tensor | None, *, check_values: bool
    ) -> None:
        """Refuse images and colours outside [-1, 1]."""
        if context is not None and config.context:
            check_images(context, check_range=check_values)
        if examples.is_floating_point() and not self.label_map.groups:
            check_images(examples, check_range=check_values)

    def decoder_inputs(
        self, config: LabelTokenizerConfig, count: int, context: Tensor | None, dropped: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Images, and which codes the null stands for."""
        return self._checked_context(config, context, count), dropped

    def decoded(self, config: LabelTokenizerConfig, outputs: Sequence[Tensor]) -> Tensor:
        """Label maps (B, n, H, W): float32 depth (n = 1), int64 class and instance (n = 2), uint8 RGB (n = 3)."""
        grid = config.patches(*self.data.shape)
        return self.label_map.decode([to_maps(values.float(), grid, config.patch) for values in outputs])

    def targets(self, config: LabelTokenizerConfig, labels: Tensor) -> tuple[Tensor, ...]:
        """Labels as the losses compare them with the decoder's outputs: each channel (B, N, P^2).

        Colours are one tensor (B, N, P^2, 3).
        """
        patches = to_patches(labels, config.patch)
        return patches.unbind(1) if self.label_map.groups else (patches.movedim(1, -1),)

    def outline(self, tokenizer: Tokenizer, run: LabelTokenizerRun, *, bytes_per_value: int) -> Outline:
        """See :class:`Domain`; the embeddings of labels and the heads that decode them are a part of their own."""
        encoder, decoder, config = tokenizer.encoder, tokenizer.decoder, run.model
        assert isinstance(encoder, LabelEncoder)
        assert isinstance(decoder, LabelDecoder)
        embeddings, heads = count_parameters(*encoder.embeddings), count_parameters(*decoder.heads)
        whole, (h, w) = (
            super().outline(tokenizer, run, bytes_per_value=bytes_per_value),
            config.patches(*run.data.shape),
        )
        parts = {
            "labels": embeddings + heads,
            "encoder": whole.parts["encoder"] - embeddings,
            "quantizer": whole.parts["quantizer"],
            "decoder": whole.parts["decoder"] - heads,
        }
        # Each block keeps about 8 maps of the width and 2 of the MLP; logits are kept three times, in fp32.
        blocks = (config.encoder_depth + config.decoder_depth) * h * w * (8 * config.width + 2 * config.mlp)
        logits = 3 * run.data.height * run.data.width * sum(self.label_map.groups or (3,))
        bits = prod(tokenizer.token_grid()) * log2(tokenizer.codebook_size)
        return Outline(parts, {"rate": f"{bits:.0f} bits per example"}, blocks * bytes_per_value + logits * 4)

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """See :class:`Domain`."""
        config, data, given = tokenizer.config, self.data, ", images" if tokenizer.config.context else ""
        grid = ", ".join(str(side) for side in tokenizer.token_grid(*data.shape))
        rows = {
            "task": f"{data.task}: {_PLANES[data.task]}",
            "context": "encoder and decoder see the image" if config.context else "none: codes carry everything",
            "networks": f"vision transformers, {config.encoder_depth} and {config.decoder_depth} layers of width "
            f"{config.width}",
            "maps": f"{data.height} x {data.width} pixels, patches of {config.patch}",
            "data": str(tokenizer.info.get("dataset", "unknown")),
        }
        images = f"(B, {', '.join(map(str, self.context_shape))})"
        example = (
            f"indices = tokenizer.encode(labels{given})    # images {images} in [-1, 1] -> (B, {grid})\n"
            f"planes = tokenizer.decode(indices{given})"
        )
        classes = {"classes": ", ".join(self.categories.names)} if self.categories else {}
        return rows | classes | {"example": example}

    def encode_inputs(self, batch: DenseBatch) -> tuple[Tensor, Tensor]:
        """Labels and images."""
        return batch.labels, batch.images

    def check_data(self, data: DenseConfig) -> None:
        """Refuse labels of another meaning than the tokenizer learned; where they come from may differ.

        Raises:
            GridcodeError: A setting differs.
        """
        depth = replace(data.depth, png_scale=self.data.depth.png_scale)
        for name in ("task", "height", "width", "depth", "instances", "min_share"):
            then, now = getattr(self.data, name), depth if name == "depth" else getattr(data, name)
            if then != now:
                raise GridcodeError(
                    f"the label tokenizer was trained with data.{name}={then}, these label maps are read with {now}; "
                    "give the same settings, or train the label tokenizer again"
                )

    def mirrored(self, batch: DenseBatch) -> tuple[Tensor, Tensor]:
        """Labels and images with left and right exchanged; segments are numbered anew in a mirrored map."""
        labels = np.stack([self.label_map.encode(planes) for planes in batch.planes.flip(-1).numpy()])
        return torch.from_numpy(labels), batch.images.flip(-1)

    def store_record(
        self, data: DenseConfig, splits: Mapping[str, DenseSource], *, flips: bool, precision: str
    ) -> dict[str, Any]:
        """See :class:`Domain`; as JSON gives it back."""
        settings: dict[str, Any] = asdict(replace(data, workers=0))
        del settings["max_pixels"]
        names = {split: f"{source.name}, {len(source)}" for split, source in splits.items()}
        return settings | {"dataset": next(iter(splits.values())).name, "crop": "center", "splits": names}

    def make_objective(
        self, run: LabelTokenizerRun, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> DenseObjective:
        """See :class:`DenseObjective`."""
        return DenseObjective(run, self, rank=fabric.global_rank, world=fabric.world_size)

    def measure(self, tokenizer: Tokenizer, batches: Iterable[DenseBatch]) -> Measurement:
        """The oracle: see :func:`gridcode.domains.dense.measure.measure_labels`."""
        return measure_labels(tokenizer, self, batches)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: DenseBatch) -> None:
        """Images as the model sees them, true maps below, decoded maps below those."""
        labels, images = batch.labels.to(tokenizer.device), batch.images.to(tokenizer.device)
        decoded = tokenizer.decode(tokenizer.encode(labels, images), images)
        save_strip(path, batch, decoded, self.label_map)

    def _checked_context(self, config: LabelTokenizerConfig, images: Tensor | None, count: int) -> Tensor | None:
        """The images, checked, where the context is on; else None."""
        if not config.context:
            return None
        if images is None:
            raise GridcodeError("this label tokenizer sees the image too: give images (B, C, H, W) in [-1, 1]")
        self._check_shape(images, "images", self.label_map.context_channels)
        if len(images) != count:
            raise GridcodeError(f"there are {len(images)} images for {count} label maps; give one for each")
        return images

    def _check_shape(self, values: Tensor, what: str, channels: int) -> None:
        wanted = (channels, *self.data.shape)
        if tuple(values.shape[1:]) != wanted:
            raise GridcodeError(
                f"the label tokenizer takes {what} (B, {', '.join(map(str, wanted))}), got shape "
                f"{tuple(values.shape)}; resize or convert them"
            )


def dense_domain(tokenizer: Tokenizer) -> DenseDomain:
    """What a tokenizer of label maps knows of them.

    Raises:
        GridcodeError: It is of another kind of data.
    """
    if not isinstance(tokenizer.domain, DenseDomain):
        raise GridcodeError(f"this tokenizer is of kind {tokenizer.domain.name!r}, not of label maps; give another one")
    return tokenizer.domain


DOMAIN = DenseDomain

LabelTokenizer = Tokenizer
"""What a tokenizer of label maps was called when it was a class of its own."""
