"""The adversarial game: a discriminator D scores pictures, high for real ones; the tokenizer wants high scores too.

With s_r = D(x) the scores of real pictures and s_f = D(x') those of their reconstructions:

                      the discriminator minimises                      the tokenizer minimises
    non-saturating    mean softplus(-s_r) + mean softplus(s_f)         mean softplus(-s_f)
    hinge             mean max(0, 1 - s_r) + mean max(0, 1 + s_f)      -mean s_f

The gradient penalty R1 holds the discriminator back where the real pictures are: cost · mean |∇_x D(x)|².

Reference: Goodfellow et al. 2014 (non-saturating); Lim & Ye 2017 (hinge); Mescheder et al. 2018 (R1); Chang et al.
2022 (MaskGIT: non-saturating, R1 with cost 10).

    tokenizer's step:  L_G(D(x'))  adds to the loss; D's weights stay
    D's step:          L_D(D(x), D(x')) + cost · R1(x), on the same pictures and reconstructions, before the next batch

Differs from MaskGIT where settings say so: ``r1_every`` > 1 takes the penalty that seldom and weights it with as much,
so that its mean is the same (StyleGAN2's lazy regularisation); ``clip`` > 0 clips D's gradient; D may join later
(``start``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.networks.discriminator import Discriminator
from gridcode.errors import GridcodeError
from gridcode.training.parallel import in_parts
from gridcode.training.seeding import derive_seed
from gridcode.training.state import Learner
from gridcode.training.step import take_step

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class AdversarialLoss(Protocol):
    """Both sides of a game on scores."""

    @property
    def even(self) -> float:
        """The discriminator's loss where it cannot tell: all scores 0."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises, a number, from scores (B,) of real pictures and of reconstructions."""

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """What the tokenizer minimises, weighted and by name, from the scores (B,) of its reconstructions."""


@final
@dataclass(frozen=True)
class NonSaturating:
    """MaskGIT's: the logistic loss of a classifier, and for the tokenizer the same with the labels exchanged.

    Attributes:
        weight: Weight of the tokenizer's term.

    >>> loss = NonSaturating(weight=1.0)
    >>> round(float(loss.discriminator(torch.zeros(2), torch.zeros(2))), 4)
    1.3863
    """

    weight: float
    even = 2 * 0.6931471805599453

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``mean softplus(-real) + mean softplus(fake)``."""
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """``weight * mean softplus(-fake)``."""
        return {"adversarial": self.weight * F.softplus(-fake.float()).mean()}


@final
@dataclass(frozen=True)
class Hinge:
    """The hinge loss: scores beyond ±1 teach the discriminator nothing more.

    Attributes:
        weight: Weight of the tokenizer's term.

    >>> float(Hinge(weight=1.0).discriminator(torch.full((2,), 3.0), torch.zeros(2)))
    1.0
    """

    weight: float
    even = 2.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``mean max(0, 1 - real) + mean max(0, 1 + fake)``."""
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """``-weight * mean fake``."""
        return {"adversarial": -self.weight * fake.float().mean()}


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """R1: the mean over pictures of the squared norm of a score's gradient by its picture.

    Args:
        scores: (B,), computed from ``images``.
        images: (B, C, H, W) in [-1, 1], with ``requires_grad``.

    Returns:
        A number that can be differentiated by the discriminator's weights.

    Differs from MaskGIT: its pictures are in [0, 1], where the same function has twice the gradient and four times
    the penalty.

    >>> x = torch.ones(2, 1, 2, 2, requires_grad=True)
    >>> float(gradient_penalty((3 * x).sum((1, 2, 3)), x))
    36.0
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()


def make_discriminator(run: TokenizerRun, device: torch.device) -> Learner:
    """A new discriminator for a run's pictures, and its optimiser (Adam at a constant rate, no decay).

    Raises:
        GridcodeError: The pictures do not suit its ``patch``, or the run is sharded: the tokenizer's step asks the
            whole discriminator.
    """
    if run.loop.strategy == "fsdp":
        raise GridcodeError("loop.strategy=fsdp cannot train a discriminator; use loop.strategy=ddp")
    config = run.loss.adversarial
    torch.manual_seed(derive_seed(run.loop.seed, "discriminator"))
    discriminator = Discriminator(run.data.channels, run.data.size, width=config.width, patch=config.patch)
    discriminator.to(device)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=config.lr, betas=config.betas, fused=True)
    return Learner(discriminator, optimizer)


@final
class Adversary:
    """The discriminator's part in training.

    Args:
        learner: The discriminator and its optimiser.
        run: The run's settings.
        fabric: The processes; they share the discriminator's gradients.
    """

    def __init__(self, learner: Learner, run: TokenizerRun, *, fabric: Fabric) -> None:
        self._config, self._accumulate, self._fabric = run.loss.adversarial, run.loop.accumulate, fabric
        self._discriminator = learner.model
        kinds: dict[str, type[NonSaturating | Hinge]] = {"non-saturating": NonSaturating, "hinge": Hinge}
        self._loss: AdversarialLoss = kinds[self._config.kind](self._config.weight)
        self._model, self._optimizer = fabric.setup(_Scores(learner.model), learner.optimizer)

    def term(self, reconstructions: Tensor) -> dict[str, Tensor]:
        """The tokenizer's term, by name; the gradient goes to the reconstructions (B, C, H, W) alone."""
        self._discriminator.requires_grad_(False)
        scores = self._discriminator(reconstructions)
        self._discriminator.requires_grad_(True)
        return self._loss.tokenizer(scores)

    def learn(self, images: Tensor, reconstructions: Tensor, step: int) -> dict[str, Tensor | float]:
        """One step of the discriminator.

        Args:
            images: (B, C, H, W) in [-1, 1].
            reconstructions: Of the same pictures, without gradient.
            step: The step's number; it decides whether the gradient penalty is due.

        Returns:
            ``discriminator``, its loss without the penalty; ``real_score`` and ``fake_score``, their means; ``r1``, the
            penalty before its cost; and what :func:`gridcode.training.step.take_step` says, with
            ``discriminator_`` before its names.
        """
        config = self._config
        weight = config.r1_every if config.r1 and step % config.r1_every == 0 else 0
        seen: dict[str, Tensor | float] = {}
        for (real, fake), share in in_parts(
            self._fabric, self._model, (images, reconstructions), count=self._accumulate
        ):
            real_scores, fake_scores, penalty = self._model(real, fake, bool(weight))
            loss = self._loss.discriminator(real_scores, fake_scores)
            self._fabric.backward(share * (loss + config.r1 * weight * penalty) if weight else share * loss)
            scores = {"real_score": real_scores.mean(), "fake_score": fake_scores.mean()}
            for name, value in {"discriminator": loss, **scores, "r1": weight * penalty}.items():
                seen[name] = seen.get(name, 0) + share * value.detach()
        largest = config.clip or float("inf")
        figures = take_step(
            self._optimizer,
            lambda: nn.utils.clip_grad_norm_(self._discriminator.parameters(), largest),
            fabric=self._fabric,
        )
        return seen | {f"discriminator_{name}": value for name, value in figures.items()}


class _Scores(nn.Module):
    """A discriminator step's forward pass in one call, as processes that share gradients need it."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor, reconstructions: Tensor, penalise: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (B,) of both, and the gradient penalty at the images; 0 where none is asked for."""
        images = images.detach().requires_grad_(penalise)
        real = self.discriminator(images)
        penalty = gradient_penalty(real, images) if penalise else real.new_zeros(())
        return real, self.discriminator(reconstructions), penalty
