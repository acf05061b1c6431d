"""A part of a model for a while in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_evaluation(module: nn.Module) -> Iterator[None]:
    """A module in evaluation mode; afterwards in the mode it was in.

    >>> module = nn.Linear(1, 1)
    >>> with in_evaluation(module):
    ...     module.training
    False
    >>> module.training
    True
    """
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
