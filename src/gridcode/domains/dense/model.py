"""The label tokenizer: a label map as a few integers, with the picture as side information.

labels, picture --Encoder--> latents --Quantizer--> codes, indices --Decoder, picture--> values of pixels --> planes
(B, c, H, W)                 (B, d, h, w)           indices (B, h, w)   of each channel (B, K, H, W)       (B, n, H, W)

What labels and planes are, and how one becomes the other, is the task's :class:`gridcode.domains.dense.data.LabelMap`.
The picture is what the map is of: RGB, or grey where the map is colour.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337); the paper, section 4.4, which puts FSQ into it.
Differs from paper: latents are not standardised before FSQ (on 5 channels that takes freedom away); before VQ they
are, inside the quantizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gridcode.domains.dense.card import label_card
from gridcode.domains.dense.config import (
    LabelTokenizerConfig,
    categories_from_json,
    dense_from_json,
    label_config_from_json,
)
from gridcode.domains.dense.data.config import Categories, DenseConfig
from gridcode.domains.dense.data.open import make_label_map
from gridcode.domains.dense.networks import LabelDecoder, LabelEncoder, LabelShape
from gridcode.domains.dense.patches import to_maps, to_patches
from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, load_model, save_model, weights_hash
from gridcode.nn.module import in_evaluation, load_weights
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.make import check_spec, make_quantizer
from gridcode.quantize.radix import values_visible
from gridcode.tokenizer.range import check_images

KIND = "label-tokenizer"


@dataclass(frozen=True)
class LabelReconstruction:
    """What a forward pass gives.

    Attributes:
        outputs: Of each channel of labels logits (B, N, P^2, K), patch by patch; for colours one (B, N, P^2, 3).
        quantized: Codes (B, d, h, w), indices (B, h, w, *index_shape) and the quantizer's own loss.
    """

    outputs: tuple[Tensor, ...]
    quantized: Quantized


class LabelTokenizer(nn.Module):
    """Label maps to small grids of integers, and back.

    Args:
        config: The shape of encoder and decoder, and the quantizer.
        data: The task, and the size of maps and pictures.
        categories: The classes; only the task 'panoptic' has and needs them.

    Raises:
        GridcodeError: The settings make no valid quantizer, a side is no multiple of the patch, or classes lack.

    >>> tokenizer = LabelTokenizer(LabelTokenizerConfig.laptop(), DenseConfig(height=32, width=64))
    >>> labels, images = torch.ones(2, 1, 32, 64, dtype=torch.int64), torch.zeros(2, 3, 32, 64)
    >>> indices = tokenizer.encode(labels, images)
    >>> indices.shape, tokenizer.decode(indices, images).shape
    (torch.Size([2, 4, 4]), torch.Size([2, 1, 32, 64]))
    """

    def __init__(self, config: LabelTokenizerConfig, data: DenseConfig, categories: Categories | None = None) -> None:
        super().__init__()
        self.config, self.data, self.categories = config, data, categories
        self.label_map = make_label_map(data, categories)
        channels = self.label_map.context_channels if config.context else 0
        shape = LabelShape(self.label_map.groups, channels, data.height, data.width)
        self.quantizer: Quantizer = make_quantizer(config.quantizer, channel_dim=1)
        self.encoder = LabelEncoder(config, shape, self.quantizer.channels)
        self.decoder = LabelDecoder(config, shape, self.quantizer.channels)
        self.info: dict[str, Any] = {}
        """What the model card tells of the training data; saved with the weights."""

    @property
    def codebook_size(self) -> int:
        """The number of different codes, K."""
        return self.quantizer.codebook_size

    @property
    def token_grid(self) -> tuple[int, ...]:
        """The shape of an example's indices: (h, w), and q where each place has q indices."""
        return (*self.config.codes, *self.quantizer.index_shape)

    @property
    def parameter_count(self) -> int:
        """Learned numbers: the parameters, and a quantizer's book where statistics move it instead of gradients."""
        book = sum(buffer.numel() for name, buffer in self.quantizer.named_buffers() if name == "codebook")
        return book + sum(parameter.numel() for parameter in self.parameters())

    def latents(self, labels: Tensor, images: Tensor | None) -> Tensor:
        """The encoder's latents (B, d, h, w).

        Args:
            labels: int64 in [0, K), (B, channels, H, W); for colours float in [-1, 1], (B, 3, H, W).
            images: In [-1, 1], (B, C, H, W); not looked at where the context is off.

        Raises:
            GridcodeError: A shape or type does not fit, or a label is out of range.
        """
        groups = self.label_map.groups
        kind = "integers" if groups else "floats"
        self._check(labels, "labels", len(groups) or 3)
        if labels.is_floating_point() == bool(groups):
            raise GridcodeError(f"the label tokenizer takes labels of {kind}, got {labels.dtype}; give the labels")
        if groups and values_visible(labels):
            self._check_range(labels, groups)
        latents: Tensor = self.encoder(labels, self._context(images, len(labels)))
        return latents

    def forward(self, labels: Tensor, images: Tensor | None, dropped: Tensor | None = None) -> LabelReconstruction:
        """Reconstruct labels, with gradients straight through the quantizer.

        Args:
            labels: As :meth:`latents` takes them.
            images: Likewise.
            dropped: bool, (B, h, w), True where the decoder gets the null in a code's place.
        """
        quantized = self.quantizer(self.latents(labels, images))
        outputs = self.decoder(quantized.codes, self._context(images, len(labels)), dropped)
        return LabelReconstruction(outputs, quantized)

    def targets(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Labels as the losses compare them with a reconstruction's outputs: each channel (B, N, P^2).

        Colours are one tensor (B, N, P^2, 3).
        """
        patches = to_patches(labels, self.config.patch)
        return patches.unbind(1) if self.label_map.groups else (patches.movedim(1, -1),)

    def planes(self, outputs: Sequence[Tensor]) -> Tensor:
        """Label maps (B, n, H, W) of a reconstruction's outputs, as the task's metric and files want them."""
        grid = self.config.grid(*self.data.shape)
        return self.label_map.decode([to_maps(values.float(), grid, self.config.patch) for values in outputs])

    @torch.no_grad()
    def encode(self, labels: Tensor, images: Tensor | None = None, *, check_range: bool = True) -> Tensor:
        """Labels and pictures, as :meth:`latents` takes them -> indices (B, h, w, *index_shape), int64 in [0, K).

        The quantizer works as in evaluation, whatever mode the tokenizer is in: it drops and learns nothing.

        Args:
            labels: Integers, or colours in [-1, 1].
            images: In [-1, 1].
            check_range: As in :meth:`gridcode.tokenizer.Tokenizer.encode`, for images and colours.

        Raises:
            GridcodeError: A shape or type does not fit, or a label or a pixel is out of range.
        """
        if images is not None and self.config.context:
            check_images(images, check_range=check_range)
        if labels.is_floating_point() and not self.label_map.groups:
            check_images(labels, check_range=check_range)
        with in_evaluation(self.quantizer):
            out: Quantized = self.quantizer(self.latents(labels, images))
            return out.indices

    @torch.no_grad()
    def decode(self, indices: Tensor, images: Tensor | None = None, *, known: Tensor | None = None) -> Tensor:
        """Label maps of indices.

        Args:
            indices: int64 in [0, K), (B, h, w, *index_shape).
            images: In [-1, 1], (B, C, H, W); not looked at where the context is off.
            known: bool, (B, h, w): where it is False the index is not looked at, and the null stands for its code.

        Returns:
            (B, n, H, W): float32 depth (n = 1), int64 class and instance (n = 2), uint8 RGB (n = 3).

        Raises:
            GridcodeError: A shape does not fit, or an index is outside the codebook.
        """
        if tuple(indices.shape[1:]) != self.token_grid:
            raise GridcodeError(
                f"the label tokenizer decodes indices (B, {', '.join(map(str, self.token_grid))}), got shape "
                f"{tuple(indices.shape)}; give them as encode returns them"
            )
        dropped = None
        if known is not None:
            if known.dtype != torch.bool or known.shape != indices.shape[:3]:
                raise GridcodeError(
                    f"known is {known.dtype} of shape {tuple(known.shape)}; give bool of shape "
                    f"{tuple(indices.shape[:3])}, True where an index is known"
                )
            dropped = ~known.to(indices.device)
            indices = indices.masked_fill(dropped.reshape(*known.shape, *[1] * len(self.quantizer.index_shape)), 0)
        codes = self.quantizer.indices_to_codes(indices)
        return self.planes(self.decoder(codes, self._context(images, len(indices)), dropped))

    def weights_hash(self) -> str:
        """A name for exactly these weights; token stores and priors carry it."""
        return weights_hash(self.state_dict())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card into ``folder``.

        Raises:
            GridcodeError: The folder cannot be written.
        """
        config = {
            "kind": KIND,
            "model": asdict(self.config),
            "data": asdict(self.data),
            "categories": asdict(self.categories) if self.categories else None,
            "quantizer": self.quantizer.spec(),
            "parameters": self.parameter_count,
            "info": self.info,
        }
        save_model(Path(folder), tensors=self.state_dict(), config=config, card=label_card(self))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> LabelTokenizer:
        """Load a label tokenizer, ready for inference.

        Args:
            source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
            device: Where its weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
        """
        folder = load_model(source, kind=KIND)
        try:
            tokenizer = cls(
                label_config_from_json(folder.config["model"]),
                dense_from_json(folder.config["data"]),
                categories_from_json(folder.config.get("categories")),
            )
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(
                f"{folder.path / CONFIG} is not a label tokenizer's ({error}); was it saved by another version?"
            ) from None
        load_weights(tokenizer, folder.tensors, origin=folder.path)
        check_spec(tokenizer.quantizer, folder.config.get("quantizer"), where=folder.path / CONFIG)
        tokenizer.info = folder.config.get("info", {})
        return tokenizer.to(device).eval()

    def _context(self, images: Tensor | None, count: int) -> Tensor | None:
        """The pictures, checked, where the context is on; else None."""
        if not self.config.context:
            return None
        if images is None:
            raise GridcodeError("this label tokenizer sees the picture too: give images (B, C, H, W) in [-1, 1]")
        self._check(images, "images", self.label_map.context_channels)
        if len(images) != count:
            raise GridcodeError(f"there are {len(images)} images for {count} label maps; give one for each")
        return images

    def _check(self, values: Tensor, what: str, channels: int) -> None:
        wanted = (channels, self.data.height, self.data.width)
        if tuple(values.shape[1:]) != wanted:
            raise GridcodeError(
                f"the label tokenizer takes {what} (B, {', '.join(map(str, wanted))}), got shape "
                f"{tuple(values.shape)}; resize or convert them"
            )

    def _check_range(self, labels: Tensor, groups: tuple[int, ...]) -> None:
        for channel, (values, K) in enumerate(zip(labels.unbind(1), groups, strict=True)):
            if values.numel() and (int(values.min()) < 0 or int(values.max()) >= K):
                raise GridcodeError(
                    f"labels of channel {channel} reach from {int(values.min())} to {int(values.max())}, this label "
                    f"tokenizer takes 0 to {K - 1}; encode them with the same settings of bins, classes or instances"
                )
