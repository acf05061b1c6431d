r"""What the tokens of an example cost under a prior: bits per token, by a fixed order of uncovering (M2T's).

Each of S groups is predicted in parallel from the groups before it:

    bits = -Σ_s Σ_{i in group s} log2 p(token_i | groups before s, class) / N

Probabilities are unsmoothed and over the K codes only; "uniform" is log2 K. After x of S steps the number of uncovered
tokens is N (x / S)^alpha, rounded, at least one new token a step; N = 256 with S = 12, alpha = 2.2 gives groups of
1 4 7 11 14 19 22 27 31 35 40 45. Places are uncovered in the order in which Roberts' quasi-random sequence visits them,
so that each group lies evenly over the grid:

    point_n = (1/2 + n / g, 1/2 + n / g²) mod 1          g = 1.3247…, the root of g³ = g + 1
    of three axes: n / g, n / g², n / g³                 g = 1.2207…, the root of g⁴ = g + 1

A prior that is trained with a floor on the share of masked tokens (``MaskingConfig.min_masked``) never saw grids as
complete as those of the last steps; so the bits are given by step too.

Reference: FSQ paper, section 5.1 ("compression cost"); Mentzer et al., "M2T", 2023 (arXiv 2304.07313), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.store.reader import TokenTable
from gridcode.training.fabric import fast_autocast
from gridcode.training.seeding import fixed_sample

if TYPE_CHECKING:
    from gridcode.prior.base import Prior

STEPS, ALPHA = 12, 2.2
"""M2T's main setting."""

_G = {2: 1.324717957244746, 3: 1.2207440846057596}


@dataclass(frozen=True)
class TokenBits:
    """What tokens cost.

    Attributes:
        per_token: Bits per token, over all tokens.
        by_step: Bits per token of each group, in the order of uncovering.
        groups: Tokens in each group.
        examples: How many examples were measured.
    """

    per_token: float
    by_step: tuple[float, ...]
    groups: tuple[int, ...]
    examples: int


def group_sizes(length: int, *, steps: int = STEPS, alpha: float = ALPHA) -> tuple[int, ...]:
    """How many tokens each step uncovers; at least one, so short grids take fewer steps.

    Args:
        length: Tokens, N, at least 1.
        steps: Steps, S, at most.
        alpha: Exponent; 1 uncovers evenly, more uncovers few tokens first.

    >>> group_sizes(256)
    (1, 4, 7, 11, 14, 19, 22, 27, 31, 35, 40, 45)
    >>> group_sizes(4)
    (1, 1, 1, 1)
    """
    if length < 1 or steps < 1 or not alpha > 0:
        raise GridcodeError(f"uncovering needs tokens, steps and alpha above 0, got {length}, {steps} and {alpha}")
    S, sizes, done = min(steps, length), [], 0
    for x in range(1, S + 1):
        # One token a step at least, and one left for every later step.
        until = min(max(round(length * (x / S) ** alpha), done + 1), length - (S - x))
        sizes.append(until - done)
        done = until
    return tuple(sizes)


def uncovering_order(grid: tuple[int, ...], *, axes: int = 2) -> Tensor:
    """The order of a grid's tokens: places by Roberts' sequence, the q tokens of a place one after another.

    Args:
        grid: (h, w), or (h, w, q); (t, h, w) where it has three axes.
        axes: Sides of the grid that are places.

    Returns:
        (N,) int64, a permutation of the flattened positions.

    >>> uncovering_order((2, 2)).tolist()
    [3, 0, 2, 1]
    """
    sides, q = grid[:axes], math.prod(grid[axes:])
    seen: dict[int, None] = {}
    n = 0
    while len(seen) < math.prod(sides):
        place = 0
        for number, side in enumerate(sides):
            place = place * side + int((0.5 + n / _G[axes] ** (axes - number)) % 1.0 * side)
        seen.setdefault(place)
        n += 1
    places = torch.tensor(list(seen))
    return (places[:, None] * q + torch.arange(q)).flatten()


@torch.inference_mode()
def measure_bits(
    prior: Prior, table: TokenTable, *, batch_size: int = 100, limit: int | None = None, steps: int = STEPS
) -> TokenBits:
    """Bits per token of examples, given their classes, in the prior's own order of uncovering.

    Args:
        prior: In evaluation mode.
        table: The tokens; examples without a class are measured without one.
        batch_size: Examples at a time.
        limit: Examples at most, from all over the table.
        steps: Steps, S.

    Raises:
        GridcodeError: The table is empty.
    """
    rows = len(table.tokens)
    if not rows:
        raise GridcodeError("bits per token: the table has no examples; give a split that has some")
    groups = prior.groups(steps)
    sizes = tuple(len(group) for group in groups)
    chosen = torch.from_numpy(fixed_sample(rows, min(rows, limit or rows)))
    nats = torch.zeros(len(groups), dtype=torch.float64)
    for part in torch.split(chosen, batch_size):
        tokens, labels = table.tokens[part].to(prior.device).long(), table.labels[part].to(prior.device)
        with fast_autocast(prior.device):
            found = prior.log_probs(tokens, labels, steps=steps).cpu().double()
        nats -= torch.stack([found[:, group].sum() for group in groups])
    bits = nats / math.log(2) / len(chosen)
    return TokenBits(
        per_token=float(bits.sum()) / prior.space.length,
        by_step=tuple((bits / torch.tensor(sizes)).tolist()),
        groups=sizes,
        examples=len(chosen),
    )
