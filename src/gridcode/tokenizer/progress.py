"""What a Stage I run tells of its steps, and what its alarms see: the same for pictures and for label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gridcode.quantize.base import Quantizer
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter
from gridcode.training.alarms import AlarmConfig, few_channels, tokenizer_alarms
from gridcode.training.run import Run
from gridcode.training.watch import Watch


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

    def __init__(self, run: Run, watch: Watch, quantizer: Quantizer, alarms: AlarmConfig) -> None:
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
