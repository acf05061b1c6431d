r"""Finite scalar quantization: bound every channel, round it, and count.

With levels L, eps = 1e-3 and a latent z, for each channel (section 3.1, A.1):

    half    = (L - 1) (1 - eps) / 2
    offset  = 1/2 where L is even, else 0
    shift   = tan(offset / half)
    bounded = tanh(z + shift) · half - offset          in the range of exactly L integers
    code    = round(bounded) / (L // 2)                in [-1, 1]

The gradient of the rounding is taken as 1 (straight-through), so that

    d code / d z = (1 - tanh²(z + shift)) · half / (L // 2)

A code's *digits* are code · (L // 2) + L // 2, and its *index* reads them as one number in the mixed radix L,
the first channel counting fastest (``radix.py``). There is no codebook and no loss.

For even L the codes are not symmetric: they run from -1 to 1 - 2/L. The author later said that the shift
should be atanh rather than tan and that it hardly matters (0.14398 against 0.14399 for L = 8); this is the
paper's form.

Reference: Mentzer, Minnen, Agustsson, Tschannen 2023 (arXiv 2309.15505), section 3.1 and appendix A.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.levels import check_levels, codebook_size
from gridcode.quantize.radix import check_indices, join_digits, split_indices, values_visible

_EPS_UNIT = 1e-12


@final
class FSQ(Quantizer):
    """Finite scalar quantization with the given number of values for each channel.

    Everything is computed in float32 (float64 latents stay float64), also under autocast; codes and gradients
    come back in the latents' dtype. Nothing is learned. The state dict records levels and eps; loading others
    is refused.

    A NaN among the latents is an error, which costs one pass over them and, on a GPU, a wait for its result.
    Traced code (``torch.compile``, ``torch.export``, ``torch.jit.trace``) cannot look at values: there a NaN
    counts as the latent 0 with gradient 0, as with ``nan="zero"``, and no index is checked. Infinite latents
    give the end levels.

    Args:
        levels: [L_1 … L_d], the number of values of each channel, 2 or more; their product K is at most 2^63.
        eps: How far the bound stays inside the end levels, in [0, 1 / (max L - 1)).
        channel_dim: The dimension of the latents that holds the d channels; 1 for images (B, d, h, w).
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0.

    Raises:
        GridcodeError: The levels, eps or ``nan`` lie outside these ranges.

    >>> quantizer = FSQ([8, 5, 5, 5])
    >>> out = quantizer(torch.tensor([[0.3, -2.0, 0.1, 0.9]]))
    >>> out.codes, out.indices
    (tensor([[ 0.2500, -1.0000,  0.0000,  0.5000]]), tensor([685]))
    >>> torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    True
    """

    form: ClassVar[Literal["paper"]] = "paper"

    def __init__(
        self,
        levels: Sequence[int],
        *,
        eps: float = 1e-3,
        channel_dim: int = -1,
        nan: Literal["error", "zero"] = "error",
    ) -> None:
        super().__init__()
        self.levels = check_levels(levels)
        self.eps = _check_eps(eps, self.levels)
        self.channel_dim = channel_dim
        if nan not in ("error", "zero"):
            raise GridcodeError(f'FSQ: nan is {nan!r}; choose "error" or "zero"')
        self.nan = nan

    @property
    def channels(self) -> int:
        """d, the number of levels."""
        return len(self.levels)

    @property
    def codebook_size(self) -> int:
        """K, the product of the levels, a Python integer."""
        return codebook_size(self.levels)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latents: Floats of any range, any rank, with d channels in ``channel_dim``; empty batches too.

        Returns:
            Codes in [-1, 1] in the latents' shape and dtype, int64 indices without the channel dimension,
            loss 0.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN (see the class).
        """
        self._check_shape(latents, "latents")
        z = self._without_nan(latents)
        half, offset, shift, middle = self._constants(z)
        # 3.1, rounded straight-through: b + (round(b) - b) is exactly round(b). Autocast lowers nothing in here.
        bounded = torch.tanh(z + shift) * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        codes = (rounded / middle).to(latents.dtype)
        indices = join_digits(rounded.detach() + middle, self.levels, self.channel_dim)
        return Quantized(codes=codes, indices=indices, loss=z.new_zeros((), dtype=torch.float32))

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of indices.

        Args:
            indices: Integers in [0, K), any shape.
            dtype: A floating dtype for the codes. bfloat16 and float16 give their index back for levels up to
                256.

        Returns:
            Codes in [-1, 1], with d channels in ``channel_dim``.

        Raises:
            GridcodeError: They are not integers, or one is outside [0, K) (not seen in traced code).

        >>> FSQ([3, 5]).indices_to_codes(torch.tensor([0, 1, 14]))
        tensor([[-1., -1.], [ 0., -1.], [ 1.,  1.]])
        """
        if not dtype.is_floating_point:
            raise GridcodeError(f"FSQ: codes cannot be {dtype}; choose a floating dtype such as torch.float32")
        self._check_channel_dim(indices.ndim + 1, f"codes for indices of shape {tuple(indices.shape)}")
        digits = split_indices(check_indices(indices, self.levels, self.codebook_size), self.levels)
        codes = [
            ((digit - level // 2).to(_working_dtype(dtype)) / (level // 2)).to(dtype)
            for digit, level in zip(digits, self.levels, strict=True)
        ]
        return torch.stack(codes, dim=self.channel_dim)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The indices of codes; digits are rounded one by one, so that 16-bit codes give their index back.

        Args:
            codes: Codes as ``forward`` or ``indices_to_codes`` return them, d channels in ``channel_dim``.

        Returns:
            int64 indices in [0, K), the shape of the codes without the channel dimension.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one lies outside the codes' range
                (not seen in traced code).

        >>> quantizer = FSQ([8, 8, 8, 6, 5])
        >>> quantizer.codes_to_indices(quantizer.indices_to_codes(torch.tensor(15359), dtype=torch.bfloat16))
        tensor(15359)
        """
        self._check_shape(codes, "codes")
        wide = codes.detach().to(_working_dtype(codes.dtype))
        middle = self._constants(wide)[3]
        digits = (wide * middle).round() + middle
        if values_visible(digits):
            top = self._along_channels(torch.tensor(self.levels, device=digits.device), digits.ndim)
            wrong = ~((digits >= 0) & (digits < top))
            if wrong.any():
                raise GridcodeError(
                    f"FSQ: {int(wrong.sum())} of {digits.numel()} code components are not codes of levels "
                    f"{list(self.levels)}, the first is {float(wide[wrong][0]):.6g}; give codes that FSQ "
                    "returned"
                )
        return join_digits(digits, self.levels, self.channel_dim)

    def spec(self) -> dict[str, Any]:
        """Name, form, levels and eps, as manifests and configs record them.

        >>> FSQ([8, 5]).spec()
        {'name': 'fsq', 'form': 'paper', 'levels': [8, 5], 'eps': 0.001}
        """
        return {"name": "fsq", "form": self.form, "levels": list(self.levels), "eps": self.eps}

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{list(self.levels)}, eps={self.eps}, channel_dim={self.channel_dim}, nan={self.nan!r}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records: int64 [eps in units of 1e-12, L_1 … L_d], always on the CPU.

        Not a buffer, so that a cast to bfloat16 cannot blur it and ``to_empty`` cannot lose it.
        """
        return torch.tensor([round(self.eps / _EPS_UNIT), *self.levels], dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict that was written for other levels or another eps."""
        if not isinstance(state, Tensor) or state.dtype != torch.int64 or state.ndim != 1 or len(state) < 2:
            raise GridcodeError("FSQ: the weights' record of levels and eps is not readable; use weights of an FSQ")
        if state.is_meta or state.tolist() == self.get_extra_state().tolist():
            return
        eps, *levels = state.tolist()
        raise GridcodeError(
            f"FSQ: the weights were saved with levels {levels} and eps {eps * _EPS_UNIT:.6g}, but this "
            f"quantizer has {list(self.levels)} and {self.eps:.6g}; build FSQ with the saved ones"
        )

    def _without_nan(self, latents: Tensor) -> Tensor:
        """The latents in the working dtype; NaN is refused or made 0, as the class says."""
        z = latents.to(_working_dtype(latents.dtype))
        if self.nan == "zero" or not values_visible(latents):
            return torch.nan_to_num(z, nan=0.0, posinf=math.inf, neginf=-math.inf)
        # A NaN always reaches the sum, which is the cheapest pass; two infinities make one too, hence the count.
        if latents.detach().sum().isnan() and (count := int(latents.detach().isnan().sum())):
            raise GridcodeError(
                f"FSQ: {count} of {latents.numel()} latents are NaN; look for a diverging loss or an overflow "
                'before the quantizer, or pass nan="zero" to count them as 0'
            )
        return z

    def _constants(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """half, offset, shift and L // 2, made from the levels each time, to broadcast with ``like``."""
        offsets = [0.5 if level % 2 == 0 else 0.0 for level in self.levels]
        halves = [(level - 1) * (1 - self.eps) / 2 for level in self.levels]
        shifts = [math.tan(offset / half) for offset, half in zip(offsets, halves, strict=True)]
        middles = [float(level // 2) for level in self.levels]
        table = torch.tensor([halves, offsets, shifts, middles], dtype=like.dtype, device=like.device)
        half, offset, shift, middle = (self._along_channels(row, like.ndim) for row in table.unbind())
        return half, offset, shift, middle

    def _along_channels(self, values: Tensor, rank: int) -> Tensor:
        """Values (d,), shaped to broadcast along the channel dimension of a tensor of this rank."""
        shape = [1] * rank
        shape[self.channel_dim] = self.channels
        return values.view(shape)

    def _check_shape(self, values: Tensor, what: str) -> None:
        if not values.is_floating_point():
            raise GridcodeError(f"FSQ: {what} are {values.dtype}; give floats such as torch.float32")
        shape = tuple(values.shape)
        self._check_channel_dim(len(shape), f"{what} of shape {shape}")
        if shape[self.channel_dim] != self.channels:
            raise GridcodeError(
                f"FSQ: {what} of shape {shape} have {shape[self.channel_dim]} channels in dimension "
                f"{self.channel_dim}, levels {list(self.levels)} need {self.channels}; change one of the "
                "three"
            )

    def _check_channel_dim(self, rank: int, what: str) -> None:
        if not -rank <= self.channel_dim < rank:
            raise GridcodeError(f"FSQ: {what} have no dimension {self.channel_dim}; build FSQ with another channel_dim")


def _check_eps(eps: float, levels: tuple[int, ...]) -> float:
    limit = 1 / (max(levels) - 1)
    if not 0 <= eps < limit:
        raise GridcodeError(
            f"FSQ: eps is {eps!r}, but a level of {max(levels)} needs it in [0, {limit:.6g}), or the end "
            "levels cannot be reached; use a smaller eps or smaller levels"
        )
    return float(eps)


def _working_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
