"""MaskGIT's parallel decoding: fill a masked grid in a dozen steps, the surest tokens first.

Each step asks the model about every masked position at once, draws tokens, and hides the least confident
again:

    confidence = log p(token) + choice_temperature (1 - (t + 1)/T) Gumbel noise;  known tokens: infinite

The last step keeps what it drew.

Reference: Chang et al., "MaskGIT", 2022, section 3.2, and its published sampler.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gridcode.prior.config import SamplerConfig
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.schedule import still_masked

TokenModel = Callable[[Tensor, Tensor], TokenDistribution]
"""``(tokens, positions) -> TokenDistribution``: tokens (B, N) int64 with masked ones, positions (B, N) bool
of M True entries; the answer is about those M tokens, in row-major order."""


@torch.no_grad()
def fill_masked(
    model: TokenModel, tokens: Tensor, *, mask: int, config: SamplerConfig, generator: torch.Generator
) -> Tensor:
    """Replace every masked token; known tokens are never altered.

    Args:
        model: Answers for masked positions.
        tokens: (B, N) int64; ``mask`` where a token is to be found.
        mask: The id that stands for "unknown".
        config: Steps and temperatures.
        generator: Where the randomness comes from, on the tokens' device.

    Returns:
        (B, N) int64 without ``mask``.

    >>> from gridcode.prior.distribution import CategoricalTokens
    >>> def sure_of_two(tokens: Tensor, positions: Tensor) -> TokenDistribution:
    ...     return CategoricalTokens(torch.tensor([0.0, 0.0, 99.0]).expand(int(positions.sum()), 3))
    >>> draw = torch.Generator().manual_seed(0)
    >>> fill_masked(sure_of_two, torch.tensor([[3, 1, 3, 3]]), mask=3, config=SamplerConfig(steps=2), generator=draw)
    tensor([[2, 1, 2, 2]])
    """
    tokens = tokens.clone()
    at_start = (tokens == mask).sum(1)
    for step in range(config.steps):
        masked = tokens == mask
        unknown = masked.sum(1)
        if not int(unknown.sum()):
            break
        distribution = model(tokens, masked)
        drawn = distribution.sample(temperature=config.temperature, generator=generator)
        tokens[masked] = drawn
        if step + 1 == config.steps:
            break
        confidence = torch.full(tokens.shape, torch.inf, device=tokens.device)
        noise = gumbel(drawn.shape, generator=generator, device=tokens.device)
        annealed = config.choice_temperature * (1 - (step + 1) / config.steps)
        confidence[masked] = distribution.log_prob(drawn) + annealed * noise
        left = still_masked(at_start, unknown, step=step, steps=config.steps)
        rank = confidence.argsort(1).argsort(1)
        tokens[(rank < left[:, None]) & masked] = mask
    return tokens


def gumbel(shape: torch.Size, *, generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard Gumbel noise, float32."""
    exponential = torch.empty(shape, device=device).exponential_(generator=generator)
    return -exponential.clamp_min(torch.finfo(torch.float32).tiny).log()
