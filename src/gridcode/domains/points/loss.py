"""The loss of a tokenizer of clouds.

    L = chamfer · 2 / (f + 1) · ( f · mean over Q of min |q - p|^2  +  mean over P of min |p - q|^2 )

and the quantizer's own; P is the cloud, Q its reconstruction, f the weight of fidelity. With f = 1 this is the Chamfer
distance.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from gridcode.domains.points.config import PointsLossConfig
from gridcode.domains.points.data.loader import PointsBatch
from gridcode.domains.points.distance import squares
from gridcode.tokenizer.domain import Objective


@final
class PointsObjective(Objective):
    """The term ``chamfer``.

    Args:
        config: Weights.
    """

    def __init__(self, config: PointsLossConfig) -> None:
        self._config = config

    def inputs(self, batch: PointsBatch, step: int) -> tuple[Tensor, ...]:
        """The clouds."""
        return (batch.points,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        config = self._config
        found = squares(outputs.float(), inputs[0])
        distance = (config.fidelity * found.first.mean() + found.second.mean()) * 2 / (config.fidelity + 1)
        return {"chamfer": config.chamfer * distance}
