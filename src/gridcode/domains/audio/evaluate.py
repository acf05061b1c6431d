"""Measure a tokenizer of sounds, and a prior on top of it, on the sounds that they were trained on.

validation sounds -> tokenizer -> mel and STFT distance, SI-SDR, STOI, PESQ, usage, bits per second
labels            -> a small classifier of log-mel spectra, trained here: share of originals, of reconstructions and of
                     samples that it recognises as what they are, or were asked to be
validation tokens -> prior     -> bits per token
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from torch import Tensor

from gridcode.data.labelled.source import some_of
from gridcode.data.loader import Batch
from gridcode.data.workers import TrainOrder
from gridcode.domains.audio.config import AudioConfig, AudioEvaluationConfig
from gridcode.domains.audio.data.loader import AudioBatch, eval_batches, train_batches
from gridcode.domains.audio.data.source import SoundSource
from gridcode.domains.audio.domain import AudioDomain
from gridcode.domains.audio.measure import AudioMeter, AudioScores
from gridcode.domains.audio.spectrum import log_mel
from gridcode.domains.audio.speech import speech_scores
from gridcode.evaluation.both_stages import both_ways, draw_by_class, recognised, trained_on_classes
from gridcode.evaluation.by_class import ClassEvaluation, ClassSamples
from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.subject import Subject
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.train import train_classifier
from gridcode.store.reader import TokenTable
from gridcode.tasks.generate import Generator
from gridcode.training.log import Say

SHOWN = 12
"""Reconstructions that are kept to be heard."""
PER_CLASS = 2
"""Samples of each class that are kept to be heard."""
BANDS = 40
"""Mel bands that the classifier sees."""


AudioSubject: TypeAlias = Subject[AudioConfig, SoundSource]
"""Sounds, and what is measured on them."""


@dataclass(frozen=True)
class AudioEvaluation(ClassEvaluation[ClassSamples]):
    """Everything that was measured.

    Attributes:
        scores: Of reconstructions.
        speech: STOI and PESQ, where their packages are installed.
        bits_per_second: The rate of the tokens.
        sounds: (n, 1, T), validation sounds to be heard.
    """

    scores: AudioScores
    speech: Mapping[str, float]
    bits_per_second: float
    sounds: Tensor

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        figures: dict[str, float | int | None] = {
            "mel_distance_nats": self.scores.mel_distance,
            "stft_distance_db": self.scores.stft_distance,
            "si_sdr_db": self.scores.si_sdr,
            **self.speech,
            "bits_per_second": self.bits_per_second,
            **self.scores.usage.figures(),
            **self.recognition(),
        }
        if self.samples is not None:
            figures |= self.samples.figures()
        return figures


def evaluate_audio(
    subject: AudioSubject, config: AudioEvaluationConfig, *, say: Say = lambda text: None
) -> AudioEvaluation:
    """Measure everything that the data allows.

    Args:
        subject: What is measured.
        config: How much of it.
        say: Told what is being done.

    Raises:
        GridcodeError: The data cannot be read, or the prior's classes are not the data's.
    """
    tokenizer, generator, rate = subject.tokenizer, subject.generator, subject.data.rate
    train = partial(sound_classifier, subject.train, subject.data, config)
    classifier = trained_on_classes(subject, train, nouns="sounds", say=say)
    say("measuring reconstructions")
    meter, val = AudioMeter(tokenizer, rate), some_of(subject.val, config.count)
    found = both_ways(tokenizer, eval_batches(val, subject.data, batch_size=config.batch_size), meter.update)
    labels, (sounds, reconstructions) = found.table.labels, found.some(SHOWN)
    image = partial(mel_images, rate=rate)
    domain = tokenizer.domain
    assert isinstance(domain, AudioDomain)
    return AudioEvaluation(
        scores=meter.compute(),
        speech=speech_scores(found.examples, found.reconstructions, rate),
        codes=CodeUsage.from_indices(found.table.tokens.numpy(), tokenizer.quantizer.levels),
        bits_per_second=domain.bits_per_second(tokenizer),
        originals_accuracy=recognised(classifier, found.examples, labels, image),
        reconstructions_accuracy=recognised(classifier, found.reconstructions, labels, image),
        samples=None if generator is None else _samples(generator, found.table, config, classifier, rate, say),
        sounds=sounds,
        reconstructions=reconstructions,
    )


def _samples(
    generator: Generator,
    table: TokenTable,
    config: AudioEvaluationConfig,
    classifier: Classifier | None,
    rate: int,
    say: Say,
) -> ClassSamples:
    say(f"drawing {config.samples} samples")
    drawn = draw_by_class(generator, table, config)
    image = partial(mel_images, rate=rate)
    share = recognised(classifier, drawn.examples, drawn.labels, image)
    return ClassSamples(drawn.bits_per_token, share, len(drawn.examples), drawn.shown(PER_CLASS))


def sound_classifier(train: SoundSource, data: AudioConfig, config: AudioEvaluationConfig) -> Classifier:
    """A small convolutional network that tells the classes of sounds by their log-mel spectra.

    It sees whole sounds at random places among zeros.
    """
    settings = ClassifierConfig(
        classes=len(train.classes),
        size=BANDS,
        channels=1,
        steps=config.classifier_steps,
        batch_size=64,
        seed=config.seed,
    )
    whole = replace(data, crop=data.samples)
    batches = train_batches(train, whole, TrainOrder(settings.batch_size, settings.seed))
    return train_classifier(settings, _imaged(batches, data.rate))


def mel_images(waveforms: Tensor, rate: int) -> Tensor:
    """Log-mel spectra as images in about [-1, 1], (B, 1, bands, frames)."""
    return ((log_mel(waveforms, rate, bands=BANDS) + 4) / 3)[:, None]


def _imaged(batches: Iterator[AudioBatch], rate: int) -> Iterator[Batch]:
    return (Batch(mel_images(batch.waveforms, rate), batch.labels, batch.keys) for batch in batches)
