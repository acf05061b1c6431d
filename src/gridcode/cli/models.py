"""Which models a command is about, of which kind of data, and the label maps that they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gridcode.cli.arguments import is_hub_id, option_value, usable_device
from gridcode.domains.dense.data.config import DenseConfig, Orientation, Task
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import read_json
from gridcode.prior.samplers.config import SamplerConfig

if TYPE_CHECKING:
    from gridcode.domains.dense.predictor import DensePredictor
    from gridcode.tokenizer.model import Tokenizer


_OLDER: Final = {"label-tokenizer": "dense"}
"""The kind of data, by what older folders call the kind of model."""


def kind_of_model(words: Sequence[str]) -> Literal["image", "dense"]:
    """The kind of data of the tokenizer that a command line names with --tokenizer or --run.

    A folder that is none is taken for a tokenizer of pictures: the verb then says what is wrong with it.
    """
    named, run = option_value("--tokenizer", words), option_value("--run", words)
    if not named and run:
        named = str(Path(run) / "tokenizer")
    if not named:
        return "dense" if run else "image"
    folder = Path(named)
    if not folder.is_dir() and is_hub_id(named):
        from gridcode.hub import find_model

        usable_device(option_value("--device", words) or "cpu")  # before anything is downloaded
        folder = find_model(named)
    for candidate in (folder, folder / "best", folder / "last"):
        if (candidate / "config.json").is_file():
            config = read_json(candidate / "config.json", "model")
            return "dense" if "dense" in (config.get("domain"), _OLDER.get(config.get("kind", ""))) else "image"
    return "image"


@dataclass(frozen=True)
class DenseModels:
    """Both stages of dense prediction."""

    run: Path | None = None
    """A folder with tokenizer/ and prior/ in it, in the place of --tokenizer and --prior."""
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
            raise GridcodeError("give the models with --tokenizer and --prior, or --run RUN")
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
                f"{self.run} holds no tokenizer/; give the folder that holds tokenizer/ and prior/ as --run"
            )
        return self.run


@dataclass(frozen=True)
class DenseDataChange:
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


def load_tokenizer(flags: DenseModels) -> Tokenizer:
    """Stage I.

    Raises:
        GridcodeError: It cannot be loaded, or is for another task.
    """
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.tokenizer.model import Tokenizer

    where = flags.tokenizer_at()
    tokenizer = Tokenizer.from_pretrained(where, device=usable_device(flags.device))
    task = dense_domain(tokenizer).data.task
    if flags.task not in (None, task):
        raise GridcodeError(f"{where} is for the task {task}, not {flags.task}; leave out --task")
    return tokenizer


def load_predictor(
    flags: DenseModels, tokenizer: Tokenizer, *, sampler: SamplerConfig, seed: int, draws: int = 1
) -> DensePredictor | None:
    """Both stages; None where the run has no Stage II yet.

    Raises:
        GridcodeError: The prior cannot be loaded, or does not belong to the label tokenizer.
    """
    from gridcode.domains.dense.predictor import DensePredictor
    from gridcode.domains.dense.prior.make import load_conditional_prior

    where = flags.prior_at()
    if where is None:
        return None
    prior = load_conditional_prior(where, device=usable_device(flags.device))
    return DensePredictor(prior, tokenizer, sampler=sampler, seed=seed, draws=draws)
