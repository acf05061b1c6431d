"""What is measured, and on what: the same for every kind of data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer

Data = TypeVar("Data")
Examples = TypeVar("Examples")


@dataclass(frozen=True)
class Subject(Generic[Data, Examples]):
    """What is measured, and on what.

    Attributes:
        tokenizer: In evaluation mode.
        generator: The prior joined to it; None measures the tokenizer alone.
        data: How examples are read.
        train: Training examples, for a classifier that measures and for nearest neighbours.
        val: Validation examples.
    """

    tokenizer: Tokenizer
    generator: Generator | None
    data: Data
    train: Examples
    val: Examples

    def settings(self, evaluation: Any) -> dict[str, Any]:
        """Everything the figures depend on, by name.

        Args:
            evaluation: How much is measured; a dataclass, as ``data`` is.
        """
        data: Any = self.data
        settings = {
            "data": asdict(data),
            "tokenizer": asdict(self.tokenizer.config) | {"hash": self.tokenizer.weights_hash()},
            "evaluation": asdict(evaluation),
        }
        if self.generator is not None:
            settings["prior"] = asdict(self.generator.prior.config)
        return settings
