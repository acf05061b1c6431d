"""Fill a masked grid by the sampler that a config names, and the samplers of a few lines.

To add a sampler, write a subclass of :class:`~gridcode.prior.samplers.loop.Sampler` here or in a file of its own, and
give it a name in ``SamplerName`` (``config.py``) and a case in :func:`make_sampler`.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.halton import Halton
from gridcode.prior.samplers.loop import Draw, Sampler, TokenModel, lowest


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
    axes: int = 2,
) -> Tensor:
    """Replace every masked token; known tokens are never altered.

    Args:
        model: Predicts the tokens at masked positions.
        tokens: (B, N) int64; ``mask`` where a token is to be found.
        mask: The id that stands for "unknown".
        grid: The shape of an example's tokens, of product N.
        config: The sampler, its steps and temperatures.
        noise: Of B rows.
        guidance: Classifier-free guidance scale of the last step; of all, unless the config has another start.
        start: The step to begin with, in [0, T); a later one fixes more tokens at once, as editing does.
        axes: Sides of the grid that are places.

    Returns:
        (B, N) int64 without ``mask``.

    >>> from gridcode.prior.distribution import CategoricalTokens, TokenDistribution
    >>> def sure_of_two(tokens: Tensor, positions: Tensor, guidance: float) -> TokenDistribution:
    ...     return CategoricalTokens(torch.tensor([0.0, 0.0, 99.0]).expand(int(positions.sum()), 3))
    >>> start, noise = torch.tensor([[3, 1, 3, 3]]), Noise.of_examples(0, torch.arange(1))
    >>> fill_masked(sure_of_two, start, mask=3, grid=(2, 2), config=SamplerConfig(steps=2), noise=noise)
    tensor([[2, 1, 2, 2]])
    """
    sampler = make_sampler(config, grid=grid, axes=axes)
    return sampler.fill(model, tokens, mask=mask, guidance=guidance, noise=noise, start=start)


def make_sampler(config: SamplerConfig, *, grid: tuple[int, ...], axes: int = 2) -> Sampler:
    """The sampler that a config names."""
    match config.sampler:
        case "confidence":
            return Confidence(config)
        case "halton":
            return Halton(config, grid=grid, axes=axes)
        case "random":
            return Random(config)
        case "remask":
            return Remask(config)


@final
class Confidence(Sampler):
    """MaskGIT's own sampler: the surest tokens stay.

        confidence = log p(token) + choice_temperature (1 - (t + 1)/T) Gumbel noise;  known tokens: infinite

    Reference: Chang et al., "MaskGIT", 2022, section 3.2, and its published sampler.
    """

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.loop.Sampler`."""
        noise = draw.noise.spread(draw.masked.shape[1])[draw.masked].gumbel()
        annealed = self.config.choice_temperature * (1 - (draw.step + 1) / self.config.steps)
        confidence = torch.full(draw.masked.shape, torch.inf, device=draw.masked.device)
        confidence[draw.masked] = draw.log_prob + annealed * noise
        return lowest(confidence, draw.left, among=draw.masked)


@final
class Random(Sampler):
    """Random order: every step keeps tokens chosen by chance. The baseline that a sampler must beat."""

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.loop.Sampler`."""
        chance = draw.noise.spread(draw.masked.shape[1]).uniform()
        return lowest(chance, draw.left, among=draw.masked)


@final
class Remask(Sampler):
    """Second thoughts: a step may also hide tokens that earlier steps had settled, so that mistakes can be mended.

    With the shares a_t and a_s of tokens that are settled before and after a step (ReMDM's alphas),

        sigma = min(remask, (1 - a_s) / a_t)                   "cap" schedule
        hidden again: floor(sigma · settled) of the settled tokens, at random
        kept:         as many more of the newly drawn ones, at random, so that the cosine schedule's count stays masked

    ``remask=0`` is the sampler ``random``. The last step hides nothing.

    Reference: Wang et al., "Remasking Discrete Diffusion Models with Inference-Time Scaling", 2025 (arXiv 2503.00307),
    sections 3 and 4.1.

    Differs from paper: counts are exact instead of in expectation, and follow MaskGIT's schedule.
    """

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.loop.Sampler`."""
        settled = draw.wanted & ~draw.masked
        # sigma <= (1 - a_s) / a_t: never more than stay masked altogether.
        again = (self.config.remask * settled.sum(1)).floor().long().minimum(draw.left)
        chance = draw.noise.spread(draw.masked.shape[1]).uniform()
        fresh = (draw.left - again).minimum(draw.masked.sum(1))
        return lowest(chance, again, among=settled) | lowest(chance, fresh, among=draw.masked)
