r"""Residual FSQ: each stage quantizes, ever finer, what the stages before it left.

Published as a loop (vector-quantize-pytorch): latents are clamped softly, y = c tanh(z / c) with c = 1 + 1/(L - 1);
stage k rounds L^k times the residual to the symmetric grid of L values, hard-clamped, and adds its code times L^-k.

The loop is a number written digit by digit. c is half a bin beyond the end codes, so the residual of a stage fills
exactly the range of the next one, and q stages are **one** quantizer with M = L^q equal bins of (-c, c):

    N    = ceil(M (1 + tanh(z / c)) / 2) - 1        = Σ_k L^(q-1-k) g_k,   g_0 … g_{q-1} the stages' digits
    code = c ((2 N + 1) / M - 1)                    = Σ_k L^-k (2 g_k / (L - 1) - 1)

N is the number of thresholds t_k = c atanh(2 (k + 1) / M - 1) below z, as in ``forms.py``: two devices do not agree on
tanh, and not every one has float64, but all agree on which of two float32 numbers is the larger. The stages' digits are
N's in base L, whole numbers in int64, and the first stages alone decode to the coarser quantizer. M is at most 2^20 for
each channel, which float32 keeps apart; bfloat16 codes give their indices back up to M = 256, float16 ones up to 2048.

Gradient: straight-through, d code / d z = 1 - tanh²(z / c).

Differs from vector-quantize-pytorch: there the stages' straight-through gradients add up, so that the encoder gets q
times this gradient (less where a stage clamps); a stage dropped in training is dropped for each sample by itself.

Reference: Défossez et al. 2022 (arXiv 2210.13438) for residual stages and their dropout; vector-quantize-pytorch 1.32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer, check_record, make_record
from gridcode.quantize.config import ResidualFSQConfig, quantizer_to_json
from gridcode.quantize.fsq.forms import Channel
from gridcode.quantize.fsq.kernels.reference import digits_above, working_dtype
from gridcode.quantize.fsq.levels import check_levels
from gridcode.quantize.latents import (
    NaNPolicy,
    check_codes_dtype,
    check_nan_policy,
    check_place,
    check_vectors,
    wide_latents,
)
from gridcode.quantize.radix import check_indices, join_digits, split_indices, values_visible


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
    (tensor([[ 3, 10]]), tensor([[ 0.3000, -0.6667]]))
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
        self.config = ResidualFSQConfig(check_levels(levels), stages, stage_dropout)
        self._levels = self.config.levels
        self.stages, self.stage_dropout, self.channel_dim = stages, float(stage_dropout), channel_dim
        self.nan = check_nan_policy("ResidualFSQ", nan)
        self._bins = _Bins(self._levels, stages)

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
        whole, dropped = self._whole(z.detach()), self._dropped(z)
        bounded = self._bounded(z)
        # bounded - sg(bounded) is exactly 0: the code's own bits, with the gradient of the bound.
        codes = self._codes(whole, self.stages, dropped, z.dtype) + (bounded - bounded.detach())
        return Quantized(
            codes=codes.to(latents.dtype).movedim(-1, self.channel_dim),
            indices=self._indices(whole, self.stages, dropped),
            loss=z.new_zeros((), dtype=torch.float32),
        )

    def relax(self, latents: Tensor) -> Tensor:
        """The softly clamped latents c tanh(z / c), in their shape and dtype; differentiable."""
        return self._bounded(self._vectors(latents)).to(latents.dtype).movedim(-1, self.channel_dim)

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of the first stages' indices.

        Args:
            indices: Integers (…, k) with 1 ≤ k ≤ q, in [0, K), or -1 for a dropped stage, which adds 0; only the last
                stages are ever dropped, and never the first.
            dtype: A floating dtype for the codes.

        Returns:
            Codes with d channels in ``channel_dim`` of the indices' leading dimensions and the channels.

        Raises:
            GridcodeError: They are not such integers (values are not seen in traced code).

        >>> quantizer = ResidualFSQ([5, 3], stages=2)
        >>> quantizer.indices_to_codes(torch.tensor([[3, 13], [3, -1]]))
        tensor([[ 0.6000, -0.6667],
                [ 0.5000, -1.0000]])
        """
        check_codes_dtype("ResidualFSQ", dtype)
        shape = tuple(indices.shape)
        if indices.ndim == 0 or not 1 <= shape[-1] <= self.stages:
            raise GridcodeError(f"ResidualFSQ: indices of shape {shape} do not end in 1 to {self.stages} stages")
        check_place("ResidualFSQ", indices.ndim, self.channel_dim, f"codes for indices of shape {shape}")
        absent = indices == -1
        checked = check_indices(indices.masked_fill(absent, 0), self._levels, self.codebook_size)
        _check_prefixes(absent)
        levels = torch.tensor(self._levels, device=checked.device)
        whole = torch.zeros_like(levels)
        for stage in checked.unbind(-1):
            whole = whole * levels + torch.stack(split_indices(stage, self._levels), dim=-1)
        codes = self._codes(whole, shape[-1], absent.sum(-1), working_dtype(dtype))
        return codes.to(dtype).movedim(-1, self.channel_dim)

    def codes_to_indices(self, codes: Tensor, stages: int | None = None) -> Tensor:
        """The indices of codes; rounded channel by channel.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.
            stages: How many stages all of the codes have, 1 … q; q by default.

        Returns:
            int64 indices (…, stages).

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is no code of that many stages (not
                seen in traced code).

        >>> quantizer = ResidualFSQ([5, 3], stages=2)
        >>> quantizer.codes_to_indices(torch.tensor([[0.5, -1.0]]), stages=1)
        tensor([[3]])
        """
        check_vectors("ResidualFSQ", codes, "codes", channels=self.channels, channel_dim=self.channel_dim)
        stages = self.stages if stages is None else stages
        if not 1 <= stages <= self.stages:
            raise GridcodeError(f"ResidualFSQ: stages is {stages!r}; give a whole number from 1 to {self.stages}")
        wide = codes.detach().movedim(self.channel_dim, -1).to(working_dtype(codes.dtype))
        counts = self._row([float(level**stages) for level in self._levels], wide)
        # N from code = (2 N + 1 - M) / ((L - 1) L^(q-1)).
        exact = (wide * self._row(self._spans(stages), wide) + counts - 1) / 2
        whole = exact.round()
        # Up to this far from N rounding can take it: the codes' to their dtype, and here to float32, which is
        # less than 0.1 where M is 2^20. Codes of other stages lie 1/2 away, or on N.
        slack = (0.1 + torch.finfo(codes.dtype).eps * counts / 2).clamp_max(0.5)
        if values_visible(whole):
            wrong = ~((whole >= 0) & (whole < counts) & ((exact - whole).abs() <= slack))
            if wrong.any():
                raise GridcodeError(
                    f"ResidualFSQ: {int(wrong.sum())} of {whole.numel()} code components are not codes of {stages} "
                    f"stages of levels {list(self._levels)}, the first is {float(wide[wrong][0]):.6g}; give codes that "
                    "it returned, and the number of their stages"
                )
        return self._indices(whole.long(), stages, None)

    def spec(self) -> dict[str, Any]:
        """Name, levels, stages and their dropout, as manifests and configs record them."""
        return quantizer_to_json(self.config)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        shown = f"{list(self._levels)}, stages={self.stages}, stage_dropout={self.stage_dropout}"
        return f"{shown}, channel_dim={self.channel_dim}, nan={self.nan!r}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records: levels and stages."""
        return make_record(self._recorded())

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict of other levels or stages."""
        check_record("ResidualFSQ", self._recorded(), state)

    def _recorded(self) -> dict[str, Any]:
        return {"name": "residual", "levels": list(self._levels), "stages": self.stages}

    def _vectors(self, latents: Tensor) -> Tensor:
        """Checked latents in the working dtype, channels last."""
        check_vectors("ResidualFSQ", latents, "latents", channels=self.channels, channel_dim=self.channel_dim)
        return wide_latents("ResidualFSQ", latents, self.nan).movedim(self.channel_dim, -1)

    def _bounded(self, z: Tensor) -> Tensor:
        """The softly clamped latents c tanh(z / c), channels last."""
        clamp = self._row([1 + 1 / (level - 1) for level in self._levels], z)
        return clamp * torch.tanh(z / clamp)

    def _whole(self, z: Tensor) -> Tensor:
        """N of latents (…, d): int64 in [0, M); on an edge the lower one."""
        thresholds = self._bins.exact if z.dtype == torch.float64 else self._bins.thresholds
        return torch.stack([digits_above(z[..., i], row.to(z.device)) for i, row in enumerate(thresholds)], dim=-1)

    def _codes(self, whole: Tensor, stages: int, dropped: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The codes (…, d) of N over this many stages, without the last ``dropped`` (…) of them.

        Numerator and denominator are whole numbers that the dtype holds, so that one division rounds.
        """
        counts = torch.tensor([level**stages for level in self._levels], device=whole.device)
        numerator = 2 * whole + 1 - counts
        if dropped is not None:
            table = [[level**k for level in self._levels] for k in range(stages + 1)]
            bins = torch.tensor(table, device=whole.device)[dropped]
            numerator = 2 * _over(whole, bins) * bins + bins - counts
        numerator = numerator.to(dtype)
        return numerator / self._row(self._spans(stages), numerator)

    def _indices(self, whole: Tensor, stages: int, dropped: Tensor | None) -> Tensor:
        """Indices (…, stages) from the digits of N in base L, the coarsest stage first; -1 for a dropped one."""
        levels = torch.tensor(self._levels, device=whole.device)
        found: list[Tensor] = []
        for _ in range(stages):
            rest = _over(whole, levels)
            found.insert(0, join_digits(whole - rest * levels, self._levels))
            whole = rest
        indices = torch.stack(found, dim=-1)
        if dropped is None:
            return indices
        return indices.masked_fill(torch.arange(stages, device=indices.device) >= stages - dropped[..., None], -1)

    def _dropped(self, z: Tensor) -> Tensor | None:
        """How many of the last stages each vector of latents (…, d) goes without; None where none does."""
        if not (self.training and self.stage_dropout):
            return None
        samples = z.shape[0] if z.ndim > 1 else 1
        count = torch.randint(self.stages, (samples,), device=z.device)
        whole = torch.rand(samples, device=z.device) >= self.stage_dropout
        count = count.masked_fill(whole, 0)
        return count.view(samples, *[1] * (z.ndim - 2)).expand(z.shape[:-1]) if z.ndim > 1 else count[0]

    def _spans(self, stages: int) -> list[float]:
        """(L - 1) L^(stages - 1) of every channel: code · span = 2 N + 1 - M."""
        return [float((level - 1) * level ** (stages - 1)) for level in self._levels]

    def _row(self, values: list[float], like: Tensor) -> Tensor:
        """A constant of every channel, (d,)."""
        return torch.tensor(values, dtype=like.dtype, device=like.device)


class _Bins:
    """The M - 1 thresholds of every channel's curve c tanh(z / c), on the CPU.

    No buffers, because a module that is cast would round them; never changed, so that copies of a module share them.

    Attributes:
        exact: In float64, for latents in float64.
        thresholds: In float32, rounded down: a float32 latent lies above one exactly when it lies above the exact one.
    """

    def __init__(self, levels: Sequence[int], stages: int) -> None:
        channels = [_equal_bins(level**stages, 1 + 1 / (level - 1)) for level in levels]
        self.exact = tuple(torch.tensor(channel.thresholds, device="cpu") for channel in channels)
        self.thresholds = tuple(torch.tensor(channel.thresholds32, device="cpu") for channel in channels)

    def __deepcopy__(self, memo: object) -> Self:
        return self


@lru_cache(maxsize=64)
def _equal_bins(count: int, c: float) -> Channel:
    """M equal bins of (-c, c), numbered by N."""
    return Channel(count, slope=1 / c, shift=0.0, gain=c, bias=0.0, middle=(count - 1) / 2, width=count / (2 * c))


def _over(whole: Tensor, divisor: Tensor) -> Tensor:
    """Whole numbers over others, rounded down."""
    return torch.div(whole, divisor, rounding_mode="floor")


def _check_prefixes(absent: Tensor) -> None:
    """Refuse indices whose dropped stages (…, k) are not the last ones."""
    if values_visible(absent) and bool(absent[..., 0].any() | (absent[..., :-1] & ~absent[..., 1:]).any()):
        raise GridcodeError(
            "ResidualFSQ: the index -1 (a dropped stage) stands in a first stage or before a kept one; decode masked "
            "places with decode_masked, and leave other indices as they were made"
        )
