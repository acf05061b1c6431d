"""What a prior must know of its tokens: the codebook, the grid, the classes, and which tokenizer made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class TokenSpace:
    """What the tokens of a prior are; copied from the token store it learned from.

    Attributes:
        codebook_size: Different tokens, K.
        grid: Shape of one example's tokens: (h, w), or (h, w, q) where each place has q of them.
        classes: Names of the classes; empty for data without labels.
        tokenizer: The hash of the tokenizer that made the tokens.
        data: What the store says of the pictures.
        levels: [L_1 … L_d] of product K, what the digits of a token can be; empty for a codebook that has none.

    >>> TokenSpace(40, (4, 4), classes=("cat", "dog"), tokenizer="", data={}, levels=(8, 5)).length
    16
    """

    codebook_size: int
    grid: tuple[int, ...]
    classes: tuple[str, ...]
    tokenizer: str
    data: dict[str, Any]
    levels: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TokenSpace:
        """The space that ``dataclasses.asdict`` and JSON made these values of.

        Raises:
            KeyError: A field is missing.
            TypeError: There is one too many, or it is of another type.

        >>> space = TokenSpace(40, (4, 4), ("cat",), tokenizer="", data={}, levels=(8, 5))
        >>> TokenSpace.from_json({**vars(space), "grid": [4, 4], "classes": ["cat"], "levels": [8, 5]}) == space
        True
        """
        tuples = {name: tuple(values[name]) for name in ("grid", "classes", "levels")}
        numbers = (values["codebook_size"], *tuples["grid"], *tuples["levels"])
        if not all(isinstance(number, int) for number in numbers):
            raise TypeError(f"{numbers} are no whole numbers")
        return cls(**{**values, **tuples})

    @property
    def length(self) -> int:
        """Tokens per example, N."""
        return prod(self.grid)
