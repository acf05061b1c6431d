"""Signs that a training goes wrong, and what to try: each alarm is made by a function of its thresholds.

An alarm looks at what was seen lately, by name, and answers with a line for the person, or None. It keeps nothing:
:class:`gridcode.tokenizer.progress.Watch` keeps what was seen, also across a resume. One thing it cannot know: after a
stop between two lines of the log, the first usage of the training tokens is counted over fewer steps.

| name | sign |
|---|---|
| discriminator overpowering | its loss is near 0 for a while: it tells every reconstruction from an example |
| discriminator dying | real examples score no higher than fake ones for a while: it tells nothing |
| usage low | validation tokens use less of the codebook than they could |
| usage falling | training tokens use much less of it than they did |
| gradient exploding | the gradient's norm is many times its running median |
| reconstruction stalling | the best PSNR has not risen over several validations |
| high usage, poor reconstruction | nearly every code is in use, and images are still bad late in the run |
| instability | the PSNR of a batch falls far below its running median |
| few channels | before the first step: so few channels for the codebook that each needs very many levels |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final, final

from gridcode.errors import GridcodeError, check_numbers

Seen = Mapping[str, Sequence[float]]
"""The latest values of everything that was observed, oldest first."""
SETTLED = 20
"""Values that a running median needs before anything is compared with it."""


NEARLY_ALL: Final = 0.9
"""Usage from which on nearly all codes are in use."""


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
    """Mean score of real examples above that of reconstructions, less than which means a dying discriminator."""
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
    """Levels a channel, K^(1/d), above which a codebook of K codes has too few channels d."""

    def __post_init__(self) -> None:
        """Refuse thresholds that no value can pass or every value does."""
        if self.patience < SETTLED:
            raise GridcodeError(f"alarms.patience must be at least {SETTLED}, got {self.patience}")
        check_numbers(
            self,
            "alarms.",
            counts=("every", "stall"),
            positive=("gradient", "drop", "levels"),
            not_negative=("overpowering", "dying", "usage", "usage_fall", "stall_gain", "poor"),
        )


@final
@dataclass(frozen=True)
class Alarm:
    """One kind of trouble.

    Attributes:
        name: What it is called in the log.
        on: The value whose arrival is the moment to look.
        sign: What is wrong and what to try, if anything is, from what was seen.
    """

    name: str
    on: str
    sign: Callable[[Seen], str | None]


def overpowering(below: float, patience: int) -> Alarm:
    """The discriminator tells every reconstruction from an example; its gradient then teaches the tokenizer little.

    From ``discriminator``, its loss in nats without the gradient penalty.

    >>> overpowering(below=0.1, patience=2).sign({"discriminator": [0.5, 0.01, 0.01]})[:51]
    'the discriminator is overpowering: its loss is 0.01'
    """

    def sign(seen: Seen) -> str | None:
        losses = seen["discriminator"][-patience:]
        if len(losses) < patience or fmean(losses) >= below:
            return None
        return (
            f"the discriminator is overpowering: its loss is {fmean(losses):.2g} over {len(losses)} steps; try a "
            "larger loss.adversarial.r1, a lower loss.adversarial.lr, a smaller loss.adversarial.width or a "
            "later loss.adversarial.start"
        )

    return Alarm("discriminator overpowering", "discriminator", sign)


def dying(gap: float, patience: int) -> Alarm:
    """The discriminator scores examples no higher than reconstructions: what it tells the tokenizer is noise.

    From ``real_score`` and ``fake_score``, their means in each step.

    >>> dying(gap=0.01, patience=2).sign({"real_score": [0.5, 0.2, 0.2], "fake_score": [0.1, 0.2, 0.4]})[:58]
    'the discriminator is dying: over 2 steps it scored example'
    """

    def sign(seen: Seen) -> str | None:
        real, fake = (seen.get(name, ())[-patience:] for name in ("real_score", "fake_score"))
        if len(real) < patience or fmean(real) - fmean(fake) >= gap:
            return None
        return (
            f"the discriminator is dying: over {len(real)} steps it scored examples {fmean(real):.3g} and "
            f"reconstructions {fmean(fake):.3g}; try a higher loss.adversarial.lr, a smaller loss.adversarial.r1 "
            "or a larger loss.adversarial.width"
        )

    return Alarm("discriminator dying", "discriminator", sign)


def usage_low(below: float) -> Alarm:
    """Validation tokens use less of the codebook than so many tokens could.

    From ``usage`` (used codes over what the tokens could show), ``used``, ``codes``, ``tokens`` and ``book``.

    ``book`` is the number of the least used one of several, 0 where there is one.
    """

    def sign(seen: Seen) -> str | None:
        share, used, codes, tokens, book = (seen[name][-1] for name in ("usage", "used", "codes", "tokens", "book"))
        if share >= below:
            return None
        which = f"of codebook {book:.0f} " if book else ""
        return (
            f"only {used:.0f} of the {codes:.0f} codes {which}are in use ({share:.0%} of what {tokens:.0f} tokens "
            "could show); try a smaller codebook, a lower optim.lr, more steps, or another quantizer"
        )

    return Alarm("usage low", "usage", sign)


def usage_falling(share: float) -> Alarm:
    """Training tokens use much less of the codebook than they did: it is collapsing.

    From ``training_usage``, between two lines of the log.
    """

    def sign(seen: Seen) -> str | None:
        *before, now = seen["training_usage"]
        if not before or now >= share * max(before):
            return None
        return (
            f"usage of the codes is falling, from {max(before):.1%} to {now:.1%}; try a lower optim.lr, a longer "
            "optim.warmup, a larger loop.batch_size or another quantizer"
        )

    return Alarm("usage falling", "training_usage", sign)


def gradient_exploding(factor: float) -> Alarm:
    """A gradient many times as large as usual; clipping hides it, but the step's direction is one batch's.

    From ``gradient_norm``, before clipping.
    """

    def sign(seen: Seen) -> str | None:
        *before, now = seen["gradient_norm"]
        if len(before) < SETTLED or now <= factor * median(before):
            return None
        return (
            f"the gradient is exploding: its norm {now:.3g} is {now / max(median(before), 1e-30):.0f} times its median "
            f"over {len(before)} steps; try a lower optim.lr, optim.clip=1 or loop.precision=fp32"
        )

    return Alarm("gradient exploding", "gradient_norm", sign)


def stalling(validations: int, gain: float) -> Alarm:
    """Several validations in a row brought nothing.

    From ``validation_psnr`` in dB.
    """

    def sign(seen: Seen) -> str | None:
        scores = seen["validation_psnr"]
        before, late = scores[:-validations], scores[-validations:]
        if not before or max(late) >= max(before) + gain:
            return None
        return (
            f"reconstruction is stalling: {max(late):.2f} dB at best in {len(late)} validations, {max(before):.2f} dB "
            "before them; stop here, or try larger model.widths, a larger codebook, or less loss.adversarial.weight"
        )

    return Alarm("reconstruction stalling", "validation_psnr", sign)


def poor_reconstruction(below: float) -> Alarm:
    """Tokens tell much, and images are bad: what is missing is not a larger codebook.

    From ``validation_psnr`` in dB, ``usage`` and ``progress``, the share of the run that is done.
    """

    def sign(seen: Seen) -> str | None:
        score, usage, progress = (seen[name][-1] for name in ("validation_psnr", "usage", "progress"))
        if score >= below or usage < NEARLY_ALL or progress < 0.5:
            return None
        return (
            f"reconstruction is poor ({score:.2f} dB) though {usage:.0%} of the codes are in use; try more tokens "
            "(fewer model.widths or a smaller model.patch), larger widths, a higher optim.lr or more steps"
        )

    return Alarm("high usage, poor reconstruction", "validation_psnr", sign)


def instability(drop: float, levels: float, most: float) -> Alarm:
    """A batch reconstructed far worse than those before; with very many levels a channel, one step flips many codes.

    From ``psnr`` in dB, of each training batch.
    """

    def sign(seen: Seen) -> str | None:
        *before, now = seen["psnr"]
        if len(before) < SETTLED or now >= median(before) - drop:
            return None
        advice = (
            f"each channel has {levels:.0f} levels on average, try more channels with fewer of them (gridcode "
            "levels) or a lower optim.lr"
            if levels > most
            else "try a lower optim.lr, a longer optim.warmup or a larger loop.batch_size"
        )
        return (
            f"training is unstable: a batch's PSNR fell to {now:.1f} dB, its median was {median(before):.1f}; {advice}"
        )

    return Alarm("instability", "psnr", sign)


def few_channels(config: AlarmConfig, *, channels: int, codebook_size: int) -> str | None:
    """A line if a codebook has too few channels, to be told before the first step.

    Args:
        config: The threshold, ``levels``.
        channels: d.
        codebook_size: K.

    >>> few_channels(AlarmConfig(), channels=4, codebook_size=1000) is None
    True
    >>> few_channels(AlarmConfig(), channels=1, codebook_size=1000)[:53]
    'a codebook of 1000 codes in 1 channel has 1000 levels'
    """
    levels = float(codebook_size ** (1 / channels))
    if config.off or levels <= config.levels:
        return None
    return (
        f"a codebook of {codebook_size} codes in {channels} channel{'s' if channels > 1 else ''} has {levels:.0f} "
        "levels a channel on average, and may train unstably; try more channels with 5 to 8 levels each "
        "(gridcode levels)"
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
        overpowering(config.overpowering, config.patience),
        dying(config.dying, config.patience),
        usage_low(config.usage),
        usage_falling(config.usage_fall),
        gradient_exploding(config.gradient),
        stalling(config.stall, config.stall_gain),
        poor_reconstruction(config.poor),
        instability(config.drop, levels=float(codebook_size ** (1 / channels)), most=config.levels),
    )
