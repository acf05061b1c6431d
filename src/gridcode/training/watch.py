"""What the alarms see: the latest values of a run, kept with its checkpoints, and when each alarm was last raised."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from gridcode.training.alarms import Alarm


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
    """Remembers what was observed and asks the alarms.

    Args:
        alarms: Each raised at most once in ``every`` steps.
        every: Steps.
        window: Values of each kind that are remembered.

    >>> from gridcode.training.alarms import gradient_exploding
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
