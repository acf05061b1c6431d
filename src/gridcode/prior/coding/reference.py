"""A prior in float64: what encoder and decoder compute probabilities with."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch

from gridcode.nn.attention import grid_turns
from gridcode.prior.base import Prior
from gridcode.prior.trunk import ModernTrunk

P = TypeVar("P", bound=Prior)


def in_float64(prior: P) -> P:
    """A copy of a prior in float64 and in evaluation mode, where its device has that, else on the CPU.

    Its weights are the float32 ones, exactly. The table of rotary positions is computed anew: in float32 its sines may
    differ in the last bit from machine to machine.

    >>> from gridcode.prior import MaskGIT, MaskGITConfig, TokenSpace
    >>> space = TokenSpace(40, (2, 2), classes=(), tokenizer="", data={})
    >>> prior = in_float64(MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32, style="modern"), space))
    >>> {parameter.dtype for parameter in prior.parameters()}
    {torch.float64}
    """
    device = torch.device("cpu") if prior.device.type == "mps" else prior.device
    found = deepcopy(prior).to(device).double().eval().requires_grad_(False)
    if isinstance(found.trunk, ModernTrunk):
        width = 2 * found.trunk.turns.shape[-1]
        found.trunk.turns = grid_turns(found.space.grid, width, axes=found.space.axes, dtype=torch.float64).to(device)
    return found
