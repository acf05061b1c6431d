"""Dense prediction: a prior reads an image and writes a code, a label tokenizer turns the code into a label map.

image -> context (C, H, W) -> Stage II -> indices (h, w) -> Stage I's decoder, context -> label map (n, H, W)

With several draws of the code the label map is the mean of theirs, of all predictions the least squared error: where an
image leaves its labels open, one code must decide, and the mean need not.

The image need not have the model's size: it is squeezed into it as a whole, or its central part is cut out, and the
map comes back at the size of what was looked at.

Reference: the paper, section 4.4; Kolesnikov et al., UViM, 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.domains.dense.data.geometry import center_region, resize_image, resize_nearest
from gridcode.domains.dense.data.source import Planes
from gridcode.domains.dense.domain import dense_domain
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.make import load_prior
from gridcode.prior.samplers.config import GREEDY, PROPORTIONAL, SamplerConfig
from gridcode.tokenizer.model import Tokenizer

Fit: TypeAlias = Literal["whole", "crop"]
"""How an image of another shape is shown to the model: squeezed as a whole, or its central part."""


@dataclass(frozen=True)
class DensePrediction:
    """An image's label map, and where it is sure.

    Attributes:
        planes: The map at the image's size, (n, H, W).
        deviation: Standard deviation over the draws, float32 (H, W), in the map's units (colours: bytes, the root mean
            square over red, green and blue); None of a single draw.
    """

    planes: Planes
    deviation: NDArray[np.float32] | None = None


class DensePredictor:
    """Stage I and Stage II of one task.

    Args:
        prior: Predicts codes from images.
        tokenizer: The label tokenizer whose tokens it learned.
        sampler: How tokens are drawn; by default the most probable ones.
        seed: Same seed, same maps: an image's noise depends on the seed and its number.
        draws: Codes whose label maps are averaged. More than one are drawn as the prior's probabilities say, at
            temperature 1 where the sampler has that of the most probable ones.

    Raises:
        GridcodeError: The prior learned from another tokenizer's tokens, takes other images, or draws do not fit the
            task.

    >>> from gridcode.domains.dense.data.config import DenseConfig
    >>> from gridcode.prior import Autoregressive, CrossAttentionConfig
    >>> from gridcode.prior.config import TokenSpace
    >>> from gridcode.domains.dense.config import LabelTokenizerConfig
    >>> from gridcode.domains.dense.domain import DenseDomain
    >>> tokenizer = Tokenizer(LabelTokenizerConfig.laptop(), DenseDomain(DenseConfig(height=32, width=32))).eval()
    >>> space = TokenSpace(4375, (4, 4), (), tokenizer.weights_hash(), {})
    >>> prior = Autoregressive(CrossAttentionConfig(width=16, depth=1, heads=2, mlp=32), space, (3, 32, 32)).eval()
    >>> [depth] = DensePredictor(prior, tokenizer, draws=4).predict_images([np.zeros((20, 30, 3), np.uint8)])
    >>> depth.planes.shape, depth.deviation.shape
    ((1, 20, 30), (20, 30))
    """

    def __init__(
        self,
        prior: Prior,
        tokenizer: Tokenizer,
        *,
        sampler: SamplerConfig = GREEDY,
        seed: int = 0,
        draws: int = 1,
    ) -> None:
        if prior.example_shape is None:
            raise GridcodeError("this prior predicts no label maps from images; give one of dense prediction")
        seen, domain = tokenizer.weights_hash(), dense_domain(tokenizer)
        if prior.space.tokenizer != seen:
            raise GridcodeError(
                f"this prior learned the tokens of label tokenizer {prior.space.tokenizer}, but the tokenizer given "
                f"is {seen}: give the one whose tokens it was trained on"
            )
        image = domain.context_shape
        if prior.example_shape != image:
            raise GridcodeError(
                f"this prior takes images {prior.example_shape}, the label tokenizer {image}: they do not fit"
            )
        if draws < 1:
            raise GridcodeError(f"a prediction takes at least 1 draw of the code, got draws={draws}")
        if draws > 1 and not domain.label_map.averages:
            raise GridcodeError(f"label maps of the task {domain.data.task} have no mean; set draws=1")
        self.prior, self.tokenizer, self.domain = prior, tokenizer, domain
        self.sampler, self.seed, self.draws = sampler, seed, draws

    @classmethod
    def from_pretrained(
        cls,
        prior: str | Path,
        tokenizer: str | Path,
        *,
        device: str | torch.device = "cpu",
        sampler: SamplerConfig = GREEDY,
        seed: int = 0,
        draws: int = 1,
    ) -> DensePredictor:
        """Load both halves; each is a folder or a hub id.

        Raises:
            GridcodeError: One cannot be loaded, or they do not belong together.
        """
        label_tokenizer = Tokenizer.from_pretrained(tokenizer, device=device)
        conditional = load_prior(prior, device=device)
        return cls(conditional, label_tokenizer, sampler=sampler, seed=seed, draws=draws)

    def predict_codes(self, images: Tensor, first: int = 0) -> Tensor:
        """Stage II alone: one code of each image.

        Args:
            images: In [-1, 1], (B, C, H, W).
            first: Number of the first image among all that are predicted; another one, other randomness.

        Returns:
            Indices (B, h, w, *index_shape) on the prior's device.
        """
        return self.prior.predict(images, self.sampler, seed=self.seed, first=first)

    def draw_codes(self, images: Tensor, count: int, first: int = 0) -> Tensor:
        """Several codes of each image, (count, B, h, w, *index_shape); see :meth:`predict_codes`."""
        sampler = self.sampler
        if sampler.greedy:  # of which all draws are the same
            chance, choice = PROPORTIONAL.temperature, PROPORTIONAL.choice_temperature
            sampler = replace(sampler, temperature=chance, temperature_from=None, choice_temperature=choice)
        return self.prior.draw(images, count, sampler, seed=self.seed, first=first)

    def predict(self, images: Tensor, first: int = 0) -> Tensor:
        """Label maps of images as the model takes them.

        Args:
            images: In [-1, 1], (B, C, H, W) of the tokenizer's size; C is 1 for colour.
            first: Number of the first image.

        Returns:
            (B, n, H, W): float32 depth (n = 1), int64 class and instance (n = 2), uint8 RGB (n = 3).

        Raises:
            GridcodeError: The images have another shape.
        """
        return self.predict_with_deviation(images, first)[0]

    def predict_with_deviation(self, images: Tensor, first: int = 0) -> tuple[Tensor, Tensor | None]:
        """Label maps as :meth:`predict` gives them, and the standard deviation over the draws.

        Args:
            images: In [-1, 1], (B, C, H, W) of the tokenizer's size.
            first: Number of the first image.

        Returns:
            Maps (B, n, H, W); deviations float32 (B, H, W), see :class:`DensePrediction`, or None of a single draw.

        Raises:
            GridcodeError: The images have another shape.
        """
        images = images.to(self.prior.device)
        if self.draws == 1:
            return self.tokenizer.decode(self.predict_codes(images, first), images), None
        codes = self.draw_codes(images, self.draws, first)
        maps = [self.tokenizer.decode(one, images) for one in codes]
        deviation = torch.stack(maps).float().var(dim=0, correction=0).mean(dim=1).sqrt()
        return self.domain.label_map.mean(maps), deviation

    def predict_images(
        self, images: Sequence[NDArray[np.uint8]], *, fit: Fit = "whole", first: int = 0
    ) -> list[DensePrediction]:
        """The label maps of images of any sizes, each at its own.

        Args:
            images: uint8, (H, W, 3) each; they go through the model together.
            fit: 'whole' squeezes an image into the model's shape; 'crop' looks at :meth:`seen_part` of it.
            first: Number of the first image.

        Returns:
            The map of each image, or of its central part.

        Raises:
            GridcodeError: An image is of another kind, or fit is another word.
        """
        if fit not in get_args(Fit):
            raise GridcodeError(f"fit is {fit!r}; choose {' or '.join(get_args(Fit))}")
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise GridcodeError(f"an image is uint8 (H, W, 3), got {image.dtype} of shape {image.shape}")
        if not images:
            return []
        parts = [self.seen_part(image, fit) for image in images]
        label_map, (height, width) = self.domain.label_map, self.domain.data.shape
        contexts = np.stack([label_map.context(resize_image(part, height, width)) for part in parts])
        batch = torch.from_numpy(contexts.transpose(0, 3, 1, 2)).float().div_(127.5).sub_(1.0)
        maps, deviations = self.predict_with_deviation(batch, first)
        found = []
        for place, (planes, part) in enumerate(zip(maps.cpu().numpy(), parts, strict=True)):
            rows, columns = part.shape[:2]
            deviation = None
            if deviations is not None:
                (deviation,) = resize_nearest(deviations[place, None].cpu().numpy(), rows, columns)
            found.append(DensePrediction(label_map.resize(planes, rows, columns), deviation))
        return found

    def seen_part(self, image: NDArray[np.uint8], fit: Fit) -> NDArray[np.uint8]:
        """What the model looks at: the image, or its largest central part of the model's shape."""
        if fit == "whole":
            return image
        return center_region(image.shape[:2], self.domain.data.shape).cut(image)
