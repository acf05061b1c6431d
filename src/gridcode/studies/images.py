"""A cell of the studies on pictures: both stages trained and measured, with any quantizer, as fast as two cores allow.

    pictures ─> tokenizer ─> token store ─> MaskGIT ─> samples          figures of both stages, one dictionary

    cells/SETTING-SEED/
      tokenizer, tokens, prior      what the commands of the same names make
      overview.png                  pictures, their reconstructions, samples
      result.json                   written last

The seed is that of weights, order and samples. Samples and reconstructions are measured by a classifier that is trained
once a study on the data's own labels, and by no name of a published score.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from gridcode.data.config import DataConfig
from gridcode.data.open import open_split
from gridcode.data.source import fixed_subset
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.domains.image.evaluate import Evaluation, Subject, evaluate
from gridcode.domains.image.report import overview
from gridcode.evaluation.pictures import save_png
from gridcode.features.sample_scores import measuring_classifier
from gridcode.prior.config import PriorRun
from gridcode.prior.train import train_prior
from gridcode.quantize.config import QuantizerConfig
from gridcode.store.reader import TokenStore
from gridcode.studies.config import CLASSIFIER, ImageStudyConfig
from gridcode.studies.study import Values
from gridcode.studies.timing import seconds_of_steps, short_loop
from gridcode.tasks.generate import Generator
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.run import RunOptions


@lru_cache(maxsize=1)
def pictures(data: DataConfig) -> Sources:
    """The pictures, opened once a process."""
    return Sources(open_split(data, "train"), open_split(data, "val"))


def train_classifier(config: ImageStudyConfig, out: Path) -> None:
    """Train the network that measures every cell and leave it in the study's folder; without labels there is none."""
    sources, evaluation = pictures(config.data), config.evaluation(out, 0)
    if (out / CLASSIFIER).exists() or not sources.train.classes:
        return
    measuring_classifier(
        sources.train, config.data, steps=evaluation.classifier_steps, seed=0, device="cpu",
        folder=evaluation.classifier, say=lambda text: None,
    )  # fmt: skip


def train_stage_one(run: TokenizerRun, folder: Path) -> Tokenizer:
    """Train a cell's tokenizer, or go on with it."""
    out = folder / "tokenizer"
    return train_tokenizer(run, RunOptions(out, resume=out.is_dir(), show=False), sources=pictures(run.data)).eval()


def train_stage_two(tokenizer: Tokenizer, sources: Sources, data: DataConfig, run: PriorRun, folder: Path) -> Generator:
    """Write a cell's token store and train its prior, or go on with it."""
    store, out = folder / "tokens", folder / "prior"
    if not (store / "manifest.json").is_file():
        tokenize(tokenizer, {"train": sources.train, "val": sources.val}, data, StoreOptions(store, force=True))
    opened = TokenStore.open(store, tokenizer=tokenizer.weights_hash())
    prior = train_prior(run, opened, RunOptions(out, resume=out.is_dir(), show=False))
    return Generator(prior.eval(), tokenizer)


def run_image_cell(config: ImageStudyConfig, quantizer: QuantizerConfig, seed: int, folder: Path, out: Path) -> Values:
    """Train and measure both stages with a quantizer, or go on with them.

    Args:
        config: The study's data and size.
        quantizer: The cell's.
        seed: The cell's.
        folder: The cell's.
        out: The study's.

    Returns:
        The figures that ``gridcode eval`` reports, and bits per token by step of uncovering.
    """
    tokenizer = train_stage_one(config.tokenizer(quantizer, seed), folder)
    sources = pictures(config.data)
    generator = train_stage_two(tokenizer, sources, config.data, config.prior(seed), folder)
    found = measure(config, generator, config.evaluation(out, seed))
    save_png(overview(found), folder / "overview.png")
    assert found.samples is not None
    return dict(found.figures()) | {"bits_by_step": list(found.samples.bits.by_step)}


def tidy_image_cell(folder: Path) -> None:
    """Remove what only an unfinished cell needs: checkpoints, and the tokens."""
    for part in ("tokenizer/state", "prior/state", "tokens"):
        shutil.rmtree(folder / part, ignore_errors=True)


def time_image_cell(config: ImageStudyConfig, quantizer: QuantizerConfig) -> float:
    """Seconds of a cell, from a few steps of each stage, and a few pictures encoded and measured."""
    with tempfile.TemporaryDirectory(prefix="gridcode-") as name:
        generator, seconds = time_stages(config, quantizer, Path(name))
        evaluation = config.evaluation(Path(name), 0)
        short = replace(evaluation, count=16, samples=20, neighbours=16, classifier_steps=1, classifier=None)
        start = time.perf_counter()
        measure(config, generator, short)
        measuring = (time.perf_counter() - start) / (short.count + short.samples)
    return seconds + measuring * (min(evaluation.count, len(pictures(config.data).val)) + evaluation.samples)


def time_stages(config: ImageStudyConfig, quantizer: QuantizerConfig, folder: Path) -> tuple[Generator, float]:
    """Train a few steps of both stages.

    Args:
        config: The study's data and size.
        quantizer: The cell's.
        folder: Where runs and tokens may lie.

    Returns:
        What was trained, and the seconds that all steps and all pictures' tokens take.
    """
    stage_one, stage_two = config.tokenizer(quantizer, 0), config.prior(0)
    sources = pictures(config.data)
    few = Sources(fixed_subset(sources.train, 64), fixed_subset(sources.val, 16))
    tokenizer = train_stage_one(replace(stage_one, loop=short_loop(stage_one.loop)), folder)
    start = time.perf_counter()
    generator = train_stage_two(
        tokenizer, few, config.data, replace(stage_two, loop=short_loop(stage_two.loop)), folder
    )
    first = seconds_of_steps(folder / "tokenizer", stage_one.loop)
    second = seconds_of_steps(folder / "prior", stage_two.loop)
    in_short = second * short_loop(stage_two.loop).steps / stage_two.loop.steps
    encoding = max(0.0, time.perf_counter() - start - in_short) / (len(few.train) + len(few.val))
    return generator, first + second + encoding * (len(sources.train) + len(sources.val))


def measure(config: ImageStudyConfig, generator: Generator, evaluation: EvaluationConfig) -> Evaluation:
    """Measure both stages of a cell."""
    sources = pictures(config.data)
    subject = Subject(generator.tokenizer, generator, config.data, sources.train, sources.val)
    return evaluate(subject, evaluation, say=lambda text: None)
