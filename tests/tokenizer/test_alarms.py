"""Each alarm is provoked in a real, tiny training run by the trouble it is for; a healthy run raises none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.open import open_split
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import AdversarialConfig, LossConfig, TokenizerRun
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.tokenizer.alarms import (
    Alarm,
    AlarmConfig,
    Seen,
    dying,
    few_channels,
    gradient_exploding,
    instability,
    overpowering,
    poor_reconstruction,
    stalling,
    tokenizer_alarms,
    usage_falling,
    usage_low,
)
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions

GAME = AdversarialConfig(kind="non-saturating", width=8, patch=2, lr=1e-3, r1=1.0)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=64, val_count=32, workers=0, crop=CropPolicy(train="center", flip=False)),
    model=TokenizerConfig(
        quantizer=FSQConfig(levels=(5, 4, 3)), widths=(8, 16), encoder_blocks=1, decoder_blocks=1, patch=2
    ),
    optim=OptimConfig(lr=5e-3, warmup=10, ema=0.9),
    loop=LoopConfig(steps=24, batch_size=8, log_every=10, val_every=24, accelerator="cpu", precision="fp32"),
    alarms=AlarmConfig(patience=20),  # the other thresholds are the defaults
)


@pytest.fixture(scope="module")
def scenes() -> Sources:
    return Sources(open_split(RUN.data, "train"), open_split(RUN.data, "val"))


def alarms(run: TokenizerRun, out: Path, sources: Sources) -> dict[str, str]:
    """The alarms in a run's log, by name, each with its last line."""
    train_tokenizer(run, RunOptions(out, show=False), sources=sources)
    lines = read_log(out)
    assert all(("alarm" in line) == ("warning" in line) for line in lines)
    return {line["alarm"]: line["warning"] for line in lines if "alarm" in line}


def game(run: TokenizerRun, **settings: float) -> TokenizerRun:
    return replace(run, loss=LossConfig(adversarial=replace(GAME, **settings)))  # type: ignore[arg-type]


def levels(run: TokenizerRun, *values: int) -> TokenizerRun:
    return replace(run, model=replace(run.model, quantizer=FSQConfig(levels=values)))


RISING = replace(
    RUN,
    optim=replace(RUN.optim, lr=1.5, warmup=80, clip=0.0),
    loop=replace(RUN.loop, steps=80, val_every=80),
)
"""The learning rate rises to hundreds of times what is usual: training settles first, and breaks then."""


def test_a_healthy_run_raises_none_under_default_thresholds(tmp_path: Path, scenes: Sources) -> None:
    run = replace(game(RUN), alarms=AlarmConfig(), loop=replace(RUN.loop, steps=110, val_every=55))
    assert alarms(replace(run, model=replace(run.model, widths=(16,))), tmp_path, scenes) == {}


def test_a_discriminator_without_a_brake_overpowers(tmp_path: Path, scenes: Sources) -> None:
    run = replace(game(RUN, lr=3e-3, r1=0.0, width=16), optim=replace(RUN.optim, lr=1e-6))
    text = alarms(run, tmp_path, scenes)["discriminator overpowering"]
    assert "try a larger loss.adversarial.r1, a lower loss.adversarial.lr" in text


@pytest.mark.parametrize("settings", [{"lr": 1e-12, "r1": 0.0}, {"r1": 1e4}], ids=["frozen", "held back"])
def test_a_discriminator_that_cannot_learn_is_dying(
    settings: dict[str, float], tmp_path: Path, scenes: Sources
) -> None:
    text = alarms(game(RUN, width=16, **settings), tmp_path, scenes)["discriminator dying"]
    assert "try a higher loss.adversarial.lr, a smaller loss.adversarial.r1" in text


def test_a_plain_book_far_too_large_has_low_usage(tmp_path: Path, scenes: Sources) -> None:
    run = replace(RUN, model=replace(RUN.model, quantizer=VQConfig(size=4096, channels=8)))
    text = alarms(run, tmp_path, scenes)["usage low"]
    assert "of the 4096 codes are in use" in text
    assert "try a smaller codebook" in text


def test_a_learning_rate_that_rises_too_far_breaks_usage_gradient_and_psnr(tmp_path: Path, scenes: Sources) -> None:
    found = alarms(RISING, tmp_path, scenes)
    assert "try a lower optim.lr, a longer optim.warmup" in found["usage falling"]
    assert "try a lower optim.lr, optim.clip=1" in found["gradient exploding"]
    assert "median was" in found["instability"]
    assert "channels" not in found["instability"], "60 codes in 3 channels are no cause"


def test_a_book_in_one_channel_is_told_of_at_once_and_named_when_training_breaks(
    tmp_path: Path, scenes: Sources
) -> None:
    found = alarms(levels(RISING, 1000), tmp_path, scenes)
    assert "a codebook of 1000 codes in 1 channel has 1000 levels" in found["few channels"]
    assert "try more channels with 5 to 8 levels each" in found["few channels"]
    assert "each channel has 1000 levels on average, try more channels" in found["instability"]
    first = read_log(tmp_path)[0]
    assert (first["step"], first["alarm"]) == (0, "few channels")


def test_a_learning_rate_that_does_nothing_stalls(tmp_path: Path, scenes: Sources) -> None:
    run = replace(RUN, optim=replace(RUN.optim, lr=1e-7), loop=replace(RUN.loop, steps=12, val_every=2))
    text = alarms(run, tmp_path, scenes)["reconstruction stalling"]
    assert "dB at best in 5 validations" in text


def test_three_codes_are_all_in_use_and_reconstruct_poorly(tmp_path: Path, scenes: Sources) -> None:
    found = alarms(levels(RUN, 3), tmp_path, scenes)
    assert set(found) == {"high usage, poor reconstruction"}
    assert "though 100% of the codes are in use; try more tokens" in found["high usage, poor reconstruction"]


def test_off_is_off(tmp_path: Path, scenes: Sources) -> None:
    run = levels(replace(RUN, alarms=AlarmConfig(off=True)), 1000)
    assert alarms(run, tmp_path, scenes) == {}


def test_alarms_change_nothing_that_is_learned(tmp_path: Path, scenes: Sources) -> None:
    for name, config in (("on", RUN.alarms), ("off", AlarmConfig(off=True))):
        alarms(replace(levels(RUN, 3), alarms=config), tmp_path / name, scenes)
    one, two = ((tmp_path / name / "last" / "model.safetensors").read_bytes() for name in ("on", "off"))
    assert one == two


EDGES = [
    (overpowering(0.1, 3), {"discriminator": [9.0, 0.09, 0.09, 0.09]}, {"discriminator": [0.01, 0.1, 0.1, 0.1]}),
    (overpowering(0.1, 3), {"discriminator": [0.0] * 3}, {"discriminator": [0.0] * 2}),
    (
        dying(0.01, 2),
        {"real_score": [5.0, 0.1, 0.1], "fake_score": [0.0, 0.1, 0.1]},
        {"real_score": [0.1, 0.12, 0.12], "fake_score": [0.1] * 3},
    ),
    (
        dying(0.01, 2),
        {"real_score": [-1.0, -1.0], "fake_score": [1.0, 1.0]},
        {"real_score": [0.1], "fake_score": [0.1]},
    ),
    (usage_falling(0.5), {"training_usage": [0.2, 0.8, 0.39]}, {"training_usage": [0.2, 0.8, 0.4]}),
    (usage_falling(0.5), {"training_usage": [0.8, 0.1, 0.3]}, {"training_usage": [0.1]}),
    (gradient_exploding(10), {"gradient_norm": [1.0] * 20 + [10.1]}, {"gradient_norm": [1.0] * 20 + [10.0]}),
    (gradient_exploding(10), {"gradient_norm": [0.0] * 20 + [1.0]}, {"gradient_norm": [1.0] * 19 + [99.0]}),
    (stalling(2, 0.05), {"validation_psnr": [20.0, 20.04, 19.0]}, {"validation_psnr": [20.0, 20.06, 19.0]}),
    (stalling(2, 0.05), {"validation_psnr": [9.0, 8.0, 7.0]}, {"validation_psnr": [9.0, 8.0]}),
    (
        poor_reconstruction(20),
        {"validation_psnr": [19.9], "usage": [0.9], "progress": [0.5]},
        {"validation_psnr": [20.0], "usage": [0.9], "progress": [0.5]},
    ),
    (
        poor_reconstruction(20),
        {"validation_psnr": [1.0], "usage": [1.0], "progress": [1.0]},
        {"validation_psnr": [1.0], "usage": [1.0], "progress": [0.49]},
    ),
    (instability(3, levels=5, most=16), {"psnr": [20.0] * 20 + [16.9]}, {"psnr": [20.0] * 20 + [17.0]}),
    (instability(3, levels=99, most=16), {"psnr": [20.0] * 20 + [1.0]}, {"psnr": [20.0] * 19 + [1.0]}),
]


@pytest.mark.parametrize(("alarm", "bad", "good"), EDGES, ids=lambda value: getattr(value, "name", ""))
def test_each_threshold_is_where_it_says(alarm: Alarm, bad: Seen, good: Seen) -> None:
    text = alarm.sign(bad)
    assert text is not None
    assert "try" in text
    assert "\n" not in text
    assert alarm.sign(good) is None


@pytest.mark.parametrize("book", [0, 3])
def test_low_usage_names_the_least_used_of_several_books(book: int) -> None:
    seen = {"usage": [0.9, 0.1], "used": [4, 2], "codes": [8, 8], "tokens": [20, 20], "book": [0, book]}
    text = usage_low(0.5).sign(seen)
    assert text is not None
    assert text.startswith(f"only 2 of the 8 codes {'of codebook 3 ' if book else ''}are in use (10% of what 20 tokens")
    assert usage_low(0.1).sign(seen) is None


@settings(deadline=None)
@given(channels=st.integers(1, 30), size=st.integers(2, 2**40), most=st.floats(2, 100))
def test_few_channels_means_many_levels_each(channels: int, size: int, most: float) -> None:
    text = few_channels(AlarmConfig(levels=most), channels=channels, codebook_size=size)
    assert (text is not None) == (size > most**channels) or size == pytest.approx(most**channels)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every": 0}, "alarms.every must be at least 1, got 0"),
        ({"stall": 0}, "alarms.stall must be at least 1, got 0"),
        ({"patience": 19}, "alarms.patience must be at least 20, got 19"),
        ({"usage": -0.1}, "alarms.usage must be >= 0, got -0.1"),
        ({"dying": float("nan")}, "alarms.dying must be >= 0, got nan"),
        ({"gradient": 0.0}, "alarms.gradient must be > 0, got 0.0"),
        ({"levels": -1.0}, "alarms.levels must be > 0, got -1.0"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        AlarmConfig(**fields)  # type: ignore[arg-type]


def test_every_alarm_has_its_own_name() -> None:
    found: Sequence[str] = [alarm.name for alarm in tokenizer_alarms(AlarmConfig(), channels=4, codebook_size=1000)]
    assert len(set(found)) == 8
