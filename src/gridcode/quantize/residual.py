r"""Residual FSQ: each stage quantizes, ever finer, what the stages before it left.

Published as a loop (vector-quantize-pytorch): latents are clamped softly, y = c tanh(z / c) with c = 1 + 1/(L - 1);
stage k rounds L^k times the residual to the symmetric grid of L values, hard-clamped, and adds its code times L^-k.

The loop is a number written digit by digit. c is half a bin beyond the end codes, so the residual of a stage fills
exactly the range of the next one, and q stages are **one** quantizer with M = L^q equal bins of (-c, c):

    N    = floor(M (1 + tanh(z / c)) / 2)           = Σ_k L^(q-1-k) g_k,   g_0 … g_{q-1} the stages' digits
    code = c ((2 N + 1) / M - 1)                    = Σ_k L^-k (2 g_k / (L - 1) - 1)

So N is found by thresholds, as any FSQ's digit, which makes the indices the same on every device; the stages' digits
are N's in base L; and the first stages alone decode to the coarser quantizer. M is at most 2^20 for each channel, which
float32 keeps apart.

Gradient: straight-through, d code / d z = 1 - tanh²(z / c).

Differs from vector-quantize-pytorch: there the stages' straight-through gradients add up, so that the encoder gets q
times this gradient (less where a stage clamps); a stage dropped in training is dropped for each sample by itself.

Reference: Défossez et al. 2022 (arXiv 2210.13438) for residual stages and their dropout; vector-quantize-pytorch 1.32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.forms import Channel
from gridcode.quantize.latents import (
    NaNPolicy,
    check_codes_dtype,
    check_nan_policy,
    check_place,
    check_vectors,
    wide_latents,
)
from gridcode.quantize.levels import MAX_LEVEL, check_levels
from gridcode.quantize.radix import check_indices, join_digits, split_indices, values_visible
from gridcode.quantize.record import check_record, make_record


@final
class ResidualFSQ(Quantizer):
    """FSQ in stages; indices have one entry for each stage, the coarsest first.

    Args:
        levels: [L_1 … L_d], the values of each channel at every stage.
        stages: q, 1 or more; L^q is at most 2^20 for every level.
        stage_dropout: In training, the probability that a sample (first dimension) keeps only its first 1 … q stages,
            a random number of them; the others have the index -1 and add nothing.
        channel_dim: The dimension of the latents that holds the d channels.
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0.

    Raises:
        GridcodeError: The settings lie outside these ranges.

    >>> quantizer = ResidualFSQ([5, 3], stages=2)
    >>> out = quantizer(torch.tensor([[0.3, -0.6]]))
    >>> out.indices, out.codes
    (tensor([[3, 8]]), tensor([[0.3000, -0.6667]]))
    >>> quantizer.indices_to_codes(out.indices[..., :1])                     # the first stage alone
    tensor([[ 0.5000, -1.0000]])
    """

    def __init__(
        self,
        levels: Sequence[int],
        *,
        stages: int = 2,
        stage_dropout: float = 0.0,
        channel_dim: int = -1,
        nan: NaNPolicy = "error",
    ) -> None:
        super().__init__()
        self._levels = check_levels(levels)
        if not isinstance(stages, int) or isinstance(stages, bool) or stages < 1:
            raise GridcodeError(f"ResidualFSQ: stages is {stages!r}; give a whole number from 1")
        if max(self._levels) ** stages > MAX_LEVEL:
            raise GridcodeError(
                f"ResidualFSQ: {stages} stages of level {max(self._levels)} tell {max(self._levels) ** stages} values "
                f"apart, more than float32 can ({MAX_LEVEL}); use fewer stages or smaller levels"
            )
        if not 0 <= stage_dropout <= 1:
            raise GridcodeError(f"ResidualFSQ: stage_dropout is {stage_dropout!r}; give a probability in [0, 1]")
        self.stages, self.stage_dropout, self.channel_dim = stages, float(stage_dropout), channel_dim
        self.nan = check_nan_policy("ResidualFSQ", nan)
        self._fine = tuple(_fine_channel(level, stages) for level in self._levels)

    @property
    def channels(self) -> int:
        """d, the number of levels."""
        return len(self._levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """[L_1 … L_d], the digits of one stage's index."""
        return self._levels

    @property
    def index_shape(self) -> tuple[int, ...]:
        """(q,): an index for each stage."""
        return (self.stages,)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latents: Floats of any range and rank, with d channels in ``channel_dim``; empty batches too.

        Returns:
            Codes in (-c, c) in the latents' shape and dtype; int64 indices (…, q); loss 0.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN.
        """
        z = self._vectors(latents)
        digits = self._digits(z.detach())
        kept = self._kept(len(z) if z.ndim > 1 else 1, z)
        bounded = self._bounded(z)
        rounded = self._codes(digits, kept, z.dtype)
        codes = (bounded + (rounded - bounded.detach())).to(latents.dtype)
        exact = rounded.to(latents.dtype)
        codes = exact + (codes - codes.detach())  # the code's own bits, with the gradient of the bound
        return Quantized(
            codes=codes.movedim(-1, self.channel_dim),
            indices=self._join(digits, kept),
            loss=z.new_zeros((), dtype=torch.float32),
        )

    def relax(self, latents: Tensor) -> Tensor:
        """The softly clamped latents c tanh(z / c), in their shape and dtype; differentiable."""
        return self._bounded(self._vectors(latents)).to(latents.dtype).movedim(-1, self.channel_dim)

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of the first stages' indices.

        Args:
            indices: Integers (…, k) with 1 ≤ k ≤ q, in [0, K), or -1 for a dropped stage, which adds 0.
            dtype: A floating dtype for the codes.

        Returns:
            Codes with d channels in ``channel_dim`` of the indices' leading dimensions and the channels.

        Raises:
            GridcodeError: They are not such integers (values are not seen in traced code).
        """
        check_codes_dtype("ResidualFSQ", dtype)
        if indices.ndim == 0 or not 1 <= indices.shape[-1] <= self.stages:
            raise GridcodeError(
                f"ResidualFSQ: indices of shape {tuple(indices.shape)} do not end in 1 to {self.stages} stages"
            )
        check_place("ResidualFSQ", indices.ndim, self.channel_dim, f"codes for indices of shape {tuple(indices.shape)}")
        dropped = indices == -1
        checked = check_indices(indices.masked_fill(dropped, 0), self._levels, self.codebook_size)
        digits = torch.stack(split_indices(checked, self._levels), dim=-1)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        return self._codes(digits, ~dropped, wide).to(dtype).movedim(-1, self.channel_dim)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The indices of codes that have all of their stages; rounded channel by channel.

        16-bit codes give their indices back where L^q is at most 256.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.

        Returns:
            int64 indices (…, q).

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one lies outside the codes' range.
        """
        check_vectors("ResidualFSQ", codes, "codes", channels=self.channels, channel_dim=self.channel_dim)
        wide = codes.detach().movedim(self.channel_dim, -1).double()
        count, width = self._row("level", wide), self._row("width", wide)
        whole = (wide * width + (count - 1) / 2).round()
        if values_visible(whole) and (wrong := ~((whole >= 0) & (whole < count))).any():
            raise GridcodeError(
                f"ResidualFSQ: {int(wrong.sum())} of {whole.numel()} code components are not codes of "
                f"{self.stages} stages of levels {list(self._levels)}; give codes that it returned"
            )
        return self._join(self._split(whole.to(torch.int64)), None)

    def spec(self) -> dict[str, Any]:
        """Name, levels, stages and their dropout, as manifests and configs record them."""
        return {
            "name": "residual",
            "levels": list(self._levels),
            "stages": self.stages,
            "stage_dropout": self.stage_dropout,
        }

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        shown = f"{list(self._levels)}, stages={self.stages}, stage_dropout={self.stage_dropout}"
        return f"{shown}, channel_dim={self.channel_dim}, nan={self.nan!r}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records: levels and stages."""
        return make_record({"name": "residual", "levels": list(self._levels), "stages": self.stages})

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict of other levels or stages."""
        fields = {"name": "residual", "levels": list(self._levels), "stages": self.stages}
        check_record("ResidualFSQ", fields, state)

    def _vectors(self, latents: Tensor) -> Tensor:
        """Checked latents in the working dtype, channels last."""
        check_vectors("ResidualFSQ", latents, "latents", channels=self.channels, channel_dim=self.channel_dim)
        return wide_latents("ResidualFSQ", latents, self.nan).movedim(self.channel_dim, -1)

    def _bounded(self, z: Tensor) -> Tensor:
        """C tanh(z / c), channels last."""
        return self._row("gain", z) * torch.tanh(z * self._row("slope", z))

    def _digits(self, z: Tensor) -> Tensor:
        """The stages' digits (…, q, d) of latents (…, d), by thresholds."""
        found = []
        for place, channel in enumerate(self._fine):
            edges = channel.thresholds if z.dtype == torch.float64 else channel.thresholds32
            edge_values = torch.tensor(edges.tolist(), dtype=z.dtype, device=z.device)
            found.append(torch.bucketize(z[..., place].contiguous(), edge_values))
        return self._split(torch.stack(found, dim=-1))

    def _split(self, whole: Tensor) -> Tensor:
        """N (…, d) in base L: digits (…, q, d), the coarsest stage first."""
        levels = torch.tensor(self._levels, device=whole.device)
        powers = [levels ** (self.stages - 1 - k) for k in range(self.stages)]
        parts = [torch.div(whole, power, rounding_mode="floor") % levels for power in powers]
        return torch.stack(parts, dim=-2)

    def _join(self, digits: Tensor, kept: Tensor | None) -> Tensor:
        """Indices (…, q) of digits (…, q, d); -1 where a stage is not kept."""
        indices = join_digits(digits, self._levels)
        return indices if kept is None else indices.masked_fill(~kept, -1)

    def _codes(self, digits: Tensor, kept: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Σ L^-k (2 g_k - L + 1) / (L - 1) over the kept stages, from integers, so that one division rounds."""
        levels = torch.tensor(self._levels, device=digits.device)
        total = torch.zeros_like(digits[..., 0, :])
        for k in range(digits.shape[-2]):
            part = (2 * digits[..., k, :] - levels + 1) * levels ** (self.stages - 1 - k)
            total = total + (part if kept is None else part * kept[..., k, None])
        return total.to(dtype) / ((levels - 1) * levels ** (self.stages - 1)).to(dtype)

    def _kept(self, samples: int, z: Tensor) -> Tensor | None:
        """Which stages each vector keeps, broadcast to (…, q); None for all."""
        if not (self.training and self.stage_dropout):
            return None
        count = torch.randint(1, self.stages + 1, (samples,), device=z.device)
        whole = torch.rand(samples, device=z.device) >= self.stage_dropout
        count = count.masked_fill(whole, self.stages)
        kept = torch.arange(self.stages, device=z.device) < count[:, None]
        if z.ndim == 1:
            return kept[0]
        return kept.view(samples, *[1] * (z.ndim - 2), self.stages).expand(*z.shape[:-1], self.stages)

    def _row(self, name: str, like: Tensor) -> Tensor:
        """A constant of every channel, (d,)."""
        return torch.tensor([float(getattr(c, name)) for c in self._fine], dtype=like.dtype, device=like.device)


def _fine_channel(level: int, stages: int) -> Channel:
    """The one quantizer that all stages make: M = L^q bins of equal width on (-c, c)."""
    count, c = level**stages, 1 + 1 / (level - 1)
    return Channel(count, 1 / c, 0.0, c, 0.0, (count - 1) / 2, count / (2 * c))
