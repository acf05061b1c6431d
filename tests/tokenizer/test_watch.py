"""The alarms' memory: how far it reaches, how often it speaks, and that a resumed one goes on as it was."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.tokenizer.alarms import AlarmConfig, Seen, tokenizer_alarms
from gridcode.tokenizer.progress import Raised, Watch


@dataclass(frozen=True)
class Always:
    """Speaks whenever its value arrives, and tells what it saw."""

    on: str = "value"
    name = "always"

    def sign(self, seen: Seen) -> str | None:
        return " ".join(f"{value:g}" for value in seen[self.on])


def test_an_alarm_speaks_once_in_so_many_steps() -> None:
    watch = Watch([Always()], every=10, window=3)
    spoke = [step for step in range(35) if watch.observe(step, {"value": 1.0})]
    assert spoke == [0, 10, 20, 30]


def test_it_looks_only_when_its_value_arrives() -> None:
    watch = Watch([Always()], every=1, window=3)
    assert watch.observe(1, {"other": 1.0}) == []
    assert watch.observe(2, {"value": 1.0}) == [Raised("always", "1")]
    assert watch.observe(3, {"other": 2.0}) == []


def test_it_remembers_the_newest_and_so_many_before_and_nothing_that_is_not_finite() -> None:
    watch = Watch([Always()], every=1, window=3)
    for step, value in enumerate([1.0, 2.0, float("nan"), 3.0, float("inf"), 4.0, 5.0]):
        last = watch.observe(step, {"value": value})
    assert last == [Raised("always", "2 3 4 5")]
    assert watch.observe(9, {"value": float("nan")}) == []


def test_without_alarms_nothing_is_kept() -> None:
    watch = Watch([], every=1, window=3)
    assert watch.observe(0, {"value": 1.0}) == []
    assert watch.state_dict() == {"seen": {}, "raised": {}}


VALUES = ("discriminator", "real_score", "fake_score", "training_usage", "gradient_norm", "psnr", "validation_psnr")


@settings(deadline=None, max_examples=30)
@given(cut=st.integers(0, 60), draw=st.randoms(use_true_random=False))
def test_a_resumed_watch_raises_what_an_undisturbed_one_does(cut: int, draw: object) -> None:
    """The state goes through JSON, as checkpoints take it."""
    config = AlarmConfig(patience=20, every=7)
    alarms = tokenizer_alarms(config, channels=1, codebook_size=1000)
    steps = []
    for step in range(60):
        values = {name: draw.choice([0.001, 1.0, 30.0]) for name in VALUES}  # type: ignore[attr-defined]
        rest = {"usage": 0.95, "used": 3.0, "codes": 9.0, "tokens": 9.0, "book": 0.0, "progress": step / 60}
        steps.append(values | rest)
    straight = Watch(alarms, every=config.every, window=config.patience)
    expected = [straight.observe(step, values) for step, values in enumerate(steps)]
    before = Watch(alarms, every=config.every, window=config.patience)
    found = [before.observe(step, values) for step, values in enumerate(steps[:cut])]
    after = Watch(alarms, every=config.every, window=config.patience)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    found += [after.observe(step, values) for step, values in enumerate(steps[cut:], cut)]
    assert found == expected
    assert after.state_dict() == straight.state_dict()
    assert any(expected)


def test_the_memory_is_bounded() -> None:
    watch = Watch([Always()], every=1000, window=5)
    for step in range(50):
        watch.observe(step, {"value": float(step)})
    assert watch.state_dict()["seen"] == {"value": pytest.approx([44, 45, 46, 47, 48, 49])}
