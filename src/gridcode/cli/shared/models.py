"""The models that a command is about, as options, and their loading."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gridcode.cli.shared.folders import Sort, check_folder, check_source, sort_of_model
from gridcode.cli.shared.kinds import KindOfData
from gridcode.cli.shared.options import FLAT, Device, Drawing, Output
from gridcode.domains.dense.data.config import DenseConfig, Orientation, Task
from gridcode.domains.image.config import rate_folders
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.prior.samplers.config import GREEDY

if TYPE_CHECKING:
    from gridcode.domains.audio.compress import SoundCodec
    from gridcode.domains.dense.predictor import DensePredictor
    from gridcode.domains.image.compress import Codec
    from gridcode.evaluation.publish import Runs
    from gridcode.tasks.generate import Generator
    from gridcode.tokenizer.model import Tokenizer


@dataclass(frozen=True)
class TokenizerModel:
    """A tokenizer."""

    tokenizer: str
    """A tokenizer's folder or hub id."""
    device: Annotated[Device, FLAT] = field(default_factory=Device)

    def check(self, wanted: Sort = "image tokenizer") -> None:
        """Refuse a folder that holds none of that sort, before the libraries that read models are imported.

        Raises:
            GridcodeError: There is nothing, or something else.
        """
        check_folder("--tokenizer", self.tokenizer, wanted)

    def load(self) -> Tokenizer:
        """The tokenizer, on its device.

        Raises:
            GridcodeError: It cannot be loaded.
        """
        from gridcode.tokenizer.model import Tokenizer

        return Tokenizer.from_pretrained(self.tokenizer, device=self.device.usable())


@dataclass(frozen=True)
class CodecModel:
    """What turns images or sounds into tokens and codes them."""

    model: str
    """A folder of tokenizer/ and perhaps prior/, as gridcode demo makes it; of images one of several such folders, a
    rate each; or a tokenizer's folder or hub id."""
    device: Annotated[Device, FLAT] = field(default_factory=Device)

    def kind(self) -> KindOfData:
        """What it compresses, image or audio, without importing the libraries that read models.

        Raises:
            GridcodeError: There is nothing, or something else.
        """
        rates = rate_folders(Path(self.model))
        places = [str(rate / "tokenizer") for rate in rates] or [self.model]
        sorts = {sort_of_model(place, self.device) for place in places}
        if "audio tokenizer" not in sorts:
            for place in places:
                check_folder("--model", place, "image tokenizer")
            return "image"
        if len(rates) > 1:
            raise GridcodeError(f"a model of sounds has one rate; give one of {', '.join(map(str, rates))} as --model")
        return "audio"

    def load(self) -> Codec | SoundCodec:
        """The codec, on its device.

        Raises:
            GridcodeError: It cannot be loaded.
        """
        if self.kind() == "audio":
            from gridcode.domains.audio.compress import SoundCodec

            return SoundCodec.from_pretrained(self.model, device=self.device.usable())
        from gridcode.domains.image.compress import Codec

        return Codec.from_pretrained(self.model, device=self.device.usable())


@dataclass(frozen=True)
class MeasuredModels:
    """A tokenizer, perhaps with a prior, that is measured."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    prior: str | None = None
    """A prior's folder or hub id; without one only the tokenizer is measured."""

    def check(self, source: str | None, kind: KindOfData = "image") -> None:
        """Refuse data that are not there and folders that hold something else, before libraries are imported.

        Raises:
            GridcodeError: There is nothing, or something else.
        """
        check_source(source, kind)
        self.model.check(f"{kind} tokenizer")
        check_folder("--prior", self.prior, "class prior")

    def load(self) -> tuple[Tokenizer, Generator | None]:
        """The tokenizer, and both stages where there is a prior.

        Raises:
            GridcodeError: One cannot be loaded, or they do not belong together.
        """
        from gridcode.tasks.generate import Generator

        tokenizer = self.model.load()
        if self.prior is None:
            return tokenizer, None
        return tokenizer, Generator.from_pretrained(self.prior, tokenizer, device=tokenizer.device)

    def runs(self) -> Runs:
        """The training runs behind them."""
        from gridcode.evaluation.publish import Runs

        return Runs(Path(self.model.tokenizer), None if self.prior is None else Path(self.prior))


@dataclass(frozen=True)
class ImageModels:
    """Both stages of a kind with classes, and how examples are drawn."""

    prior: str
    """A prior's folder or hub id."""
    tokenizer: str
    """Its tokenizer's folder or hub id."""
    drawing: Annotated[Drawing, FLAT] = field(default_factory=Drawing)
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    device: Annotated[Device, FLAT] = field(default_factory=Device)

    @classmethod
    def defaults(cls, evaluation: Any) -> ImageModels:
        """Models that must be given, and a recipe's way of drawing: ``evaluation`` has ``sampler`` and ``guidance``."""
        drawing, guidance = Drawing(evaluation.sampler), evaluation.guidance
        return cls(tyro.MISSING, tyro.MISSING, drawing=drawing, guidance=guidance)

    def check(self, wanted: Sort = "image tokenizer") -> None:
        """Refuse folders that hold something else, before the libraries that read models are imported.

        Raises:
            GridcodeError: There is nothing, or something else.
        """
        check_folder("--prior", self.prior, "class prior")
        check_folder("--tokenizer", self.tokenizer, wanted)

    def load(self) -> Generator:
        """Both stages, on their device.

        Raises:
            GridcodeError: One cannot be loaded, or they do not belong together.
        """
        from gridcode.tasks.generate import Generator

        return Generator.from_pretrained(self.prior, self.tokenizer, device=self.device.usable())


@dataclass(frozen=True)
class DenseModels:
    """Both stages of dense prediction, and how codes are drawn."""

    run: Path | None = None
    """A folder with tokenizer/ and prior/ in it, in the place of --tokenizer and --prior."""
    tokenizer: str | None = None
    """The label tokenizer's folder or hub id, where it is not in --run."""
    prior: str | None = None
    """The prior's folder or hub id, where it is not in --run."""
    task: Task | None = None
    """The task, checked against the label tokenizer's own."""
    drawing: Annotated[Drawing, FLAT] = field(default_factory=lambda: Drawing(GREEDY))
    device: Annotated[Device, FLAT] = field(default_factory=Device)

    def check(self) -> None:
        """Refuse folders that hold something else, before the libraries that read models are imported.

        Raises:
            GridcodeError: Nothing says where the models are, or there is nothing or something else.
        """
        check_folder("--run", self.run, "parts")
        if self.run is not None and self.tokenizer is None and not (self.run / "tokenizer").is_dir():
            raise MissingFileError(
                f"{self.run} holds no tokenizer/; give the folder that holds tokenizer/ and prior/ as --run"
            )
        check_folder("--tokenizer", self.tokenizer_at(), "dense tokenizer")
        check_folder("--prior", self.prior_at(), "image prior")

    def tokenizer_at(self) -> str:
        """Where Stage I is.

        Raises:
            GridcodeError: Nothing says it.
        """
        if self.tokenizer is not None:
            return self.tokenizer
        if self.run is None:
            raise GridcodeError("give the models with --tokenizer and --prior, or --run RUN")
        return str(self.run / "tokenizer")

    def prior_at(self) -> str | None:
        """Where Stage II is; None where the run has none yet."""
        if self.prior is not None or self.run is None:
            return self.prior
        inside = self.run / "prior"
        return str(inside) if any((inside / name / "config.json").is_file() for name in ("best", "last", ".")) else None

    def load_tokenizer(self) -> Tokenizer:
        """Stage I.

        Raises:
            GridcodeError: It cannot be loaded, or is for another task.
        """
        from gridcode.domains.dense.domain import dense_domain

        tokenizer = TokenizerModel(self.tokenizer_at(), self.device).load()
        task = dense_domain(tokenizer).data.task
        if self.task not in (None, task):
            raise GridcodeError(f"{self.tokenizer_at()} is for the task {task}, not {self.task}; leave out --task")
        return tokenizer

    def load_predictor(self, tokenizer: Tokenizer, *, draws: int = 1) -> DensePredictor | None:
        """Both stages; None where the run has no Stage II yet.

        Raises:
            GridcodeError: The prior cannot be loaded, or does not belong to the label tokenizer.
        """
        from gridcode.domains.dense.predictor import DensePredictor
        from gridcode.prior.make import load_prior

        where, settings = self.prior_at(), self.drawing
        if where is None:
            return None
        prior = load_prior(where, device=self.device.usable())
        return DensePredictor(prior, tokenizer, sampler=settings.sampler, seed=settings.seed, draws=draws)


@dataclass(frozen=True)
class DenseDataChange:
    """Where the images with label maps are, when they are not where the label tokenizer was trained."""

    source: str | None = None
    """Images with label maps; the label tokenizer's own by default."""
    train_count: int | None = None
    """Number of training scenes; only for 'scenes'."""
    val_count: int | None = None
    """Number of validation scenes; only for 'scenes'."""
    ignore_value: int | None = None
    """Value of these semantic maps that is unlabelled, as 0 is."""
    orientation: Orientation | None = None
    """Whether these images and maps are turned by their EXIF orientation (exif) or left as they are (stored)."""
    workers: int | None = None
    """Processes that read images."""
    max_pixels: int | None = None
    """Refuse images and maps of more pixels; Pillow's limit of 89 million by default."""

    def applied(self, data: DenseConfig) -> DenseConfig:
        """The settings with these changes."""
        return replace(data, **{name: value for name, value in vars(self).items() if value is not None})
