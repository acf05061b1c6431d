"""Studies that train one checkpoint a quantizer and seed, and then measure it in many ways.

    checkpoint ─> point, point, …       each written down once it is measured: a killed sweep goes on with the next
                   │
    images ─> Grader ─> Fréchet distance, precision, recall, density, coverage, requested class

A cell's setting is the quantizer's family: ``fsq-0`` is FSQ with seed 0.
"""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import torch
from torch import Tensor

from gridcode.data.loader import eval_batches
from gridcode.data.source import fixed_subset
from gridcode.errors import GridcodeError
from gridcode.evaluation.reference import Reference, measure_reference
from gridcode.evaluation.score import NEIGHBOURS
from gridcode.features.classifier import load_classifier
from gridcode.features.extractor import Extractor, Features, classifier_extractor, lite_extractor
from gridcode.features.sample_scores import measuring_classifier
from gridcode.files import read_json, write_json
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.metrics.manifold import manifold_scores
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.studies.checkpoints.config import CheckpointConfig
from gridcode.studies.codebooks.tradeoff import NAMES, quantizer_of
from gridcode.studies.config import CLASSIFIER
from gridcode.studies.images import ImageStudy, Recipe, image_sources, time_stages, train_stage_one, train_stage_two
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.tasks.generate import Generator

BATCH: Final = 100


class CheckpointStudy(ImageStudy):
    """A study whose cells are checkpoints: a quantizer and a seed each."""

    choices: ClassVar[tuple[str, ...]] = ("seeds", "families")
    config: CheckpointConfig
    """Which quantizers, and how large."""

    def cell_settings(self) -> list[str]:
        """The quantizers' families."""
        return list(self.config.families)

    def kind(self, cell: Cell) -> str:
        """The quantizer's family."""
        return cell.setting

    def recipe(self, cell: Cell) -> Recipe:
        """Both stages with the cell's quantizer."""
        return Recipe(quantizer_of(f"{cell.setting}-{2**self.config.bits}"))

    def names(self, results: Mapping[Cell, Values]) -> dict[str, str]:
        """The families that have a finished cell, with their titles."""
        found = {cell.setting for cell in results}
        return {family: NAMES[family] for family in self.config.families if family in found}


class PointStudy(CheckpointStudy):
    """A study that measures every checkpoint at many points."""

    @abstractmethod
    def points(self, generator: Generator, grader: Grader, seed: int) -> dict[str, Callable[[], Values]]:
        """What measures each point of a checkpoint, by the point's name.

        Args:
            generator: The checkpoint.
            grader: What measures images.
            seed: The cell's.
        """

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Train the checkpoint, then measure every point."""
        generator, grader = train_checkpoint(self, cell, out), Grader.of(self.config, out)
        points = self.points(generator, grader, cell.seed)
        return {"points": swept(points, cell_folder(out, cell) / "points.json")}


def train_checkpoint(study: CheckpointStudy, cell: Cell, out: Path) -> Generator:
    """Train both stages of a cell, or go on with them."""
    config, folder = study.config, cell_folder(out, cell)
    tokenizer = train_stage_one(
        config.tokenizer(study.recipe(cell).quantizer, cell.seed), image_sources(config), folder
    )
    return train_stage_two(tokenizer, image_sources(config), config.data, config.prior(cell.seed), folder)


@dataclass(frozen=True)
class Grader:
    """What measures images: a network, and its features of real ones.

    Attributes:
        extractor: The network.
        reference: Of validation images.
    """

    extractor: Extractor
    reference: Reference

    @staticmethod
    def of(config: CheckpointConfig, out: Path) -> Grader:
        """The study's.

        Raises:
            GridcodeError: The classifier is to measure, and the images have no labels; or lite0 is not installed.
        """
        if config.features == "lite0":
            return Grader.by(lite_extractor("lite0"), config, config.evaluation(out, 0).count)
        if not image_sources(config).train.classes:
            raise GridcodeError("a classifier that measures needs images with labels; set features='lite0'")
        extractor = classifier_extractor(load_classifier(out / CLASSIFIER))
        return Grader.by(extractor, config, config.evaluation(out, 0).count)

    @staticmethod
    def by(extractor: Extractor, config: CheckpointConfig, count: int) -> Grader:
        """With a network, and at most ``count`` validation images."""
        val = image_sources(config).val
        batches = eval_batches(fixed_subset(val, count), config.data, batch_size=BATCH)
        return Grader(extractor, measure_reference((batch.images for batch in batches), extractor, source=val.name))

    def features(self, images: Tensor) -> Features:
        """Of images (n, C, H, W) in [-1, 1]."""
        return Features.joined(map(self.extractor, torch.split(images, BATCH)))

    def frechet(self, images: Tensor) -> float | None:
        """The Fréchet distance to real images; None of fewer than two images."""
        if len(images) < 2:
            return None
        return self._frechet(self.features(images))

    def scores(self, images: Tensor, labels: Tensor) -> Values:
        """All that is measured of samples.

        Args:
            images: (n, C, H, W) in [-1, 1], more than :data:`NEIGHBOURS`.
            labels: (n,) int64, the classes that were requested; -1 where none was.
        """
        found = self.features(images)
        assert self.reference.features is not None
        manifold = manifold_scores(found.vectors, self.reference.features, k=NEIGHBOURS)
        values: Values = {
            "frechet": self._frechet(found),
            "precision": manifold.precision,
            "recall": manifold.recall,
            "density": manifold.density,
            "coverage": manifold.coverage,
        }
        if self.extractor.name == "classifier":
            values["class_accuracy"] = float((found.logits.argmax(1) == labels).float().mean())
        return values

    def _frechet(self, found: Features) -> float:
        statistics = GaussianStatistics(self.extractor.dim)
        statistics.update(found.vectors)
        return frechet_distance(statistics, self.reference.statistics)


def draw(
    generator: Generator, count: int, *, sampler: SamplerConfig, guidance: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Samples of all classes in turn: images (count, C, H, W) in [-1, 1], and the classes (count,)."""
    classes = len(generator.prior.space.classes)
    labels = torch.arange(count) % classes if classes else torch.full((count,), -1)
    images = generator.sample(labels, sampler=sampler, guidance=guidance, seed=seed, batch_size=BATCH)
    return images, labels


def swept(points: Mapping[str, Callable[[], Values]], file: Path) -> dict[str, Values]:
    """Measure points one after another, each written down at once.

    Args:
        points: What measures each, by its name.
        file: Where they are written; what it holds is not measured again.

    Returns:
        What was found, by name.
    """
    found = read_json(file, "points of a cell") if file.is_file() else {}
    for name, measure in points.items():
        if name not in found:
            found[name] = measure()
            write_json(file, found)
    return {name: found[name] for name in points}


def time_checkpoint(config: CheckpointConfig, recipe: Recipe) -> tuple[float, float]:
    """Seconds of training a checkpoint, and of drawing and measuring one sample in 12 guided steps."""
    with tempfile.TemporaryDirectory(prefix="gridcode-") as name:
        generator, seconds = time_stages(config, recipe, Path(name))
    extractor = lite_extractor("lite0") if config.features == "lite0" else _untrained(config)
    count = 20
    grader = Grader.by(extractor, config, count)
    start = time.perf_counter()
    images, labels = draw(generator, count, sampler=SamplerConfig(), guidance=0.2, seed=0)
    grader.scores(images, labels)
    return seconds, (time.perf_counter() - start) / count


def _untrained(config: CheckpointConfig) -> Extractor:
    train = image_sources(config).train
    if not train.classes:
        raise GridcodeError("a classifier that measures needs images with labels; set features='lite0'")
    return classifier_extractor(measuring_classifier(train, config.data, steps=1, seed=0, device="cpu"))


def by_point(results: Mapping[Cell, Values]) -> dict[Cell, Values]:
    """Every point of every cell as a cell of its own, whose setting has the point's name too.

    >>> by_point({Cell("fsq", 0): {"points": {"0.1": {"recall": 0.5}}}})
    {Cell(setting='fsq 0.1', seed=0): {'recall': 0.5}}
    """
    return {
        Cell(f"{cell.setting} {name}", cell.seed): point
        for cell, values in results.items()
        for name, point in values["points"].items()
    }
