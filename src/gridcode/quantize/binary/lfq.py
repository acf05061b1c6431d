r"""Lookup-free quantization: the sign of each channel is a bit of the index.

With a latent z in R^d,

    code_i  = sign(z_i) in {-1, +1}, the sign of 0 being -1         index = Σ_i [z_i > 0] 2^i
    d code / d z = 1                                                straight-through
    loss    = entropy · (E[H(p(c|z))] - diversity · H(E[p(c|z)])) + commitment · mean((z - sg(code))²)

with p(c|z) ∝ exp(-|z - c|² / temperature), that is p(bit_i = 1) = σ(4 z_i / temperature). The entropy loss keeps
assignments certain and all codes in use; ``entropy.py`` says how it stays small for 2^18 codes and more. The
commitment loss keeps z near its code; the mean is over all components. Nothing is learned.

Differs from paper: the entropy of the mean assignment is taken over groups of ``group`` bits, exactly within each.

Reference: Yu et al. 2023, "Language Model Beats Diffusion" (MAGVIT-v2, arXiv 2310.05737), section 3.1.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from gridcode.quantize.binary.quantizer import BinaryQuantizer
from gridcode.quantize.config import LFQConfig
from gridcode.quantize.latents import NaNPolicy


@final
class LFQ(BinaryQuantizer):
    """Lookup-free quantization to ``2**bits`` codes.

    Computed in float32 (float64 latents stay float64), also under autocast; codes and gradients come back in the
    latents' dtype. In evaluation mode the loss is 0. The state dict records the bits; loading another number, or
    another quantizer's weights, is refused. NaN is treated as in :class:`gridcode.quantize.FSQ`.

    Args:
        bits: d, in [1, 63]; the codebook has 2^d codes.
        entropy: Weight of the entropy loss; 0 turns it off.
        diversity: Weight, within it, of the entropy of the batch's mean assignment.
        commitment: Weight of the commitment loss; 0 turns it off.
        temperature: Of the soft assignment, above 0.
        group: Bits whose joint distribution the diversity term has exactly, in [1, 20]; 1 is the cheapest, ``bits``
            exact.
        channel_dim: The dimension of the latents that holds the d channels; 1 for images (B, d, h, w).
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0.

    Raises:
        GridcodeError: A setting lies outside its range.

    >>> import torch
    >>> quantizer = LFQ(3)
    >>> out = quantizer(torch.tensor([[0.3, -2.0, 0.1]]))
    >>> out.codes, out.indices
    (tensor([[ 1., -1.,  1.]]), tensor([5]))
    """

    def __init__(
        self,
        bits: int,
        *,
        entropy: float = 0.1,
        diversity: float = 1.0,
        commitment: float = 0.25,
        temperature: float = 0.01,
        group: int = 9,
        channel_dim: int = -1,
        nan: NaNPolicy = "error",
    ) -> None:
        config = LFQConfig(bits, entropy, diversity, commitment, temperature, group)
        super().__init__(config, channel_dim=channel_dim, nan=nan)

    @property
    def scale(self) -> float:
        """1, the size of a code's components."""
        return 1.0

    def _relaxed(self, z: Tensor, place: int) -> Tensor:
        return z

    def _distance(self, relaxed: Tensor, codes: Tensor) -> Tensor:
        return (relaxed - codes).square().sum() / max(relaxed.numel(), 1)
