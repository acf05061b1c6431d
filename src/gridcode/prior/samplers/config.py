"""How a grid is filled, as a frozen value. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from gridcode.errors import GridcodeError

SamplerName = Literal["confidence", "halton", "random", "remask"]
Curve = Literal["linear", "cosine"]

GREEDY_BELOW: Final = 1e-5
"""Temperatures below this count as 0: the most probable token, of equally probable ones the first. There, what tells
two tokens apart by a draw would be the rounding of float32 logits."""


@dataclass(frozen=True)
class SamplerConfig:
    """How a grid is filled; the defaults are MaskGIT's own, and every deviation is off.

    An autoregressive prior takes temperature, top_k, top_p and guidance from here; the rest is about masked decoding.

    >>> config = SamplerConfig(steps=5, temperature=1.0, temperature_from=2.0)
    >>> [config.temperature_at(step) for step in range(5)]
    [2.0, 1.75, 1.5, 1.25, 1.0]
    """

    sampler: SamplerName = "confidence"
    """Which tokens a step keeps: the surest, the next of a Halton sequence, random ones, or random with remasking."""
    steps: int = 12
    """Steps, T."""
    temperature: float = 1.0
    """Divides the logits when tokens are drawn; below 1e-5 it counts as 0, which takes the most probable."""
    temperature_from: float | None = None
    """Temperature of the first step, from which it moves to --temperature by the last; constant where not given."""
    top_k: int = 0
    """Only the k most probable tokens may be drawn (with digit heads: values of each digit); 0 for all."""
    top_p: float = 1.0
    """Only the fewest most probable tokens that have this probability together may be drawn; 1 for all."""
    choice_temperature: float = 4.5
    """Sampler confidence: scale of the Gumbel noise on the confidence at the first step; it falls linearly to 0."""
    guidance_from: float | None = None
    """Guidance of the first step, from which it moves to --guidance by the last; constant where not given."""
    curve: Curve = "linear"
    """How temperature and guidance move: linear, or cosine, (1 - cos(pi x^power)) / 2 after a share x of the steps."""
    power: float = 1.0
    """The cosine's power; more stays longer at the first value."""
    remask: float = 0.1
    """Sampler remask: largest share of the tokens found so far that a step hides again."""

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled."""
        if self.steps < 1:
            raise GridcodeError(f"sampling takes at least 1 step, got steps={self.steps}")
        first = 0.0 if self.temperature_from is None else self.temperature_from
        if not all(0 <= one < math.inf for one in (self.temperature, self.choice_temperature, first)):
            raise GridcodeError(
                f"temperatures must be >= 0 and finite, got temperature={self.temperature}, "
                f"choice_temperature={self.choice_temperature}, temperature_from={self.temperature_from}"
            )
        if self.guidance_from is not None and not 0 <= self.guidance_from < math.inf:
            raise GridcodeError(f"guidance must be >= 0 and finite, got guidance_from={self.guidance_from}")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise GridcodeError(f"top_k must be >= 0 and top_p in (0, 1], got {self.top_k} and {self.top_p}")
        if not self.power > 0 or not 0 <= self.remask <= 1:
            raise GridcodeError(
                f"power must be > 0 and remask in [0, 1], got power={self.power} and remask={self.remask}"
            )

    @property
    def greedy(self) -> bool:
        """Whether every step takes the most probable tokens."""
        return max(self.temperature, self.temperature_from or 0.0) < GREEDY_BELOW

    def temperature_at(self, step: int) -> float:
        """The temperature of step t in [0, T)."""
        return self._moved(self.temperature_from, self.temperature, step)

    def guidance_at(self, step: int, guidance: float) -> float:
        """The guidance of step t in [0, T), where ``guidance`` is the last step's."""
        return self._moved(self.guidance_from, guidance, step)

    def _moved(self, first: float | None, last: float, step: int) -> float:
        if first is None:
            return last
        x = step / (self.steps - 1) if self.steps > 1 else 1.0
        done = x if self.curve == "linear" else (1 - math.cos(math.pi * x**self.power)) / 2
        return first + (last - first) * done


GREEDY: Final = SamplerConfig(temperature=0.0, choice_temperature=0.0)
"""The most probable tokens, as in the paper's dense prediction (T = 1e-7); a masked prior keeps the surest."""

PROPORTIONAL: Final = SamplerConfig()
"""Each token in proportion to the prior's probabilities (T = 1); draws differ where a condition leaves them open."""
