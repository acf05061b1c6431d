"""Parallel decoding: fill a masked grid in a dozen steps. The loop that all samplers share.

    grid with masks ──> model: a distribution for every masked token ──> draw all of them
          ^                                                                    │
          └── hide all but some again  <── sampler: which ones? ───────────────┘       the last step keeps what it drew

How many stay hidden after step t of T is the cosine schedule's (``schedule.py``) for every sampler; a sampler is one
method that says which.

Reference: Chang et al., "MaskGIT", 2022, section 3.2, and its published sampler.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.schedule import still_masked

TokenModel = Callable[[Tensor, Tensor, float], TokenDistribution]
"""``(tokens, positions, guidance) -> TokenDistribution``: tokens (B, N) int64 with masked ones, positions (B, N) bool
of M True entries, guidance a scale of which 0 is none; the answer is about those M tokens, in row-major order."""


@dataclass(frozen=True)
class Draw:
    """What one step drew, before some of it is hidden again.

    Attributes:
        step: t, from 0; never the last one.
        masked: (B, N) bool, True where a token was drawn in this step.
        wanted: (B, N) bool, True where a token was masked at the very start: only these may be hidden.
        left: (B,) int64, how many tokens of each example are to be masked afterwards.
        log_prob: (M,) float32, of the drawn tokens in row-major order.
        noise: Of B rows, for what this step hides.
    """

    step: int
    masked: Tensor
    wanted: Tensor
    left: Tensor
    log_prob: Tensor
    noise: Noise


class Sampler(ABC):
    """Decides which tokens a step hides again.

    Args:
        config: Steps, temperatures and the sampler's own settings.
    """

    def __init__(self, config: SamplerConfig) -> None:
        self.config = config

    @abstractmethod
    def hide(self, draw: Draw) -> Tensor:
        """The tokens to hide after a step: (B, N) bool, ``draw.left`` of each row, all within ``draw.wanted``."""

    def prepare(self, tokens: Tensor, noise: Noise) -> None:  # noqa: B027 (most have nothing to prepare)
        """Called before the first step with the grids (B, N); draws what is random once for each example."""

    @torch.no_grad()
    def fill(
        self, model: TokenModel, tokens: Tensor, *, mask: int, guidance: float, noise: Noise, start: int = 0
    ) -> Tensor:
        """Replace every masked token; what :func:`gridcode.prior.samplers.fill.fill_masked` calls, and documents."""
        config, tokens = self.config, tokens.clone()
        wanted = tokens == mask
        at_start = wanted.sum(1)
        self.prepare(tokens, noise.fold(0))
        for step in range(start, config.steps):
            masked = tokens == mask
            unknown = masked.sum(1)
            if not int(unknown.sum()):
                break
            distribution = model(tokens, masked, config.guidance_at(step, guidance))
            # 0 was what the sampler prepared; then two for each step.
            drawn, log_prob = distribution.sample_with_log_prob(
                temperature=config.temperature_at(step),
                noise=noise.fold(2 * step + 1).spread(masked.shape[1])[masked],
                top_k=config.top_k,
                top_p=config.top_p,
            )
            tokens[masked] = drawn
            if step + 1 == config.steps:
                break
            left = still_masked(at_start, unknown, step=step, steps=config.steps)
            draw = Draw(step, masked, wanted, left, log_prob, noise.fold(2 * step + 2))
            tokens[self.hide(draw)] = mask
        return tokens


def lowest(scores: Tensor, count: Tensor, *, among: Tensor) -> Tensor:
    """The ``count`` (B,) entries of each row with the lowest scores (B, N), of those ``among`` (B, N) bool; of equal
    ones the first.

    >>> lowest(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([1]), among=torch.tensor([[True, False, True]]))
    tensor([[False, False,  True]])
    """
    rank = scores.masked_fill(~among, torch.inf).argsort(dim=1, stable=True).argsort(1)
    return (rank < count[:, None]) & among
