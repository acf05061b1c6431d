r"""Which codes a training step drops: of each example a random share, from none to all.

    u ~ U(0, 1);  floor(u (n + 1)) of the n codes, drawn without replacement, are dropped

so every number from 0 to n is equally likely. The decoder gets a learned null in their place. It then works from any
part of the codes, and its first steps do not hang on codes that mean nothing yet.

Reference: Kolesnikov et al., UViM, 2022, section 3 and published code (``code_dropout = "random"``).
Differs from paper: UViM zeroes dropped codes. With odd levels zero is a valid FSQ code, so the null is one of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.training.seeding import generator


def draw_dropped(count: int, grid: tuple[int, int], *, seed: int, step: int, rank: int = 0, world: int = 1) -> Tensor:
    """The dropped codes of one process's examples of a step.

    An example's draw depends on the seed, the step and its place in the whole batch, not on the number of processes.

    Args:
        count: Examples of this process; each process has as many.
        grid: Rows and columns of codes.
        seed: The run's.
        step: The step's number.
        rank: Which process.
        world: Number of processes.

    Returns:
        bool, (count, rows, columns), on the CPU.

    >>> draw_dropped(2, (1, 3), seed=0, step=5).shape
    torch.Size([2, 1, 3])
    """
    n = grid[0] * grid[1]
    draws = torch.rand(world * count, n + 1, generator=generator(seed, "code dropout", step), dtype=torch.float64)
    own = draws[rank * count : (rank + 1) * count]
    number = (own[:, :1] * (n + 1)).floor()
    # The place of each code in the order of its draws: below ``number`` with chance number / n.
    place = own[:, 1:].argsort(dim=1).argsort(dim=1)
    return (place < number).view(-1, *grid)
