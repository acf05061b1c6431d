r"""What the binary quantizers share: signs to an index and back, and the losses.

A code is scale · {-1, +1}^d. Bit i of its index says whether component i is positive, the first bit counting least:

    index = Σ_i bit_i 2^i              bit_i = [z_i > 0], strictly: the sign of 0 is -1

``LFQ`` and ``BSQ`` differ in where the latents lie before their signs are taken, in the scale, and in their published
weights.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer, check_record, make_record
from gridcode.quantize.binary.entropy import entropy_loss
from gridcode.quantize.config import BSQConfig, LFQConfig, quantizer_to_json
from gridcode.quantize.fsq.kernels.reference import working_dtype
from gridcode.quantize.latents import (
    NaNPolicy,
    check_codes_dtype,
    check_nan_policy,
    check_place,
    check_vectors,
    wide_latents,
)
from gridcode.quantize.radix import check_indices, join_digits, split_indices, values_visible

_NEAR = 0.01


class BinaryQuantizer(Quantizer):
    """A quantizer to scale · {-1, +1}^d; ``LFQ`` and ``BSQ`` say what is in between."""

    def __init__(self, config: LFQConfig | BSQConfig, *, channel_dim: int, nan: NaNPolicy) -> None:
        super().__init__()
        self.owner, self.config, self.bits = config.name.upper(), config, config.bits
        self.channel_dim = channel_dim
        self.nan = check_nan_policy(self.owner, nan)

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
    @abstractmethod
    def scale(self) -> float:
        """The size of a code's components."""

    @abstractmethod
    def _relaxed(self, z: Tensor, place: int) -> Tensor:
        """What lies near a code: z, float32 or float64 with the channels in ``place``, bounded or not."""

    @abstractmethod
    def _distance(self, relaxed: Tensor, codes: Tensor) -> Tensor:
        """The commitment loss before its weight, a scalar."""

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latents: Floats of any range, any rank, with d channels in ``channel_dim``; empty batches too.

        Returns:
            Codes of ± scale in the latents' shape and dtype, int64 indices without the channel dimension, and in
            training the weighted losses.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN (see the class).
        """
        place = self._place(latents, "latents")
        z = wide_latents(self.owner, latents, self.nan)
        relaxed, hard = self._relaxed(z, place), signs(z, self.scale)
        # x - sg(x) is exactly 0 where x is finite; nan_to_num makes infinite ones so, with gradient 0.
        finite = torch.nan_to_num(relaxed)
        codes = (hard + (finite - finite.detach()) * self.scale).to(latents.dtype)
        loss = z.new_zeros((), dtype=torch.float32)
        if self.training:
            loss = self._entropy_term(relaxed, place)
            if self.config.commitment:
                loss = loss + (self.config.commitment * self._distance(relaxed, hard)).to(torch.float32)
        indices = join_digits(z.detach() > 0, self.levels, place)
        return Quantized(codes=codes, indices=indices, loss=loss)

    def relax(self, latents: Tensor) -> Tensor:
        """The latents as they are compared with codes, in their shape and dtype; differentiable."""
        place = self._place(latents, "latents")
        return self._relaxed(wide_latents(self.owner, latents, self.nan), place).to(latents.dtype)

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of indices.

        Args:
            indices: Integers in [0, 2^bits), any shape.
            dtype: A floating dtype for the codes; 16 bits give their index back too.

        Returns:
            Codes of ± scale, with d channels in ``channel_dim``.

        Raises:
            GridcodeError: The dtype is not a floating one, the indices are not integers, or one is outside [0, 2^bits)
                (the last is not seen in traced code).
        """
        check_codes_dtype(self.owner, dtype)
        what = f"codes for indices of shape {tuple(indices.shape)}"
        place = check_place(self.owner, indices.ndim + 1, self.channel_dim, what)
        digits = split_indices(check_indices(indices, self.levels, self.codebook_size), self.levels)
        return signs(torch.stack(digits, dim=place).to(working_dtype(dtype)), self.scale).to(dtype)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The indices of codes; a component may be 1 % off, which covers 16-bit dtypes.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.

        Returns:
            int64 indices in [0, 2^bits), the shape of the codes without the channel dimension.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or a component is not ± scale (the last is not
                seen in traced code).
        """
        place = self._place(codes, "codes")
        if values_visible(codes):
            wide = codes.detach().to(working_dtype(codes.dtype))
            wrong = ~((wide.abs() / self.scale - 1).abs() <= _NEAR)
            if wrong.any():
                raise GridcodeError(
                    f"{self.owner}: {int(wrong.sum())} of {codes.numel()} code components are not ±{self.scale:.6g}, "
                    f"the first is {float(wide[wrong][0]):.6g}; give codes that {self.owner} returned"
                )
        return join_digits(codes.detach() > 0, self.levels, place)

    def spec(self) -> dict[str, Any]:
        """Name, bits and the weights of the losses, as manifests and configs record them."""
        return quantizer_to_json(self.config)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        weights = {name: value for name, value in asdict(self.config).items() if name not in ("name", "bits")}
        shown = ", ".join(f"{name}={value}" for name, value in weights.items())
        return f"{self.bits}, {shown}, channel_dim={self.channel_dim}, nan={self.nan!r}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records: name and bits (``base.py``)."""
        return make_record(self._recorded())

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict that was written for another number of bits."""
        check_record(self.owner, self._recorded(), state)

    def _recorded(self) -> dict[str, Any]:
        return {"name": self.config.name, "bits": self.bits}

    def _entropy_term(self, values: Tensor, place: int) -> Tensor:
        """Entropy · (E[H(p(c|z))] - diversity · H(E[p(c|z)])) of z with the channels in ``place``, a float32 scalar."""
        config = self.config
        if not config.entropy:
            return values.new_zeros((), dtype=torch.float32)
        vectors = values.movedim(place, -1).flatten(0, -2) if values.ndim > 1 else values.unsqueeze(0)
        logits = vectors * (4 * self.scale / config.temperature)
        loss = entropy_loss(logits, diversity=config.diversity, group=config.group)
        return (config.entropy * loss).to(torch.float32)

    def _place(self, values: Tensor, what: str) -> int:
        return check_vectors(self.owner, values, what, channels=self.bits, channel_dim=self.channel_dim)


def signs(values: Tensor, scale: float) -> Tensor:
    """Scale · sign(values), the shape and dtype of the values; no gradient. The sign of 0 is -1."""
    # 2s - s and 0 - s are exact in every dtype; a choice between two Python numbers would be float32 at most.
    return (values.detach() > 0).to(values.dtype) * (2 * scale) - scale
