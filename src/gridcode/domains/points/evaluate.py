"""Measure a tokenizer of clouds, and a prior on top of it, on the clouds that they were trained on.

validation clouds -> tokenizer -> Chamfer and earth mover's distance, F-score, usage; beside them those of a second
                                  drawing of points from the same surface, and the distance to the surface itself
labels            -> a small classifier, trained here: share of originals, of reconstructions and of samples that it
                     recognises as what they are, or were asked to be
validation tokens -> prior     -> bits per token
samples           -> coverage, MMD and 1-NN accuracy against validation clouds, beside those of training clouds
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from gridcode.data.labelled.source import some_of
from gridcode.data.workers import TrainOrder
from gridcode.domains.points.config import PointsConfig, PointsEvaluationConfig
from gridcode.domains.points.data.loader import eval_batches, train_batches
from gridcode.domains.points.data.source import CloudSource, Surface
from gridcode.domains.points.distance import earth_movers_distance
from gridcode.domains.points.domain import PointsDomain
from gridcode.domains.points.measure import PointsMeter, PointsScores, distances
from gridcode.domains.points.recognise import Recogniser, RecogniserConfig, recognised, train_recogniser
from gridcode.domains.points.sets import SetScores, compare_sets
from gridcode.evaluation.both_stages import BothWays, both_ways, draw_by_class, trained_on_classes
from gridcode.evaluation.by_class import ClassEvaluation, ClassSamples
from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.subject import Subject
from gridcode.tasks.generate import Generator
from gridcode.training.log import Say
from gridcode.training.seeding import fixed_sample

SHOWN = 10
"""Reconstructions that are kept to be seen."""
PER_CLASS = 4
"""Samples of each class that are kept to be seen."""

PointsSubject: TypeAlias = Subject[PointsConfig, CloudSource]
"""Clouds, and what is measured on them."""


@dataclass(frozen=True)
class SecondDrawing:
    """What clouds of the same surfaces are apart that were drawn twice: what a perfect tokenizer would get.

    Attributes:
        chamfer: Squared Chamfer distance of the two.
        distance: Mean distance to the nearest point of the other.
        f_score: In [0, 1].
        emd: Earth mover's distance.
        surface: Mean distance of the reconstructions' points to the true surface.
    """

    chamfer: float
    distance: float
    f_score: float
    emd: float
    surface: float


@dataclass(frozen=True)
class PointsSamples(ClassSamples):
    """Stage II's figures.

    Attributes:
        by_class: The accuracy of each class.
        sets: Against validation clouds; None where either are fewer than two.
        real_sets: The same of as many training clouds.
    """

    by_class: dict[str, float]
    sets: SetScores | None
    real_sets: SetScores | None

    def figures(self) -> dict[str, float | int | None]:
        """See :class:`ClassSamples`."""
        by_class = {f"classifier_accuracy_on_samples_{name}": share for name, share in self.by_class.items()}
        figures = super().figures() | by_class
        for sets, ending in ((self.sets, ""), (self.real_sets, "_of_training_clouds")):
            figures |= {
                f"coverage{ending}": sets.coverage if sets else None,
                f"minimum_matching_distance{ending}": sets.matching if sets else None,
                f"nearest_neighbour_accuracy{ending}": sets.nearest_accuracy if sets else None,
            }
        return figures


@dataclass(frozen=True)
class PointsEvaluation(ClassEvaluation[PointsSamples]):
    """Everything that was measured.

    Attributes:
        scores: Of reconstructions.
        emd: Their earth mover's distance, over ``config.matched`` clouds.
        second: Of a second drawing; None where the surfaces are not known.
        bits: Of a cloud's tokens.
        clouds: (n, N, 3), validation clouds to be seen.
    """

    scores: PointsScores
    emd: float
    second: SecondDrawing | None
    bits: float
    clouds: Tensor

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        figures: dict[str, float | int | None] = {
            "chamfer": self.scores.chamfer,
            "distance": self.scores.distance,
            "earth_movers_distance": self.emd,
            "f_score": self.scores.f_score,
            "bits_per_cloud": self.bits,
            **self.scores.usage.figures(),
            **self.recognition(),
        }
        if self.second is not None:
            figures |= {
                "chamfer_of_second_drawing": self.second.chamfer,
                "chamfer_ratio": self.scores.chamfer / self.second.chamfer,
                "distance_of_second_drawing": self.second.distance,
                "distance_ratio": self.scores.distance / self.second.distance,
                "earth_movers_distance_of_second_drawing": self.second.emd,
                "f_score_of_second_drawing": self.second.f_score,
                "distance_to_surface": self.second.surface,
            }
        if self.samples is not None:
            figures |= self.samples.figures()
        return figures


def evaluate_points(
    subject: PointsSubject, config: PointsEvaluationConfig, *, say: Say = lambda text: None
) -> PointsEvaluation:
    """Measure everything that the data allows.

    Args:
        subject: What is measured.
        config: How much of it.
        say: Told what is being done.

    Raises:
        GridcodeError: The data cannot be read, or the prior's classes are not the data's.
    """
    tokenizer, generator = subject.tokenizer, subject.generator
    recogniser = trained_on_classes(subject, partial(_recogniser, subject, config), nouns="clouds", say=say)
    say("measuring reconstructions")
    domain = tokenizer.domain
    assert isinstance(domain, PointsDomain)
    domain.points = subject.data.points
    meter, val = PointsMeter(tokenizer, near=config.distance), some_of(subject.val, config.count)
    found = both_ways(tokenizer, eval_batches(val, subject.data, batch_size=config.batch_size), meter.update)
    labels, (clouds, reconstructions) = found.table.labels, found.some(SHOWN)
    return PointsEvaluation(
        scores=meter.compute(),
        emd=_matched(found.examples, found.reconstructions, config),
        second=_second_drawing(subject, val, found, config),
        codes=CodeUsage.from_indices(found.table.tokens.numpy(), tokenizer.quantizer.levels),
        bits=domain.bits(tokenizer),
        originals_accuracy=_accuracy(recogniser, found.examples, labels),
        reconstructions_accuracy=_accuracy(recogniser, found.reconstructions, labels),
        samples=None if generator is None else _samples(generator, subject, found, config, recogniser, say),
        clouds=clouds,
        reconstructions=reconstructions,
    )


def _matched(clouds: Tensor, others: Tensor, config: PointsEvaluationConfig) -> float:
    places = torch.from_numpy(fixed_sample(len(clouds), min(config.matched, len(clouds))))
    return earth_movers_distance(clouds[places], others[places]).mean().item()


def _second_drawing(
    subject: PointsSubject, val: CloudSource, found: BothWays, config: PointsEvaluationConfig
) -> SecondDrawing | None:
    clouds, back = found.examples, found.reconstructions
    shapes = [val[index].shape for index in range(len(val))]
    surfaces = [shape for shape in shapes if isinstance(shape, Surface)]
    if len(surfaces) < len(clouds):
        return None
    drawings = eval_batches(val, subject.data, batch_size=config.batch_size, draw=1)
    again = torch.cat([batch.points for batch in drawings])
    chamfer, distance, f_score = distances(clouds, again, config.distance).mean(1).tolist()
    apart = [shape.solid.distance(cloud.numpy()).mean() for shape, cloud in zip(surfaces, back, strict=True)]
    emd = _matched(clouds, again, config)
    return SecondDrawing(chamfer, distance, f_score, emd, surface=float(sum(apart) / len(apart)))


def _samples(
    generator: Generator,
    subject: PointsSubject,
    found: BothWays,
    config: PointsEvaluationConfig,
    recogniser: Recogniser | None,
    say: Say,
) -> PointsSamples:
    say(f"drawing {config.samples} samples")
    drawn = draw_by_class(generator, found.table, config)
    clouds, labels = drawn.examples, drawn.labels
    say("comparing sets of clouds")
    real = next(train_batches(subject.train, subject.data, TrainOrder(config.compared, config.seed))).points
    held = _compared(found.examples, config)
    shares = {} if recogniser is None else {name: labels == label for label, name in drawn.names.items()}
    return PointsSamples(
        bits_per_token=drawn.bits_per_token,
        accuracy=_accuracy(recogniser, clouds, labels),
        by_class={
            name: _accuracy(recogniser, clouds[of], labels[of]) or 0.0 for name, of in shares.items() if of.any()
        },
        count=len(clouds),
        sets=_sets(_compared(clouds, config), held),
        real_sets=_sets(_compared(real, config), held),
        shown=drawn.shown(PER_CLASS),
    )


def _sets(clouds: Tensor, held: Tensor) -> SetScores | None:
    return compare_sets(clouds, held) if min(len(clouds), len(held)) > 1 else None


def _compared(clouds: Tensor, config: PointsEvaluationConfig) -> Tensor:
    """The clouds, and the points of each, that sets are compared by; evenly from all over either."""
    places = fixed_sample(len(clouds), min(config.compared, len(clouds)))
    points = fixed_sample(clouds.shape[1], min(config.compared_points, clouds.shape[1]))
    return clouds[torch.from_numpy(places)][:, torch.from_numpy(points)]


def _recogniser(subject: PointsSubject, config: PointsEvaluationConfig) -> Recogniser:
    settings = RecogniserConfig(len(subject.train.classes), steps=config.classifier_steps, seed=config.seed)
    data = replace(subject.data, points=min(subject.data.points, 256))
    return train_recogniser(settings, train_batches(subject.train, data, TrainOrder(32, config.seed)))


def _accuracy(recogniser: Recogniser | None, clouds: Tensor, labels: Tensor) -> float | None:
    if recogniser is None:
        return None
    return (recognised(recogniser, clouds) == labels).float().mean().item()
