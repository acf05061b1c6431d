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
from typing import Any, final

import torch
from torch import Tensor

from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.binary import BinaryLoss, check_bits, decode_signs, encode_signs, signs, signs_to_indices
from gridcode.quantize.latents import NaNPolicy, check_nan_policy, check_vectors, wide_latents
from gridcode.quantize.record import check_record, make_record


@final
class BSQ(Quantizer):
    """Binary spherical quantization to ``2**bits`` codes on the unit sphere.

    Computed in float32 (float64 latents stay float64), also under autocast; codes and gradients come back in the
    latents' dtype. The loss is the same in training and in evaluation mode. The state dict records the bits; loading
    another number, or another quantizer's weights, is refused. NaN is treated as in :class:`gridcode.quantize.FSQ`;
    infinite components count as the largest finite ones.

    Args:
        bits: d, in [1, 63]; the book has 2^d codes.
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
        super().__init__()
        self.bits = check_bits("BSQ", bits)
        self.weights = BinaryLoss("BSQ", entropy, diversity, commitment, temperature, group)
        self.channel_dim = channel_dim
        self.nan = check_nan_policy("BSQ", nan)

    @property
    def channels(self) -> int:
        """d, the number of bits."""
        return self.bits

    @property
    def levels(self) -> tuple[int, ...]:
        """(2, …, 2), once for each bit."""
        return (2,) * self.bits

    @property
    def index_shape(self) -> tuple[int, ...]:
        """(): one index a vector."""
        return ()

    @property
    def scale(self) -> float:
        """The size of a code's components, 1 / √bits."""
        return 1 / math.sqrt(self.bits)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latents: Floats of any range, any rank, with d channels in ``channel_dim``; empty batches too.

        Returns:
            Codes of ± 1/√d in the latents' shape and dtype, int64 indices without the channel dimension, and the
            weighted losses.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN (see the class).
        """
        place = check_vectors("BSQ", latents, "latents", channels=self.bits, channel_dim=self.channel_dim)
        z = wide_latents("BSQ", latents, self.nan)
        u = _on_sphere(z, place)
        hard = signs(z, self.scale)
        # u - sg(u) is exactly 0, so that the codes are what the book has.
        codes = (hard + (u - u.detach()) * self.scale).to(latents.dtype)
        loss = self.weights.entropy_term(u, scale=self.scale, place=place)
        if self.weights.commitment:
            distance = (u - hard).square().sum() / max(u.numel() // self.bits, 1)
            loss = loss + (self.weights.commitment * distance).to(torch.float32)
        return Quantized(codes=codes, indices=signs_to_indices(z, self.bits, place), loss=loss)

    def relax(self, latents: Tensor) -> Tensor:
        """u, the latents on the unit sphere, in their shape and dtype; differentiable."""
        place = check_vectors("BSQ", latents, "latents", channels=self.bits, channel_dim=self.channel_dim)
        return _on_sphere(wide_latents("BSQ", latents, self.nan), place).to(latents.dtype)

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of indices.

        Args:
            indices: Integers in [0, 2^bits), any shape.
            dtype: A floating dtype for the codes; 16 bits give their index back too.

        Returns:
            Codes of ± 1/√d, with d channels in ``channel_dim``.

        Raises:
            GridcodeError: They are not integers, or one is outside [0, 2^bits) (not seen in traced code).

        >>> BSQ(4).indices_to_codes(torch.tensor([1]))
        tensor([[ 0.5000, -0.5000, -0.5000, -0.5000]])
        """
        return decode_signs("BSQ", indices, bits=self.bits, scale=self.scale, channel_dim=self.channel_dim, dtype=dtype)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The indices of codes.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.

        Returns:
            int64 indices in [0, 2^bits), the shape of the codes without the channel dimension.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or a component is not ± 1/√d (not seen in
                traced code).
        """
        return encode_signs("BSQ", codes, bits=self.bits, scale=self.scale, channel_dim=self.channel_dim)

    def spec(self) -> dict[str, Any]:
        """Name, bits and the weights of the losses, as manifests and configs record them."""
        return {"name": "bsq", "bits": self.bits, **self.weights.settings()}

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        settings = ", ".join(f"{name}={value}" for name, value in self.weights.settings().items())
        return f"{self.bits}, {settings}, channel_dim={self.channel_dim}, nan={self.nan!r}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records: name and bits (``record.py``)."""
        return make_record({"name": "bsq", "bits": self.bits})

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict that was written for another number of bits."""
        check_record("BSQ", {"name": "bsq", "bits": self.bits}, state)


def _on_sphere(z: Tensor, place: int) -> Tensor:
    """Z / |z| along ``place``; a zero vector stays 0, with the gradient passed as it is."""
    # The direction does not depend on the length, so that dividing by a constant first loses nothing but overflow.
    finite = torch.nan_to_num(z)
    peak = finite.detach().abs().amax(place, keepdim=True)
    scaled = finite / torch.where(peak > 0, peak, 1.0)
    length = torch.linalg.vector_norm(scaled, dim=place, keepdim=True)
    return scaled / torch.where(length > 0, length, 1.0)
