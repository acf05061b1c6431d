"""``FSQ`` as vector-quantize-pytorch has it: projections, several codebooks and layouts around gridcode's FSQ.

    z ── channels last ── project_in ── split into codebooks ── rotate ── FSQ ── noise ── rotate back ── project_out

The package says which form it is and where it differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from gridcode.compat.vector_quantize_pytorch import clamped
from gridcode.errors import GridcodeError
from gridcode.quantize.fsq import quantizer as fsq
from gridcode.quantize.fsq.kernels.reference import working_dtype
from gridcode.quantize.fsq.levels import check_levels
from gridcode.quantize.latents import NaNPolicy, wide_latents
from gridcode.quantize.radix import check_indices, split_indices

_TABLE_BYTES = 2**32


@final
class FSQ(nn.Module):
    """Finite scalar quantization with the interface of vector-quantize-pytorch 1.32.

    Args:
        levels: [L_1 … L_d], the number of values of each channel of one codebook; 2 only with
            ``preserve_symmetry``.
        dim: Channels of the latents. Where they are not ``num_codebooks`` · d, linear layers come before and after.
        num_codebooks: c, codes side by side, each with an index.
        keep_num_codebooks_dim: Whether indices end with a dimension c; by default where c > 1, and only there it may
            not be left out.
        scale: Recorded, not used.
        allowed_dtypes: float64 latents are quantized in float32 unless float64 is one of these.
        channel_first: The channels are dimension 1, as they always are for 4 dimensions and more.
        projection_has_bias: Whether the linear layers have biases.
        return_indices: Give None in place of indices where False.
        force_quantization_f32: Where False, ``allowed_dtypes`` is ignored. Less than float32 is never used.
        preserve_symmetry: The form "symmetric" in place of "atanh".
        noise_dropout: In training, the probability of uniform noise in [-1/2, 1/2) on each component of a code.
            Needs ``preserve_symmetry``.
        bound_hard_clamp: Clamp latents to [-1, 1] where the forms have tanh.
        orthogonal_rotation: Turn vectors by a random, fixed rotation before they are rounded, and back after.
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0. Not in vector-quantize-pytorch.

    Attributes:
        codebook_size: K, the product of the levels.
        codebook_dim: d.
        effective_codebook_dim: c · d.
        project_in, project_out: The linear layers, or identities.

    Raises:
        GridcodeError: The settings lie outside these ranges, or do not go together.

    >>> quantizer = FSQ(levels=[8, 5, 5, 5])
    >>> quantized, indices = quantizer(torch.tensor([[[0.3, -2.0, 0.1, 0.9]]]))
    >>> quantized, indices
    (tensor([[[ 0.2500, -1.0000,  0.0000,  0.5000]]]), tensor([[685]], dtype=torch.int32))
    >>> torch.equal(quantizer.indices_to_codes(indices), quantized)
    True
    """

    orthogonal_rot: Tensor
    _place: Tensor

    def __init__(
        self,
        levels: Sequence[int],
        dim: int | None = None,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        scale: float | None = None,
        allowed_dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64),
        channel_first: bool = False,
        projection_has_bias: bool = True,
        return_indices: bool = True,
        force_quantization_f32: bool = True,
        preserve_symmetry: bool = False,
        noise_dropout: float = 0.0,
        bound_hard_clamp: bool = False,
        orthogonal_rotation: bool = False,
        *,
        nan: NaNPolicy = "error",
    ) -> None:
        super().__init__()
        self.levels = check_levels(levels)
        _check_settings(self.levels, num_codebooks, keep_num_codebooks_dim, preserve_symmetry, noise_dropout)
        self.scale = scale
        self.allowed_dtypes = allowed_dtypes
        self.channel_first = channel_first
        self.return_indices = return_indices
        self.force_quantization_f32 = force_quantization_f32
        self.preserve_symmetry = preserve_symmetry
        self.noise_dropout = noise_dropout
        self.bound_hard_clamp = bound_hard_clamp
        self.orthogonal_rotation = orthogonal_rotation

        self.num_codebooks = num_codebooks
        self.keep_num_codebooks_dim = num_codebooks > 1 if keep_num_codebooks_dim is None else keep_num_codebooks_dim
        self.codebook_dim = len(self.levels)
        self.codebook_size = math.prod(self.levels)
        self.effective_codebook_dim = num_codebooks * self.codebook_dim
        self.dim = self.effective_codebook_dim if dim is None else dim

        # A tuple hides the module from the state dict, which holds no record of the form in that library's checkpoints.
        self._grid = (fsq.FSQ(self.levels, form="symmetric" if preserve_symmetry else "atanh", nan=nan),)
        # Its device and dtype are where implicit_codebook appears; its value, which to_empty would lose, means nothing.
        self.register_buffer("_place", torch.zeros(()), persistent=False)
        # The order in which weights are drawn is that of vector-quantize-pytorch: a seed gives the same ones.
        self.has_projections = self.dim != self.effective_codebook_dim
        self.project_in: nn.Module = nn.Identity()
        self.project_out: nn.Module = nn.Identity()
        if self.has_projections:
            self.project_in = nn.Linear(self.dim, self.effective_codebook_dim, bias=projection_has_bias)
            self.project_out = nn.Linear(self.effective_codebook_dim, self.dim, bias=projection_has_bias)
        if orthogonal_rotation:
            self.register_buffer("orthogonal_rot", nn.init.orthogonal_(torch.empty([self.codebook_dim] * 2)))

    @property
    def implicit_codebook(self) -> Tensor:
        """All codes in the order of their indices, (K, d); made on each call.

        Raises:
            GridcodeError: They would take over 4 GiB.
        """
        size = 4 * self.codebook_size * self.codebook_dim
        if size > _TABLE_BYTES:
            raise GridcodeError(
                f"FSQ: implicit_codebook of levels {list(self.levels)} would take {size / 2**30:.0f} GiB; call "
                "indices_to_codes with the indices that you need"
            )
        return self._decode(torch.arange(self.codebook_size, device=self._place.device)).to(self._place.dtype)

    @property
    def _levels(self) -> Tensor:
        """The levels as that library keeps them: (d,), int32."""
        return torch.tensor(self.levels, dtype=torch.int32, device=self._place.device)

    @property
    def _basis(self) -> Tensor:
        """What one step of each digit adds to the index: (d,), int64."""
        steps = [math.prod(self.levels[:place]) for place in range(self.codebook_dim)]
        return torch.tensor(steps, dtype=torch.int64, device=self._place.device)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """Quantize latents.

        Args:
            z: Floats. (..., dim) of at most 3 dimensions; (b, dim, ...) with ``channel_first``, and always with 4
                dimensions or more.

        Returns:
            Quantized latents in the shape of ``z``, and indices in [0, K) without the channels, with c at the end
            where ``keep_num_codebooks_dim``: int32, or int64 for K > 2^31; or None.

        Raises:
            GridcodeError: They are not floats, the channels are not ``dim``, or one is NaN.
        """
        axis = 1 if self.channel_first or z.ndim >= 4 else -1
        check_latents("FSQ", z, self.dim, axis)
        z = self.project_in(z.movedim(axis, -1))
        codes, indices = self._round(z.reshape(*z.shape[:-1], self.num_codebooks, self.codebook_dim))
        out = self.project_out(codes.flatten(-2)).movedim(-1, axis)
        if not self.return_indices:
            return out, None
        indices = indices.to(self._index_dtype)
        return out, indices if self.keep_num_codebooks_dim else indices.squeeze(-1)

    def quantize(self, z: Tensor) -> Tensor:
        """Round latents of one codebook, without projection, rotation and noise: (..., d) -> codes (..., d).

        Raises:
            GridcodeError: They are not floats, the last dimension is not d, or one is NaN.
        """
        check_latents("FSQ", z, self.codebook_dim, -1)
        return self._codes_and_indices(z)[0]

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """What ``forward`` returned beside these indices.

        Args:
            indices: Integers in [0, K) as ``forward`` gives them: with c at the end where
                ``keep_num_codebooks_dim``.

        Returns:
            (..., dim); or (b, dim, ...), with ``channel_first``, and always where there are 3 dimensions or more,
            not counting c.

        Raises:
            GridcodeError: They are not integers, one is outside [0, K), or the last dimension is not c.
        """
        kept = int(self.keep_num_codebooks_dim)
        if kept and indices.shape[-1:] != (self.num_codebooks,):
            raise GridcodeError(
                f"FSQ: indices of shape {tuple(indices.shape)} do not end with num_codebooks={self.num_codebooks}; "
                "give them as forward returned them"
            )
        codes = self.decode(check_indices(indices, self.levels, self.codebook_size))
        if kept:
            codes = codes.flatten(-2)
        if isinstance(self.project_out, nn.Linear):
            codes = codes.to(self.project_out.weight.dtype)
        out: Tensor = self.project_out(codes)
        if not self.channel_first and indices.ndim < 3 + kept:
            return out
        if out.ndim < 2:
            raise GridcodeError("FSQ: channel_first needs indices with a batch; give them as forward returned them")
        return out.movedim(-1, 1)

    def decode(self, indices: Tensor) -> Tensor:
        """The codes that ``project_out`` would be given: int64 indices in [0, K), (...) -> (..., d), float32."""
        return self._rotated(self._decode(indices), back=True)

    def codes_to_indices(self, zhat: Tensor) -> Tensor:
        """The indices of codes of one codebook, before ``project_out``: (..., d) -> (...), int32 or int64.

        Raises:
            GridcodeError: They are not floats, the last dimension is not d, or one is not a code.
        """
        if zhat.is_floating_point() and zhat.shape[-1:] == (self.codebook_dim,):
            zhat = self._rotated(zhat)
        return self._grid[0].codes_to_indices(zhat).to(self._index_dtype)

    def indices_to_level_indices(self, indices: Tensor) -> Tensor:
        """The digits of indices: (...) -> (..., d), each in [0, L_i), in the dtype of the indices.

        Raises:
            GridcodeError: They are not integers, or one is outside [0, K).
        """
        checked = check_indices(indices, self.levels, self.codebook_size)
        return torch.stack(split_indices(checked, self.levels), dim=-1).to(indices.dtype)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        form = self._grid[0].form
        return f"{list(self.levels)}, dim={self.dim}, num_codebooks={self.num_codebooks}, form={form!r}"

    @property
    def _index_dtype(self) -> torch.dtype:
        return torch.int32 if self.codebook_size <= 2**31 else torch.int64

    def _round(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(..., c, d) after ``project_in`` -> codes of that shape and dtype for ``project_out``, indices (..., c)."""
        dtype, noise = z.dtype, self.training and self.noise_dropout > 0
        if self.force_quantization_f32 and dtype not in self.allowed_dtypes:
            z = z.float()
        elif noise or self.orthogonal_rotation:
            z = _wide(z)
        codes, indices = self._codes_and_indices(self._rotated(z))
        if noise:
            codes = _noisy(codes, self.noise_dropout)
        return self._rotated(codes, back=True).to(dtype), indices

    def _codes_and_indices(self, z: Tensor) -> tuple[Tensor, Tensor]:
        (grid,) = self._grid
        if not self.bound_hard_clamp:
            out = grid(z)
            return out.codes, out.indices
        wide = wide_latents("FSQ", z, grid.nan)
        codes, indices = clamped.quantize(wide, self.levels, symmetric=self.preserve_symmetry)
        return codes.to(z.dtype), indices

    def _decode(self, indices: Tensor) -> Tensor:
        """int64 indices (...) -> codes (..., d), float32, not rotated."""
        if self.bound_hard_clamp and self.preserve_symmetry:
            return clamped.decode(indices, self.levels)
        return self._grid[0].indices_to_codes(indices)

    def _rotated(self, values: Tensor, *, back: bool = False) -> Tensor:
        """(..., d) turned by the rotation, where there is one; in float32 at least, also under autocast."""
        if not self.orthogonal_rotation:
            return values
        wide = _wide(values)
        rotation = self.orthogonal_rot.to(wide.dtype)
        with torch.autocast(values.device.type, enabled=False):
            return wide @ (rotation.t() if back else rotation)


def check_latents(owner: str, latents: Tensor, channels: int, axis: int) -> None:
    """Refuse latents that are no floats with ``channels`` channels in dimension ``axis``, -1 or 1.

    Raises:
        GridcodeError: They are not.
    """
    if not latents.is_floating_point():
        raise GridcodeError(f"{owner}: latents are {latents.dtype}; give floats such as torch.float32")
    shape = tuple(latents.shape)
    seen = shape[axis] if len(shape) > max(axis, 0) else None
    if seen != channels:
        raise GridcodeError(
            f"{owner}: latents of shape {shape} have {'no' if seen is None else seen} channels in dimension {axis}, it "
            f"needs {channels}; give the channels {'last' if axis < 0 else 'after the batch'}, or change dim"
        )


def _check_settings(
    levels: tuple[int, ...], codebooks: int, keep: bool | None, preserve_symmetry: bool, noise_dropout: float
) -> None:
    if 2 in levels and not preserve_symmetry:
        raise GridcodeError(
            f"FSQ: levels {list(levels)} hold a 2, which needs preserve_symmetry=True; turn it on, or use 3 or more"
        )
    if isinstance(codebooks, bool) or not isinstance(codebooks, int) or codebooks < 1:
        raise GridcodeError(f"FSQ: num_codebooks is {codebooks!r}; give a whole number from 1")
    if codebooks > 1 and keep is False:
        raise GridcodeError(
            f"FSQ: num_codebooks={codebooks} gives that many indices a vector; leave keep_num_codebooks_dim=False out"
        )
    if not 0 <= noise_dropout <= 1:
        raise GridcodeError(f"FSQ: noise_dropout is {noise_dropout!r}; give a probability in [0, 1]")
    if noise_dropout and not preserve_symmetry:
        raise GridcodeError(f"FSQ: noise_dropout={noise_dropout} needs preserve_symmetry=True; turn it on")


def _wide(values: Tensor) -> Tensor:
    return values.to(working_dtype(values.dtype))


def _noisy(codes: Tensor, probability: float) -> Tensor:
    """Codes with noise on some components, in [-1, 1]; random numbers are drawn as vector-quantize-pytorch does."""
    chosen = torch.full_like(codes, probability).bernoulli_().bool()
    noise = torch.rand_like(codes) - 0.5
    return torch.where(chosen, codes + noise, codes).clamp(-1.0, 1.0)
