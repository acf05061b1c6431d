"""MaskGIT's own sampler: the surest tokens stay.

    confidence = log p(token) + choice_temperature (1 - (t + 1)/T) Gumbel noise;  known tokens: infinite

Reference: Chang et al., "MaskGIT", 2022, section 3.2, and its published sampler.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from gridcode.prior.samplers.loop import Draw, Sampler, lowest


@final
class Confidence(Sampler):
    """Hides the tokens with the lowest confidence."""

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.Sampler`."""
        noise = draw.noise.spread(draw.masked.shape[1])[draw.masked].gumbel()
        annealed = self.config.choice_temperature * (1 - (draw.step + 1) / self.config.steps)
        confidence = torch.full(draw.masked.shape, torch.inf, device=draw.masked.device)
        confidence[draw.masked] = draw.log_prob + annealed * noise
        return lowest(confidence, draw.left, among=draw.masked)
