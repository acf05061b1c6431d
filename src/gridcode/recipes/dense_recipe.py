"""A recipe of dense prediction: full settings for both stages and the measurement, under one name."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridcode.evaluation.dense_config import DenseEvaluationConfig
from gridcode.prior.conditional.config import ConditionalRun
from gridcode.tasks.dense.config import DenseRun
from gridcode.tokenizer.labels.config import LabelTokenizerRun


@dataclass(frozen=True)
class DenseRecipe:
    """What ``gridcode dense train`` and ``eval`` need.

    Attributes:
        tokenizer: Stage I, and the data of both stages.
        prior: Stage II.
        evaluation: How the result is measured.
    """

    tokenizer: LabelTokenizerRun
    prior: ConditionalRun
    evaluation: DenseEvaluationConfig = field(default_factory=DenseEvaluationConfig)

    @property
    def run(self) -> DenseRun:
        """Both stages."""
        return DenseRun(self.tokenizer, self.prior)
