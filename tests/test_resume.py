"""A run that is killed, torn and stopped on its way ends with the bytes of one that was left alone.

Each stage makes one journey through real processes of the command line: every process resumes what the one before
left, and meets another end. The tests look at what was seen on the way. No end is met twice: the tokenizer's journey
is killed at some moment and gets the signals, the prior's dies while it writes.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gridcode.cli.main import main
from gridcode.store.writer import StoreWriter
from gridcode.training.log import read_log
from gridcode.training.state import checkpoints

STEPS, EVERY = 58, 3


def words(text: str) -> list[str]:
    return text.split()


LOOP = words(
    f"--loop.steps {STEPS} --loop.batch-size 8 --loop.log-every 1 --loop.val-every 30 --loop.val-count 4 "
    f"--loop.checkpoint-every {EVERY} --loop.precision fp32 --loop.accelerator cpu"
)
TOKENIZER = words(
    "--data.size 8 --data.workers 1 --data.shuffle-buffer 20 --data.val-fraction 0.1 --data.crop.train random "
    "--model.widths 8 8 --model.patch 1 --quantizer-dropout 0.3 "
    # The quantizer with the most to remember: a codebook, counts and sums, and random numbers of its own.
    "--quantizer vq --model.quantizer.preset uvim --model.quantizer.size 12 --model.quantizer.channels 4 "
    # The loss with the most: a network made before the first step, one that learns from a step on, a lazy penalty.
    "--loss.perceptual.kind self --loss.perceptual.widths 8 8 --loss.perceptual.steps 3 --loss.perceptual.batch-size 8 "
    "--loss.adversarial.kind non-saturating --loss.adversarial.width 8 --loss.adversarial.lr 1e-3 "
    "--loss.adversarial.start 5 --loss.adversarial.r1-every 4 "
    # Alarms that are often due, and remember.
    "--alarms.patience 30 --alarms.every 20 --alarms.usage 1 --alarms.dying 10 --alarms.drop 0.01"
)
PRIOR = words("--model.width 16 --model.depth 1 --model.heads 2 --model.mlp 32 --model.dropout 0.1")

KILLED_IN_ITS_SECOND_CHECKPOINT = """
import signal
from pathlib import Path
from gridcode.training import state

whole, calls = state.save_tensors, []

def half(path, tensors):
    whole(path, tensors)
    calls.append(path)
    if len(calls) == 2:
        Path(path).write_bytes(Path(path).read_bytes()[: Path(path).stat().st_size // 2])
        os.kill(os.getpid(), signal.SIGKILL)

state.save_tensors = half
"""

Ending = Callable[[BaseProcess], None]
Start = Callable[[list[str], Path, str], BaseProcess]


@dataclass(frozen=True)
class Leg:
    """One process of a journey, and what it left.

    Attributes:
        code: Its exit code; negative for the signal that killed it.
        errors: What it wrote to stderr.
        workers: Its data workers, by process id.
        checkpoints: Names of the checkpoints it left.
        leftovers: Names in the checkpoints' folder that are no checkpoints.
        step: The last step in its log.
    """

    code: int
    errors: str
    workers: frozenset[int]
    checkpoints: tuple[str, ...]
    leftovers: tuple[str, ...]
    step: int


@dataclass(frozen=True)
class Journey:
    """A stage's run with ``legs`` by name, and the same run undisturbed."""

    run: Path
    straight: Path
    legs: dict[str, Leg]


def children(parent: int) -> frozenset[int]:
    """The processes that a process has started and that are still there."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(path.parent.name))
    return frozenset(found)


def travel(start: Start, command: list[str], run: Path, ending: Ending | None) -> Leg:
    """Start a process; where an ending is given, meet it some steps after its first one."""
    lines = len(read_log(run))
    errors = run.with_suffix(".errors")
    process = start(command, errors, "" if ending else KILLED_IN_ITS_SECOND_CHECKPOINT)
    workers: frozenset[int] = frozenset()
    if ending is not None:
        # After its first checkpoint, and not on the checkpoints' beat: steps are lost and taken again.
        wait_for_lines(process, run, lines + 2 * EVERY + random.randrange(2 * EVERY))
        workers = children(pid(process))
        ending(process)
    process.join(timeout=120)
    assert process.exitcode is not None
    names = sorted(path.name for path in (run / "state").iterdir())
    return Leg(
        code=process.exitcode,
        errors=errors.read_text(),
        workers=workers,
        checkpoints=tuple(path.name for path in checkpoints(run)),
        leftovers=tuple(name for name in names if not name.startswith("step-")),
        step=max(line["step"] for line in read_log(run)),
    )


def pid(process: BaseProcess) -> int:
    assert process.pid is not None
    return process.pid


def wait_for_lines(process: BaseProcess, run: Path, lines: int) -> None:
    log = run / "log.jsonl"
    while process.is_alive() and not (log.exists() and log.read_bytes().count(b"\n") >= lines):
        time.sleep(0.002)


def kill(process: BaseProcess) -> None:
    process.kill()


def interrupt_all(process: BaseProcess) -> None:
    """What a terminal does at Ctrl-C: every process of the group gets it."""
    os.killpg(pid(process), signal.SIGINT)


def terminate_all(process: BaseProcess) -> None:
    """What `timeout` and batch systems do."""
    os.killpg(pid(process), signal.SIGTERM)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory, start_gridcode: Start) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("tokenizer")
    generator = np.random.default_rng(0)
    for shard in range(5):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(7 + shard):
                photo = folder / "photo.png"
                Image.fromarray(generator.integers(0, 256, (9, 10, 3), dtype=np.uint8)).save(photo)
                tar.add(photo, f"{shard}-{number}.png")
    # Read from front to back: what goes on is a stream of shards whose number of images is not known.
    settings = [*TOKENIZER, "--data.source", str(folder / "{0..4}.tar"), "--data.stream", *LOOP]
    command = ["train", "tokenizer", "scenes_smoke", *settings, "--out"]
    endings = {"kill": kill, "SIGTERM": terminate_all, "SIGINT": interrupt_all}
    yield from journey(start_gridcode, folder, command, endings)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory, start_gridcode: Start) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("prior")
    with StoreWriter(
        folder / "tokens",
        quantizer={"name": "fsq", "levels": [4, 3]},
        codebook_size=12,
        grid=(2, 3),
        tokenizer="0123456789abcdef",
        data={},
        classes=("a", "b", "c"),
    ) as writer:
        generator = torch.Generator().manual_seed(0)
        for split, count in (("train", 37), ("val", 5)):
            tokens = torch.randint(0, 12, (count, 2, 3), generator=generator)
            writer.write(split, tokens, torch.arange(count) % 3, [f"{split}{n}" for n in range(count)])
    settings = [*PRIOR, "--tokens", str(folder / "tokens"), *LOOP]
    command = ["train", "prior", "scenes_smoke", *settings, "--out"]
    yield from journey(start_gridcode, folder, command, {"torn": None})


def journey(start: Start, folder: Path, command: list[str], endings: dict[str, Ending | None]) -> Iterator[Journey]:
    """Where no ending is given, the process kills itself while it writes its second checkpoint."""
    run, straight = folder / "run", folder / "straight"
    legs: dict[str, Leg] = {}
    again = [*command, str(run), "--resume"]
    for name, ending in endings.items():
        legs[name] = travel(start, again if legs else [*command, str(run)], run, ending)
    assert main(again) == 0
    assert main([*command, str(straight)]) == 0
    yield Journey(run, straight, legs)
    ours = frozenset().union(*(leg.workers for leg in legs.values()))
    for worker in alive(ours):
        os.kill(worker, signal.SIGKILL)


@pytest.fixture(params=["tokenizer", "prior"])
def stage(request: pytest.FixtureRequest) -> Journey:
    found: Journey = request.getfixturevalue(request.param)
    return found


def alive(workers: frozenset[int]) -> frozenset[int]:
    """Those of our workers that still run; a number that went to another program is not ours."""
    found = set()
    for worker in workers:
        try:
            words = Path(f"/proc/{worker}/cmdline").read_text()
            state = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if "forkserver" in words and state != "Z":
            found.add(worker)
    return frozenset(found)


@pytest.mark.parametrize(
    "file",
    [
        "last/model.safetensors",
        "best/model.safetensors",
        f"state/step-{STEPS:08d}/state.safetensors",
        f"state/step-{STEPS:08d}/state.json",
        "run.json",
        "done.json",
    ],
)
def test_a_run_killed_and_resumed_ends_with_the_same_bytes(stage: Journey, file: str) -> None:
    assert (stage.run / file).read_bytes() == (stage.straight / file).read_bytes(), stage.legs


def test_a_run_killed_and_resumed_tells_the_same_story(stage: Journey) -> None:
    stories = []
    for run in (stage.run, stage.straight):
        lines = read_log(run)
        for line in lines:
            line.pop("train/images_per_s", None)
        stories.append(lines)
    assert stories[0] == stories[1]


def test_the_last_checkpoint_holds_every_network_both_optimisers_and_what_the_alarms_saw(tokenizer: Journey) -> None:
    folder = tokenizer.run / "state" / f"step-{STEPS:08d}"
    tensors = load_file(folder / "state.safetensors")
    parts = {"/".join(name.split("/")[: 2 if name.startswith("discriminator") else 1]) for name in tensors}
    assert parts == {"model", "ema", "optimizer", "discriminator/model", "discriminator/optimizer"}
    assert {int(t) for name, t in tensors.items() if name.startswith("optimizer/") and name.endswith("/step")} == {
        STEPS
    }
    taken = {int(t) for name, t in tensors.items() if name.startswith("discriminator/") and name.endswith("/step")}
    assert taken == {STEPS - 5}
    alarms = json.loads((folder / "state.json").read_text())["memories"]["alarms"]
    assert len(alarms["seen"]["discriminator"]) == 31
    raised = {line["alarm"] for line in read_log(tokenizer.run) if "alarm" in line}
    assert {"usage low", "discriminator dying", "instability"} <= raised == set(alarms["raised"])


def test_the_network_of_the_loss_is_made_once(tokenizer: Journey) -> None:
    one, two = (run / "perceptual" / "model.safetensors" for run in (tokenizer.run, tokenizer.straight))
    assert one.read_bytes() == two.read_bytes()


def test_a_kill_leaves_one_whole_checkpoint_from_before(tokenizer: Journey) -> None:
    leg = tokenizer.legs["kill"]
    assert leg.code == -signal.SIGKILL, leg
    assert len(leg.checkpoints) in (1, 2), "two, where the kill fell between the new one and the old one's end"
    step = int(leg.checkpoints[-1].removeprefix("step-"))
    assert step % EVERY == 0
    assert 0 < step <= leg.step < STEPS


def test_a_kill_in_the_midst_of_a_checkpoint_leaves_the_one_before(prior: Journey) -> None:
    leg = prior.legs["torn"]
    assert leg.code == -signal.SIGKILL, leg
    (kept,) = leg.checkpoints
    torn = [name for name in leg.leftovers if name.startswith(".step-")]
    assert torn
    steps = [int(name.removeprefix(".step-").split(".")[0]) for name in torn]
    assert max(steps) == int(kept.removeprefix("step-")) + EVERY


def test_nothing_torn_is_left_in_the_end(stage: Journey) -> None:
    for folder in (stage.run / "state", stage.straight / "state"):
        assert [path.name for path in folder.iterdir()] == [f"step-{STEPS:08d}"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_ends_in_one_line(tokenizer: Journey, name: str) -> None:
    leg = tokenizer.legs[name]
    assert leg.code == 128 + signal.Signals[name], leg
    told = re.compile(r"step |warning, step | +\d+ s  ")  # the log's lines, and what was understood of the data
    shown = [line for line in leg.errors.splitlines() if not told.match(line)]
    expected = (
        f"gridcode train: stopped by {name} after step {leg.step} of {STEPS}; the same command with --resume "
        "continues it"
    )
    assert shown == [expected]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_leaves_a_checkpoint_of_its_very_step(tokenizer: Journey, name: str) -> None:
    leg = tokenizer.legs[name]
    assert leg.checkpoints == (f"step-{leg.step:08d}",)


def test_data_workers_end_with_their_run(tokenizer: Journey) -> None:
    for name in ("kill", "SIGTERM", "SIGINT"):
        leg = tokenizer.legs[name]
        assert len(leg.workers) == 1, (name, leg)
    deadline = time.monotonic() + 30
    ours = frozenset().union(*(leg.workers for leg in tokenizer.legs.values()))
    while alive(ours) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(ours)
