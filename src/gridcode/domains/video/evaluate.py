"""Measure a tokenizer of clips, and a prior on top of it, on the clips that they were trained on.

validation clips  -> tokenizer -> PSNR, by frame too, difference error, usage, bits per clip
labels            -> a small classifier, trained here: share of originals, of reconstructions and of samples that it
                     recognises as what they are, or were asked to be
validation tokens -> prior     -> bits per token
first frames      -> prior     -> PSNR of the predicted frames, beside that of the last given frame repeated, and that
                     of reconstructions, which no prediction can be expected to pass

The classifier is one of images: it sees the grey values of three frames as the channels of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from gridcode.data.labelled.source import some_of
from gridcode.data.loader import Batch
from gridcode.data.workers import TrainOrder
from gridcode.domains.video.config import VideoConfig, VideoEvaluationConfig
from gridcode.domains.video.continuation import check_given, continued
from gridcode.domains.video.data.loader import VideoBatch, eval_batches, train_batches
from gridcode.domains.video.data.source import ClipSource
from gridcode.domains.video.domain import VideoDomain
from gridcode.domains.video.measure import VideoMeter, VideoScores, frame_psnr
from gridcode.evaluation.both_stages import (
    BothWays,
    both_ways,
    draw_by_class,
    recognised,
    trained_on_classes,
)
from gridcode.evaluation.by_class import ClassEvaluation, ClassSamples
from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.subject import Subject
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.train import train_classifier
from gridcode.tasks.generate import Generator
from gridcode.training.log import Say
from gridcode.training.seeding import fixed_sample

SHOWN = 8
"""Reconstructions and continuations that are kept to be seen."""
PER_CLASS = 4
"""Samples of each class that are kept to be seen."""

VideoSubject: TypeAlias = Subject[VideoConfig, ClipSource]
"""Clips, and what is measured on them."""


@dataclass(frozen=True)
class Continuations:
    """What the prior makes of first frames.

    Attributes:
        given: How many frames were given.
        psnr: Of the predicted frames, decibels.
        still_psnr: Of the last given frame, repeated.
        reconstruction_psnr: Of the same frames, reconstructed.
        clips: (n, 3, T, H, W), to be seen.
        originals: The same clips as they are.
    """

    given: int
    psnr: float
    still_psnr: float
    reconstruction_psnr: float
    clips: Tensor
    originals: Tensor


@dataclass(frozen=True)
class VideoSamples(ClassSamples):
    """Stage II's figures.

    Attributes:
        continuations: None where clips are too short to be continued.
    """

    continuations: Continuations | None

    def figures(self) -> dict[str, float | int | None]:
        """See :class:`ClassSamples`."""
        found = self.continuations
        if found is None:
            return super().figures()
        return super().figures() | {
            "given_frames": found.given,
            "psnr_of_continuations_db": found.psnr,
            "psnr_of_last_given_frame_db": found.still_psnr,
            "psnr_of_reconstructions_there_db": found.reconstruction_psnr,
        }


@dataclass(frozen=True)
class VideoEvaluation(ClassEvaluation[VideoSamples]):
    """Everything that was measured.

    Attributes:
        scores: Of reconstructions.
        bits: Of a clip's tokens.
        clips: (n, 3, T, H, W), validation clips to be seen.
    """

    scores: VideoScores
    bits: float
    clips: Tensor

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        of_frame = self.scores.psnr_of_frame
        figures: dict[str, float | int | None] = {
            "psnr_db": self.scores.psnr,
            "psnr_of_first_frame_db": of_frame[0],
            "psnr_of_last_frame_db": of_frame[-1],
            "difference_error": self.scores.difference_error,
            "motion": self.scores.motion,
            "bits_per_clip": self.bits,
            **self.scores.usage.figures(),
            **self.recognition(),
        }
        if self.samples is not None:
            figures |= self.samples.figures()
        return figures


def evaluate_video(
    subject: VideoSubject, config: VideoEvaluationConfig, *, say: Say = lambda text: None
) -> VideoEvaluation:
    """Measure everything that the data allows.

    Args:
        subject: What is measured.
        config: How much of it.
        say: Told what is being done.

    Raises:
        GridcodeError: The data cannot be read, or the prior's classes are not the data's.
    """
    tokenizer, generator, data = subject.tokenizer, subject.generator, subject.data
    if generator is not None and data.frames > 1:
        check_given(generator, config.given)  # before anything is trained
    classifier = trained_on_classes(subject, partial(_classifier, subject, config), nouns="videos", say=say)
    say("measuring reconstructions")
    domain = tokenizer.domain
    assert isinstance(domain, VideoDomain)
    meter, val = VideoMeter(tokenizer), some_of(subject.val, config.count)
    found = both_ways(tokenizer, eval_batches(val, data, batch_size=config.batch_size), meter.update)
    labels, (clips, reconstructions) = found.table.labels, found.some(SHOWN)
    return VideoEvaluation(
        scores=meter.compute(),
        codes=CodeUsage.from_indices(found.table.tokens.numpy(), tokenizer.quantizer.levels),
        bits=domain.bits(tokenizer, *domain.shape(data)),
        originals_accuracy=recognised(classifier, found.examples, labels, three_frames),
        reconstructions_accuracy=recognised(classifier, found.reconstructions, labels, three_frames),
        samples=None if generator is None else _samples(generator, found, config, classifier, say),
        clips=clips,
        reconstructions=reconstructions,
    )


def _samples(
    generator: Generator, found: BothWays, config: VideoEvaluationConfig, classifier: Classifier | None, say: Say
) -> VideoSamples:
    say(f"drawing {config.samples} samples")
    drawn = draw_by_class(generator, found.table, config)
    return VideoSamples(
        bits_per_token=drawn.bits_per_token,
        accuracy=recognised(classifier, drawn.examples, drawn.labels, three_frames),
        count=len(drawn.examples),
        shown=drawn.shown(PER_CLASS),
        continuations=_continuations(generator, found, config, say) if found.examples.shape[2] > 1 else None,
    )


def _continuations(generator: Generator, found: BothWays, config: VideoEvaluationConfig, say: Say) -> Continuations:
    chosen = torch.from_numpy(fixed_sample(len(found.examples), min(config.continued, len(found.examples))))
    say(f"continuing {len(chosen)} clips from {config.given} frames")
    clips, given = found.examples[chosen], config.given
    labels = found.table.labels[chosen] if generator.prior.space.classes else torch.full((len(chosen),), -1)
    predicted = continued(
        generator,
        clips[:, :, :given],
        labels,
        sampler=config.sampler,
        guidance=config.guidance,
        seed=config.seed,
        batch_size=config.batch_size,
    )
    still = clips[:, :, given - 1 : given].expand_as(clips)
    ahead, no_motion, back = (
        frame_psnr(clips[:, :, given:], others[:, :, given:]).mean().item()
        for others in (predicted, still, found.reconstructions[chosen])
    )
    return Continuations(given, ahead, no_motion, back, predicted[:SHOWN], clips[:SHOWN])


def _classifier(subject: VideoSubject, config: VideoEvaluationConfig) -> Classifier:
    settings = ClassifierConfig(
        classes=len(subject.train.classes),
        size=subject.data.size,
        steps=config.classifier_steps,
        batch_size=64,
        seed=config.seed,
    )
    whole = replace(subject.data, crop=None)
    batches = train_batches(subject.train, whole, TrainOrder(settings.batch_size, settings.seed))
    return train_classifier(settings, _imaged(batches))


def three_frames(clips: Tensor) -> Tensor:
    """Grey values of the first frame, of one after a quarter of the clip and of the last, (B, 3, H, W)."""
    frames = clips.shape[2]
    return clips[:, :, [0, frames // 4, frames - 1]].mean(1)


def _imaged(batches: Iterator[VideoBatch]) -> Iterator[Batch]:
    return (Batch(three_frames(batch.clips), batch.labels, batch.keys) for batch in batches)
