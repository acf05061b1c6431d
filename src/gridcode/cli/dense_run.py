"""Which run a dense command is about: its two models, and the data that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gridcode.domains.dense.data.config import DenseConfig, Orientation, Task
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.prior.samplers.config import SamplerConfig

if TYPE_CHECKING:
    from gridcode.domains.dense.predictor import DensePredictor
    from gridcode.tokenizer.model import Tokenizer


@dataclass(frozen=True)
class RunFlags:
    """The models of a command line."""

    run: Path | None = None
    """The folder that gridcode dense train made, with tokenizer/ and prior/ in it."""
    tokenizer: str | None = None
    """The label tokenizer's folder or hub id, where it is not in --run."""
    prior: str | None = None
    """The prior's folder or hub id, where it is not in --run."""
    task: Task | None = None
    """The task, checked against the label tokenizer's own."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""

    def tokenizer_at(self) -> str:
        """Where Stage I is.

        Raises:
            GridcodeError: Nothing says it.
        """
        if self.tokenizer is None and self.run is None:
            raise GridcodeError("give the models with --run RUN, the folder that gridcode dense train made")
        return self.tokenizer or str(self._folder() / "tokenizer")

    def prior_at(self) -> str | None:
        """Where Stage II is; None where the run has none yet."""
        if self.prior is not None or self.run is None:
            return self.prior
        inside = self._folder() / "prior"
        return str(inside) if any((inside / name / "config.json").is_file() for name in ("best", "last", ".")) else None

    def _folder(self) -> Path:
        assert self.run is not None
        if not (self.run / "tokenizer").is_dir() and self.tokenizer is None:
            raise MissingFileError(
                f"{self.run} holds no tokenizer/; give the folder that gridcode dense train made as --run"
            )
        return self.run


@dataclass(frozen=True)
class DenseChange:
    """Where the pictures with label maps are, when they are not where the label tokenizer was trained."""

    source: str | None = None
    """Pictures with label maps; the label tokenizer's own by default."""
    train_count: int | None = None
    """Number of training scenes; only for 'scenes'."""
    val_count: int | None = None
    """Number of validation scenes; only for 'scenes'."""
    ignore_value: int | None = None
    """Value of these semantic maps that is unlabelled, as 0 is."""
    orientation: Orientation | None = None
    """Whether these pictures and maps are turned by their EXIF orientation (exif) or left as they are (stored)."""
    workers: int | None = None
    """Processes that read pictures."""
    max_pixels: int | None = None
    """Refuse pictures and maps of more pixels; Pillow's limit of 89 million by default."""

    def applied(self, data: DenseConfig) -> DenseConfig:
        """The settings with these changes."""
        return replace(data, **{name: value for name, value in vars(self).items() if value is not None})


def load_tokenizer(flags: RunFlags) -> Tokenizer:
    """Stage I.

    Raises:
        GridcodeError: It cannot be loaded, or is for another task.
    """
    from gridcode.cli.arguments import usable_device
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.tokenizer.model import Tokenizer

    where = flags.tokenizer_at()
    tokenizer = Tokenizer.from_pretrained(where, device=usable_device(flags.device))
    if flags.task not in (None, dense_domain(tokenizer).data.task):
        raise GridcodeError(
            f"{where} is for the task {dense_domain(tokenizer).data.task}, not {flags.task}; leave out --task"
        )
    return tokenizer


def load_predictor(
    flags: RunFlags, tokenizer: Tokenizer, *, sampler: SamplerConfig, seed: int, draws: int = 1
) -> DensePredictor | None:
    """Both stages; None where the run has no Stage II yet.

    Raises:
        GridcodeError: The prior cannot be loaded, or does not belong to the label tokenizer.
    """
    from gridcode.cli.arguments import usable_device
    from gridcode.domains.dense.predictor import DensePredictor
    from gridcode.domains.dense.prior.make import load_conditional_prior

    where = flags.prior_at()
    if where is None:
        return None
    prior = load_conditional_prior(where, device=usable_device(flags.device))
    return DensePredictor(prior, tokenizer, sampler=sampler, seed=seed, draws=draws)
