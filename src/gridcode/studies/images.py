"""A cell of the studies on images: both stages trained and measured, with any quantizer, as fast as two cores allow.

    images ─> tokenizer ─> token store ─> MaskGIT ─> samples          figures of both stages, one dictionary

    cells/SETTING-SEED/
      tokenizer, tokens, prior      what the commands of the same names make
      overview.png                  images, their reconstructions, samples
      result.json                   written last
    stage_one/QUANTIZER-SEED        a tokenizer and its tokens, where several cells have the same

The seed is that of weights, order and samples. Samples and reconstructions are measured by a classifier that is trained
once a study on the data's own labels, and by no name of a published score.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch

from gridcode.data.config import DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.open import open_split
from gridcode.data.source import ImageSource, fixed_subset
from gridcode.domains.image.config import EvaluationConfig, LossConfig, TokenizerRun
from gridcode.domains.image.evaluate import BITS_OF, Subject, evaluate
from gridcode.domains.image.report import overview
from gridcode.domains.image.results import Evaluation
from gridcode.errors import NotFiniteError
from gridcode.evaluation.images import save_png
from gridcode.features.sample_scores import measuring_classifier
from gridcode.files import alone_in
from gridcode.prior.config import Head, PriorRun
from gridcode.prior.train import train_prior
from gridcode.quantize.config import QuantizerConfig
from gridcode.store.reader import TokenStore
from gridcode.studies.config import CLASSIFIER, ImageStudyConfig
from gridcode.studies.results import trained_network
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.timing import STEPS, peak_memory, seconds_of_steps, short_loop
from gridcode.tasks.generate import Generator
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions
from gridcode.training.state import checkpoints

TIMED: Final = 64
"""Images that are encoded and measured to tell how long all of them take."""


@dataclass(frozen=True)
class Recipe:
    """What a cell trains."""

    quantizer: QuantizerConfig
    head: Head | None = "joint"
    """How its prior predicts tokens; None trains and measures Stage I alone."""
    costs: bool = False
    """Whether seconds and memory of Stage II are measured too, which differ from run to run."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Stage I's loss."""
    shared: str | None = None
    """Where in the study's folder Stage I lies, with its tokens, if several cells have the same; else in the cell's."""

    def stage_one(self, config: ImageStudyConfig, seed: int) -> TokenizerRun:
        """How Stage I is trained."""
        return replace(config.tokenizer(self.quantizer, seed), loss=self.loss)


class ImageStudy(Study):
    """A study on images: it says its cells, what each of them trains, and what their figures mean."""

    config: ImageStudyConfig
    """The data and the size."""

    @abstractmethod
    def cell_settings(self) -> list[str]:
        """The settings of the cells; each is run with every seed."""

    @abstractmethod
    def recipe(self, cell: Cell) -> Recipe:
        """What a cell trains."""

    def cells(self) -> list[Cell]:
        """See :class:`Study`; all of the first seed come first, so that the curves are there early."""
        return [Cell(setting, seed) for seed in range(self.config.seeds) for setting in self.cell_settings()]

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`."""
        return time_image_cell(self.config, self.recipe(cell))

    def prepare(self, out: Path) -> None:
        """Train the classifier that measures."""
        train_classifier(self.config, out)

    def measured_by(self, out: Path) -> str | None:
        """The classifier."""
        return trained_network(out / CLASSIFIER)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """See :class:`Study`."""
        return run_image_cell(self.config, self.recipe(cell), cell.seed, cell_folder(out, cell), out)

    def tidy(self, cell: Cell, out: Path) -> None:
        """See :class:`Study`."""
        tidy_stages(cell_folder(out, cell))

    def steps(self) -> str:
        """See :class:`Study`."""
        return self.config.steps()

    def headline(self, values: Values) -> str:
        """See :class:`Study`."""
        if values.get("diverged"):
            return "diverged"
        bits = f", {values['bits_per_token']:.2f} bits per token" if "bits_per_token" in values else ""
        return f"{values['psnr_db']:.2f} dB, usage {values['usage']:.0%}{bits}"


@lru_cache(maxsize=1)
def image_sources(config: ImageStudyConfig) -> Sources:
    """The images of a study, opened once a process: as many as its size learns from, always the same ones."""
    train, val = (open_split(config.data, split) for split in ("train", "val"))
    return Sources(fixed_subset(train, config.train_images), fixed_subset(val, config.val_images))


def train_classifier(config: ImageStudyConfig, out: Path) -> None:
    """Train the network that measures every cell and leave it in the study's folder; without labels there is none."""
    sources, evaluation = image_sources(config), config.evaluation(out, 0)
    if (out / CLASSIFIER).exists() or not sources.train.classes:
        return
    measuring_classifier(
        sources.train, config.data, steps=evaluation.classifier_steps, seed=0, device="cpu",
        folder=evaluation.classifier, say=lambda text: None,
    )  # fmt: skip


def continued(out: Path) -> RunOptions:
    """How a run goes on that may have been killed: from its checkpoint, or from the start if it has none yet."""
    resume = bool(checkpoints(out))
    if not resume:
        shutil.rmtree(out, ignore_errors=True)
    return RunOptions(out, resume=resume, show=False)


def train_stage_one(run: TokenizerRun, sources: Sources, folder: Path) -> Tokenizer:
    """Train a cell's tokenizer, or go on with it."""
    return train_tokenizer(run, continued(folder / "tokenizer"), sources=sources).eval()


def train_stage_two(tokenizer: Tokenizer, sources: Sources, data: DataConfig, run: PriorRun, folder: Path) -> Generator:
    """Write a cell's token store and train its prior, or go on with it."""
    return trained_on(written_tokens(tokenizer, sources, data, folder), tokenizer, run, folder)


def trained_on(store: TokenStore, tokenizer: Tokenizer, run: PriorRun, folder: Path) -> Generator:
    """Train a cell's prior on tokens that are there, or go on with it."""
    return Generator(train_prior(run, store, continued(folder / "prior")).eval(), tokenizer)


def written_tokens(tokenizer: Tokenizer, sources: Sources, data: DataConfig, folder: Path) -> TokenStore:
    """A cell's token store; it is written where it is not there."""
    store = folder / "tokens"
    if not (store / "manifest.json").is_file():
        tokenize(tokenizer, {"train": sources.train, "val": sources.val}, data, StoreOptions(store, force=True))
    return TokenStore.open(store, tokenizer=tokenizer.weights_hash())


def run_image_cell(config: ImageStudyConfig, recipe: Recipe, seed: int, folder: Path, out: Path) -> Values:
    """Train and measure a cell, or go on with it.

    Args:
        config: The study's data and size.
        recipe: What is trained.
        seed: The cell's.
        folder: The cell's.
        out: The study's.

    Returns:
        The figures that ``gridcode eval`` reports, ``tokens`` counted over the validation images that were measured,
        the alarms that Stage I raised, and bits per token by step of uncovering. With ``costs``, of Stage II's training
        also the parameters, seconds per step and the peak of memory in MiB. Where Stage I is trained alone and its loss
        or a latent was not finite, only ``diverged`` and the alarms.

    Raises:
        NotFiniteError: The loss or a latent was not finite, of a cell with both stages.
    """
    run = recipe.stage_one(config, seed)
    sources, store = image_sources(config), None
    first = folder if recipe.shared is None else out / recipe.shared
    try:
        with alone_in(first, "training Stage I", wait=True):
            tokenizer = train_stage_one(run, sources, first)
            if recipe.head is not None:
                store = written_tokens(tokenizer, sources, config.data, first)
    except NotFiniteError:
        if recipe.head is not None:
            raise
        return {"diverged": True, "alarms": alarms_of(first / "tokenizer")}
    generator, costs = None, Values()
    if recipe.head is not None and store is not None:
        stage_two = config.prior(seed, recipe.head)
        with peak_memory(next(tokenizer.parameters()).device, folder / "peak.json") as peak:
            generator = trained_on(store, tokenizer, stage_two, folder)
        if recipe.costs:
            costs = {
                "prior_parameters": generator.prior.parameter_count,
                "prior_seconds_a_step": seconds_of_steps(folder / "prior", stage_two.loop) / stage_two.loop.steps,
                "prior_peak_mib": peak.mib,
            }
    found = measure(config, generator or tokenizer, config.evaluation(out, seed))
    save_png(overview(found), folder / "overview.png")
    more = {"tokens": found.reconstruction.usage.count, "alarms": alarms_of(first / "tokenizer")}
    values = dict(found.figures()) | more | costs
    if found.samples is not None:
        values["bits_by_step"] = list(found.samples.bits.by_step)
    return values


def alarms_of(run: Path) -> list[str]:
    """The names of the alarms that a run has raised, each once."""
    return sorted({line["alarm"] for line in read_log(run) if "alarm" in line})


def tidy_stages(folder: Path) -> None:
    """Remove what only an unfinished cell of two stages needs: checkpoints, and the tokens."""
    for part in ("tokenizer/state", "prior/state", "tokens"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "peak.json").unlink(missing_ok=True)


def time_image_cell(config: ImageStudyConfig, recipe: Recipe) -> float:
    """Seconds of a cell, from a few steps of each stage, and from a few images encoded and measured.

    What is done once, such as opening a run, is left out: a few seconds a cell.
    """
    with tempfile.TemporaryDirectory(prefix="gridcode-") as name:
        trained: Tokenizer | Generator
        trained, seconds = time_stage_one(config, recipe, Path(name))
        if recipe.head is not None:
            trained, second = time_stage_two(config, trained, recipe.head, Path(name))
            seconds += second
        return seconds + _measuring(config, trained, config.evaluation(Path(name), 0))


def time_stages(config: ImageStudyConfig, recipe: Recipe, folder: Path) -> tuple[Generator, float]:
    """Train a few steps of both stages.

    Args:
        config: The study's data and size.
        recipe: The cell's.
        folder: Where runs and tokens may lie.

    Returns:
        What was trained, and the seconds that all steps and all images' tokens take.
    """
    tokenizer, first = time_stage_one(config, recipe, folder)
    generator, second = time_stage_two(config, tokenizer, "joint", folder)
    return generator, first + second


def time_stage_one(config: ImageStudyConfig, recipe: Recipe, folder: Path) -> tuple[Tokenizer, float]:
    """Train a few steps of Stage I; what was trained, and the seconds that all steps take."""
    run = recipe.stage_one(config, 0)
    perceptual = replace(run.loss.perceptual, steps=min(STEPS, run.loss.perceptual.steps))
    short = replace(run, loop=short_loop(run.loop), loss=replace(run.loss, perceptual=perceptual))
    tokenizer = train_stage_one(short, image_sources(config), folder)
    return tokenizer, seconds_of_steps(folder / "tokenizer", run.loop)


def time_stage_two(config: ImageStudyConfig, tokenizer: Tokenizer, head: Head, folder: Path) -> tuple[Generator, float]:
    """Train a few steps of Stage II; what was trained, and the seconds that all steps and all images' tokens take."""
    run, sources = config.prior(0, head), image_sources(config)
    sample = Sources(fixed_subset(sources.train, TIMED), fixed_subset(sources.val, TIMED))
    generator = train_stage_two(tokenizer, sample, config.data, replace(run, loop=short_loop(run.loop)), folder)
    encoding = _encoding(tokenizer, sample.train, config.data) * (len(sources.train) + len(sources.val))
    return generator, encoding + seconds_of_steps(folder / "prior", run.loop)


def _encoding(tokenizer: Tokenizer, source: ImageSource, data: DataConfig) -> float:
    """Seconds per image, read and encoded; the first batch is not counted."""
    device = next(tokenizer.parameters()).device
    ends = []
    with torch.inference_mode():
        for batch in eval_batches(source, replace(data, workers=0), batch_size=TIMED // 2):
            tokenizer.encode(batch.images.to(device)).cpu()
            ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / (len(source) - TIMED // 2) if len(ends) > 1 else 0.0


def _measuring(config: ImageStudyConfig, trained: Tokenizer | Generator, evaluation: EvaluationConfig) -> float:
    """Seconds of measuring a cell, told from a few images and samples and from more of each.

    An image costs most by the passes of the prior that count its bits, which are as many images' as ``BITS_OF``.
    """

    def seconds(count: int, samples: int) -> float:
        short = replace(evaluation, count=count, samples=samples, neighbours=16, classifier_steps=1)
        start = time.perf_counter()
        measure(config, trained, short)
        return time.perf_counter() - start

    least = TIMED // 4
    seconds(least, least)  # trains a classifier, and warms up
    base = seconds(least, least)
    count = min(evaluation.count, len(image_sources(config).val))
    total = base + max(0.0, seconds(TIMED, least) - base) / (TIMED - least) * min(count, BITS_OF)
    if isinstance(trained, Generator):
        total += max(0.0, seconds(least, TIMED) - base) / (TIMED - least) * evaluation.samples
    return total


def measure(config: ImageStudyConfig, trained: Tokenizer | Generator, evaluation: EvaluationConfig) -> Evaluation:
    """Measure a cell: Stage I of a tokenizer, both stages of a generator."""
    sources = image_sources(config)
    generator = trained if isinstance(trained, Generator) else None
    tokenizer = trained.tokenizer if isinstance(trained, Generator) else trained
    subject = Subject(tokenizer, generator, config.data, sources.train, sources.val)
    return evaluate(subject, evaluation, say=lambda text: None)
