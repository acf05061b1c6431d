"""FSQ's heavy calls as operators of PyTorch's: one name each, whatever computes them.

    gridcode::fsq(latents, levels, form, eps, channel_dim, check_nan) -> (codes, indices)
    gridcode::fsq_backward(upstream, latents, levels, form, eps, channel_dim) -> gradient
    gridcode::fsq_decode(indices, levels, form, eps, channel_dim, dtype) -> codes

``torch.compile`` and ``torch.export`` see them as single nodes. Underneath runs the Triton kernel on a CUDA device
(Triton comes with torch there; float32, bfloat16 and float16), the numba kernel on a CPU (extra ``fast``; float32 and
bfloat16) and the plain reference elsewhere; all give the same indices. The straight-through gradient keeps nothing but
the latents. An ONNX graph has no such operators, and ``torch.func`` cannot transform them: there the reference is
taken, which is made of standard ones. Where nothing traces (no compiler, tracer, dispatch mode or kind of tensor) the
kernels are called without their operators, whose layers take as long as a small call itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gridcode.quantize.fsq.forms import CodeGrid, FormName
from gridcode.quantize.fsq.kernels import reference
from gridcode.quantize.radix import transforming

Kernel = Literal["triton", "numba", "reference"]

_code_grid = lru_cache(maxsize=256)(CodeGrid)


def kernel_for(device: torch.device, dtype: torch.dtype) -> Kernel:
    """What computes FSQ for latents of this device and dtype.

    >>> kernel_for(torch.device("cpu"), torch.float64)
    'reference'
    """
    if device.type == "cpu" and dtype in (torch.float32, torch.bfloat16) and _installed("numba"):
        return "numba"
    if device.type == "cuda" and dtype != torch.float64 and _installed("triton"):
        return "triton"
    return "reference"


def quantize(latents: Tensor, grid: CodeGrid, *, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
    """Codes, with the straight-through gradient, and int64 indices; see ``reference.quantize``.

    Raises:
        GridcodeError: A latent is NaN, with ``check_nan``.
    """
    if _plain():
        codes, indices = reference.quantize(latents, grid, channel_dim=channel_dim, check_nan=False)
        bounded = reference.bounded(latents, grid, channel_dim=channel_dim)
        return codes + (bounded - bounded.detach()), indices
    if _unseen(latents):
        if torch.is_grad_enabled() and latents.requires_grad:
            return _StraightThrough.apply(latents, grid, channel_dim, check_nan)  # type: ignore[no-any-return, no-untyped-call]
        run = _kernel(latents.device, latents.dtype).quantize
        return run(latents, grid, channel_dim=channel_dim, check_nan=check_nan)  # type: ignore[no-any-return]
    out: tuple[Tensor, Tensor] = _fsq(latents, list(grid.levels), grid.form, grid.eps, channel_dim, check_nan)
    return out


def decode(indices: Tensor, grid: CodeGrid, *, channel_dim: int, dtype: torch.dtype) -> Tensor:
    """The codes of int64 indices in [0, K); see ``reference.decode``."""
    if _plain():
        return reference.decode(indices, grid, channel_dim=channel_dim, dtype=dtype)
    if _unseen(indices):
        run = _kernel(indices.device, dtype).decode
        return run(indices, grid, channel_dim=channel_dim, dtype=dtype)  # type: ignore[no-any-return]
    out: Tensor = _fsq_decode(indices, list(grid.levels), grid.form, grid.eps, channel_dim, dtype)
    return out


def _unseen(values: Tensor) -> bool:
    """Whether these are plain tensors that nothing traces, compiles or counts operators of."""
    return (
        type(values) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and not torch._C._len_torch_dispatch_stack()
    )


class _StraightThrough(torch.autograd.Function):
    """``gridcode::fsq`` with its gradient, called directly."""

    @staticmethod
    def forward(ctx: Any, latents: Tensor, grid: CodeGrid, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
        ctx.grid, ctx.channel_dim = grid, channel_dim
        ctx.save_for_backward(latents)
        run = _kernel(latents.device, latents.dtype).quantize
        codes, indices = run(latents, grid, channel_dim=channel_dim, check_nan=check_nan)
        ctx.mark_non_differentiable(indices)
        return codes, indices

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        (latents,) = ctx.saved_tensors
        run = _kernel(latents.device, latents.dtype).gradient
        return run(upstream, latents, ctx.grid, channel_dim=ctx.channel_dim), None, None, None


def _plain() -> bool:
    """Whether only standard operators will do: in an ONNX graph, and under ``vmap`` and ``torch.func``."""
    return torch.onnx.is_in_onnx_export() or transforming()


@lru_cache(maxsize=8)
def _installed(name: str) -> bool:
    return find_spec(name) is not None


def _kernel(device: torch.device, dtype: torch.dtype) -> Any:
    """The module with ``quantize``, ``gradient`` and ``decode``."""
    kernel = kernel_for(device, dtype)
    if kernel == "numba":
        from gridcode.quantize.fsq.kernels import numba_cpu

        return numba_cpu
    if kernel == "triton":
        from gridcode.quantize.fsq.kernels import triton_cuda

        return triton_cuda
    return reference


@torch.library.custom_op("gridcode::fsq", mutates_args=())
def _fsq(
    latents: Tensor, levels: Sequence[int], form: str, eps: float, channel_dim: int, check_nan: bool
) -> tuple[Tensor, Tensor]:
    grid = _named(levels, form, eps)
    run = _kernel(latents.device, latents.dtype).quantize
    codes, indices = run(latents, grid, channel_dim=channel_dim, check_nan=check_nan)
    return codes, indices


@_fsq.register_fake
def _(
    latents: Tensor, levels: Sequence[int], form: str, eps: float, channel_dim: int, check_nan: bool
) -> tuple[Tensor, Tensor]:
    shape = list(latents.shape)
    del shape[channel_dim]
    return torch.empty_like(latents), latents.new_empty(shape, dtype=torch.int64)


@torch.library.custom_op("gridcode::fsq_backward", mutates_args=())
def _fsq_backward(
    upstream: Tensor, latents: Tensor, levels: Sequence[int], form: str, eps: float, channel_dim: int
) -> Tensor:
    run = _kernel(latents.device, latents.dtype).gradient
    change: Tensor = run(upstream, latents, _named(levels, form, eps), channel_dim=channel_dim)
    return change


@_fsq_backward.register_fake
def _(upstream: Tensor, latents: Tensor, levels: Sequence[int], form: str, eps: float, channel_dim: int) -> Tensor:
    return torch.empty_like(latents)


@torch.library.custom_op("gridcode::fsq_decode", mutates_args=())
def _fsq_decode(
    indices: Tensor, levels: Sequence[int], form: str, eps: float, channel_dim: int, dtype: torch.dtype
) -> Tensor:
    run = _kernel(indices.device, dtype).decode
    codes: Tensor = run(indices, _named(levels, form, eps), channel_dim=channel_dim, dtype=dtype)
    return codes


@_fsq_decode.register_fake
def _(indices: Tensor, levels: Sequence[int], form: str, eps: float, channel_dim: int, dtype: torch.dtype) -> Tensor:
    shape = list(indices.shape)
    place = channel_dim % (len(shape) + 1)
    return indices.new_empty([*shape[:place], len(levels), *shape[place:]], dtype=dtype)


def _named(levels: Sequence[int], form: str, eps: float) -> CodeGrid:
    """The codebook that an operator's arguments name; made once."""
    name: FormName = form  # type: ignore[assignment]  # what quantize() passed
    return _code_grid(tuple(levels), name, eps)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    latents, ctx.levels, ctx.form, ctx.eps, ctx.channel_dim, _ = inputs
    ctx.save_for_backward(latents)


def _straight_through(ctx: Any, upstream: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    (latents,) = ctx.saved_tensors
    change = _fsq_backward(upstream, latents, ctx.levels, ctx.form, ctx.eps, ctx.channel_dim)
    return change, None, None, None, None, None


_fsq.register_autograd(_straight_through, setup_context=_keep)
