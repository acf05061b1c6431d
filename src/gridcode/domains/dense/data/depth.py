r"""Depth as bins: 256 uniform ones over 1e-3 … 10 m unless said otherwise, the first of which says invalid.

With w = (high - low) / bins,

    bin(d) = max(1, floor((d - low) / w))   for low < d < high, else 0 (invalid)
    d(bin) = low + (bin + 1/2) w            for bin >= 1, else 0

so a depth comes back within w/2, and within 3w/2 in the nearest w. Relative depth is normalised an image
at a time before it is binned, over the image's valid pixels:

    scale         d / max d                        keeps ratios: scale-invariant figures hold
    scale_shift   (d - min d) / (max d - min d)    a constant image becomes 1

and decodes to the normalised value; the lost scale (and shift) is what a metric of relative depth fits anew.

Reference: Kolesnikov et al., "UViM: A Unified Modeling Approach for Vision with Learned Guiding Codes", 2022.
Differs from paper: a valid depth of the first bin counts as bin 1, so that bin 0 says invalid and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.domains.dense.data.config import DepthConfig
from gridcode.domains.dense.data.geometry import resize_valid
from gridcode.domains.dense.data.source import LabelMap, Planes

# Near to far: yellow, orange, red, violet, dark blue; lightness falls evenly, so that it also reads in grey.
_RAMP: Final = np.array(
    [[252, 253, 191], [254, 176, 120], [241, 96, 93], [182, 54, 121], [114, 31, 129], [43, 17, 94], [4, 4, 20]],
    np.float64,
)
_INVALID: Final = np.array([128, 128, 128], np.uint8)


class DepthMap(LabelMap):
    """Depth in metres, or relative, as one channel of bins.

    Args:
        config: Bins, range and normalisation.

    >>> depth = DepthMap(DepthConfig(bins=10, near=0.0, far=10.0))
    >>> depth.encode(np.array([[[0.0, 0.5, 3.2, 9.9, 12.0]]], np.float32)).tolist()
    [[[0, 1, 3, 9, 0]]]
    >>> depth.values(torch.tensor([0, 1, 3])).tolist()
    [0.0, 1.5, 3.5]
    """

    masked = 0
    context_channels = 3

    def __init__(self, config: DepthConfig) -> None:
        self.config = config
        self.groups = (config.bins,)
        self._width = (config.high - config.low) / config.bins

    def encode(self, planes: Planes) -> Planes:
        """Bins of a depth map: float32 metres (1, H, W), 0 invalid, to int64 (1, H, W)."""
        config = self.config
        depth = self.normalise(planes).astype(np.float64)
        valid = (depth > config.low) & (depth < config.high)
        if config.relative != "none":  # there the ends are depths like others
            valid = planes > 0
        bins = np.floor((np.where(valid, depth, config.low) - config.low) / self._width)
        return np.where(valid, bins.clip(1, config.bins - 1), 0).astype(np.int64)

    def normalise(self, planes: Planes) -> NDArray[np.float32]:
        """Depth as the bins see it: as it is, or relative; float32, invalid pixels stay 0."""
        depth = planes.astype(np.float32)
        valid = depth > 0
        if self.config.relative == "none" or not valid.any():
            return depth
        largest = depth[valid].max()
        least = depth[valid].min() if self.config.relative == "scale_shift" else np.float32(0)
        if largest == least:
            return valid.astype(np.float32)
        return np.where(valid, (depth - least) / (largest - least), np.float32(0)).astype(np.float32)

    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Depth from logits (B, bins, H, W): the most likely valid bin's middle, float32 (B, 1, H, W).

        Bin 0 is masked in the loss, so its logit means nothing and is left out.
        """
        (logits,) = outputs
        return self.values(logits[:, 1:].argmax(dim=1, keepdim=True) + 1)

    def mean(self, maps: Sequence[Tensor]) -> Tensor:
        """Mean depth of each pixel; decoded maps are valid everywhere."""
        return torch.stack(list(maps)).mean(dim=0)

    def values(self, bins: Tensor) -> Tensor:
        """Depth at the middle of each bin, float32 of the bins' shape; 0 for bin 0."""
        middles = self.config.low + (np.arange(self.config.bins) + 0.5) * self._width
        middles[0] = 0.0
        return torch.from_numpy(middles.astype(np.float32)).to(bins.device)[bins]  # not every device has float64

    def resize(self, planes: Planes, height: int, width: int) -> Planes:
        """The valid depth nearest to each pixel's centre inside its footprint."""
        return resize_valid(planes, height, width)

    def context(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image as it is."""
        return image

    def image(self, planes: Planes) -> NDArray[np.uint8]:
        """Near is bright yellow, far is dark blue; invalid is grey.

        The scale runs over the map's own valid depths (metric ones up to ``far``), logarithmic unless the depth is
        relative by scale and shift. To see truth and prediction on one scale, join them side by side first.
        """
        depth = np.asarray(planes, np.float64)[0]
        valid = depth > 0
        if self.config.relative != "scale_shift":  # which has a zero of its own
            depth = np.log(np.where(valid, np.minimum(depth, self.config.high), self.config.high))
        least, most = (pick(depth[valid]) if valid.any() else 0.0 for pick in (np.min, np.max))
        share = np.clip((depth - least) / (most - least or 1.0), 0.0, 1.0) * (len(_RAMP) - 1)
        left = np.minimum(share.astype(np.int64), len(_RAMP) - 2)
        blend = (share - left)[..., None]
        colours = (_RAMP[left] * (1 - blend) + _RAMP[left + 1] * blend).round().astype(np.uint8)
        return np.where(valid[..., None], colours, _INVALID)
