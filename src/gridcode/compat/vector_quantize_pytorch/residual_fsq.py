"""``ResidualFSQ`` as vector-quantize-pytorch has it: a loop of hard-clamped FSQ stages, each finer by the levels.

With latents x after ``project_in``, levels L, c = 1 + 1/(L - 1) and stages k = 0 … q-1, for each channel

    r_0     = c tanh(x / c)
    code_k  = stage(L^k r_k) · L^-k          the symmetric grid, hard-clamped (``clamped.py``)
    r_{k+1} = r_k - code_k                   (no gradient through code_k)
    out     = Σ_k code_k

The straight-through gradients of the stages add up, so that the encoder gets up to q times the gradient of one
quantizer: what an existing training was tuned for. ``gridcode.quantize.ResidualFSQ`` has it once, and finds all digits
in one pass, by thresholds; its early stages give the same indices. The loop stays here, since only the same operations
give an old checkpoint the same late stages (``clamped.py``), and since it has no limit on L^q.

Reference: Zeghidour et al. 2021, arXiv 2107.03312, algorithm 1; vector-quantize-pytorch 1.32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from gridcode.compat.vector_quantize_pytorch.finite_scalar_quantization import FSQ, check_latents
from gridcode.compat.vector_quantize_pytorch.stages import check_stages, draw_kept, shared_seed, soft_clamp
from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.levels import check_levels
from gridcode.quantize.latents import NaNPolicy, wide_latents
from gridcode.quantize.radix import check_indices


@final
class ResidualFSQ(nn.Module):
    """Residual FSQ with the interface of vector-quantize-pytorch 1.32.

    Args:
        levels: [L_1 … L_d] of every stage.
        num_quantizers: q, the number of stages.
        dim: Channels of the latents; where they are not d, linear layers come before and after.
        is_channel_first: The channels, and the stages of indices, are dimension 1; else the last one.
        quantize_dropout: In training with gradients, keep a random number of stages, the same for the whole batch; the
            others have index -1 and add nothing.
        quantize_dropout_cutoff_index: The stages up to this one, counted from 0, are always kept.
        quantize_dropout_multiple_of: The number of stages kept is rounded up to a multiple of this.
        soft_clamp_input_value: c, one for all channels or one each; only with ``bound_hard_clamp=False``, where none
            means no clamp.
        bound_hard_clamp: Stages clamp to [-1, 1]; where False they have tanh (the form "symmetric").
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0. Not in vector-quantize-pytorch.
        **kwargs: Of each stage, as ``FSQ`` takes them: ``allowed_dtypes``, ``force_quantization_f32``,
            ``noise_dropout``, ``orthogonal_rotation``; ``scale`` and ``projection_has_bias`` have no effect.

    Attributes:
        layers: The q stages.
        codebook_size: K, the product of the levels.

    Raises:
        GridcodeError: The settings lie outside these ranges, or do not go together.

    >>> quantizer = ResidualFSQ(levels=[5, 3], num_quantizers=2)
    >>> quantized, indices = quantizer(torch.tensor([[[0.3, -0.6]]]))
    >>> quantized, indices
    (tensor([[[ 0.3000, -0.6667]]]), tensor([[[ 3, 10]]], dtype=torch.int32))
    >>> torch.equal(quantizer.get_output_from_indices(indices), quantized)
    True
    """

    _place: Tensor

    def __init__(
        self,
        *,
        levels: Sequence[int],
        num_quantizers: int,
        dim: int | None = None,
        is_channel_first: bool = False,
        quantize_dropout: bool = False,
        quantize_dropout_cutoff_index: int = 0,
        quantize_dropout_multiple_of: int = 1,
        soft_clamp_input_value: float | Sequence[float] | Tensor | None = None,
        bound_hard_clamp: bool = True,
        nan: NaNPolicy = "error",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        check_stages(
            kwargs, num_quantizers, cutoff=quantize_dropout_cutoff_index, multiple=quantize_dropout_multiple_of
        )
        self.levels = list(check_levels(levels))
        self.num_quantizers = num_quantizers
        self.is_channel_first = is_channel_first
        self.quantize_dropout = quantize_dropout and num_quantizers > 1
        self.quantize_dropout_cutoff_index = quantize_dropout_cutoff_index
        self.quantize_dropout_multiple_of = quantize_dropout_multiple_of
        self.nan = nan
        self._clamp = soft_clamp(self.levels, soft_clamp_input_value, hard=bound_hard_clamp)
        # Weights are drawn in the order of vector-quantize-pytorch: projections, then the stages' rotations.
        channels = len(self.levels)
        self.dim = channels if dim is None else dim
        self.has_projections = self.dim != channels
        self.project_in: nn.Module = nn.Linear(self.dim, channels) if self.has_projections else nn.Identity()
        self.project_out: nn.Module = nn.Linear(channels, self.dim) if self.has_projections else nn.Identity()
        stage = {**kwargs, "preserve_symmetry": True, "bound_hard_clamp": bound_hard_clamp, "nan": nan}
        self.layers = nn.ModuleList(FSQ(self.levels, **stage) for _ in range(num_quantizers))
        self.codebook_size = self._stages[0].codebook_size
        # Its device and dtype are those of the module; its value, which to_empty would lose, means nothing.
        self.register_buffer("_place", torch.zeros(()), persistent=False)

    @property
    def codebooks(self) -> Tensor:
        """The codes of each stage before they are scaled, (q, K, d); made on each call.

        Raises:
            GridcodeError: One stage's would take over 4 GiB.
        """
        codebook: Tensor = self._stages[0].implicit_codebook
        return codebook.expand(self.num_quantizers, -1, -1)

    @property
    def scales(self) -> Tensor:
        """L^-k of every stage, (q, d), float32."""
        levels = torch.tensor(self.levels, dtype=torch.float32, device="cpu")
        powers = [levels**-stage for stage in range(self.num_quantizers)]
        return torch.stack(powers).to(self._place.device)

    @property
    def soft_clamp_input_value(self) -> Tensor | None:
        """The soft clamp c, (d,) or a scalar, float32; or None."""
        return None if self._clamp is None else torch.tensor(self._clamp, device=self._place.device)

    def forward(
        self, x: Tensor, return_all_codes: bool = False, rand_quantize_dropout_fixed_seed: int | None = None
    ) -> tuple[Tensor, ...]:
        """Quantize latents.

        Args:
            x: Floats, (..., dim); (b, dim, ...) with ``is_channel_first``.
            return_all_codes: Return the codes of each stage as well.
            rand_quantize_dropout_fixed_seed: What draws the number of stages to keep, in place of PyTorch's seed.

        Returns:
            Quantized latents in the shape of ``x``, in float32 where ``x`` has less and the module has not; indices
            in [0, K), or -1 for a dropped stage, (..., q) or (b, q, ...), int32, or int64 where some are dropped or
            K > 2^31; then, on request, what ``get_codes_from_indices`` gives.

        Raises:
            GridcodeError: They are not floats, the channels are not ``dim``, or one is NaN.
        """
        axis = 1 if self.is_channel_first else -1
        check_latents("ResidualFSQ", x, self.dim, axis)
        dtype = torch.promote_types(x.dtype, self._place.dtype)
        z: Tensor = self.project_in(x.movedim(axis, -1))
        kept = self._stages_kept(x.device, rand_quantize_dropout_fixed_seed)
        quantized, indices = self._quantize(self._softly_clamped(wide_latents("ResidualFSQ", z, self.nan)), kept)
        out = self._projected_out(quantized, dtype).movedim(-1, axis)
        indices = indices.movedim(-1, axis)
        if not return_all_codes:
            return out, indices
        return out, indices, self.get_codes_from_indices(indices)

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The scaled codes of each stage, to be added up and given to ``project_out``.

        Args:
            indices: Integers in [0, K), or -1 for a dropped stage, as ``forward`` gives them: (..., k), or (b, k, ...)
                with ``is_channel_first``. The first k of q stages are enough.

        Returns:
            (q, ..., d), float32, channels last in any case; 0 for the stages dropped or left out.

        Raises:
            GridcodeError: They are not such integers.
        """
        axis = 1 if self.is_channel_first else -1
        given = indices.shape[axis] if indices.ndim > max(axis, 0) else 0
        if not 1 <= given <= self.num_quantizers:
            raise GridcodeError(
                f"ResidualFSQ: indices of shape {tuple(indices.shape)} have {given} stages in dimension {axis}, it "
                f"needs 1 to {self.num_quantizers}; give them as forward returned them"
            )
        codes = []
        for stage, scale, index in zip(self._stages, self.scales, indices.unbind(axis), strict=False):
            dropped = index == -1
            checked = check_indices(index.masked_fill(dropped, 0), self.levels, self.codebook_size)
            codes.append((stage.decode(checked) * scale).masked_fill(dropped[..., None], 0.0))
        codes += [torch.zeros_like(codes[0])] * (self.num_quantizers - given)
        return torch.stack(codes)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What ``forward`` returned beside these indices: (..., dim), or (b, dim, ...) with ``is_channel_first``.

        Raises:
            GridcodeError: They are not such integers as ``get_codes_from_indices`` takes.
        """
        first, *finer = self.get_codes_from_indices(indices).unbind()
        for codes in finer:  # in the order of forward, so that the last bit is the same
            first = first + codes
        return self._projected_out(first, self._place.dtype).movedim(-1, 1 if self.is_channel_first else -1)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{self.levels}, num_quantizers={self.num_quantizers}, dim={self.dim}"

    @property
    def _stages(self) -> tuple[FSQ, ...]:
        return tuple(cast("FSQ", stage) for stage in self.layers)

    def _quantize(self, x: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """The loop of the module: (..., d) -> quantized (..., d) and indices (..., q)."""
        # A stage sees one long sequence, for which it cannot mistake the layout.
        residual = x.reshape(1, -1, x.shape[-1])
        quantized: Tensor | None = None
        all_indices = []
        for stage, scale in zip(self._stages[:kept], self.scales, strict=False):
            codes, indices = stage(residual / scale)
            codes = codes * scale
            residual = residual - codes.detach()
            quantized = codes if quantized is None else quantized + codes
            all_indices.append(indices)
        if kept < self.num_quantizers:
            dropped = torch.full_like(all_indices[0], -1, dtype=torch.int64)
            all_indices = [indices.to(torch.int64) for indices in all_indices]
            all_indices += [dropped] * (self.num_quantizers - kept)
        stacked = torch.stack(all_indices, dim=-1)
        assert quantized is not None  # at least one stage is kept
        return quantized.view(x.shape), stacked.view(*x.shape[:-1], self.num_quantizers)

    def _softly_clamped(self, x: Tensor) -> Tensor:
        clamp = self.soft_clamp_input_value
        return x if clamp is None else (x / clamp).tanh() * clamp

    def _stages_kept(self, device: torch.device, seed: int | None) -> int:
        """How many stages this step keeps, 1 … q; random numbers are drawn as vector-quantize-pytorch does."""
        stages = self.num_quantizers
        if not (self.training and self.quantize_dropout and torch.is_grad_enabled()):
            return stages
        return draw_kept(
            stages,
            cutoff=self.quantize_dropout_cutoff_index,
            multiple=self.quantize_dropout_multiple_of,
            seed=shared_seed(device) if seed is None else seed,
        )

    def _projected_out(self, quantized: Tensor, dtype: torch.dtype) -> Tensor:
        if isinstance(self.project_out, nn.Linear):
            dtype = self.project_out.weight.dtype
        out: Tensor = self.project_out(quantized.to(dtype))
        return out


@final
class GroupedResidualFSQ(nn.Module):
    """Several ``ResidualFSQ`` side by side, with the interface of vector-quantize-pytorch 1.32.

    Args:
        dim: Channels of the latents, a multiple of ``groups``.
        groups: g, how many parts they are split into.
        accept_image_fmap: The channels are dimension 1.
        **kwargs: What each ``ResidualFSQ`` takes.

    Attributes:
        rvqs: The g quantizers.
        codebook_size: K of one stage.

    Raises:
        GridcodeError: The settings lie outside these ranges, or do not go together.

    >>> quantizer = GroupedResidualFSQ(dim=4, groups=2, levels=[5, 3], num_quantizers=3)
    >>> quantized, indices = quantizer(torch.zeros(1, 7, 4))
    >>> quantized.shape, indices.shape
    (torch.Size([1, 7, 4]), torch.Size([2, 1, 7, 3]))
    """

    def __init__(self, *, dim: int, groups: int = 1, accept_image_fmap: bool = False, **kwargs: Any) -> None:
        super().__init__()
        if groups < 1 or dim % groups:
            raise GridcodeError(f"GroupedResidualFSQ: dim={dim} is no multiple of groups={groups}; change one of them")
        if kwargs.setdefault("is_channel_first", accept_image_fmap) != accept_image_fmap:
            raise GridcodeError(
                f"GroupedResidualFSQ: is_channel_first={kwargs['is_channel_first']} and accept_image_fmap="
                f"{accept_image_fmap} name two places for the channels; leave is_channel_first out"
            )
        self.dim, self.groups, self.accept_image_fmap = dim, groups, accept_image_fmap
        self.rvqs = nn.ModuleList(ResidualFSQ(dim=dim // groups, **kwargs) for _ in range(groups))
        self.codebook_size = self._parts[0].codebook_size

    @property
    def codebooks(self) -> Tensor:
        """``ResidualFSQ.codebooks`` of each group, (g, q, K, d); made on each call."""
        return torch.stack([part.codebooks for part in self._parts])

    @property
    def split_dim(self) -> int:
        """The dimension of the channels, 1 or -1."""
        return 1 if self.accept_image_fmap else -1

    def forward(self, x: Tensor, return_all_codes: bool = False) -> tuple[Any, ...]:
        """Quantize latents.

        Args:
            x: Floats, (..., dim); (b, dim, ...) with ``accept_image_fmap``.
            return_all_codes: Return the codes of each stage as well.

        Returns:
            Quantized latents in the shape of ``x``; indices (g, ..., q) or (g, b, q, ...); then, on request, a tuple
            of the codes (q, ..., d) of each group. All groups drop the same stages.

        Raises:
            GridcodeError: They are not floats, the channels are not ``dim``, or one is NaN.
        """
        check_latents("GroupedResidualFSQ", x, self.dim, self.split_dim)
        seed = shared_seed(x.device) if self.training else None
        chunks = x.chunk(self.groups, dim=self.split_dim)
        parts = [part(chunk, return_all_codes, seed) for part, chunk in zip(self._parts, chunks, strict=True)]
        quantized, indices, *codes = zip(*parts, strict=True)
        return torch.cat(quantized, dim=self.split_dim), torch.stack(indices), *codes

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The scaled codes of each group's stages, (g, q, ..., d), of indices as ``forward`` gives them."""
        return torch.stack([part.get_codes_from_indices(own) for part, own in self._with_own(indices)])

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What ``forward`` returned beside these indices."""
        outputs = [part.get_output_from_indices(own) for part, own in self._with_own(indices)]
        return torch.cat(outputs, dim=self.split_dim)

    @property
    def _parts(self) -> tuple[ResidualFSQ, ...]:
        return tuple(cast("ResidualFSQ", part) for part in self.rvqs)

    def _with_own(self, indices: Tensor) -> list[tuple[ResidualFSQ, Tensor]]:
        if indices.ndim < 2 or len(indices) != self.groups:
            raise GridcodeError(
                f"GroupedResidualFSQ: indices of shape {tuple(indices.shape)} are not those of {self.groups} groups; "
                "give them as forward returned them"
            )
        return list(zip(self._parts, indices.unbind(), strict=True))
