"""How different two images look to a network: LPIPS's distance, on the features of any network.

With f_l(x) the features of layer l at each place, scaled to length 1 over their channels,

    d(x, y) = sum over l of the mean over places of sum over channels of w_l (f_l(x) - f_l(y))²

LPIPS learns the w_l >= 0 from people's judgements. Without them every channel counts 1 and every layer alike (1 over
their number), so that d is the mean over layers of 2 - 2 cos of the angle between features: 0 where they agree, 2 where
they have nothing in common.

Reference: Zhang et al. 2018 (LPIPS), equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gridcode.errors import GridcodeError

EPSILON = 1e-10
"""Added to a feature's length, as LPIPS does: where a network is silent the scaled feature is 0."""


def feature_distance(first: Sequence[Tensor], second: Sequence[Tensor], weights: Sequence[Tensor] = ()) -> Tensor:
    """The distance of each pair of images, from their features.

    Args:
        first: Features of B images, one (B, C_l, H_l, W_l) for each layer.
        second: Those of the others, of the same shapes.
        weights: w_l of each layer, (1, C_l, 1, 1); all channels and layers alike by default.

    Returns:
        (B,) float32, at least 0.

    Raises:
        GridcodeError: The layers' numbers or shapes differ.

    >>> import torch
    >>> x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.1]])
    >>> feature_distance([x[..., None, None]], [y[..., None, None]])
    tensor([2.])
    """
    shapes = [tuple(f.shape) for f in first], [tuple(f.shape) for f in second]
    if shapes[0] != shapes[1] or not first or len(weights) not in (0, len(first)):
        raise GridcodeError(
            f"feature_distance: needs features of the same layers, got shapes {shapes[0]} and {shapes[1]} "
            f"with {len(weights)} weights; take both from one network at one size of images"
        )
    total = first[0].new_zeros(len(first[0]), dtype=first[0].float().dtype)
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        difference = (_unit(a.float()) - _unit(b.float())).square()
        difference = difference * weights[number] if weights else difference / len(first)
        total = total + difference.sum(1).mean((1, 2))
    return total


def _unit(features: Tensor) -> Tensor:
    """Features scaled to length 1 over their channels; the root is kept from 0, where its gradient is infinite."""
    length = features.square().sum(1, keepdim=True).clamp(min=EPSILON**2).sqrt()
    return features / (length + EPSILON)
