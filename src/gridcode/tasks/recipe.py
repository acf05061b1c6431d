"""What recipes of every kind of data with a class prior have: both stages, and how the result is measured. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeVar

from gridcode.prior.config import PriorRun
from gridcode.tokenizer.config import TokenizerSettings
from gridcode.training.config import LoopConfig

RunT = TypeVar("RunT", bound=TokenizerSettings)
EvaluationT = TypeVar("EvaluationT")

SMOKE_LOOP: Final = LoopConfig(steps=4, batch_size=4, log_every=2, val_every=4, val_count=8, checkpoint_every=4)
"""A few steps: everything happens at least once, nothing is learned."""


@dataclass(frozen=True)
class TwoStages(Generic[RunT, EvaluationT]):
    """What one command line after another needs to go from examples to new examples.

    A kind's own recipe adds its defaults, and ``classes``, how many the examples have.

    Attributes:
        kind: The kind of data, by the name of its folder in :mod:`gridcode.domains`.
        tokenizer: Stage I.
        prior: Stage II.
        evaluation: How the result is measured.
    """

    kind: ClassVar[str]
    tokenizer: RunT
    prior: PriorRun
    evaluation: EvaluationT
