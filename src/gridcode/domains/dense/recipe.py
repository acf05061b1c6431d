"""A recipe of dense prediction: full settings for both stages and the measurement, under one name."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.evaluation_config import DenseEvaluationConfig
from gridcode.domains.dense.prior.config import ConditionalRun
from gridcode.domains.dense.run_config import DenseRun


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
