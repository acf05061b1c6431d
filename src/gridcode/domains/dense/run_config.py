"""Both stages of dense prediction as one frozen value, and a recipe of them. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Literal, TypeAlias

from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.evaluation_config import DenseEvaluationConfig
from gridcode.domains.dense.prior.config import DensePriorRun

Stage: TypeAlias = Literal["tokenizer", "tokens", "prior", "all"]
"""A part of the way from label maps to predictions."""

STAGES: Final = ("tokenizer", "tokens", "prior")
"""The parts in their order; each makes a folder of its name."""


@dataclass(frozen=True)
class DenseRun:
    """Everything that determines a predictor of label maps.

    Attributes:
        tokenizer: Stage I, and the data of both stages.
        prior: Stage II; its own ``data`` does not count.

    >>> from dataclasses import replace
    >>> run = DenseRun(LabelTokenizerRun(), DensePriorRun())
    >>> changed = replace(run, tokenizer=replace(run.tokenizer, data=DenseConfig(task="colour")))
    >>> changed.stage_two().data.task
    'colour'
    """

    tokenizer: LabelTokenizerRun
    prior: DensePriorRun

    @property
    def data(self) -> DenseConfig:
        """What both stages learn from."""
        return self.tokenizer.data

    def stage_two(self) -> DensePriorRun:
        """Stage II on Stage I's data.

        Raises:
            GridcodeError: The pictures' size does not fit the image encoder.
        """
        self.prior.model.encoder.grid(*self.data.shape)
        return replace(self.prior, data=self.data)


@dataclass(frozen=True)
class DenseRecipe:
    """Full settings for both stages and the measurement, under one name.

    Attributes:
        tokenizer: Stage I, and the data of both stages.
        prior: Stage II.
        evaluation: How the result is measured.
    """

    kind: ClassVar[Literal["dense"]] = "dense"
    """The kind of data."""

    tokenizer: LabelTokenizerRun
    prior: DensePriorRun
    evaluation: DenseEvaluationConfig = field(default_factory=DenseEvaluationConfig)

    @property
    def run(self) -> DenseRun:
        """Both stages."""
        return DenseRun(self.tokenizer, self.prior)
