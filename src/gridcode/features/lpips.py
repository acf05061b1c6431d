"""LPIPS: how different two images look, by VGG-16's features weighted as people judged.

    d(x, y) = sum over five layers l of the mean over places of w_l · (f_l(x) - f_l(y))²      (see features/distance.py)

Weights come from two files: VGG-16's convolutions, and the five heads w_l that LPIPS's authors fitted, named
``lin0.model.1.weight`` … ``lin4.model.1.weight`` (their ``lpips/weights/v0.1/vgg.pth``). Neither is part of this
package; they are read from disk, or fetched when the user says so.

Reference: Zhang et al. 2018 (LPIPS), version 0.1 with its linear heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from gridcode.errors import FileError, GridcodeError
from gridcode.features.distance import feature_distance
from gridcode.features.vgg import VGG16, VGG_URL, WIDTHS, load_vgg16, read_tensors
from gridcode.files import make_folder

HEADS_URL = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth"
"""The heads that LPIPS's authors publish (7 kB)."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of the colours VGG-16 was trained on, for images in [-1, 1]."""
LEAST_SIDE = 16
"""VGG-16 halves four times before its last features."""


class LPIPS(nn.Module):
    """A distance between images.

    Args:
        vgg: The network.
        heads: w_l of each layer, (1, C_l, 1, 1), not negative.

    Raises:
        GridcodeError: The heads are not of VGG-16's widths, or one has a negative weight.

    >>> lpips = LPIPS(VGG16(), [torch.ones(1, width, 1, 1) for width in WIDTHS])
    >>> lpips(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)).tolist()
    [0.0, 0.0]
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, vgg: VGG16, heads: Sequence[Tensor]) -> None:
        super().__init__()
        shapes = [tuple(head.shape) for head in heads]
        if shapes != [(1, width, 1, 1) for width in WIDTHS] or min(float(head.min()) for head in heads) < 0:
            raise GridcodeError(
                f"LPIPS needs five heads (1, C, 1, 1) >= 0 with C = {WIDTHS}, got {shapes}; give LPIPS's for VGG-16"
            )
        self.vgg = vgg
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))
        for number, head in enumerate(heads):
            self.register_buffer(f"head{number}", head.float())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The distance of each pair.

        Args:
            first: images in [-1, 1], (B, 3 or 1, H, W), at least 16 pixels per side; grey ones count as colours.
            second: images of the same shape.

        Returns:
            (B,) float32, at least 0.

        Raises:
            GridcodeError: The images are too small.
        """
        if min(first.shape[-2:]) < LEAST_SIDE:
            raise GridcodeError(
                f"LPIPS takes images of at least {LEAST_SIDE} pixels per side, got {tuple(first.shape)}; "
                "try loss.perceptual.kind=self"
            )
        heads = [self.get_buffer(f"head{number}") for number in range(len(WIDTHS))]
        return feature_distance(self.vgg(self._normalised(first)), self.vgg(self._normalised(second)), heads)

    def _normalised(self, images: Tensor) -> Tensor:
        return (images.expand(-1, 3, -1, -1) - self.shift) / self.scale


def load_lpips(vgg: str | Path | None, heads: str | Path | None, *, download: bool = False) -> LPIPS:
    """LPIPS from its two files, its weights fixed.

    Args:
        vgg: VGG-16's weights; see :func:`gridcode.features.vgg.load_vgg16`.
        heads: The heads, .safetensors or .pth.
        download: Fetch a file that is not given, once, into PyTorch's hub folder.

    Raises:
        GridcodeError: A file is not given, cannot be fetched or read, or holds something else.
    """
    vgg = vgg or _fetched(VGG_URL, download=download)
    heads = heads or _fetched(HEADS_URL, download=download)
    return LPIPS(load_vgg16(vgg), _read_heads(read_tensors(heads), heads)).eval().requires_grad_(False)


def _read_heads(tensors: Mapping[str, Tensor], origin: str | Path) -> list[Tensor]:
    names = [f"lin{number}.model.1.weight" for number in range(len(WIDTHS))]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise GridcodeError(
            f"{origin} has no {missing[0]} ({', '.join(sorted(tensors)[:3])}, …); give LPIPS's v0.1/vgg.pth"
        )
    return [tensors[name] for name in names]


def _fetched(url: str, *, download: bool) -> Path:
    """Where a published file lies on this disk, after fetching it if it does not."""
    if not download:
        raise GridcodeError(f"LPIPS's weights are not given; give files, or let {url} be fetched (download)")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    # Both files are called vgg-something by their authors; keep them apart.
    path = folder / ("lpips-v0.1-vgg.pth" if url == HEADS_URL else url.rsplit("/", 1)[1])
    if not path.exists():
        make_folder(folder)
        checksum = path.stem.rpartition("-")[2] if url == VGG_URL else None
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=checksum, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise FileError(f"{url} cannot be fetched ({reason}); fetch it by hand and give its path") from None
    return path
