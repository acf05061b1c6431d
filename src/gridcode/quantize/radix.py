"""Mixed radix: digits to an index and back, exactly.

With levels L, digits g_i in [0, L_i) and the first digit counting fastest (A.1),

    index = g_1 + L_1 (g_2 + L_2 (g_3 + …))            Horner's rule, in int64

so no basis is stored and no codebook is laid out, and the largest codebook of 2^63 codes still fits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gridcode.errors import GridcodeError


def join_digits(digits: Tensor, levels: Sequence[int], dim: int = -1) -> Tensor:
    """The indices of digits.

    Args:
        digits: Whole numbers in [0, L_i), integer or floating, with d entries along ``dim``.
        levels: [L_1 … L_d].
        dim: The dimension that holds the digits.

    Returns:
        int64 indices, the shape of ``digits`` without ``dim``.

    >>> join_digits(torch.tensor([7, 4]), [8, 5])
    tensor(39)
    """
    *faster, slowest = digits.unbind(dim)
    indices = slowest.to(torch.int64)
    for level, digit in zip(reversed(levels[:-1]), reversed(faster), strict=True):
        indices = indices * level + digit.to(torch.int64)
    return indices


def split_indices(indices: Tensor, levels: Sequence[int]) -> tuple[Tensor, ...]:
    """The d digits of each index, the fastest first.

    Args:
        indices: int64 in [0, K), any shape.
        levels: [L_1 … L_d].

    Returns:
        d tensors of int64 digits in [0, L_i), each of the shape of ``indices``.

    >>> split_indices(torch.tensor(39), [8, 5])
    (tensor(7), tensor(4))
    """
    digits = []
    for level in levels:
        digits.append(torch.remainder(indices, level))
        indices = torch.div(indices, level, rounding_mode="floor")
    return tuple(digits)


def check_indices(indices: Tensor, levels: Sequence[int], size: int) -> Tensor:
    """Indices as int64, or an error.

    Args:
        indices: Integers, any shape.
        levels: [L_1 … L_d], named in the error.
        size: K; indices lie in [0, K).

    Returns:
        The same indices in int64.

    Raises:
        GridcodeError: They are not integers, or one is outside [0, K); the latter is not seen in traced code.

    >>> check_indices(torch.tensor([0, 40]), [8, 5], 40)
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: saw index 40, but indices of levels [8, 5] lie in [0, 40); ...
    """
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise GridcodeError(f"indices are {indices.dtype}; give integers such as torch.int64")
    indices = indices.to(torch.int64)
    if indices.numel() == 0 or not values_visible(indices):
        return indices
    low, high = torch.stack(torch.aminmax(indices)).tolist()  # a GPU is waited for once
    if low < 0 or high >= size:
        raise GridcodeError(
            f"saw index {low if low < 0 else high}, but indices of levels {list(levels)} lie in [0, {size}); "
            "use the levels they were made with, and leave mask tokens out"
        )
    return indices


def values_visible(values: Tensor) -> bool:
    """Whether Python may branch on values: not while code is traced, nor on the meta device.

    >>> values_visible(torch.zeros(1)), values_visible(torch.zeros(1, device="meta"))
    (True, False)
    """
    if torch.compiler.is_compiling() or values.is_meta or transforming():
        return False
    return not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def transforming() -> bool:
    """Whether ``vmap``, ``torch.func.grad`` or another transform of functions is at work."""
    if torch.compiler.is_compiling():
        return False
    active: bool = torch._C._are_functorch_transforms_active()
    return active
