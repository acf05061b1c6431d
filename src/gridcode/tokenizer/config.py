"""What Stage I must know of a tokenizer and of its training, whatever kind of data it is for. No torch here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from gridcode.errors import GridcodeError
from gridcode.quantize.config import QuantizerConfig, quantizer_from_json, with_tuples
from gridcode.tokenizer.alarms import AlarmConfig
from gridcode.training.config import LoopConfig, OptimConfig


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
        """The shape of the latents of an example of a shape, without channels: (h, w) of a picture.

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
