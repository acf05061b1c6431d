r"""Second thoughts: a step may also hide tokens that earlier steps had settled, so that mistakes can be mended.

With the shares a_t and a_s of tokens that are settled before and after a step (ReMDM's alphas),

    sigma = min(remask, (1 - a_s) / a_t)                   "cap" schedule
    hidden again: floor(sigma · settled) of the settled tokens, at random
    kept:         as many more of the newly drawn ones, at random, so that the cosine schedule's count stays masked

``remask=0`` is the sampler ``random``. The last step hides nothing.

Reference: Wang et al., "Remasking Discrete Diffusion Models with Inference-Time Scaling", 2025 (arXiv 2503.00307),
sections 3 and 4.1.

Differs from paper: counts are exact instead of in expectation, and follow MaskGIT's schedule.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from gridcode.prior.samplers.loop import Draw, Sampler, lowest


@final
class Remask(Sampler):
    """Hides some settled tokens, and random new ones."""

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.Sampler`."""
        settled = draw.wanted & ~draw.masked
        # sigma <= (1 - a_s) / a_t: never more than stay masked altogether.
        again = (self.config.remask * settled.sum(1)).floor().long().minimum(draw.left)
        chance = draw.noise.spread(draw.masked.shape[1]).uniform()
        fresh = (draw.left - again).minimum(draw.masked.sum(1))
        return lowest(chance, again, among=settled) | lowest(chance, fresh, among=draw.masked)
