"""Images at the size that a feature network was trained on, by the exact rule of each evaluation suite.

Each rule is a matrix a side: out = R_rows x R_columns^T, in float32, never rounded to bytes.

    bicubic     Pillow's on float pixels: clean-fid's (channel by channel) and EfficientNet-lite's. Keys' kernel with
                a = -1/2, widened where it shortens a side
    tf1         TensorFlow 1's bilinear, which is in the graph that ADM's suite runs: place i reads from i * s with
                s = length / wanted, not from its middle, and is never widened, so that large images alias

The same 400 images of imagenette128, enlarged by the two rules, have a Fréchet distance of 5.6 on the features of
EfficientNet-lite0: a score means nothing without its rule.

Reference: Parmar, Zhang and Zhu, "On aliased resizing and surprising subtleties in GAN evaluation", 2022 (clean-fid);
openai/guided-diffusion, ``evaluations/evaluator.py`` (ADM's suite).
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.nn.vit import bicubic

Filter = Literal["bicubic", "tf1"]

FILTERS: Final[tuple[Filter, ...]] = ("bicubic", "tf1")


def resize_images(images: Tensor, shape: tuple[int, int], *, rule: Filter) -> Tensor:
    """Images at another size.

    Args:
        images: (B, C, H, W) of any range.
        shape: Rows and columns of the result.
        rule: Its name.

    Returns:
        (B, C, rows, columns) float32, the values as they are where the size is the same; bicubic overshoots the range.

    Raises:
        GridcodeError: There is no such rule, or the images have no pixels.

    >>> resize_images(torch.tensor([[[[0.0, 4.0]]]]), (1, 4), rule="tf1")
    tensor([[[[0., 2., 4., 4.]]]])
    """
    if rule not in FILTERS:
        raise GridcodeError(f"resize_images: rule must be one of {', '.join(FILTERS)}, not {rule!r}")
    if images.ndim != 4 or not min(images.shape[-2:]):
        raise GridcodeError(f"resize_images: needs images (B, C, H, W) with pixels, got shape {tuple(images.shape)}")
    x = images.float()
    if tuple(x.shape[-2:]) == shape:
        return x
    matrix = bicubic if rule == "bicubic" else tf1_bilinear
    down, across = (matrix(now, wanted).to(x.device) for now, wanted in zip(x.shape[-2:], shape, strict=True))
    with torch.autocast(x.device.type, enabled=False):
        return down @ x @ across.mT


def tf1_bilinear(length: int, wanted: int) -> Tensor:
    """The matrix (wanted, length) by which TensorFlow 1's bilinear resize resamples a row of values, on the CPU.

    >>> tf1_bilinear(3, 2)
    tensor([[1.0000, 0.0000, 0.0000],
            [0.0000, 0.5000, 0.5000]])
    """
    # TensorFlow computes the scale and the places in float32, so that the weights are its own to the last bit.
    places = torch.arange(wanted, dtype=torch.float32, device="cpu") * torch.tensor(length / wanted, device="cpu")
    first = places.floor().clamp(max=length - 1)
    share = places - first
    rows, left = torch.arange(wanted, device="cpu"), first.long()
    matrix = torch.zeros(wanted, length, device="cpu")
    matrix[rows, left] += 1 - share
    matrix[rows, (left + 1).clamp(max=length - 1)] += share
    return matrix
