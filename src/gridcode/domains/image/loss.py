"""The loss of an image tokenizer's run: errors of pixels, a distance of features, a discriminator's opinion.

    pixels        l2 * mean((x - y)^2) + l1 * mean(|x - y|)
    perceptual    weight * mean(distance(x, y)): LPIPS from files, EfficientNet-lite0 from its package, or a network
                  trained as the run starts
    adversarial   weight * L_G(D(y)), see :mod:`gridcode.tokenizer.adversarial`

The network that the run trains lies in its folder (``perceptual/``) and is read from there when the run is resumed. The
discriminator learns after the tokenizer's step, on the same images and their reconstructions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.data.loader import Batch, train_batches
from gridcode.data.shards.stream import ImageStream
from gridcode.data.source import ImageSource
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.networks.discriminator import Discriminator
from gridcode.features.config import ObserverConfig
from gridcode.features.efficientnet import load_efficientnet_lite
from gridcode.features.lpips import load_lpips
from gridcode.features.observer import load_observer, save_observer
from gridcode.features.train import train_observer
from gridcode.metrics.image import psnr
from gridcode.tokenizer.adversarial import Adversary, make_learner
from gridcode.tokenizer.domain import Objective, Sources
from gridcode.training.log import ProgressBar
from gridcode.training.run import RunOptions
from gridcode.training.seeding import derive_seed, generator

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@final
class PixelLoss:
    """``l2 * mean((x - y)^2) + l1 * mean(|x - y|)`` over all pixels and channels, in [-1, 1].

    Args:
        l2: Weight of the mean squared error.
        l1: Weight of the mean absolute error; a term of weight 0 is not computed.

    >>> import torch
    >>> terms = PixelLoss(l2=1.0, l1=0.5)(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))
    >>> {name: float(term) for name, term in terms.items()}
    {'l2': 1.0, 'l1': 0.5}
    """

    def __init__(self, *, l2: float = 1.0, l1: float = 0.0) -> None:
        self.l2 = l2
        self.l1 = l1

    def __call__(self, reconstructions: Tensor, images: Tensor) -> dict[str, Tensor]:
        """The weighted terms; their sum is the loss.

        Args:
            reconstructions: (B, C, H, W), any range.
            images: (B, C, H, W) in [-1, 1].
        """
        reconstructions = reconstructions.float()
        terms = {}
        if self.l2:
            terms["l2"] = self.l2 * F.mse_loss(reconstructions, images)
        if self.l1:
            terms["l1"] = self.l1 * F.l1_loss(reconstructions, images)
        return terms


@final
class PerceptualLoss:
    """``weight * mean(distance(x, y))``, the distance being LPIPS's or another network's.

    Args:
        distance: Two batches of images (B, C, H, W) in [-1, 1] -> (B,), such as
            :class:`gridcode.features.lpips.LPIPS`. Its weights are not to be learned here.
        weight: Weight of the term.

    >>> import torch
    >>> loss = PerceptualLoss(lambda x, y: (x - y).abs().amax((1, 2, 3)), weight=0.1)
    >>> terms = loss(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4))
    >>> round(float(terms["perceptual"]), 6)
    0.1
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], *, weight: float) -> None:
        self.distance = distance
        self.weight = weight

    def __call__(self, reconstructions: Tensor, images: Tensor) -> dict[str, Tensor]:
        """The weighted term, by name.

        Args:
            reconstructions: (B, C, H, W), any range; the gradient goes here.
            images: (B, C, H, W) in [-1, 1].
        """
        return {"perceptual": self.weight * self.distance(reconstructions, images).float().mean()}


def shifted(most: int, seed: int, step: int) -> tuple[slice | EllipsisType, ...]:
    """The part of images that a step compares: ``most`` rows and columns are left out, at random before or after it.

    >>> x = torch.arange(6).expand(1, 6, 6)
    >>> len({int(x[shifted(3, 0, step)][0, 0, 0]) for step in range(20)}), x[shifted(3, 0, 0)].shape
    (4, torch.Size([1, 3, 3]))
    """
    if not most:
        return (...,)
    rows, columns = torch.randint(most + 1, (2,), generator=generator(seed, "shift", step)).tolist()
    return ..., *(slice(start, start - most or None) for start in (rows, columns))


FOLDER = "perceptual"
"""Where the observer lies in a run's folder."""


def perceptual_loss(run: TokenizerRun, source: ImageSource, options: RunOptions, *, fabric: Fabric) -> PerceptualLoss:
    """The perceptual loss of a run; of several processes the first trains the observer, the others read it.

    Args:
        run: The run's settings; ``run.loss.perceptual`` is active.
        source: The images that an observer learns from.
        options: The run's folder, and whether the run is resumed.
        fabric: The processes.

    Raises:
        GridcodeError: LPIPS's files, EfficientNet-lite0's package, or the observer of a resumed run cannot be read.
    """
    config = run.loss.perceptual
    if config.kind == "lpips":
        lpips = load_lpips(config.vgg, config.heads, download=config.download)
        return PerceptualLoss(lpips.to(fabric.device), weight=config.weight)
    if config.kind == "lite0":
        network = load_efficientnet_lite("lite0").to(fabric.device)
        return PerceptualLoss(network.distance, weight=config.weight)
    folder = options.out / FOLDER
    if fabric.is_global_zero and not (options.resume and folder.exists()):
        _train(run, source, folder, show=options.show, fabric=fabric)
    fabric.barrier()
    observer = load_observer(folder).to(fabric.device)
    return PerceptualLoss(observer.distance, weight=config.weight)


def _train(run: TokenizerRun, source: ImageSource | ImageStream, folder: Path, *, show: bool, fabric: Fabric) -> None:
    """Train an observer of the run's images, from seeds that nothing else uses."""
    config, labelled = run.loss.perceptual, len(source.classes) >= 2
    seed = derive_seed(run.loop.seed, "observer")
    settings = ObserverConfig(
        targets=len(source.classes) if labelled else 4,
        rotations=not labelled,
        channels=run.data.channels,
        widths=config.widths,
        steps=config.steps,
        seed=seed,
    )
    batches = train_batches(source, run.data, batch_size=config.batch_size, seed=seed)
    with ProgressBar("perceptual network", total=config.steps, show=show) as bar:
        bar.say("training the network behind the perceptual loss")
        observer = train_observer(
            settings,
            batches,
            progress=lambda done, steps, loss: bar.advance(done, {"loss": f"{loss:.4g}"}),
            device=fabric.device,
        )
    save_observer(observer, folder)


def make_discriminator(run: TokenizerRun) -> Discriminator:
    """A new discriminator for a run's images.

    Raises:
        GridcodeError: The images do not suit its ``patch``.
    """
    config = run.loss.adversarial
    return Discriminator(run.data.channels, run.data.size, width=config.width, patch=config.patch)


@final
class ImageObjective(Objective):
    """The terms that a run's settings ask for.

    Args:
        run: The settings.
        sources: The images; a perceptual network learns from those of training.
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
        if (config := run.loss.adversarial).active:
            learner = make_learner(lambda: make_discriminator(run), config, run.loop, fabric.device)
            self.learners = {"discriminator": learner}

    def setup(self, fabric: Fabric) -> None:
        """See :class:`Objective`."""
        if self.learners:
            config, accumulate = self._run.loss.adversarial, self._run.loop.accumulate
            self._adversary = Adversary(self.learners["discriminator"], config, accumulate=accumulate, fabric=fabric)

    def inputs(self, batch: Batch, step: int) -> tuple[Tensor, ...]:
        """The images."""
        return (batch.images,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """``l2``, ``l1``, ``perceptual`` and ``adversarial``, those that there are."""
        (images,) = inputs
        terms = self._pixels(outputs, images)
        with self._fabric.autocast():
            if self._perceptual is not None:
                part = shifted(self._run.loss.perceptual.shift, self._run.loop.seed, step)
                terms |= self._perceptual(outputs[part], images[part])
            if self._adversary is not None:
                terms |= self._adversary.terms(outputs, images, step)
        self._reconstructed.append(outputs.detach())
        return terms

    def finish_step(self, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor | float]:
        """``psnr``, and the discriminator's step."""
        reconstructions = torch.cat(self._reconstructed)
        self._reconstructed.clear()
        figures: dict[str, Tensor | float] = {"psnr": psnr(reconstructions, inputs[0]).mean()}
        return figures | (self._adversary.learn(inputs[0], reconstructions, step) if self._adversary else {})
