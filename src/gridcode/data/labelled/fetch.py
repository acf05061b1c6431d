"""Batches of examples that are read one at a time, in training order or their own; unreadable ones stop or are skipped.

The training stream is that of :mod:`gridcode.data.workers`: example number p and its crop depend on (seed, p) alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gridcode.data.labelled.source import ExampleT, LabelledSource
from gridcode.data.workers import TrainOrder, eval_stream, examples_at, fetch_in_order, useful_workers
from gridcode.errors import FileError, GridcodeError, NothingReadableError

_MOST_IN_A_ROW = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """What was read of a run of positions.

    Attributes:
        values: What ``read`` gave, one of each example.
        labels: -1 where an example has no label.
        keys: The examples' names.
        skipped: One message for each example that could not be read on the way.
    """

    values: list[Any]
    labels: list[int]
    keys: tuple[str, ...]
    skipped: tuple[str, ...]

    def beside(self) -> dict[str, Any]:
        """The fields of :class:`NamedExamples`."""
        return {"labels": torch.tensor(self.labels), "keys": self.keys, "skipped": self.skipped}


@dataclass(frozen=True, kw_only=True)
class NamedExamples:
    """What a batch says beside its examples, which a kind's own batch adds.

    Attributes:
        labels: int64, (B,); -1 where an example has no label.
        keys: The examples' names in their source, B of them.
        skipped: One message for each example that could not be read on the way to this batch.
    """

    labels: Tensor
    keys: tuple[str, ...]
    skipped: tuple[str, ...] = ()


BatchT = TypeVar("BatchT", bound=NamedExamples)


class Fetch(Dataset[BatchT | GridcodeError], Generic[BatchT, ExampleT]):
    """Maps a run of positions to a batch; it runs in the worker processes, and returns an error instead of raising it.

    Args:
        source: The examples.
        read: What a batch needs of an example; with a generator of what is random in training, or None.
        batch: Makes the batch.
        seed: Of the training order and crops; None reads the source in its own order, whole.
        on_error: At an example that cannot be read.
        nouns: What the examples are called in errors.

    Raises:
        GridcodeError: The source is empty.
    """

    def __init__(
        self,
        source: LabelledSource[ExampleT],
        read: Callable[[ExampleT, np.random.Generator | None], Any],
        batch: Callable[[Rows], BatchT],
        *,
        seed: int | None,
        on_error: Literal["stop", "skip"],
        nouns: str,
    ) -> None:
        if not len(source):
            raise GridcodeError(f"{source.name}: no {nouns}; check data.source")
        self._source, self._read, self._batch = source, read, batch
        self._seed, self._on_error, self._nouns = seed, on_error, nouns

    def __getitem__(self, positions: range) -> BatchT | GridcodeError:
        values, labels, keys, skipped = list[Any](), list[int](), list[str](), list[str]()
        try:
            for first, generator in examples_at(positions, count=len(self._source), seed=self._seed):
                if (found := self._try(first, generator, skipped)) is None:
                    continue
                example, value = found
                values.append(value)
                labels.append(-1 if example.label is None else example.label)
                keys.append(example.key)
        except GridcodeError as error:
            return error.with_traceback(None)
        return self._batch(Rows(values, labels, tuple(keys), tuple(skipped)))

    def _try(
        self, first: int, generator: np.random.Generator | None, skipped: list[str]
    ) -> tuple[ExampleT, Any] | None:
        """The example of that number; for an unreadable one, in training the next readable one, else None."""
        tries = 1 if generator is None else min(len(self._source), _MOST_IN_A_ROW)
        for step in range(tries):
            try:
                example = self._source[(first + step) % len(self._source)]
                return example, self._read(example, generator)
            except GridcodeError as error:
                if self._on_error == "stop":
                    raise
                skipped.append(str(error))
        if generator is None:
            return None
        raise FileError(f"{self._source.name}: {tries} {self._nouns} in a row cannot be read; the last: {skipped[-1]}")

    def without_end(self, order: TrainOrder, *, workers: int) -> Iterator[BatchT]:
        """Batches for training in an order, by at most so many processes.

        Raises:
            GridcodeError: An example cannot be read.
        """
        return fetch_in_order(self, order.positions(), useful_workers(workers, in_memory=False))

    def once(self, *, batch_size: int, workers: int) -> Iterator[BatchT]:
        """Every example, in order; with ``on_error="skip"`` those that can be read, and the others are logged.

        Raises:
            GridcodeError: A setting is out of range, or an example (or every one) cannot be read.
        """
        failed, found = list[str](), False
        for batch in eval_stream(self, total=len(self._source), workers=workers, batch_size=batch_size):
            for message in batch.skipped:
                _log.warning("skipped %s", message)
            failed += batch.skipped
            if batch.keys:
                yield replace(batch, skipped=tuple(failed))
                failed, found = [], True
        if not found:
            name, nouns = self._source.name, self._nouns
            raise NothingReadableError(f"{name}: none of the {len(failed)} {nouns} can be read; the first: {failed[0]}")
