"""Random order: every step keeps tokens chosen by chance. The baseline that a sampler must beat."""

from __future__ import annotations

from typing import final

from torch import Tensor

from gridcode.prior.samplers.loop import Draw, Sampler, lowest


@final
class Random(Sampler):
    """Hides tokens at random."""

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.Sampler`."""
        chance = draw.noise.spread(draw.masked.shape[1]).uniform()
        return lowest(chance, draw.left, among=draw.masked)
