r"""Label maps cut into patches: how labels enter the encoder, and how a decoder's outputs become maps again.

A label channel of K values enters one-hot for each pixel, through one linear layer for a whole patch of P x P pixels:

    x_n = sum over the patch's pixels p of W[p, label_p] + b,     W (P^2, K, D)

That is a look-up and a sum: :class:`LabelEmbedding` never makes the P^2 K zeros and ones of a patch. Values such as
colours enter through the usual convolution, which is the same linear layer on the values themselves.

Reference: Kolesnikov et al., UViM, 2022, section 4.1 and published code.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.nn.conv import Conv2d


def to_patches(maps: Tensor, patch: int) -> Tensor:
    """Maps (B, c, H, W) as patches (B, c, N, P^2), patches and pixels in reading order.

    >>> to_patches(torch.arange(8).view(1, 1, 2, 4), 2)
    tensor([[[[0, 1, 4, 5],
              [2, 3, 6, 7]]]])
    """
    B, c, H, W = maps.shape
    cut = maps.reshape(B, c, H // patch, patch, W // patch, patch).transpose(3, 4)
    return cut.reshape(B, c, (H // patch) * (W // patch), patch * patch)


def to_maps(values: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """A decoder's values (B, N, P^2, K) as maps (B, K, H, W).

    >>> to_maps(torch.arange(8).view(1, 2, 4, 1), (1, 2), 2)
    tensor([[[[0, 1, 4, 5],
              [2, 3, 6, 7]]]])
    """
    B, K, (h, w) = len(values), values.shape[-1], grid
    maps = values.reshape(B, h, w, patch, patch, K).permute(0, 5, 1, 3, 2, 4)
    return maps.reshape(B, K, h * patch, w * patch)


@final
class LabelEmbedding(nn.Module):
    """One channel of labels in [0, K), as a linear layer on its one-hot patches.

    Args:
        values: K.
        width: Features per patch, D.
        patch: Pixels per patch, P, a side.

    >>> LabelEmbedding(5, 16, patch=4)(torch.zeros(2, 8, 12, dtype=torch.int64)).shape
    torch.Size([2, 16, 2, 3])
    """

    def __init__(self, values: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.values, self.patch = values, patch
        self.weight = nn.Parameter(torch.empty(patch * patch * values, width))
        # A patch adds up P^2 rows: features of variance 1.
        nn.init.normal_(self.weight, std=1 / patch)

    def forward(self, labels: Tensor) -> Tensor:
        """int64 (B, H, W) -> (B, D, H / P, W / P), float32."""
        patches = to_patches(labels[:, None], self.patch)[:, 0]
        rows = patches + self.values * torch.arange(patches.shape[-1], device=labels.device)
        features = F.embedding_bag(rows.flatten(0, 1), self.weight, mode="sum")
        B, H, W = labels.shape
        return features.view(B, H // self.patch, W // self.patch, -1).permute(0, 3, 1, 2)


def make_embeddings(groups: tuple[int, ...], width: int, *, patch: int) -> nn.ModuleList:
    """What embeds each channel of labels, or all channels of colours at once.

    Args:
        groups: K of each channel; () for RGB values.
        width: D.
        patch: P.

    Returns:
        One :class:`LabelEmbedding` a channel, or one convolution.
    """
    if not groups:
        return nn.ModuleList([Conv2d(3, width, patch, stride=patch)])
    return nn.ModuleList(LabelEmbedding(values, width, patch=patch) for values in groups)
