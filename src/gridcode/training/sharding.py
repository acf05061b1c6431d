"""What differs where each process keeps a share of the model (FSDP): the gradient's norm, and the weights' average.

    a share of the weights ── gathered ──> all ── forward, backward ──> gradients ── summed, scattered ──> a share

Between two steps a process has its share only: the norm is over all shares, and the moving average, of which every
process keeps all, is taken from weights that are gathered for it. Where nothing is sharded both are PyTorch's own.
The model is one unit: during a step it is whole on every process, so what is saved is the optimiser's two moments, and
weights and gradients between steps.

Reference: Zhao et al. 2023 (PyTorch FSDP).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel


def clip_gradients(model: nn.Module, parts: nn.Module, largest: float) -> Tensor:
    """Scale the gradients down to a norm, in place.

    Args:
        model: What ``fabric.setup`` returned.
        parts: The network inside whose weights count.
        largest: The norm; 0 does not clip.

    Returns:
        The norm before, over all processes' shares.

    >>> import torch
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer(torch.full((1, 1), 3.0)).sum().backward()
    >>> clip_gradients(layer, layer, 1.0).item(), round(layer.weight.grad.item(), 3)
    (3.0, 1.0)
    """
    bound = largest or float("inf")
    sharded = _sharded(model)
    return nn.utils.clip_grad_norm_(parts.parameters(), bound) if sharded is None else sharded.clip_grad_norm_(bound)


def whole(model: nn.Module) -> AbstractContextManager[None]:
    """While it is open the network inside ``model`` has all its weights, to be read; every process must open it.

    >>> layer = nn.Linear(2, 3)
    >>> with whole(layer):
    ...     layer.weight.shape
    torch.Size([3, 2])
    """
    sharded = _sharded(model)
    if sharded is None:
        return nullcontext()
    context: AbstractContextManager[None] = FullyShardedDataParallel.summon_full_params(sharded, writeback=False)
    return context


def _sharded(model: nn.Module) -> FullyShardedDataParallel | None:
    """The outermost sharded module in what ``fabric.setup`` returned."""
    return next((part for part in model.modules() if isinstance(part, FullyShardedDataParallel)), None)
