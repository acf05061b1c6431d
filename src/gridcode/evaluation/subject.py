"""What is measured, and on what: the same for every kind of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

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
