"""How a tokenizer and a prior are measured, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class EvaluationConfig:
    """What ``gridcode eval`` does."""

    count: int = 10_000
    """Validation pictures, at most."""
    samples: int = 1000
    """Pictures to generate."""
    steps: int = 12
    """Sampling steps."""
    guidance: float = 0.2
    """Classifier-free guidance scale."""
    temperature: float = 1.0
    """Divides the logits when tokens are drawn."""
    choice_temperature: float = 4.5
    """Scale of the annealed noise on the confidence."""
    batch_size: int = 100
    """Pictures at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    classifier_steps: int = 400
    """Training steps of the small classifier, on the data's own labels, that measures samples."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        for name in ("count", "samples", "steps", "batch_size", "classifier_steps"):
            if getattr(self, name) < 1:
                raise GridcodeError(f"evaluation {name} must be at least 1, got {getattr(self, name)}")
