"""Fill a masked grid by the sampler that a config names."""

from __future__ import annotations

from torch import Tensor

from gridcode.prior.noise import Noise
from gridcode.prior.samplers.confidence import Confidence
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.halton import Halton
from gridcode.prior.samplers.loop import Sampler, TokenModel
from gridcode.prior.samplers.random import Random
from gridcode.prior.samplers.remask import Remask


def fill_masked(
    model: TokenModel,
    tokens: Tensor,
    *,
    mask: int,
    grid: tuple[int, ...],
    config: SamplerConfig,
    noise: Noise,
    guidance: float = 0.0,
    start: int = 0,
) -> Tensor:
    """Replace every masked token; known tokens are never altered.

    Args:
        model: Answers for masked positions.
        tokens: (B, N) int64; ``mask`` where a token is to be found.
        mask: The id that stands for "unknown".
        grid: The shape of an example's tokens, of product N.
        config: The sampler, its steps and temperatures.
        noise: Of B rows.
        guidance: Classifier-free guidance scale.
        start: The step to begin with, in [0, T).

    Returns:
        (B, N) int64 without ``mask``.

    >>> import torch
    >>> from gridcode.prior.distribution import CategoricalTokens, TokenDistribution
    >>> def sure_of_two(tokens: Tensor, positions: Tensor, guidance: float) -> TokenDistribution:
    ...     return CategoricalTokens(torch.tensor([0.0, 0.0, 99.0]).expand(int(positions.sum()), 3))
    >>> start, noise = torch.tensor([[3, 1, 3, 3]]), Noise.of_pictures(0, torch.arange(1))
    >>> fill_masked(sure_of_two, start, mask=3, grid=(2, 2), config=SamplerConfig(steps=2), noise=noise)
    tensor([[2, 1, 2, 2]])
    """
    return make_sampler(config, grid=grid).fill(model, tokens, mask=mask, guidance=guidance, noise=noise, start=start)


def make_sampler(config: SamplerConfig, *, grid: tuple[int, ...]) -> Sampler:
    """The sampler that a config names."""
    match config.sampler:
        case "confidence":
            return Confidence(config)
        case "halton":
            return Halton(config, grid=grid)
        case "random":
            return Random(config)
        case "remask":
            return Remask(config)
