r"""Grids of vectors at another size: linear interpolation, widened where it shortens a side.

    W[i, j] = k((j + 1/2 - (i + 1/2) s) / max(s, 1)), each row divided by its sum;  s = length / wanted
    k(x) = max(0, 1 - |x|);  out = W_rows x W_columns^T

Rows of W add up to 1, so resizing commutes with any affine map of the vectors: which of the two comes first at the
bottleneck changes nothing but the cost.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337), published code: JAX's linear resize, which is
this; ``F.interpolate(mode="bilinear", antialias=True)`` is it too, where PyTorch 2.13's CPU kernel is right.
"""

from __future__ import annotations

import torch
from torch import Tensor


def resize_grid(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """A grid of vectors at another size; the same tensor where the size is the same.

    Args:
        x: (B, D, h, w).
        shape: Rows and columns of the result.

    Returns:
        (B, D, rows, columns), computed in the dtype of ``x``.

    >>> resize_grid(torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]]), (1, 2))
    tensor([[[[0.7143, 2.2857]]]])
    """
    if tuple(x.shape[-2:]) == shape:
        return x
    down, across = (linear(now, wanted).to(x) for now, wanted in zip(x.shape[-2:], shape, strict=True))
    with torch.autocast(x.device.type, enabled=False):
        return down @ x @ across.mT


def linear(length: int, wanted: int) -> Tensor:
    """The matrix (wanted, length), float32 on the CPU, that resamples a row of values.

    >>> linear(4, 2)
    tensor([[0.4286, 0.4286, 0.1429, 0.0000],
            [0.0000, 0.1429, 0.4286, 0.4286]])
    """
    scale = length / wanted
    centres = (torch.arange(wanted, dtype=torch.float64, device="cpu")[:, None] + 0.5) * scale
    places = torch.arange(length, dtype=torch.float64, device="cpu") + 0.5
    weights = (1 - (places - centres).abs() / max(scale, 1.0)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()
