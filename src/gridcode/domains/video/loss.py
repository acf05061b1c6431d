"""The loss of a tokenizer of clips.

    L = l2 · mean((y - x)^2) + difference · mean(((y_{k+1} - y_k) - (x_{k+1} - x_k))^2)

and the quantizer's own; x is the clip, y its reconstruction, k counts frames.
"""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import functional as F

from gridcode.domains.video.config import VideoLossConfig
from gridcode.domains.video.data.loader import VideoBatch
from gridcode.tokenizer.domain import Objective


@final
class VideoObjective(Objective):
    """The terms ``l2`` and ``difference``; one of weight 0 is not computed.

    Args:
        config: Weights.
    """

    def __init__(self, config: VideoLossConfig) -> None:
        self._config = config

    def inputs(self, batch: VideoBatch, step: int) -> tuple[Tensor, ...]:
        """The clips."""
        return (batch.clips,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        config, (clips,) = self._config, inputs
        outputs = outputs.float()
        terms = {"l2": config.l2 * F.mse_loss(outputs, clips)}
        if config.difference and clips.shape[2] > 1:
            terms["difference"] = config.difference * F.mse_loss(outputs.diff(dim=2), clips.diff(dim=2))
        return terms
