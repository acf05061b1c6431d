"""A training run on disk and on screen: its folder, log, bar, checkpoints, and the way it ends.

    runs/tokenizer/
      run.json                    the resolved config
      log.jsonl, tensorboard/     curves
      best/, last/                models: the best validation score's, and the newest
      images/, perceptual/        Stage I: validation images and reconstructions; the network of a self-made loss
      state/step-00000500/        what --resume continues from
      done.json                   there once the run ended
      .lock                       keeps a second process out while one is training

Both loops are the same few lines around their own step::

    with open_run(...) as run:
        for step in run.steps():
            ...                                  # the stage's own step
            run.log(step, {"loss": loss})
            if run.validates_at(step):
                run.validated(step, scores, ...)
            run.end_step(step)
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gridcode.errors import FileError, GridcodeError, NotFiniteError
from gridcode.files import LOCK_FILE, alone_in, from_json, read_json, sweep, to_json, write_json
from gridcode.training.config import LoopConfig
from gridcode.training.log import ProgressBar, RunLog
from gridcode.training.resume import EXAMPLES, check_examples, check_settings, defaults_of
from gridcode.training.signals import Stopped, StopRequest, stop_requests
from gridcode.training.state import SharedMemory, Trainee, checkpoints, load_state, save_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric


RUN_FILE, DONE_FILE = "run.json", "done.json"
DOING = "training"
"""What a process does in the folder that it keeps from others."""


@dataclass(frozen=True)
class RunOptions:
    """How a run treats what is on disk and on screen; nothing here changes its result.

    Attributes:
        out: The run's folder.
        resume: Continue from the newest checkpoint in ``out``.
        force: Replace what is in ``out``.
        show: Draw the progress bar; only process 0 ever does.
        again: What a person is told to do after a signal stopped the run.
        wording: What is shown is passed through it: a command line names settings as its flags. The log is not.
    """

    out: Path
    resume: bool = False
    force: bool = False
    show: bool = True
    again: str = "the same command with resume=True continues it"
    wording: Callable[[str], str] = str


def first_process() -> bool:
    """Whether this is the process that writes files and speaks to the person, by what torchrun and Fabric tell it."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def prepare_folder(options: RunOptions, config: Any, about: Mapping[str, Any] | None = None) -> None:
    """Make the run's folder, or check that an existing one may be continued; of several processes the first does.

    A folder with nothing but ``run.json`` is free: that run ended before its first step, at a wrong path say.

    Args:
        options: The folder, and whether it may be continued or replaced.
        config: The run's settings, a dataclass.
        about: What else a resume must find unchanged, by name.

    Raises:
        GridcodeError: The folder exists without ``force`` or ``resume``, or holds a run of another config, or one that
            another process is training.
    """
    if not first_process():
        return
    out, settings = options.out, from_json(to_json(asdict(config) | dict(about or {})))
    if out.exists() and not out.is_dir():
        raise FileError(f"{out} is a file; give a folder")
    if options.resume and options.force:
        raise GridcodeError("resume=True continues a run and force=True replaces it; give one of them")
    occupied = out.exists() and any(path.name not in (RUN_FILE, LOCK_FILE) for path in out.iterdir())
    if (out / RUN_FILE).exists() and (options.resume or options.force):
        with alone_in(out, DOING):
            sweep(out)
    if options.resume:
        before = read_json(out / RUN_FILE, "the run to resume")
        check_settings(out, before, settings, from_json(to_json(defaults_of(config))))
        write_json(out / RUN_FILE, settings | ({EXAMPLES: before[EXAMPLES]} if EXAMPLES in before else {}))
        return
    if occupied and not (out / RUN_FILE).exists():
        raise FileError(
            f"{out} holds files that are not a gridcode run, and force=True will not delete them; give another folder"
        )
    if occupied and not options.force:
        raise FileError(f"{out} is not empty; set force=True to replace it, or resume=True to continue that run")
    for name in ("state", "best", "last", "tensorboard", "images", "pictures", "perceptual"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("log.jsonl", DONE_FILE):
        (out / name).unlink(missing_ok=True)
    write_json(out / RUN_FILE, settings)


def same_examples(options: RunOptions, examples: Mapping[str, Any]) -> None:
    """Write down what a run learns from, or check that a resumed one goes on with the same; the first process does.

    Args:
        options: The folder, made by :func:`prepare_folder`.
        examples: What :func:`gridcode.training.resume.describe` says of them.

    Raises:
        GridcodeError: A resumed run has learned from others.
    """
    if not first_process():
        return
    settings = read_json(options.out / RUN_FILE, "the run's settings")
    if options.resume:
        check_examples(options.out, settings.get(EXAMPLES), examples)
    write_json(options.out / RUN_FILE, settings | {EXAMPLES: dict(examples)})


class OpenRun:
    """One run while it is open; see the module's example. Made by :func:`open_run`."""

    def __init__(self, options: RunOptions, loop: LoopConfig, trainee: Trainee, *, fabric: Fabric) -> None:
        self.out, self.loop, self.trainee, self.fabric = options.out, loop, trainee, fabric
        self.writer = fabric.is_global_zero
        self._again, self._wording = options.again, options.wording
        self._sharded = loop.strategy == "fsdp"
        values: dict[str, Any] = {"step": 0, "best": None}
        if options.resume and self._sharded:
            raise GridcodeError("a run with loop.strategy=fsdp cannot be resumed: start it again, or use ddp")
        if options.resume:
            values = load_state(self.out, trainee)
        self.start: int = values["step"]
        self.best: float | None = values["best"]
        self.planned: int = values.get("steps", loop.steps)
        """The steps that the run was to take when its checkpoint was written."""
        if self.start > loop.steps:
            raise GridcodeError(
                f"{self.out} has taken {self.start} steps already, loop.steps is {loop.steps}: give at least "
                f"{self.start} to resume it"
            )
        if self.writer and self.start < loop.steps:
            (self.out / DONE_FILE).unlink(missing_ok=True)
        self._log: RunLog | None = None
        self._bar: ProgressBar | None = None
        self._stop = StopRequest()
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._clock = (time.perf_counter(), self.start)

    def steps(self) -> Iterator[int]:
        """The steps still to take, numbered from 0; after the last one, ``done.json`` is written."""
        yield from range(self.start, self.loop.steps)
        if self.writer:
            write_json(self.out / DONE_FILE, {"steps": self.loop.steps, "best": self.best})

    def logs_at(self, step: int) -> bool:
        """Whether a line of the log is due once ``step`` has been taken."""
        return (step + 1) % self.loop.log_every == 0 or step + 1 == self.loop.steps

    def log(self, step: int, metrics: Mapping[str, Tensor | float]) -> None:
        """Take one step's metrics into the means of the next line.

        Raises:
            NotFiniteError: The loss, its gradient or another metric is not finite; the last checkpoint stays.
        """
        for part, whose in (("", "the"), ("discriminator_", "the discriminator's")):
            if metrics.get(f"{part}skipped"):
                scale = float(metrics[f"{part}loss_scale"])
                text = f"{whose} gradient overflowed in fp16: its step was skipped, the loss scale fell to {scale:.6g}"
                self.warn(step + 1, text)
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
            self._counts[name] = self._counts.get(name, 0) + 1
        # A finite loss can have gradients that are not; a checkpoint of such a step would be worthless.
        for name, total in self._sums.items():
            if not math.isfinite(total):
                self._diverged(step, name.replace("_", " "))

    def write_line(self, step: int, latest: Mapping[str, float] | None = None) -> None:
        """Write and show the means since the last line, the speed, and ``latest`` as it is."""
        figures = self._means() | dict(latest or {})
        now = time.perf_counter()
        figures["images_per_s"] = (step + 1 - self._clock[1]) * self.loop.batch_size / (now - self._clock[0])
        self._sums, self._counts, self._clock = {}, {}, (now, step + 1)
        if self._log is not None:
            self._log.write(step + 1, {f"train/{name}": value for name, value in figures.items()})
        if self._bar is not None:
            shown = {
                "loss": "loss",
                "psnr": "PSNR",
                "usage": "usage",
                "accuracy": "acc",
                "images_per_s": "img/s",
            }
            self._bar.advance(step + 1, {label: f"{figures[k]:.4g}" for k, label in shown.items() if k in figures})

    def _means(self) -> dict[str, float]:
        """The metrics' means since the last line, over the steps that had them and over all processes."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        if self.fabric.world_size == 1:
            return means
        # The mean over processes, whose shares of a batch are equal.
        gathered = self.fabric.all_reduce(torch.tensor(list(means.values()), device=self.fabric.device))
        assert isinstance(gathered, Tensor)
        return dict(zip(means, gathered.tolist(), strict=True))

    def warn(self, step: int, text: str, *, alarm: str | None = None) -> None:
        """Log and show a warning that says what to try; ``alarm`` names the alarm that raised it."""
        if self._log is not None:
            self._log.write(step, {"warning": text} | ({"alarm": alarm} if alarm else {}))
        self.say(f"warning, step {step}: {text}")

    def say(self, text: str) -> None:
        """Show a line to the person at the terminal."""
        if self._bar is not None:
            self._bar.say(self._wording(text))

    def validates_at(self, step: int) -> bool:
        """Whether validation is due once ``step`` has been taken."""
        return (step + 1) % self.loop.val_every == 0 or step + 1 == self.loop.steps

    def validated(self, step: int, scores: Mapping[str, float], *, score: float, save: Callable[[Path], None]) -> None:
        """Log validation scores; ``save`` writes the model to ``best/`` at a new highest ``score``."""
        if not self.writer:
            return
        if self._log is not None:
            self._log.write(step + 1, {f"val/{name}": value for name, value in scores.items()})
        self.say(f"step {step + 1}/{self.loop.steps}  " + "  ".join(f"{k} {v:.4g}" for k, v in scores.items()))
        if math.isfinite(score) and (self.best is None or score > self.best):
            self.best = score
            save(self.out / "best")
        # Validation's time is not training's.
        self._clock = (time.perf_counter(), step + 1)

    def end_step(self, step: int, *, save: Callable[[Path], None]) -> None:
        """Checkpoint when one is due or a signal asked to stop.

        Raises:
            Stopped: A signal came; the message says how to resume.
        """
        last = step + 1 == self.loop.steps
        stop = self._agreed_stop()
        due = last or bool(stop) or (step + 1) % self.loop.checkpoint_every == 0
        if due and not self._sharded:
            for memory in self.trainee.memories.values():
                if isinstance(memory, SharedMemory):
                    memory.gather(self.fabric)
        if self.writer and due:
            if last:
                save(self.out / "last")
            if not self._sharded:
                save_state(self.out, step + 1, self.trainee, {"best": self.best, "steps": self.loop.steps})
        if stop and not last:
            # Where one process ends with an error a launcher ends the others; none goes before the checkpoint is whole.
            self.fabric.barrier()
            name = signal.Signals(stop).name
            again = "a run with loop.strategy=fsdp cannot be resumed" if self._sharded else self._again
            raise Stopped(f"stopped by {name} after step {step + 1} of {self.loop.steps}; {again}", stop)

    def _agreed_stop(self) -> int:
        """The signal that asked any process to stop, 0 if none: all processes end after the same step."""
        received = int(self._stop.received or 0)
        if self.fabric.world_size == 1:
            return received
        flag = torch.tensor(received, device=self.fabric.device)
        agreed = self.fabric.all_reduce(flag, reduce_op="max")
        assert isinstance(agreed, Tensor)
        return int(agreed)

    def _diverged(self, step: int, what: str) -> None:
        kept = checkpoints(self.out)
        where = f"the checkpoint {kept[-1]} is kept" if kept else "no checkpoint was written yet"
        text = f"the {what} is not finite at step {step}; {where}; try a lower optim.lr or loop.precision=fp32"
        if self._log is not None:
            self._log.write(step, {"warning": text})
        raise NotFiniteError(text)


@contextmanager
def open_run(
    options: RunOptions, loop: LoopConfig, trainee: Trainee, *, fabric: Fabric, title: str
) -> Iterator[OpenRun]:
    """Open a run's folder for training: restores the state when resuming, catches signals, closes the log.

    Args:
        options: Folder and flags; the folder was made by :func:`prepare_folder`.
        loop: Length and cadence.
        trainee: What is trained; changed in place by a resume.
        fabric: The processes; process 0 writes files and shows the bar.
        title: What the bar is called.

    Raises:
        GridcodeError: Another process is training in the folder.
    """
    run = OpenRun(options, loop, trainee, fabric=fabric)
    with ExitStack() as stack:
        run._stop = stack.enter_context(stop_requests())
        if run.writer:
            stack.enter_context(alone_in(options.out, DOING))
            run._log = RunLog(options.out, start=run.start)
            stack.callback(run._log.close)
            bar = ProgressBar(title, total=loop.steps, start=run.start, show=options.show)
            run._bar = stack.enter_context(bar)
        if run._sharded:
            run.warn(
                0, "with loop.strategy=fsdp there are no checkpoints to resume from, only the models best/ and last/"
            )
        yield run
