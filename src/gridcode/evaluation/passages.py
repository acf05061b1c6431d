"""Passages of text in a report, side by side, with what differs marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Passage: TypeAlias = tuple[tuple[str, bool], ...]
"""A text in runs, each with whether it is marked."""


@dataclass(frozen=True)
class Passages:
    """A section of passages.

    Attributes:
        title: Heading.
        columns: What stands in each column.
        rows: Passages, as many in each row as there are columns.
        explanation: A sentence for the reader.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Passage]]
    explanation: str = ""
