"""A small network whose features tell images apart: the perceptual loss that needs nothing from outside.

    image -> [(3x3 conv, norm, ReLU) x 2 -> features, halve] x stages -> mean over places, dense -> logits

It learns on the run's own images: their classes where they have labels, else which way up they were turned (0, 90,
180 or 270 degrees). Features are taken at every resolution, the first at the images' own, as LPIPS does with VGG-16;
so blur shows in the first ones and a wrong part in the last ones. Batch norm, because once trained it is the same
affine map for every image: a norm over each image's own values would not see that one is too dark or too pale.

No model is graded by its own teacher: this is a plain stack with average pooling, while the classifier that measures
(:mod:`gridcode.features.classifier`) is residual with strides, and their seeds differ.

Reference: Gidaris et al. 2018 (rotations); Zhang et al. 2018 (LPIPS).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.features.config import ObserverConfig
from gridcode.features.distance import feature_distance
from gridcode.features.folder import load_network
from gridcode.hub import save_model
from gridcode.nn.conv import Conv2d

KIND = "observer"


class Observer(nn.Module):
    """Images to features at several resolutions, and from there to logits.

    Args:
        config: Shape of the network.

    >>> import torch
    >>> observer = Observer(ObserverConfig(targets=10, widths=(8, 16)))
    >>> [tuple(f.shape) for f in observer.features(torch.zeros(2, 3, 28, 28))]
    [(2, 8, 28, 28), (2, 16, 14, 14)]
    """

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList()
        before = config.channels
        for width in config.widths:
            self.stages.append(nn.Sequential(_Conv(before, width), _Conv(width, width)))
            before = width
        self.head = nn.Linear(before, config.targets)

    def features(self, images: Tensor) -> list[Tensor]:
        """Features of each resolution, (B, C_l, H / 2^l, W / 2^l), of images (B, C, H, W) in [-1, 1].

        Raises:
            GridcodeError: The channels differ from the config's, or the images are too small to be halved so often.
        """
        stages = len(self.config.widths)
        least = 1 << (stages - 1)
        if images.ndim != 4 or images.shape[1] != self.config.channels or min(images.shape[-2:]) < least:
            raise GridcodeError(
                f"the observer takes images (B, {self.config.channels}, H, W) of at least {least} pixels per side, "
                f"got shape {tuple(images.shape)}; give loss.perceptual.widths fewer entries for smaller ones"
            )
        found = []
        for number, stage in enumerate(self.stages):
            images = stage(F.avg_pool2d(images, 2) if number else images)
            found.append(images)
        return found

    def vectors(self, images: Tensor) -> Tensor:
        """The coarsest features' means over places, (B, F) of images (B, C, H, W) in [-1, 1]; F is the last width."""
        return self.features(images)[-1].mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, targets) of images (B, C, H, W) in [-1, 1]."""
        logits: Tensor = self.head(self.vectors(images))
        return logits

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """How different each pair of images (B, C, H, W) in [-1, 1] looks: (B,), in [0, 2]."""
        return feature_distance(self.features(first), self.features(second))


class _Conv(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def save_observer(observer: Observer, folder: Path) -> None:
    """Write an observer as a model folder; an earlier one there is replaced.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "observer"
    >>> save_observer(Observer(ObserverConfig(targets=4, rotations=True)), folder)
    >>> load_observer(folder).config.rotations
    True
    """
    taught = "which way up they were turned" if observer.config.rotations else f"{observer.config.targets} classes"
    config = {"kind": KIND, "observer": asdict(observer.config)}
    save_model(folder, tensors=observer.state_dict(), config=config, card=_CARD.format(taught=taught))


def load_observer(source: str | Path) -> Observer:
    """Read an observer from a local folder or a hub id, on the CPU, its weights fixed.

    Raises:
        GridcodeError: There is none, its config is not an observer's, or its weights do not fit.
    """
    return load_network(source, kind=KIND, config=ObserverConfig, network=Observer).requires_grad_(False)


_CARD = """---
library_name: gridcode
tags: [image-feature-extraction]
---

# Observer

A small convolutional network that learned from images of one data set ({taught}). Its features serve as a perceptual
loss for a tokenizer of the same images. It is not LPIPS, and no measure of quality: what was trained against it must
be measured with another network.
"""
