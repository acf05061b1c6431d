"""The adversarial game: a discriminator D scores examples, high for real ones; the tokenizer wants high scores too.

With s_r = D(x) the scores of real examples and s_f = D(x') those of their reconstructions:

                      the discriminator minimises                      the tokenizer minimises
    non-saturating    mean softplus(-s_r) + mean softplus(s_f)         mean softplus(-s_f)
    hinge             mean max(0, 1 - s_r) + mean max(0, 1 + s_f)      -mean s_f

A discriminator gives one score an example or many, each of a part. Two terms can stand beside:

    R1            cost · mean |∇_x D(x)|², for the discriminator: it is held back where the real examples are
    features      weight · mean over D's layers ( mean |D_l(x) - D_l(x')| / mean |D_l(x)| ), for the tokenizer

Reference: Goodfellow et al. 2014 (non-saturating); Lim & Ye 2017 (hinge); Mescheder et al. 2018 (R1); Chang et al.
2022 (MaskGIT: non-saturating, R1 with cost 10); Larsen et al. 2016 and Défossez et al. 2022, eq. 2 (features).

    tokenizer's step:  L_G(D(x')) and the features' term add to the loss; D's weights stay
    D's step:          L_D(D(x), D(x')) + cost · R1(x), on the same examples and reconstructions, before the next batch

Differs from MaskGIT where settings say so: ``r1_every`` > 1 takes the penalty that seldom and weights it with as much,
so that its mean is the same (StyleGAN2's lazy regularisation); ``clip`` > 0 clips D's gradient; D may join later
(``start``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.tokenizer.config import AdversarialSettings
from gridcode.training.config import LoopConfig
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
        """What the discriminator minimises, a number, from scores of real examples and of reconstructions."""

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """What the tokenizer minimises, weighted and by name, from the scores of its reconstructions."""


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


def gradient_penalty(scores: Tensor, examples: Tensor) -> Tensor:
    """R1: the mean over examples of the squared norm of a score's gradient by its example.

    Args:
        scores: (B,), computed from ``examples``; where there are several an example, of their sum.
        examples: (B, …), images in [-1, 1] say, with ``requires_grad``.

    Returns:
        A number that can be differentiated by the discriminator's weights.

    Differs from MaskGIT: its images are in [0, 1], where the same function has twice the gradient and four times
    the penalty.

    >>> x = torch.ones(2, 1, 2, 2, requires_grad=True)
    >>> float(gradient_penalty((3 * x).sum((1, 2, 3)), x))
    36.0
    """
    (gradient,) = torch.autograd.grad(scores.sum(), examples, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean()


def feature_distance(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """How far two batches lie apart in a discriminator's layers, each beside its own mean size.

    Args:
        real: The activations of real examples, a tensor each layer.
        fake: Those of reconstructions; the gradient goes here.

    >>> feature_distance([torch.ones(1, 2), torch.full((1, 2), 4.0)], [torch.zeros(1, 2), torch.full((1, 2), 5.0)])
    tensor(0.6250)
    """
    pairs = [(one.detach().float(), other.float()) for one, other in zip(real, fake, strict=True)]
    return torch.stack([F.l1_loss(other, one) / one.abs().mean().clamp(min=1e-8) for one, other in pairs]).mean()


def make_learner(
    make: Callable[[], nn.Module], config: AdversarialSettings, loop: LoopConfig, device: torch.device
) -> Learner:
    """A new discriminator, and its optimiser (Adam at a constant rate, no decay).

    Args:
        make: Makes the network, with weights from a seed of the run's.
        config: How it learns.
        loop: The run's.
        device: Where it goes.

    Raises:
        GridcodeError: The run is sharded: the tokenizer's step asks the whole discriminator.
    """
    if loop.strategy == "fsdp":
        raise GridcodeError("loop.strategy=fsdp cannot train a discriminator; use loop.strategy=ddp")
    torch.manual_seed(derive_seed(loop.seed, "discriminator"))
    discriminator = make().to(device)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=config.lr, betas=config.betas, fused=True)
    return Learner(discriminator, optimizer)


@final
class Adversary:
    """The discriminator's part in training; before ``config.start`` it has none.

    Args:
        learner: The discriminator, examples (B, …) to scores (B,) or (B, …), and its optimiser.
        config: How it plays.
        features: Weight of the distance of features in the tokenizer's loss. With it the discriminator has a method
            ``layers``: the activations of its layers, the scores last.
        accumulate: Parts in which it sees a batch.
        fabric: The processes; they share the discriminator's gradients.
    """

    def __init__(
        self,
        learner: Learner,
        config: AdversarialSettings,
        *,
        features: float = 0.0,
        accumulate: int = 1,
        fabric: Fabric,
    ) -> None:
        self._config, self._features, self._accumulate, self._fabric = config, features, accumulate, fabric
        self._discriminator = learner.model
        kinds: dict[str, type[NonSaturating | Hinge]] = {"non-saturating": NonSaturating, "hinge": Hinge}
        self._loss: AdversarialLoss = kinds[config.kind](config.weight)
        self._model, self._optimizer = fabric.setup(_Scores(learner.model), learner.optimizer)

    def terms(self, reconstructions: Tensor, examples: Tensor, step: int) -> dict[str, Tensor]:
        """The tokenizer's terms by name, ``adversarial`` and ``features``; their gradient goes to its outputs alone.

        Args:
            reconstructions: (B, …), with gradient.
            examples: Those that were reconstructed.
            step: The step's number.
        """
        if step < self._config.start:
            return {}
        self._discriminator.requires_grad_(False)
        try:
            if not self._features:
                return self._loss.tokenizer(self._discriminator(reconstructions))
            layers: Callable[[Tensor], Sequence[Tensor]] = self._discriminator.layers  # type: ignore[assignment]
            *fake, scores = layers(reconstructions)
            with torch.no_grad():
                *real, _ = layers(examples)
            return self._loss.tokenizer(scores) | {"features": self._features * feature_distance(real, fake)}
        finally:
            self._discriminator.requires_grad_(True)

    def learn(self, examples: Tensor, reconstructions: Tensor, step: int) -> dict[str, Tensor | float]:
        """One step of the discriminator.

        Args:
            examples: (B, …), as the tokenizer takes them.
            reconstructions: Of the same examples, without gradient.
            step: The step's number; it decides whether the gradient penalty is due.

        Returns:
            ``discriminator``, its loss without the penalty; ``real_score`` and ``fake_score``, their means; ``r1``, the
            penalty before its cost; and what :func:`gridcode.training.step.take_step` says, with
            ``discriminator_`` before its names. Nothing before the discriminator's start.
        """
        config = self._config
        if step < config.start:
            return {}
        weight = config.r1_every if config.r1 and step % config.r1_every == 0 else 0
        seen: dict[str, Tensor | float] = {}
        for (real, fake), share in in_parts(
            self._fabric, self._model, (examples, reconstructions), count=self._accumulate
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

    def forward(self, examples: Tensor, reconstructions: Tensor, penalise: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of both, and the gradient penalty at the examples; 0 where none is asked for."""
        examples = examples.detach().requires_grad_(penalise)
        real = self.discriminator(examples)
        penalty = gradient_penalty(real, examples) if penalise else real.new_zeros(())
        return real, self.discriminator(reconstructions), penalty
