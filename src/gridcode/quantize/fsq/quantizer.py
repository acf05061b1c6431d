r"""Finite scalar quantization: bound every channel, round it, and count.

Section 3.1 of the paper is :func:`bound`, :func:`round_straight_through` and :func:`quantize_by_the_formula` below,
word for word. With levels L, eps = 1e-3 and a latent z, for each channel (section 3.1, A.1):

    half    = (L - 1) (1 - eps) / 2
    offset  = 1/2 where L is even, else 0
    shift   = tan(offset / half)
    bounded = tanh(z + shift) · half - offset          in the range of exactly L integers
    code    = round(bounded) / (L // 2)                in [-1, 1]

The gradient of the rounding is taken as 1 (straight-through), so that

    d code / d z = (1 - tanh²(z + shift)) · half / (L // 2)

A code's *digits* are code · (L // 2) + L // 2, and its *index* reads them as one number in the mixed radix L,
the first channel counting fastest (``radix.py``). There is no codebook and no loss.

That is the form ``"paper"``. The other published ones differ in the curve and in where the codes lie
(``forms.py``); on normal latents and [8,5,5,5] ``"atanh"`` agrees with it on 99 % of the indices and ``"symmetric"``
on 69 %, so a model must say which it has: the form is in the state dict and in ``spec``.

:class:`FSQ` computes the same by thresholds in one pass (``kernels/``), which gives the same index on every device.
``tests/quantize/fsq/test_fsq.py`` holds the two equal (``test_the_formula_and_the_fast_path_are_equal``).

For even L the paper's codes are not symmetric: they run from -1 to 1 - 2/L. The author later said that the shift
should be atanh rather than tan and that it hardly matters.

Reference: Mentzer, Minnen, Agustsson, Tschannen 2023 (arXiv 2309.15505), section 3.1 and appendix A.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer, check_record, make_record
from gridcode.quantize.fsq.dither import Dither, dithered
from gridcode.quantize.fsq.forms import FORMS, FormName, code_grid
from gridcode.quantize.fsq.kernels import ops, reference
from gridcode.quantize.latents import NaNPolicy, check_codes_dtype, check_nan_policy, check_place, check_vectors
from gridcode.quantize.radix import check_indices, join_digits, values_visible


def bound(z: Tensor, levels: Sequence[int], eps: float = 1e-3) -> Tensor:
    """Section 3.1's f: latents (…, d) to the range of exactly L integers, channel by channel; differentiable.

    >>> bound(torch.tensor([[-9.0, 0.0, 9.0]]), [5, 5, 5]).round()
    tensor([[-2.,  0.,  2.]])
    """
    level = torch.tensor(levels, dtype=z.dtype, device=z.device)
    half = (level - 1) * (1 - eps) / 2
    offset = torch.where(level % 2 == 0, 0.5, 0.0)
    shift = torch.tan(offset / half)
    return torch.tanh(z + shift) * half - offset


def round_straight_through(bounded: Tensor) -> Tensor:
    """The nearest integers, with gradient 1: z + sg(round(z) - z)."""
    return bounded + (bounded.round() - bounded).detach()


def quantize_by_the_formula(z: Tensor, levels: Sequence[int], eps: float = 1e-3) -> Tensor:
    """The codes of latents (…, d), in [-1, 1], as the paper writes them down. :class:`FSQ` is what to use.

    >>> quantize_by_the_formula(torch.tensor([[0.3, -2.0, 0.1, 0.9]]), [8, 5, 5, 5])
    tensor([[ 0.2500, -1.0000,  0.0000,  0.5000]])
    """
    halves = torch.tensor([level // 2 for level in levels], dtype=z.dtype, device=z.device)
    return round_straight_through(bound(z, levels, eps)) / halves


_EPS_UNIT = 1e-12
"""What a state dict counts eps in."""


@final
class FSQ(Quantizer):
    """Finite scalar quantization with the given number of values for each channel.

    Everything is computed in float32 (float64 latents stay float64), also under autocast; codes and gradients
    come back in the latents' dtype. Nothing is learned. The state dict records form, levels and eps; loading others
    is refused.

    A NaN among the latents is an error, which on a GPU costs a wait for its result. Traced code (``torch.compile``,
    ``torch.export``, ``torch.jit.trace``) cannot read values: there a NaN counts as the latent 0 with gradient 0,
    as with ``nan="zero"``, and no index is checked. Infinite latents give the end levels.

    Args:
        levels: [L_1 … L_d], the number of values of each channel, 2 or more; their product K is at most 2^63.
        form: The curve and grid: ``"paper"``, ``"atanh"``, ``"symmetric"``, ``"ifsq"`` or ``"dithered"``.
        eps: How far the bound stays inside (``paper``) or goes beyond (``atanh``) the end levels, in
            [0, 1 / (max L - 1)), 1e-3 by default; the other forms have none.
        channel_dim: The dimension of the latents that holds the d channels; 1 for images (B, d, h, w).
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0.
        dither: How often ``form="dithered"`` dithers a sample in training.

    Raises:
        GridcodeError: The settings lie outside these ranges, or do not go together.

    >>> quantizer = FSQ([8, 5, 5, 5])
    >>> out = quantizer(torch.tensor([[0.3, -2.0, 0.1, 0.9]]))
    >>> out.codes, out.indices
    (tensor([[ 0.2500, -1.0000,  0.0000,  0.5000]]), tensor([685]))
    >>> torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    True
    """

    def __init__(
        self,
        levels: Sequence[int],
        *,
        form: FormName = "paper",
        eps: float | None = None,
        channel_dim: int = -1,
        nan: NaNPolicy = "error",
        dither: Dither | None = None,
    ) -> None:
        super().__init__()
        self.grid = code_grid(levels, form, eps)
        if dither is not None and form != "dithered":
            raise GridcodeError(f'FSQ: form {form!r} does not dither; leave dither out, or choose form="dithered"')
        self.channel_dim = channel_dim
        self.nan = check_nan_policy("FSQ", nan)
        self.dither = dither or Dither()

    @property
    def channels(self) -> int:
        """d, the number of levels."""
        return len(self.levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """[L_1 … L_d]."""
        return self.grid.levels

    @property
    def index_shape(self) -> tuple[int, ...]:
        """(): one index a vector."""
        return ()

    @property
    def form(self) -> FormName:
        """Which published form this is."""
        return self.grid.form

    @property
    def eps(self) -> float:
        """The margin at the end levels; 0 where the form has none."""
        return self.grid.eps

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latents: Floats of any range, any rank, with d channels in ``channel_dim``; empty batches too.

        Returns:
            Codes in the latents' shape and dtype ([-1, 1]; dithered ones in training half a bin beyond), int64
            indices without the channel dimension, loss 0.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN (see the class).
        """
        self._check(latents, "latents")
        check = self.nan == "error" and values_visible(latents)
        codes, indices = ops.quantize(latents, self.grid, channel_dim=self.channel_dim, check_nan=check)
        if self.form == "dithered" and self.training:
            bins = reference.along_channels(self._bins(latents), latents.ndim, self.channel_dim)
            codes = dithered(codes, self.relax(latents), bins, dither=self.dither)
        return Quantized(codes=codes, indices=indices, loss=latents.new_zeros((), dtype=torch.float32))

    def relax(self, latents: Tensor) -> Tensor:
        """The bounded latents on the scale of the codes, before rounding; differentiable."""
        self._check(latents, "latents")
        return reference.bounded(latents, self.grid, channel_dim=self.channel_dim)

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
        check_codes_dtype("FSQ", dtype)
        check_place("FSQ", indices.ndim + 1, self.channel_dim, f"codes for indices of shape {tuple(indices.shape)}")
        checked = check_indices(indices, self.levels, self.codebook_size)
        return ops.decode(checked, self.grid, channel_dim=self.channel_dim, dtype=dtype)

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
        self._check(codes, "codes")
        digits = reference.digits_of(codes, self.grid, channel_dim=self.channel_dim)
        if values_visible(digits):
            levels = torch.tensor(self.levels, device=digits.device)
            wrong = ~((digits >= 0) & (digits < reference.along_channels(levels, digits.ndim, self.channel_dim)))
            if wrong.any():
                raise GridcodeError(
                    f"FSQ: {int(wrong.sum())} of {digits.numel()} code components are not codes of levels "
                    f"{list(self.levels)}, the first is {float(codes[wrong][0]):.6g}; give codes that FSQ "
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
        return (
            f"{list(self.levels)}, form={self.form!r}, eps={self.eps}, channel_dim={self.channel_dim}, nan={self.nan!r}"
        )

    def get_extra_state(self) -> Tensor:
        """What the state dict records: int64 [form's place in FORMS, eps in units of 1e-12, L_1 … L_d], on the CPU.

        The hash by which priors and token stores name a tokenizer covers it: it must stay as it is.
        """
        record = [FORMS.index(self.form), round(self.eps / _EPS_UNIT), *self.levels]
        return torch.tensor(record, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict that was written for another form, other levels or another eps."""
        if isinstance(state, Tensor) and state.dtype == torch.int64 and state.ndim == 1 and len(state) >= 3:
            if state.is_meta:
                return
            state = _as_record(state.tolist(), self.eps)
        check_record("FSQ", self.spec(), state)

    def _bins(self, like: Tensor) -> Tensor:
        """The width of a bin of each channel, (d,)."""
        widths = [1 / channel.width for channel in self.grid.channels]
        return torch.tensor(widths, dtype=reference.working_dtype(like.dtype), device=like.device)

    def _check(self, values: Tensor, what: str) -> None:
        check_vectors("FSQ", values, what, channels=self.channels, channel_dim=self.channel_dim)


def _as_record(numbers: list[int], eps: float) -> Tensor:
    """The numbers of a state dict by their names, for :func:`check_record`; ``eps`` is the one that is expected."""
    number, unit, *levels = numbers
    form = FORMS[number] if 0 <= number < len(FORMS) else f"number {number}, unknown here"
    saved = eps if unit == round(eps / _EPS_UNIT) else unit / 10**12
    return make_record({"name": "fsq", "form": form, "levels": levels, "eps": saved})
