"""What recipes of every kind of data with a class prior have: both stages, and how the result is measured. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Self, TypeVar

from gridcode.prior.config import PriorRun, smoke_prior
from gridcode.tokenizer.config import TokenizerSettings
from gridcode.training.config import LoopConfig

RunT = TypeVar("RunT", bound=TokenizerSettings)
EvaluationT = TypeVar("EvaluationT")

SMOKE_LOOP: Final = LoopConfig(steps=4, batch_size=4, log_every=2, val_every=4, val_count=8, checkpoint_every=4)
"""A few steps: everything happens at least once, nothing is learned."""


@dataclass(frozen=True)
class TwoStages(Generic[RunT, EvaluationT]):
    """What one command line after another needs to go from examples to new examples.

    Attributes:
        tokenizer: Stage I.
        prior: Stage II.
        evaluation: How the result is measured.
        classes: How many the examples have; 0 for none.
    """

    tokenizer: RunT
    prior: PriorRun
    evaluation: EvaluationT
    classes: int

    @property
    def kind(self) -> str:
        """The kind of data, by the name of its folder in :mod:`gridcode.domains`."""
        name: str = self.tokenizer.model.domain
        return name

    def smoke(self, *, data: Mapping[str, Any], model: Mapping[str, Any], evaluation: EvaluationT) -> Self:
        """A few steps of tiny networks: every part runs, nothing is learned.

        Args:
            data: Settings of the data that become small.
            model: Settings of the tokenizer's networks that do.
            evaluation: How little is measured.
        """
        run: Any = self.tokenizer
        tokenizer = replace(run, data=replace(run.data, **data), model=replace(run.model, **model), loop=SMOKE_LOOP)
        return replace(self, tokenizer=tokenizer, prior=smoke_prior(self.prior, SMOKE_LOOP), evaluation=evaluation)
