"""A recipe: full settings for both stages and the measurement, under one name."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridcode.domains.image.config import TokenizerRun
from gridcode.evaluation.config import EvaluationConfig
from gridcode.prior.config import PriorRun


@dataclass(frozen=True)
class Recipe:
    """What one command line after another needs to go from pictures to new pictures.

    Attributes:
        tokenizer: Stage I.
        prior: Stage II.
        evaluation: How the result is measured.
        flips: Whether the token store also holds mirrored training pictures.
        classes: Classes that the pictures have.
    """

    tokenizer: TokenizerRun
    prior: PriorRun
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    flips: bool = False
    classes: int = 10
