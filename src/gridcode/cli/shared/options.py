"""The options that several verbs share, each declared once: where to write, where to run, how to draw, what to read.

A verb's command line is a frozen dataclass; these are parts of it, flattened into its own options with :data:`FLAT`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import tyro

from gridcode.cli.shared.advice import as_typed
from gridcode.errors import FileError, GridcodeError
from gridcode.files import make_folder
from gridcode.prior.samplers.config import SamplerConfig

if TYPE_CHECKING:
    from gridcode.training.run import RunOptions

FLAT: Final = tyro.conf.arg(name="")
"""Marks a part of a command line whose fields are options of their own: ``--out``, not ``--output.out``."""


@dataclass(frozen=True)
class Output:
    """Where a verb writes."""

    out: Path
    """Folder for what is written."""
    force: bool = False
    """Write into --out even if it is not empty, over what is there."""

    def check(self) -> None:
        """Refuse what :meth:`make` would refuse, before work that takes long.

        Raises:
            GridcodeError: The folder is a file, or has something in it and ``force`` is not set.
        """
        if self.out.is_file():
            raise FileError(f"{self.out} is a file; give a folder as --out")
        if self.out.exists() and any(self.out.iterdir()) and not self.force:
            raise FileError(f"{self.out} is not empty; give another --out, or --force to write into it")

    def make(self) -> Path:
        """Make the folder.

        Raises:
            GridcodeError: As :meth:`check`.
        """
        self.check()
        return make_folder(self.out)


@dataclass(frozen=True)
class RunFlags:
    """How training treats what is on disk; nothing here changes its result."""

    out: Path | None = None
    """Folder of the run; only --dry-run needs none."""
    resume: bool = False
    """Continue the run in --out from its newest checkpoint."""
    force: bool = False
    """Replace the run in --out."""
    dry_run: bool = False
    """Print the resolved settings, parameters, token grid and an estimate of memory, and exit."""

    def folder(self) -> Path:
        """``out``.

        Raises:
            GridcodeError: It was not given.
        """
        if self.out is None:
            raise GridcodeError("give the run a folder with --out DIR")
        return self.out

    def options(self) -> RunOptions:
        """The flags as a training run takes them.

        Raises:
            GridcodeError: There is no folder.
        """
        from gridcode.training.run import RunOptions

        return RunOptions(self.folder(), resume=self.resume, force=self.force, wording=as_typed)


@dataclass(frozen=True)
class Device:
    """Where networks run."""

    name: Annotated[str, tyro.conf.arg(name="device")] = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""

    def usable(self) -> str:
        """The name, if this machine has the device.

        Raises:
            GridcodeError: It has not, or there is no device of that name.
        """
        import torch

        try:
            torch.empty(0, device=self.name)
        except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built for the device
            reason = (str(error) or "no such device").splitlines()[0]
            raise GridcodeError(f"--device {self.name} cannot be used here ({reason}); try --device cpu") from None
        return self.name


@dataclass(frozen=True)
class Drawing:
    """How a prior's tokens are drawn."""

    sampler: Annotated[SamplerConfig, FLAT] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    seed: int = 0
    """Same seed, same result: an image's noise depends on the seed and its number."""


Data = TypeVar("Data")
Read = TypeVar("Read")


def read_each(
    count: int, read: Callable[[int], Read], *, name: str, what: str, on_error: Literal["stop", "skip"]
) -> Iterator[Read]:
    """What ``read`` makes of 0 … count - 1; with "skip", of those that can be read, and the others are said.

    Args:
        count: How many there are.
        read: Raises a :class:`GridcodeError` where one cannot be read.
        name: Where they come from.
        what: What they are, such as "images".
        on_error: At one that cannot be read: stop, or skip it.

    Raises:
        GridcodeError: One cannot be read, or with "skip" none can.
    """
    failed = 0
    for number in range(count):
        try:
            found = read(number)
        except GridcodeError as error:
            if on_error == "stop":
                raise
            failed += 1
            print(f"skipped: {error}", file=sys.stderr)
            continue
        yield found
    if failed == count:
        raise FileError(f"{name}: none of {failed} {what} can be read; check data.source")


class Changes:
    """Settings that a command line gives in the place of a tokenizer's own; subclasses are frozen dataclasses."""

    def applied(self, data: Data) -> Data:
        """The settings with what was given; a new source leaves the old one's ``val_source`` behind."""
        settings: Any = data
        given = {name: value for name, value in vars(self).items() if value is not None}
        if "source" in given:
            settings = replace(settings, val_source=None)
        changed: Data = replace(settings, **given)
        return changed


@dataclass(frozen=True)
class Reading(Changes):
    """How images are read, where it is not as the tokenizer was trained."""

    on_error: Literal["stop", "skip"] | None = None
    """At an image that cannot be read: stop, or skip it and say so."""
    max_pixels: int | None = None
    """Refuse images of more pixels; Pillow's limit of 89 million by default."""


@dataclass(frozen=True)
class DataChange(Reading):
    """Where the images are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Images to read, for training and validation; the tokenizer's own data by default."""
    size: int | None = None
    """Side in pixels; the tokenizer's own by default."""
    val_source: str | None = None
    """Images for validation, where they are not beside or among those of --data.source."""
    workers: int | None = None
    """Processes that read images."""
