r"""What the binary quantizers share: signs to an index and back, and the weights of their losses.

A code is scale · {-1, +1}^d. Bit i of its index says whether component i is positive, the first bit counting least:

    index = Σ_i bit_i 2^i              bit_i = [z_i > 0], strictly: the sign of 0 is -1
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.entropy import MAX_GROUP, entropy_loss
from gridcode.quantize.kernels.reference import working_dtype
from gridcode.quantize.latents import check_codes_dtype, check_place, check_vectors
from gridcode.quantize.radix import check_indices, join_digits, split_indices, values_visible

MAX_BITS = 63
"""The last index of 63 bits, 2^63 - 1, is the largest int64."""

_NEAR = 0.01


@dataclass(frozen=True)
class BinaryLoss:
    """Weights of the losses of a binary quantizer; a term of weight 0 is not computed.

    >>> BinaryLoss("LFQ", entropy=-1.0, diversity=1.0, commitment=0.25, temperature=0.01, group=9)
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: LFQ: entropy is -1.0; the weight of a loss must be 0 or more
    """

    owner: str
    """The quantizer's name, for errors."""
    entropy: float
    """Weight of the entropy loss (``entropy.py``)."""
    diversity: float
    """Weight, within the entropy loss, of the entropy of the mean assignment."""
    commitment: float
    """Weight of the squared distance between latents and codes."""
    temperature: float
    """T of the soft assignment p(c|z) ∝ exp(-|z - c|² / T)."""
    group: int
    """Bits whose joint distribution the entropy of the mean assignment has exactly."""

    def __post_init__(self) -> None:
        """Refuse what is no weight, no temperature or no group."""
        for name in ("entropy", "diversity", "commitment"):
            value = getattr(self, name)
            if not _number(value) or not 0 <= value < math.inf:
                raise GridcodeError(f"{self.owner}: {name} is {value!r}; the weight of a loss must be 0 or more")
        if not _number(self.temperature) or not 0 < self.temperature < math.inf:
            raise GridcodeError(f"{self.owner}: temperature is {self.temperature!r}; it must be above 0")
        if not isinstance(self.group, int) or isinstance(self.group, bool) or not 1 <= self.group <= MAX_GROUP:
            raise GridcodeError(
                f"{self.owner}: group is {self.group!r}; it must be a whole number from 1 to {MAX_GROUP}"
            )

    def entropy_term(self, values: Tensor, *, scale: float, place: int) -> Tensor:
        """Entropy · (E[H(p(c|z))] - diversity · H(E[p(c|z)])), a float32 scalar.

        Args:
            values: z, float32 or float64, with d channels in ``place``.
            scale: The size of a code's components.
            place: The channel dimension, counted from 0.
        """
        if not self.entropy:
            return values.new_zeros((), dtype=torch.float32)
        vectors = values.movedim(place, -1).flatten(0, -2) if values.ndim > 1 else values.unsqueeze(0)
        logits = vectors * (4 * scale / self.temperature)
        return (self.entropy * entropy_loss(logits, diversity=self.diversity, group=self.group)).to(torch.float32)

    def settings(self) -> dict[str, float]:
        """The weights by name, as a quantizer's ``spec`` has them."""
        return {name: value for name, value in asdict(self).items() if name != "owner"}


def check_bits(owner: str, bits: int) -> int:
    """The number of bits, a Python integer in [1, 63].

    Raises:
        GridcodeError: It is no such number.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= MAX_BITS:
        raise GridcodeError(
            f"{owner}: bits is {bits!r}; it must be a whole number from 1 to {MAX_BITS}, so that an index fits int64"
        )
    return bits


def signs(values: Tensor, scale: float) -> Tensor:
    """Scale · sign(values), the shape and dtype of the values; no gradient. The sign of 0 is -1."""
    # 2s - s and 0 - s are exact in every dtype; a choice between two Python numbers would be float32 at most.
    return (values.detach() > 0).to(values.dtype) * (2 * scale) - scale


def signs_to_indices(values: Tensor, bits: int, place: int) -> Tensor:
    """The int64 indices of the signs of values with ``bits`` channels in ``place``."""
    return join_digits(values.detach() > 0, (2,) * bits, place)


def decode_signs(
    owner: str, indices: Tensor, *, bits: int, scale: float, channel_dim: int, dtype: torch.dtype
) -> Tensor:
    """The codes scale · {-1, +1}^d of indices, with the channels put in at ``channel_dim``.

    Raises:
        GridcodeError: The dtype is not a floating one, the indices are not integers, or one is outside [0, 2^bits)
            (the last is not seen in traced code).
    """
    check_codes_dtype(owner, dtype)
    place = check_place(owner, indices.ndim + 1, channel_dim, f"codes for indices of shape {tuple(indices.shape)}")
    digits = split_indices(check_indices(indices, (2,) * bits, 2**bits), (2,) * bits)
    return signs(torch.stack(digits, dim=place).to(working_dtype(dtype)), scale).to(dtype)


def encode_signs(owner: str, codes: Tensor, *, bits: int, scale: float, channel_dim: int) -> Tensor:
    """The int64 indices of codes; a component may be 1 % off, which covers 16-bit dtypes.

    Raises:
        GridcodeError: They are not floats, the channels are not d, or a component is not ± scale (the last is not
            seen in traced code).
    """
    place = check_vectors(owner, codes, "codes", channels=bits, channel_dim=channel_dim)
    if values_visible(codes):
        wide = codes.detach().to(working_dtype(codes.dtype))
        wrong = ~((wide.abs() / scale - 1).abs() <= _NEAR)
        if wrong.any():
            raise GridcodeError(
                f"{owner}: {int(wrong.sum())} of {codes.numel()} code components are not ±{scale:.6g}, the first is "
                f"{float(wide[wrong][0]):.6g}; give codes that {owner} returned"
            )
    return signs_to_indices(codes, bits, place)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
