"""The Inception network whose features FID is defined on, from a file of weights.

    299 x 299 --7 convolutions, 2 pools--> 35 x 35 --5b 5c 5d--> 35 x 35 --6a … 6e--> 17 x 17 --7a 7b 7c--> 8 x 8
    --mean over places--> (B, 2048) --dense--> 1008 logits

It is TensorFlow's network of 2015-12-05, and not torchvision's Inception v3: average pools leave the padding out of the
average, and the last block pools by the maximum. A figure from other weights or another padding is no FID.

The file is ``pt_inception-2015-12-05-6726825d.pth`` (pytorch-fid's port of TensorFlow's weights, 95 MB); it is not part
of this package and never fetched. Parameters bear its names, which are torchvision's.

Reference: Szegedy et al., "Rethinking the Inception architecture", 2016; Heusel et al. 2017 (FID);
mseitzer/pytorch-fid, ``inception.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.features.vgg import read_tensors
from gridcode.nn.conv import Conv2d
from gridcode.nn.module import load_weights

SIDE: Final = 299
"""Side of the images it takes."""
FEATURES: Final = 2048
"""Length of a feature vector."""
CLASSES: Final = 1008
"""Its logits: ImageNet's classes and eight that are none."""

_SAME = {1: 0, 3: 1, 5: 2, 7: 3}

Kernel = int | tuple[int, int]


class Inception(nn.Module):
    """Images to features and logits.

    >>> with torch.device("meta"):
    ...     sum(weight.numel() for weight in Inception().parameters())
    23850960
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2, pad=False)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, pad=False)
        self.Mixed_5b = _A(192, 32)
        self.Mixed_5c = _A(256, 64)
        self.Mixed_5d = _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b = _C(768, 128)
        self.Mixed_6c = _C(768, 160)
        self.Mixed_6d = _C(768, 160)
        self.Mixed_6e = _C(768, 192)
        self.Mixed_7a = _D(768)
        self.Mixed_7b = _E(1280, pool="mean")
        self.Mixed_7c = _E(2048, pool="max")
        self.fc = nn.Linear(FEATURES, CLASSES)

    def vectors(self, images: Tensor) -> Tensor:
        """Feature vectors (B, 2048), ``pool_3`` of TensorFlow's graph.

        Args:
            images: in [-1, 1] (of bytes: (v - 128) / 128), (B, 3, 299, 299).

        Raises:
            GridcodeError: The shape is another.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, SIDE, SIDE):
            raise GridcodeError(
                f"Inception takes images (B, 3, {SIDE}, {SIDE}), got shape {tuple(images.shape)}; resize them first"
            )
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2))
        x = F.max_pool2d(self.Conv2d_4a_3x3(x), 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        found: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
        return found

    def classify(self, vectors: Tensor) -> Tensor:
        """Logits without their bias, (B, 1008), of feature vectors (B, 2048): what the Inception score is made of."""
        return F.linear(vectors, self.fc.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits with their bias, (B, 1008), of images (B, 3, 299, 299) in [-1, 1]."""
        logits: Tensor = self.fc(self.vectors(images))
        return logits


class _Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, *, stride: int = 1, pad: bool = True) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (_SAME[sides[0]], _SAME[sides[1]]) if pad else 0
        self.conv = Conv2d(inputs, outputs, sides, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W')."""
        return F.relu(self.bn(self.conv(x)))


def _mean_pool(x: Tensor) -> Tensor:
    """The mean of the 3 x 3 neighbours that are there."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(nn.Module):
    """35 x 35: (B, inputs, H, W) -> (B, 224 + pooled, H, W)."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = _Conv(inputs, 48, 1), _Conv(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inputs, 64, 1), _Conv(64, 96, 3)
        self.branch3x3dbl_3 = _Conv(96, 96, 3)
        self.branch_pool = _Conv(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_mean_pool(x))], 1)


class _B(nn.Module):
    """35 x 35 to 17 x 17: (B, inputs, H, W) -> (B, 480 + inputs, H', W')."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(inputs, 384, 3, stride=2, pad=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inputs, 64, 1), _Conv(64, 96, 3)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class _C(nn.Module):
    """17 x 17, its 7 x 7 filters split into rows and columns: (B, inputs, H, W) -> (B, 768, H, W)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = _Conv(inputs, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = _Conv(inputs, width, 1), _Conv(width, width, row)
        self.branch7x7_3 = _Conv(width, 192, column)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = _Conv(inputs, width, 1), _Conv(width, width, column)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = _Conv(width, width, row), _Conv(width, width, column)
        self.branch7x7dbl_5 = _Conv(width, 192, row)
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_mean_pool(x))], 1)


class _D(nn.Module):
    """17 x 17 to 8 x 8: (B, inputs, H, W) -> (B, 512 + inputs, H', W')."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = _Conv(inputs, 192, 1), _Conv(192, 320, 3, stride=2, pad=False)
        self.branch7x7x3_1, self.branch7x7x3_2 = _Conv(inputs, 192, 1), _Conv(192, 192, (1, 7))
        self.branch7x7x3_3, self.branch7x7x3_4 = _Conv(192, 192, (7, 1)), _Conv(192, 192, 3, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        wide = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), wide, F.max_pool2d(x, 3, stride=2)], 1)


class _E(nn.Module):
    """8 x 8, its 3 x 3 filters side by side as a row and a column: (B, inputs, H, W) -> (B, 2048, H, W)."""

    def __init__(self, inputs: int, *, pool: Literal["mean", "max"]) -> None:
        super().__init__()
        row, column = (1, 3), (3, 1)
        self.pool = pool
        self.branch1x1 = _Conv(inputs, 320, 1)
        self.branch3x3_1 = _Conv(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = _Conv(384, 384, row), _Conv(384, 384, column)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inputs, 448, 1), _Conv(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = _Conv(384, 384, row), _Conv(384, 384, column)
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = _mean_pool(x) if self.pool == "mean" else F.max_pool2d(x, 3, stride=1, padding=1)
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return torch.cat(parts, 1)


def load_inception(path: str | Path) -> Inception:
    """The network with its weights from a file, which are fixed; in evaluation mode, on the CPU.

    Args:
        path: ``pt_inception-2015-12-05-6726825d.pth``, or the same tensors as .safetensors.

    Raises:
        GridcodeError: The file cannot be read, or does not hold this network's weights.
    """
    tensors = dict(read_tensors(path))
    with torch.device("meta"):
        network = Inception()
    network = network.to_empty(device="cpu")
    # Files from before PyTorch counted a batch norm's batches lack the counts, which nothing here reads.
    counts = {name: torch.tensor(0) for name in network.state_dict() if name.endswith("num_batches_tracked")}
    load_weights(network, counts | tensors, origin=path)
    return network.eval().requires_grad_(False)
