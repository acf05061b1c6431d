"""What Stage I must know of a tokenizer and of its training, whatever kind of data it is for. No torch here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args

from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.quantize.config import QuantizerConfig, quantizer_from_json, with_tuples
from gridcode.tokenizer.alarms import AlarmConfig
from gridcode.training.config import LoopConfig, OptimConfig

A = TypeVar("A", bound="Architecture")


class Architecture:  # no ABCMeta: a class whose type is not `type` makes tyro import typeguard
    """The shape of a tokenizer's networks; subclasses are frozen dataclasses.

    Attributes:
        domain: The kind of data, by the name of its folder in :mod:`gridcode.domains`.
        quantizer: What turns latents into tokens.
    """

    domain: ClassVar[str]
    quantizer: QuantizerConfig

    @property
    @abstractmethod
    def grid_names(self) -> tuple[str, ...]:
        """What the sides of the grid are called in errors; a number where a side is fixed."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The shape that ``dataclasses.asdict`` made plain, read from JSON.

        Raises:
            GridcodeError: The quantizer cannot be read.
            KeyError: There is no quantizer.
            TypeError: A setting is not known.
        """
        return cls(**with_tuples(values) | {"quantizer": quantizer_from_json(values["quantizer"])})

    @abstractmethod
    def grid(self, *shape: int) -> tuple[int, ...]:
        """The shape of the latents of an example of a shape, without channels: (h, w) of an image.

        Raises:
            GridcodeError: There are none of examples of that shape.
        """


class RowArchitecture(Architecture):
    """Of examples of one length: the grid is a row of t = length / stride places.

    Attributes:
        examples: What an error calls the examples.
        unit: What it counts their length in.
        advice: What it tells to do about a length that is no multiple of the stride.
    """

    examples: ClassVar[str]
    unit: ClassVar[str]
    advice: ClassVar[str]

    @property
    @abstractmethod
    def stride(self) -> int:
        """How much of an example a place of the grid stands for."""

    @property
    def grid_names(self) -> tuple[str, ...]:
        """One row of t tokens."""
        return "1", "t"

    def grid(self, *shape: int) -> tuple[int, ...]:
        """(1, t) of a length.

        Raises:
            GridcodeError: It is not a multiple of the stride.
        """
        (length,) = shape
        if length < 1 or length % self.stride:
            raise GridcodeError(
                f"the tokenizer takes {self.examples} whose length is a multiple of {self.stride} {self.unit}, got "
                f"{length}; {self.advice}"
            )
        return 1, length // self.stride


def architecture_of(kinds: Mapping[str, type[A]], values: Mapping[str, Any]) -> A:
    """The shape, of one of several kinds, that ``dataclasses.asdict`` made plain and JSON holds.

    Args:
        kinds: The kinds by name; where the values have no name it is the first.
        values: Settings of one.

    Raises:
        GridcodeError: They name no kind, or the quantizer cannot be read.
        KeyError: There is no quantizer.
        TypeError: They are no object, or a setting is not the kind's.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r} are no settings of a model")
    settings = with_tuples(values)
    name = settings.pop("name", next(iter(kinds)))
    if not isinstance(name, str) or name not in kinds:
        raise GridcodeError(f"there is no architecture {name!r}; choose one of {', '.join(kinds)}")
    return kinds[name](**settings | {"quantizer": quantizer_from_json(values["quantizer"])})


Game = Literal["none", "non-saturating", "hinge"]
"""What a discriminator and a tokenizer minimise; none: there is no discriminator."""


@dataclass(frozen=True)
class AdversarialSettings:
    """The discriminator that reconstructions have to deceive: how it learns. A kind adds the shape of its network.

    >>> AdversarialSettings(kind="hinge", start=1000).active
    True
    """

    kind: Game = "none"
    """The loss of both sides: non-saturating (MaskGIT's) or hinge."""
    weight: float = 0.1
    """Weight of the tokenizer's side in its loss."""
    start: int = 0
    """Step from which on the discriminator learns and counts."""
    lr: float = 1e-4
    """The discriminator's learning rate, constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates for the discriminator."""
    r1: float = 10.0
    """Cost of the squared gradient norm at real examples, without a factor of 1/2; 0 leaves it out."""
    r1_every: int = 1
    """Steps between two gradient penalties, each then weighted with this number (lazy regularisation)."""
    clip: float = 0.0
    """Largest gradient norm of the discriminator; 0 does not clip."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train.

        Raises:
            GridcodeError: One is out of its range.
        """
        check_choices(self, "loss.adversarial.", kind=get_args(Game))
        check_numbers(
            self,
            "loss.adversarial.",
            counts=("r1_every",),
            positive=("weight", "lr"),
            not_negative=("start", "r1", "clip"),
        )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise GridcodeError(f"loss.adversarial.betas must be in [0, 1), got {self.betas}")

    @property
    def active(self) -> bool:
        """Whether there is such a term."""
        return self.kind != "none"


@dataclass(frozen=True)
class TokenizerSettings:
    """Everything that determines a Stage I run: equal values give equal weights.

    A kind's own settings say what ``data`` and ``model`` are, and add its loss.

    Attributes:
        quantizer_dropout: Share of training examples that pass the quantizer unrounded, each as a whole, in [0, 1];
            a field of the kinds that have it.
    """

    quantizer_dropout = 0.0

    data: Any
    """The examples; it has a ``source``, the path or word that names them."""
    model: Any
    """The shape of the networks, and the quantizer."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """The optimiser."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, precision, and how often things happen."""
    alarms: AlarmConfig = field(default_factory=AlarmConfig)
    """When warnings are due."""

    def __post_init__(self) -> None:
        """Refuse a ``quantizer_dropout`` that is no share.

        Raises:
            GridcodeError: It lies outside [0, 1].
        """
        if not 0 <= self.quantizer_dropout <= 1:
            raise GridcodeError(f"quantizer_dropout must be in [0, 1], got {self.quantizer_dropout}")

    def check_files(self) -> None:
        """Refuse settings that name files which are not there, before a run's folder is made.

        Raises:
            GridcodeError: A file is missing.
        """
        return
