"""How a tokenizer and a prior are measured, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from gridcode.errors import GridcodeError
from gridcode.prior.samplers.config import SamplerConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """What ``gridcode eval`` does."""

    count: int = 10_000
    """Validation pictures, at most."""
    samples: int = 1000
    """Pictures to generate."""
    neighbours: int = 1_000_000
    """Training pictures, at most, among which the nearest to each shown sample is looked for."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 100
    """Pictures at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    classifier_steps: int = 400
    """Training steps of the small classifier, on the data's own labels, that measures samples."""
    classifier: str | None = None
    """The measuring classifier's folder: read from there, or trained and kept there, so that reports share it."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        for name in ("count", "samples", "neighbours", "batch_size", "classifier_steps"):
            if getattr(self, name) < 1:
                raise GridcodeError(f"evaluation {name} must be at least 1, got {getattr(self, name)}")
        if not self.guidance >= 0:
            raise GridcodeError(f"evaluation guidance must be >= 0, got {self.guidance}")
