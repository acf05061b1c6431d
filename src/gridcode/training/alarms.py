"""Signs that a training goes wrong, and what to try: each alarm is a frozen object with its thresholds.

An alarm looks at what was seen lately, by name, and answers with a line for the person, or None. It keeps nothing:
:class:`gridcode.training.watch.Watch` remembers, also across a resume. One thing it cannot know: after a stop between
two lines of the log, the first usage of the training tokens is counted over fewer steps.

| name | sign |
|---|---|
| discriminator overpowering | its loss is near 0 for a while: it tells every reconstruction from a picture |
| discriminator dying | real pictures score no higher than fake ones for a while: it tells nothing |
| usage low | validation tokens use less of the book than they could |
| usage falling | training tokens use much less of it than they did |
| gradient exploding | the gradient's norm is many times its running median |
| reconstruction stalling | the best PSNR has not risen over several validations |
| high usage, poor reconstruction | nearly every code is in use, and pictures are still bad late in the run |
| instability | the PSNR of a batch falls far below its running median |
| few channels | before the first step: so few channels for the book that each needs very many levels |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Protocol, final

from gridcode.errors import GridcodeError

Seen = Mapping[str, Sequence[float]]
"""The latest values of everything that was observed, oldest first."""
SETTLED = 20
"""Values that a running median needs before anything is compared with it."""


@dataclass(frozen=True)
class AlarmConfig:
    """When a warning is due. No setting here changes what is learned.

    >>> AlarmConfig(every=2000).patience
    100
    """

    off: bool = False
    """Raise no alarms."""
    every: int = 500
    """Steps within which the same alarm is raised once at most."""
    patience: int = 100
    """Steps that a sign of the discriminator must last, and that the running medians look back."""
    overpowering: float = 0.1
    """Discriminator's mean loss in nats below which it overpowers (it is 1.39 where it cannot tell, with hinge 2)."""
    dying: float = 0.01
    """Mean score of real pictures above that of reconstructions, less than which means a dying discriminator."""
    usage: float = 0.5
    """Share of the codes that validation tokens could show, under which usage is low."""
    usage_fall: float = 0.5
    """Share of its highest usage under which the training tokens' usage counts as fallen."""
    gradient: float = 10.0
    """Gradient norms above this many times their running median are exploding."""
    stall: int = 5
    """Validations without a better PSNR that count as stalling."""
    stall_gain: float = 0.05
    """Rise in PSNR (dB) that counts as better."""
    poor: float = 20.0
    """PSNR (dB) under which reconstruction is poor, from half of the run on, if nearly all codes are in use."""
    drop: float = 3.0
    """Fall of a batch's PSNR (dB) below its running median that is a sign of instability."""
    levels: float = 16.0
    """Levels a channel, K^(1/d), above which a book of K codes has too few channels d."""

    def __post_init__(self) -> None:
        """Refuse thresholds that no value can pass or every value does."""
        for name in ("every", "stall"):
            if getattr(self, name) < 1:
                raise GridcodeError(f"alarms.{name} must be at least 1, got {getattr(self, name)}")
        if self.patience < SETTLED:
            raise GridcodeError(f"alarms.patience must be at least {SETTLED}, got {self.patience}")
        for name in ("overpowering", "dying", "usage", "usage_fall", "stall_gain", "poor"):
            if not getattr(self, name) >= 0:
                raise GridcodeError(f"alarms.{name} must be >= 0, got {getattr(self, name)}")
        for name in ("gradient", "drop", "levels"):
            if not getattr(self, name) > 0:
                raise GridcodeError(f"alarms.{name} must be > 0, got {getattr(self, name)}")


class Alarm(Protocol):
    """One kind of trouble."""

    @property
    def name(self) -> str:
        """What it is called in the log."""

    @property
    def on(self) -> str:
        """The value whose arrival is the moment to look."""

    def sign(self, seen: Seen) -> str | None:
        """What is wrong and what to try, if anything is."""


@final
@dataclass(frozen=True)
class Overpowering:
    """The discriminator tells every reconstruction from a picture; its gradient then teaches the tokenizer little.

    >>> Overpowering(below=0.1, patience=2).sign({"discriminator": [0.5, 0.01, 0.01]})[:51]
    'the discriminator is overpowering: its loss is 0.01'
    """

    below: float
    patience: int
    name = "discriminator overpowering"
    on = "discriminator"

    def sign(self, seen: Seen) -> str | None:
        """From ``discriminator``, its loss in nats without the gradient penalty."""
        losses = seen["discriminator"][-self.patience :]
        if len(losses) < self.patience or fmean(losses) >= self.below:
            return None
        return (
            f"the discriminator is overpowering: its loss is {fmean(losses):.2g} over {len(losses)} steps; try a "
            "larger loss.adversarial.r1, a lower loss.adversarial.lr, a smaller loss.adversarial.width or a "
            "later loss.adversarial.start"
        )


@final
@dataclass(frozen=True)
class Dying:
    """The discriminator scores pictures no higher than reconstructions: what it tells the tokenizer is noise.

    >>> Dying(gap=0.01, patience=2).sign({"real_score": [0.5, 0.2, 0.2], "fake_score": [0.1, 0.2, 0.4]})[:58]
    'the discriminator is dying: over 2 steps it scored picture'
    """

    gap: float
    patience: int
    name = "discriminator dying"
    on = "discriminator"

    def sign(self, seen: Seen) -> str | None:
        """From ``real_score`` and ``fake_score``, their means in each step."""
        real, fake = (seen.get(name, ())[-self.patience :] for name in ("real_score", "fake_score"))
        if len(real) < self.patience or fmean(real) - fmean(fake) >= self.gap:
            return None
        return (
            f"the discriminator is dying: over {len(real)} steps it scored pictures {fmean(real):.3g} and "
            f"reconstructions {fmean(fake):.3g}; try a higher loss.adversarial.lr, a smaller loss.adversarial.r1 "
            "or a larger loss.adversarial.width"
        )


@final
@dataclass(frozen=True)
class UsageLow:
    """Validation tokens use less of the book than so many tokens could."""

    below: float
    name = "usage low"
    on = "usage"

    def sign(self, seen: Seen) -> str | None:
        """From ``usage`` (used codes over what the tokens could show), ``used``, ``codes``, ``tokens`` and ``book``.

        ``book`` is the number of the least used one of several, 0 where there is one.
        """
        share, used, codes, tokens, book = (seen[name][-1] for name in ("usage", "used", "codes", "tokens", "book"))
        if share >= self.below:
            return None
        which = f"of book {book:.0f} " if book else ""
        return (
            f"only {used:.0f} of the {codes:.0f} codes {which}are in use ({share:.0%} of what {tokens:.0f} tokens "
            "could show); try a smaller book, a lower optim.lr, more steps, or another quantizer"
        )


@final
@dataclass(frozen=True)
class UsageFalling:
    """Training tokens use much less of the book than they did: it is collapsing."""

    share: float
    name = "usage falling"
    on = "training_usage"

    def sign(self, seen: Seen) -> str | None:
        """From ``training_usage``, between two lines of the log."""
        *before, now = seen["training_usage"]
        if not before or now >= self.share * max(before):
            return None
        return (
            f"usage of the codes is falling, from {max(before):.1%} to {now:.1%}; try a lower optim.lr, a longer "
            "optim.warmup, a larger loop.batch_size or another quantizer"
        )


@final
@dataclass(frozen=True)
class GradientExploding:
    """A gradient many times as large as usual; clipping hides it, but the step's direction is one batch's."""

    factor: float
    name = "gradient exploding"
    on = "gradient_norm"

    def sign(self, seen: Seen) -> str | None:
        """From ``gradient_norm``, before clipping."""
        *before, now = seen["gradient_norm"]
        if len(before) < SETTLED or now <= self.factor * median(before):
            return None
        return (
            f"the gradient is exploding: its norm {now:.3g} is {now / max(median(before), 1e-30):.0f} times its median "
            f"over {len(before)} steps; try a lower optim.lr, optim.clip=1 or loop.precision=fp32"
        )


@final
@dataclass(frozen=True)
class Stalling:
    """Several validations in a row brought nothing."""

    validations: int
    gain: float
    name = "reconstruction stalling"
    on = "validation_psnr"

    def sign(self, seen: Seen) -> str | None:
        """From ``validation_psnr`` in dB."""
        scores = seen["validation_psnr"]
        before, late = scores[: -self.validations], scores[-self.validations :]
        if not before or max(late) >= max(before) + self.gain:
            return None
        return (
            f"reconstruction is stalling: {max(late):.2f} dB at best in {len(late)} validations, {max(before):.2f} dB "
            "before them; stop here, or try larger model.widths, a larger book, or less loss.adversarial.weight"
        )


@final
@dataclass(frozen=True)
class PoorReconstruction:
    """Tokens tell much, and pictures are bad: what is missing is not a larger book."""

    below: float
    name = "high usage, poor reconstruction"
    on = "validation_psnr"

    def sign(self, seen: Seen) -> str | None:
        """From ``validation_psnr`` in dB, ``usage`` and ``progress``, the share of the run that is done."""
        score, usage, progress = (seen[name][-1] for name in ("validation_psnr", "usage", "progress"))
        if score >= self.below or usage < 0.9 or progress < 0.5:
            return None
        return (
            f"reconstruction is poor ({score:.2f} dB) though {usage:.0%} of the codes are in use; try more tokens "
            "(fewer model.widths or a smaller model.patch), larger widths, a higher optim.lr or more steps"
        )


@final
@dataclass(frozen=True)
class Instability:
    """A batch reconstructed far worse than those before; with very many levels a channel, one step flips many codes."""

    drop: float
    levels: float
    most: float
    name = "instability"
    on = "psnr"

    def sign(self, seen: Seen) -> str | None:
        """From ``psnr`` in dB, of each training batch."""
        *before, now = seen["psnr"]
        if len(before) < SETTLED or now >= median(before) - self.drop:
            return None
        advice = (
            f"each channel has {self.levels:.0f} levels on average, try more channels with fewer of them (gridcode "
            "levels) or a lower optim.lr"
            if self.levels > self.most
            else "try a lower optim.lr, a longer optim.warmup or a larger loop.batch_size"
        )
        return (
            f"training is unstable: a batch's PSNR fell to {now:.1f} dB, its median was {median(before):.1f}; {advice}"
        )


def few_channels(config: AlarmConfig, *, channels: int, codebook_size: int) -> str | None:
    """A line if a book has too few channels, to be told before the first step.

    Args:
        config: The threshold, ``levels``.
        channels: d.
        codebook_size: K.

    >>> few_channels(AlarmConfig(), channels=4, codebook_size=1000) is None
    True
    >>> few_channels(AlarmConfig(), channels=1, codebook_size=1000)[:49]
    'a book of 1000 codes in 1 channel has 1000 levels'
    """
    levels = float(codebook_size ** (1 / channels))
    if config.off or levels <= config.levels:
        return None
    return (
        f"a book of {codebook_size} codes in {channels} channel{'s' if channels > 1 else ''} has {levels:.0f} levels a "
        "channel on average, and may train unstably; try more channels with 5 to 8 levels each (gridcode levels)"
    )


def tokenizer_alarms(config: AlarmConfig, *, channels: int, codebook_size: int) -> tuple[Alarm, ...]:
    """The alarms of Stage I.

    Args:
        config: Their thresholds.
        channels: The quantizer's d.
        codebook_size: Its K.

    >>> len(tokenizer_alarms(AlarmConfig(), channels=4, codebook_size=1000))
    8
    """
    if config.off:
        return ()
    return (
        Overpowering(config.overpowering, config.patience),
        Dying(config.dying, config.patience),
        UsageLow(config.usage),
        UsageFalling(config.usage_fall),
        GradientExploding(config.gradient),
        Stalling(config.stall, config.stall_gain),
        PoorReconstruction(config.poor),
        Instability(config.drop, levels=float(codebook_size ** (1 / channels)), most=config.levels),
    )
