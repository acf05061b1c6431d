"""A small classifier of the data at hand, which gives a distance between sets of images and judges samples.

    images --stages--> (B, D, <=8, <=8) --average to 4 x 4, dense--> features --dense--> logits
    (B, C, H, W)       each: stride-2 conv, then a residual conv     (B, F)             (B, K)

The features keep a 4 x 4 layout until the dense layer, so that they tell *where* things are: with a global
average instead, it learns more slowly and sees less of what can be wrong with a sample. Batch norm, because
it learns faster in a few hundred steps than group norm does, and is free once trained.

A Fréchet distance on these features says how samples differ from *this* data. It is not the FID, whose
Inception network and figures belong to ImageNet; results of two different classifiers cannot be compared.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.features.config import ClassifierConfig
from gridcode.features.folder import load_network
from gridcode.hub import save_model
from gridcode.nn.conv import Conv2d

KIND = "classifier"

_GRID = 4


class Classifier(nn.Module):
    """Images to class logits, by way of features.

    Args:
        config: Shape of the network.

    >>> import torch
    >>> classifier = Classifier(ClassifierConfig(classes=5)).eval()
    >>> images = torch.zeros(2, 3, 32, 32)
    >>> classifier.features(images).shape, classifier(images).shape
    (torch.Size([2, 128]), torch.Size([2, 5]))
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        stages: list[nn.Module] = []
        inputs = config.channels
        for width in config.stage_widths:
            stages += [_Conv(inputs, width, stride=2), _Residual(_Conv(width, width, stride=1))]
            inputs = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(_GRID)
        self.dense = nn.Sequential(
            nn.Linear(inputs * _GRID**2, config.feature_dim, bias=False),
            nn.BatchNorm1d(config.feature_dim),
            nn.SiLU(),
        )
        self.head = nn.Linear(config.feature_dim, config.classes)

    def features(self, images: Tensor) -> Tensor:
        """Feature vectors of images.

        Args:
            images: in [-1, 1], (B, C, H, W); made for the config's size, works at others near it.

        Returns:
            (B, F), not normalised.

        Raises:
            GridcodeError: The channels differ from the config's.
        """
        result: Tensor = self.dense(self.pool(self.maps(images)[-1]).flatten(1))
        return result

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of every resolution, the finest first: (B, width_l, H / 2^l, W / 2^l) for l = 1, 2, ….

        Raises:
            GridcodeError: The channels differ from the config's.
        """
        if images.ndim != 4 or images.shape[1] != self.config.channels:
            raise GridcodeError(
                f"the classifier takes images (B, {self.config.channels}, H, W), got shape {tuple(images.shape)}"
            )
        found: list[Tensor] = []
        for number, layer in enumerate(self.stages):
            images = layer(images)
            if number % 2:  # a stage is two layers
                found.append(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W) in [-1, 1]."""
        logits: Tensor = self.head(self.features(images))
        return logits


class _Conv(nn.Sequential):
    """3 x 3 convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__(
            Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
        )


class _Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


def save_classifier(classifier: Classifier, folder: Path, *, classes: tuple[str, ...] = ()) -> None:
    """Write a classifier as a model folder.

    Args:
        classifier: What to write.
        folder: Where; an earlier model there is replaced.
        classes: The names of the classes in label order.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "classifier"
    >>> save_classifier(Classifier(ClassifierConfig(classes=2)), folder, classes=("cat", "dog"))
    >>> load_classifier(folder).config.classes
    2
    """
    names = ", ".join(classes) if classes else f"{classifier.config.classes} unnamed classes"
    save_model(
        folder,
        tensors=classifier.state_dict(),
        config={"kind": KIND, "classifier": asdict(classifier.config), "classes": list(classes)},
        card=_CARD.format(size=classifier.config.size, classes=names),
    )


def load_classifier(source: str | Path) -> Classifier:
    """Read a classifier from a local folder or a hub id, ready to measure with (eval mode, CPU).

    Raises:
        GridcodeError: There is none, its config is not a classifier's, or its weights do not fit.
    """
    return load_network(source, kind=KIND, config=ClassifierConfig, network=Classifier)


_CARD = """---
library_name: gridcode
tags: [image-classification]
---

# Classifier

A small convolutional classifier for images of {size} x {size} pixels, trained on one data set to measure
generated images of the same data: the share of samples recognised as the class that was asked for, and a
Fréchet distance on its features. That distance is not the FID and cannot be compared between different
classifiers.

Classes: {classes}.
"""
