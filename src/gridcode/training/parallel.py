"""A training step that does not fit, or that many devices share: parts of a batch, recomputation, compilation, FSDP.

    batch of a process ──> part 1 ─ forward, backward ─┐
                           part 2 ─ forward, backward ─┤ gradients add up; processes meet at the last part only
                           …                           ┘

The gradient of a mean over the batch is the mean of its parts' gradients, weighted by their sizes, so a run in parts
has the losses of a run in one, up to rounding (dropout draws other numbers).

Not so what is no mean over examples: an entropy loss (of ``maskgit``'s VQ, LFQ and BSQ) is each part's own, and a
codebook that moves by statistics (``uvim``'s VQ) takes a step at each part.

Where each process keeps a share of the model (FSDP), the gradient's norm and the weights' average differ:

    a share of the weights ── gathered ──> all ── forward, backward ──> gradients ── summed, scattered ──> a share

Between two steps a process has its share only: the norm is over all shares, and the moving average, of which every
process keeps all, is taken from weights that are gathered for it. Where nothing is sharded both are PyTorch's own.
The model is one unit: during a step it is whole on every process, so what is saved is the optimiser's two moments, and
weights and gradients between steps.

Reference: Zhao et al. 2023 (PyTorch FSDP).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.utils.checkpoint import checkpoint

from gridcode.training.config import LoopConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule


def in_parts(
    fabric: Fabric, model: _FabricModule, batch: tuple[Tensor, ...], *, count: int
) -> Iterator[tuple[tuple[Tensor, ...], float]]:
    """The parts of a process's batch, each with its share of it; run backward on share · loss inside the loop.

    Args:
        fabric: The processes; gradients are exchanged in the last part's backward pass only.
        model: What ``fabric.setup`` returned.
        batch: Tensors of equal length B.
        count: Parts, at least 1; with fewer than that many examples there is one part for each.

    Yields:
        The tensors' part, and its share of the examples; the shares add up to 1.

    >>> import torch
    >>> from gridcode.training.config import LoopConfig
    >>> from gridcode.training.fabric import make_fabric
    >>> fabric = make_fabric(LoopConfig(accelerator="cpu"))
    >>> model = fabric.setup(nn.Linear(1, 1))
    >>> [(len(part), share) for (part,), share in in_parts(fabric, model, (torch.zeros(4, 1),), count=2)]
    [(2, 0.5), (2, 0.5)]
    """
    total = len(batch[0])
    parts = list(zip(*(tensor.tensor_split(min(count, total)) for tensor in batch), strict=True))
    for number, part in enumerate(parts, 1):
        with fabric.no_backward_sync(model, enabled=number < len(parts) and fabric.world_size > 1):
            yield part, len(part[0]) / total


def adapt(model: nn.Module, loop: LoopConfig, *, blocks: Iterable[nn.Module]) -> None:
    """Make a model recompute its blocks, and compile it, where the settings say so; in place, before ``fabric.setup``.

    Names in the state dict stay. Copies of the model (its moving average) are to be made before.

    Args:
        model: What is trained.
        loop: ``recompute`` and ``compile``.
        blocks: The parts of ``model`` between which activations are kept.
    """
    if loop.recompute:
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if loop.compile:
        model.compile()


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
    """The sharded module in what ``fabric.setup`` returned, which wraps the whole of it."""
    inside = getattr(model, "_forward_module", model)
    return inside if isinstance(inside, FullyShardedDataParallel) else None
