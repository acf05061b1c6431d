"""What the three kinds of label map share: stored planes to a model's labels and back, and a picture of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gridcode.domains.dense.data.source import Planes


class LabelMap(ABC):
    """One kind of label map; finals are :class:`DepthMap`, :class:`PanopticMap` and :class:`ColourMap`.

    ASCII data flow, with the model in the middle::

        planes (n, H, W) ── encode ──> labels (c, H, W) ── model ──> outputs ── decode ──> planes (B, n', H, W)
    """

    groups: tuple[int, ...]
    """Number K of values in each channel of the labels; () where the labels are RGB values."""
    masked: int | None
    """Label that no loss counts (depth's invalid bin), or None where all count."""
    context_channels: int
    """Channels of the picture that the model sees: 3, or 1 for colour."""
    averages: bool = True
    """Whether maps of this kind have a mean; segments have none."""

    @abstractmethod
    def encode(self, planes: Planes) -> Planes:
        """A model's labels.

        Args:
            planes: A stored map, (n, H, W).

        Returns:
            int64 in [0, K), (len(groups), H, W); for colour float32 RGB in [-1, 1], (3, H, W).
        """

    @abstractmethod
    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Planes from a model's outputs.

        Args:
            outputs: For each group logits (B, K, H, W); for colour one tensor of RGB in [-1, 1], (B, 3, H, W).

        Returns:
            (B, n, H, W): float32 depth (n = 1), int64 class and instance (n = 2), uint8 RGB (n = 3).
        """

    @abstractmethod
    def mean(self, maps: Sequence[Tensor]) -> Tensor:
        """The mean of decoded maps (B, n, H, W), of their type: of all predictions the least squared error on average.

        Raises:
            GridcodeError: This kind has no mean.
        """

    @abstractmethod
    def resize(self, planes: Planes, height: int, width: int) -> Planes:
        """A map at another size, by this kind's rule; (n, height, width)."""

    @abstractmethod
    def context(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the model sees of a picture (H, W, 3): uint8, (H, W, context_channels)."""

    @abstractmethod
    def picture(self, planes: Planes) -> NDArray[np.uint8]:
        """A colour picture of a map, stored or decoded: uint8, (H, W, 3)."""
