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

from typing import Any, final

import torch
from torch import Tensor

from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.binary import BinaryLoss, check_bits, decode_signs, encode_signs, signs, signs_to_indices
from gridcode.quantize.latents import NaNPolicy, check_nan_policy, check_vectors, wide_latents
from gridcode.quantize.record import check_record, make_record


@final
class LFQ(Quantizer):
    """Lookup-free quantization to ``2**bits`` codes.

    Computed in float32 (float64 latents stay float64), also under autocast; codes and gradients come back in the
    latents' dtype. The loss is the same in training and in evaluation mode. The state dict records the bits; loading
    another number, or another quantizer's weights, is refused. NaN is treated as in :class:`gridcode.quantize.FSQ`.

    Args:
        bits: d, in [1, 63]; the book has 2^d codes.
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
        super().__init__()
        self.bits = check_bits("LFQ", bits)
        self.weights = BinaryLoss("LFQ", entropy, diversity, commitment, temperature, group)
        self.channel_dim = channel_dim
        self.nan = check_nan_policy("LFQ", nan)

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

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latents: Floats of any range, any rank, with d channels in ``channel_dim``; empty batches too.

        Returns:
            Codes of -1 and 1 in the latents' shape and dtype, int64 indices without the channel dimension, and the
            weighted losses.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN (see the class).
        """
        place = check_vectors("LFQ", latents, "latents", channels=self.bits, channel_dim=self.channel_dim)
        z = wide_latents("LFQ", latents, self.nan)
        hard = signs(z, 1.0)
        # z - sg(z) is exactly 0 where z is finite; nan_to_num makes infinite ones so, with gradient 0.
        finite = torch.nan_to_num(z)
        codes = (hard + (finite - finite.detach())).to(latents.dtype)
        loss = self.weights.entropy_term(z, scale=1.0, place=place)
        if self.weights.commitment:
            distance = (z - hard).square().sum() / max(z.numel(), 1)
            loss = loss + (self.weights.commitment * distance).to(torch.float32)
        return Quantized(codes=codes, indices=signs_to_indices(z, self.bits, place), loss=loss)

    def relax(self, latents: Tensor) -> Tensor:
        """The latents as they are: their signs are the codes."""
        check_vectors("LFQ", latents, "latents", channels=self.bits, channel_dim=self.channel_dim)
        return latents

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of indices.

        Args:
            indices: Integers in [0, 2^bits), any shape.
            dtype: A floating dtype for the codes, all of which hold -1 and 1.

        Returns:
            Codes of -1 and 1, with d channels in ``channel_dim``.

        Raises:
            GridcodeError: They are not integers, or one is outside [0, 2^bits) (not seen in traced code).

        >>> LFQ(3).indices_to_codes(torch.tensor([1, 4]))
        tensor([[ 1., -1., -1.], [-1., -1.,  1.]])
        """
        return decode_signs("LFQ", indices, bits=self.bits, scale=1.0, channel_dim=self.channel_dim, dtype=dtype)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The indices of codes.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.

        Returns:
            int64 indices in [0, 2^bits), the shape of the codes without the channel dimension.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or a component is not -1 or 1 (not seen in
                traced code).
        """
        return encode_signs("LFQ", codes, bits=self.bits, scale=1.0, channel_dim=self.channel_dim)

    def spec(self) -> dict[str, Any]:
        """Name, bits and the weights of the losses, as manifests and configs record them."""
        return {"name": "lfq", "bits": self.bits, **self.weights.settings()}

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        settings = ", ".join(f"{name}={value}" for name, value in self.weights.settings().items())
        return f"{self.bits}, {settings}, channel_dim={self.channel_dim}, nan={self.nan!r}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records: name and bits (``record.py``)."""
        return make_record({"name": "lfq", "bits": self.bits})

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict that was written for another number of bits."""
        check_record("LFQ", {"name": "lfq", "bits": self.bits}, state)
