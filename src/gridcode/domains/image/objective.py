"""The loss of an image tokenizer's run: errors of pixels, a distance of features, a discriminator's opinion.

The discriminator learns after the tokenizer's step, on the same pictures and their reconstructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from gridcode.data.loader import Batch
from gridcode.domains.image.adversarial import Adversary, make_discriminator
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.loss import PerceptualLoss, PixelLoss, perceptual_loss
from gridcode.metrics.image import psnr
from gridcode.tokenizer.domain import Objective, Sources
from gridcode.training.run import RunOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@final
class ImageObjective(Objective):
    """The terms that a run's settings ask for.

    Args:
        run: The settings.
        sources: The pictures; a perceptual network learns from those of training.
        options: The run's folder, where that network is kept.
        fabric: The processes.

    Raises:
        GridcodeError: A network cannot be made or read.
    """

    def __init__(self, run: TokenizerRun, sources: Sources, options: RunOptions, *, fabric: Fabric) -> None:
        self._run, self._fabric, self._reconstructed = run, fabric, list[Tensor]()
        self._pixels = PixelLoss(l2=run.loss.l2, l1=run.loss.l1)
        self._perceptual: PerceptualLoss | None = None
        self._adversary: Adversary | None = None
        if run.loss.perceptual.active:
            self._perceptual = perceptual_loss(run, sources.train, options, fabric=fabric)
        if run.loss.adversarial.active:
            self.learners = {"discriminator": make_discriminator(run, fabric.device)}

    def setup(self, fabric: Fabric) -> None:
        """See :class:`Objective`."""
        if self.learners:
            self._adversary = Adversary(self.learners["discriminator"], self._run, fabric=fabric)

    def inputs(self, batch: Batch, step: int) -> tuple[Tensor, ...]:
        """The pictures."""
        return (batch.images,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """``l2``, ``l1``, ``perceptual`` and ``adversarial``, those that there are."""
        (images,) = inputs
        terms = self._pixels(outputs, images)
        with self._fabric.autocast():
            if self._perceptual is not None:
                terms |= self._perceptual(outputs, images)
            if (adversary := self._playing(step)) is not None:
                terms |= adversary.term(outputs)
        self._reconstructed.append(outputs.detach())
        return terms

    def finish_step(self, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor | float]:
        """``psnr``, and the discriminator's step."""
        reconstructions = torch.cat(self._reconstructed)
        self._reconstructed.clear()
        figures: dict[str, Tensor | float] = {"psnr": psnr(reconstructions, inputs[0]).mean()}
        if (adversary := self._playing(step)) is not None:
            figures |= adversary.learn(inputs[0], reconstructions, step)
        return figures

    def _playing(self, step: int) -> Adversary | None:
        return self._adversary if step >= self._run.loss.adversarial.start else None
