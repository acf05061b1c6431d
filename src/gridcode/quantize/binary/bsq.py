r"""Binary spherical quantization: latents on the unit sphere, and the sign of each channel a bit.

With a latent z in R^d,

    u       = z / |z|                                               a zero vector stays 0
    code_i  = sign(u_i) / √d, the sign of 0 being -1                index = Σ_i [z_i > 0] 2^i
    d code / d u = 1 / √d                                           straight-through the sign
    loss    = entropy · (E[H(p(c|u))] - diversity · H(E[p(c|u)])) + commitment · E[|u - sg(code)|²]

with p(c|u) ∝ exp(-|u - c|² / temperature), that is p(bit_i = 1) = σ(4 u_i / (√d temperature)) = σ(2 τ u_i / √d) for
the paper's τ = 2 / temperature. Codes and u both have length 1, so that the error |u - code| is bounded and the
published settings need no commitment loss. By default the entropy of the mean assignment is the paper's sum over
bits (``group=1``, see ``entropy.py``); the authors' code takes groups of 9. Nothing is learned.

Reference: Zhao, Xiong, Krähenbühl 2024 (arXiv 2406.07548), section 4.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from gridcode.quantize.binary.quantizer import BinaryQuantizer
from gridcode.quantize.config import BSQConfig
from gridcode.quantize.latents import NaNPolicy


@final
class BSQ(BinaryQuantizer):
    """Binary spherical quantization to ``2**bits`` codes on the unit sphere.

    Computed in float32 (float64 latents stay float64), also under autocast; codes and gradients come back in the
    latents' dtype. In evaluation mode the loss is 0. The state dict records the bits; loading another number, or
    another quantizer's weights, is refused. NaN is treated as in :class:`gridcode.quantize.FSQ`; infinite
    components count as the largest finite ones.

    Args:
        bits: d, in [1, 63]; the codebook has 2^d codes.
        entropy: Weight of the entropy loss; 0 turns it off.
        diversity: Weight, within it, of the entropy of the batch's mean assignment.
        commitment: Weight of the commitment loss; 0 turns it off.
        temperature: Of the soft assignment, above 0.
        group: Bits whose joint distribution the diversity term has exactly, in [1, 20]; 1 is the paper's, ``bits``
            exact.
        channel_dim: The dimension of the latents that holds the d channels; 1 for images (B, d, h, w).
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0.

    Raises:
        GridcodeError: A setting lies outside its range.

    >>> quantizer = BSQ(4)
    >>> out = quantizer(torch.tensor([[0.3, -2.0, 0.1, 0.0]]))
    >>> out.codes, out.indices
    (tensor([[ 0.5000, -0.5000,  0.5000, -0.5000]]), tensor([5]))
    """

    def __init__(
        self,
        bits: int,
        *,
        entropy: float = 0.1,
        diversity: float = 1.0,
        commitment: float = 0.0,
        temperature: float = 1.0,
        group: int = 1,
        channel_dim: int = -1,
        nan: NaNPolicy = "error",
    ) -> None:
        config = BSQConfig(bits, entropy, diversity, commitment, temperature, group)
        super().__init__(config, channel_dim=channel_dim, nan=nan)

    @property
    def scale(self) -> float:
        """The size of a code's components, 1 / √bits."""
        return 1 / math.sqrt(self.bits)

    def _relaxed(self, z: Tensor, place: int) -> Tensor:
        return _on_sphere(z, place)

    def _distance(self, relaxed: Tensor, codes: Tensor) -> Tensor:
        return (relaxed - codes).square().sum() / max(relaxed.numel() // self.bits, 1)


def _on_sphere(z: Tensor, place: int) -> Tensor:
    """The latents over their length along ``place``; a zero vector stays 0, with the gradient passed as it is."""
    # The direction does not depend on the length, so that dividing by a constant first loses nothing but overflow.
    finite = torch.nan_to_num(z)
    peak = finite.detach().abs().amax(place, keepdim=True)
    scaled = finite / torch.where(peak > 0, peak, 1.0)
    length = torch.linalg.vector_norm(scaled, dim=place, keepdim=True)
    return scaled / torch.where(length > 0, length, 1.0)
