"""VGG-16's convolutions, with torchvision's names, from a file.

    features.0 … features.30: (3x3 conv, ReLU) x 2, pool, x 2, pool, x 3, pool, x 3, pool, x 3

Features are taken after the last ReLU before each pool (relu1_2, relu2_2, relu3_3, relu4_3, relu5_3), as LPIPS does.
torchvision itself is not needed: its file ``vgg16-397923af.pth`` holds tensors alone and is read without running code.

Reference: Simonyan & Zisserman 2015.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.nn.conv import Conv2d
from gridcode.nn.module import load_weights

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five stages."""
CONVS = (2, 2, 3, 3, 3)
"""Convolutions of the five stages."""
VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
"""torchvision's weights, trained on ImageNet; the name ends with the file's checksum."""


class VGG16(nn.Module):
    """Images to VGG-16's features at five resolutions.

    >>> [tuple(f.shape) for f in VGG16()(torch.zeros(1, 3, 32, 32))][-1]
    (1, 512, 2, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, count in zip(WIDTHS, CONVS, strict=True):
            for _ in range(count):
                layers += [Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features (B, 64, H, W), …, (B, 512, H / 16, W / 16) of images (B, 3, H, W), normalised as VGG's were."""
        found, h = [], images
        for layer in list(self.features)[:-1]:
            if isinstance(layer, nn.MaxPool2d):
                found.append(h)
            h = layer(h)
        return [*found, h]


def load_vgg16(path: str | Path) -> VGG16:
    """VGG-16 with torchvision's weights from a file, its weights fixed; the classifier in it is passed over.

    Args:
        path: A .safetensors file, or a .pth file such as torchvision's.

    Raises:
        GridcodeError: The file cannot be read, or does not hold VGG-16's convolutions.
    """
    tensors = read_tensors(path)
    convolutions = {name: tensor for name, tensor in tensors.items() if name.startswith("features.")}
    with torch.device("meta"):
        vgg = VGG16()
    vgg = vgg.to_empty(device="cpu")
    load_weights(vgg, convolutions, origin=path)
    return vgg.eval().requires_grad_(False)


def read_tensors(path: str | Path) -> Mapping[str, Tensor]:
    """Tensors by name from a .safetensors file, or from a PyTorch file without running code that may be in it.

    Raises:
        GridcodeError: The file is missing, damaged, or holds something other than tensors by name.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save({"w": torch.ones(2)}, path)
    >>> read_tensors(path)["w"]
    tensor([1., 1.])
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"there is no file of weights {path}; check the path")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileError(f"{path} cannot be read as weights ({reason}); fetch the file again") from None
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise GridcodeError(f"{path} holds no tensors by name; save the model's state_dict alone")
    return found
