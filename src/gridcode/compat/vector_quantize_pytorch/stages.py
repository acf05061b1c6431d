"""What residual stages are set up with: which arguments go together, the soft clamp, the number of stages kept.

Reference: vector-quantize-pytorch 1.32, ``residual_fsq``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridcode.errors import GridcodeError

_STAGE_ARGUMENTS = frozenset(
    ["scale", "allowed_dtypes", "projection_has_bias", "force_quantization_f32", "noise_dropout", "orthogonal_rotation"]
)
"""What ``FSQ`` takes that a stage may have; layout, codebooks and form are fixed by the loop."""


def check_stages(kwargs: dict[str, Any], stages: int, *, cutoff: int, multiple: int) -> None:
    """Refuse what the loop cannot do.

    Raises:
        GridcodeError: An argument of ``FSQ`` is none of a stage's, or a number is out of its range.
    """
    if refused := sorted(set(kwargs) - _STAGE_ARGUMENTS):
        raise GridcodeError(
            f"ResidualFSQ: its stages take no {', '.join(refused)}: they are symmetric, channels last, with one index "
            "a vector; leave that out"
        )
    if isinstance(stages, bool) or not isinstance(stages, int) or stages < 1:
        raise GridcodeError(f"ResidualFSQ: num_quantizers is {stages!r}; give a whole number from 1")
    if not 0 <= cutoff < stages:
        raise GridcodeError(f"ResidualFSQ: quantize_dropout_cutoff_index is {cutoff}; give one in [0, {stages})")
    if multiple < 1:
        raise GridcodeError(f"ResidualFSQ: quantize_dropout_multiple_of is {multiple}; give a whole number from 1")


def soft_clamp(
    levels: Sequence[int], given: float | Sequence[float] | Tensor | None, *, hard: bool
) -> float | list[float] | None:
    """The soft clamp c as numbers of float32: as given, or 1 + 1/(L - 1) for hard-clamped stages.

    Raises:
        GridcodeError: It is given for hard-clamped stages, not above 0, or of another shape.

    >>> soft_clamp([5, 3], None, hard=True), soft_clamp([5, 3], 2.0, hard=False)
    ([1.25, 1.5], 2.0)
    """
    if hard:
        if given is not None:
            raise GridcodeError(
                "ResidualFSQ: soft_clamp_input_value is fixed by bound_hard_clamp=True; leave one of them out"
            )
        one = np.float32(1)
        return [float(one + one / np.float32(level - 1)) for level in levels]
    if given is None:
        return None
    values = torch.as_tensor(given, dtype=torch.float32, device="cpu")
    if values.shape not in ((), (1,), (len(levels),)) or not (values > 0).all():
        raise GridcodeError(
            f"ResidualFSQ: soft_clamp_input_value is {given!r}; give a number above 0, or one for each of the "
            f"{len(levels)} levels"
        )
    clamp: float | list[float] = values.tolist()
    return clamp


def draw_kept(stages: int, *, cutoff: int, multiple: int, seed: int) -> int:
    """How many of the stages a step keeps, ``cutoff`` + 1 … ``stages``, rounded up to a multiple where there is one.

    >>> [draw_kept(4, cutoff=1, multiple=2, seed=seed) for seed in range(6)]
    [4, 2, 2, 2, 2, 4]
    """
    kept = random.Random(seed).randrange(cutoff, stages) + 1
    return min(-(-kept // multiple) * multiple, stages)


def shared_seed(device: torch.device) -> int:
    """A random number that all processes of ``torch.distributed`` share."""
    seed = torch.randint(0, 10_000, (), device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(seed)
    return int(seed)
