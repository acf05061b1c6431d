"""What a Stage I run logs of its steps, and what its alarms see, kept with its checkpoints."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from gridcode.quantize.base import Quantizer
from gridcode.tokenizer.alarms import Alarm, AlarmConfig, few_channels, tokenizer_alarms
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter
from gridcode.training.run import OpenRun


@dataclass(frozen=True)
class Raised:
    """An alarm that was raised.

    Attributes:
        name: Which.
        text: What is wrong and what to try, one line.
    """

    name: str
    text: str


@final
class Watch:
    """Keeps the latest values that were observed, and raises the alarms that are due.

    Args:
        alarms: Each raised at most once in ``every`` steps.
        every: Steps.
        window: Values of each kind that are kept.

    >>> from gridcode.tokenizer.alarms import gradient_exploding
    >>> watch = Watch([gradient_exploding(factor=10.0)], every=500, window=100)
    >>> quiet = [watch.observe(step, {"gradient_norm": 1.0}) for step in range(30)]
    >>> [alarm.name for alarm in watch.observe(30, {"gradient_norm": 50.0})]
    ['gradient exploding']
    >>> watch.observe(31, {"gradient_norm": 50.0})
    []
    """

    def __init__(self, alarms: Sequence[Alarm], *, every: int, window: int) -> None:
        self._alarms = tuple(alarms)
        self._every, self._window = every, window
        self._seen: dict[str, deque[float]] = {}
        self._raised: dict[str, int] = {}

    def observe(self, step: int, values: Mapping[str, float]) -> list[Raised]:
        """Take in one step's values, and return the alarms that are due.

        Args:
            step: Steps taken so far.
            values: By name; what is not finite is left out.
        """
        if not self._alarms:
            return []
        arrived = [name for name, value in values.items() if math.isfinite(value)]  # in a fixed order, as files have it
        for name in arrived:
            self._seen.setdefault(name, deque(maxlen=self._window + 1)).append(float(values[name]))
        seen = {name: list(kept) for name, kept in self._seen.items()}
        found = []
        for alarm in self._alarms:
            waits = alarm.name in self._raised and step < self._raised[alarm.name] + self._every
            if alarm.on not in arrived or waits or (text := alarm.sign(seen)) is None:
                continue
            self._raised[alarm.name] = step
            found.append(Raised(alarm.name, text))
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, JSON values."""
        return {"seen": {name: list(kept) for name, kept in self._seen.items()}, "raised": dict(self._raised)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self._seen = {name: deque(kept, maxlen=self._window + 1) for name, kept in state["seen"].items()}
        self._raised = dict(state["raised"])


def make_watch(config: AlarmConfig, quantizer: Quantizer) -> Watch:
    """The alarms of a Stage I run."""
    alarms = tokenizer_alarms(config, channels=quantizer.channels, codebook_size=quantizer.codebook_size)
    return Watch(alarms, every=config.every, window=config.patience)


class Progress:
    """Ends every step of a run: log, usage, validation, alarms, checkpoint.

    Args:
        run: The run; its first step warns of a codebook that has too few channels.
        watch: What :func:`make_watch` returned; checkpoints keep it.
        quantizer: Whose indices are counted.
        alarms: Thresholds.
    """

    def __init__(self, run: OpenRun, watch: Watch, quantizer: Quantizer, alarms: AlarmConfig) -> None:
        self._run, self._watch, self._quantizer = run, watch, quantizer
        self._meter = TokenUsageMeter(quantizer)
        size = {"channels": quantizer.channels, "codebook_size": quantizer.codebook_size}
        if run.start == 0 and (text := few_channels(alarms, **size)):
            run.warn(0, text, alarm="few channels")

    def count(self, indices: Tensor) -> None:
        """Count a part's training indices."""
        self._meter.update(indices)

    def end_step(
        self,
        step: int,
        metrics: Mapping[str, Tensor | float],
        *,
        validate: Callable[[], dict[str, float]],
        save: Callable[[Path], None],
    ) -> None:
        """End a step.

        Args:
            step: Its number.
            metrics: Its figures; the quantizer's loss only where there is one.
            validate: Measures where that is due, and returns what the alarms check.
            save: Writes the averaged model.

        Raises:
            GridcodeError: A figure is not finite.
            Stopped: A signal ended the run; its checkpoint is written.
        """
        run = self._run
        seen = {name: float(value) for name, value in metrics.items() if name != "quantizer" or float(value)}
        run.log(step, seen)
        if run.logs_at(step):
            usage = self._meter.compute()
            run.write_line(step, {"usage": usage.pooled.usage} | usage.by_book())
            seen["training_usage"] = usage.least.usage_of_ceiling
            self._meter = TokenUsageMeter(self._quantizer)
        if run.validates_at(step):
            if run.writer:
                seen |= validate() | {"progress": (step + 1) / run.loop.steps}
            run.fabric.barrier()
        for alarm in self._watch.observe(step + 1, seen):
            run.warn(step + 1, alarm.text, alarm=alarm.name)
        run.end_step(step, save=save)


def summed(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of each figure over a step's parts, each part weighted already.

    >>> summed([{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(2.0)}])
    {'loss': tensor(3.)}
    """
    return {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}


def usage_facts(tokens: TokenUsage) -> dict[str, float]:
    """What the alarms check of a validation's codes: those of the least used codebook."""
    usage = tokens.least
    return {
        "usage": usage.usage_of_ceiling,
        "used": usage.used,
        "codes": usage.codebook_size,
        "tokens": usage.count,
        "book": tokens.codebooks.index(usage) + 1 if len(tokens.codebooks) > 1 else 0,
    }
