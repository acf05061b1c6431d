"""Measure a tokenizer, and a prior on top of it, on the data they were trained on.

    validation images   -> tokenizer -> PSNR, SSIM, usage, perplexity, entropy, Fréchet distance of reconstructions
    validation tokens   -> prior     -> loss and accuracy of the tokens asked for, bits; beside zlib and zstd
    labels              -> samples   -> share classified as requested, Fréchet distance, nearest training images

The classifier behind the last line is trained here, on the data's own labels; its distance is not the FID.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gridcode.codec.compressors import compressed_bits
from gridcode.data.config import DataConfig
from gridcode.data.loader import Batch, eval_batches
from gridcode.data.source import ImageSource, fixed_subset
from gridcode.domains.image.config import EvaluationConfig
from gridcode.domains.image.results import Evaluation, ReconstructionResult, SampleResult
from gridcode.domains.image.scores import ProtocolScores, check_graders
from gridcode.errors import GridcodeError
from gridcode.evaluation import subject as subjects
from gridcode.evaluation.charts import CodeUsage
from gridcode.features.classifier import Classifier
from gridcode.features.sample_scores import SampleScorer, features_of, measuring_classifier, perceptual_distance
from gridcode.features.train import accuracy
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.metrics.image import ImageQuality
from gridcode.metrics.neighbours import nearest_neighbours
from gridcode.prior.bits import measure_bits
from gridcode.prior.config import MaskingConfig
from gridcode.prior.train import held_out_tokens, measure_prior
from gridcode.store.reader import TokenTable
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.usage import TokenUsageMeter
from gridcode.training.log import Say, Stopwatch
from gridcode.training.seeding import fixed_sample

GALLERY = 24
"""Reconstructions that are kept to be looked at."""
PER_CLASS = 6
"""Samples of each class that are kept to be looked at."""
BITS_OF = 2000
"""Validation examples, at most, whose bits are counted: 12 passes of the prior each."""


Subject: TypeAlias = subjects.Subject[DataConfig, ImageSource]
"""Images, and what is measured on them."""


def evaluate(
    subject: Subject,
    config: EvaluationConfig,
    *,
    say: Say = print,
    watch: Stopwatch | None = None,
    warnings: Sequence[str] = (),
) -> Evaluation:
    """Measure everything that the data allows.

    Args:
        subject: What is measured.
        config: How much of it.
        say: Told what is being done.
        watch: Times the parts.
        warnings: What is known before already.

    Raises:
        GridcodeError: The data cannot be read, or the prior's classes are not the data's.
    """
    if subject.generator is not None and subject.generator.prior.space.classes != subject.train.classes:
        known, seen = (
            ", ".join(names[:5]) or "none" for names in (subject.generator.prior.space.classes, subject.train.classes)
        )
        raise GridcodeError(
            f"the prior's classes ({known}) are not those of {subject.train.name} ({seen}): measure it on images of "
            "its own classes, or the tokenizer alone"
        )
    check_graders(config, size=subject.data.size)
    watch = watch or Stopwatch()
    classifier, real_accuracy = None, None
    if subject.val.classes and subject.train.classes:
        say("the classifier that measures: training it, unless its folder is there")
        with watch.part("the measuring classifier"):
            classifier = measuring_classifier(
                subject.train,
                subject.data,
                steps=config.classifier_steps,
                seed=config.seed,
                device=next(subject.tokenizer.parameters()).device,
                folder=config.classifier,
                say=say,
            )
            real_accuracy = accuracy(classifier, _val(subject, config))
    say("measuring reconstructions")
    with watch.part("measuring reconstructions"):
        reconstruction, images = _reconstruction(subject, config, classifier)
    drawn = config.samples if subject.generator is not None else None
    warnings = (*warnings, *images.protocols.warnings(drawn))
    for warning in warnings:
        say(warning)
    samples = None
    if subject.generator is not None:
        say(f"drawing {config.samples} samples")
        samples = _samples(subject, subject.generator, config, classifier, images, watch)
    return Evaluation(reconstruction, samples, real_accuracy, warnings)


@dataclass(frozen=True)
class _ValidationPass:
    """What one pass over the validation images leaves for Stage II: their tokens, and what scores samples."""

    tokens: TokenTable
    scorer: SampleScorer | None
    protocols: ProtocolScores


def _val(subject: Subject, config: EvaluationConfig) -> Iterable[Batch]:
    return eval_batches(fixed_subset(subject.val, config.count), subject.data, batch_size=config.batch_size)


@torch.inference_mode()
def _reconstruction(
    subject: Subject, config: EvaluationConfig, classifier: Classifier | None
) -> tuple[ReconstructionResult, _ValidationPass]:
    """Stage I's figures, and what Stage II's need of the same images."""
    tokenizer = subject.tokenizer
    device = next(tokenizer.parameters()).device
    meter, quality = TokenUsageMeter(tokenizer.quantizer), ImageQuality()
    real, back = _statistics(classifier), _statistics(classifier)
    protocols = ProtocolScores(config, subject.val.name, size=subject.data.size, classifier=classifier, device=device)
    grids, labels, distances = list[Tensor](), list[Tensor](), list[Tensor]()
    originals, decoded = list[Tensor](), list[Tensor]()
    shown = torch.from_numpy(fixed_sample(min(len(subject.val), config.count), GALLERY))
    seen = 0
    for batch in _val(subject, config):
        indices = tokenizer.encode(batch.images.to(device))
        images = tokenizer.decode(indices).cpu()
        meter.update(indices)
        quality.update(images, batch.images)
        protocols.update(batch.images, images)
        grids.append(indices.cpu().flatten(1))
        labels.append(batch.labels)
        here = shown[(shown >= seen) & (shown < seen + len(images))] - seen
        originals.append(batch.images[here])
        decoded.append(images[here])
        seen += len(images)
        if classifier is not None and real is not None and back is not None:
            real.update(features_of(classifier, batch.images))
            back.update(features_of(classifier, images))
            distances.append(perceptual_distance(classifier, images, batch.images))
    scores = quality.compute()
    tokens = TokenTable(torch.cat(grids), torch.cat(labels), ())
    result = ReconstructionResult(
        psnr=scores.psnr,
        ssim=scores.ssim,
        tokens=meter.compute(),
        codes=CodeUsage.from_indices(tokens.tokens.numpy(), tokenizer.quantizer.levels),
        compressed=compressed_bits(tokens.tokens.flatten().numpy(), tokenizer.codebook_size),
        tokens_per_pixel=tokens.tokens.shape[1] / (subject.data.size**2),
        frechet=frechet_distance(real, back) if real and back else None,
        perceptual=float(torch.cat(distances).mean()) if distances else None,
        scores=protocols.of_reconstructions(),
        originals=torch.cat(originals)[:GALLERY],
        reconstructions=torch.cat(decoded)[:GALLERY],
    )
    scorer = SampleScorer(classifier, real) if classifier and real else None
    return result, _ValidationPass(tokens, scorer, protocols)


def _statistics(classifier: Classifier | None) -> GaussianStatistics | None:
    return None if classifier is None else GaussianStatistics(classifier.config.feature_dim)


def _samples(
    subject: Subject,
    generator: Generator,
    config: EvaluationConfig,
    classifier: Classifier | None,
    seen: _ValidationPass,
    watch: Stopwatch,
) -> SampleResult:
    """Stage II's figures."""
    with watch.part("measuring the prior's bits"):
        tokens = held_out_tokens(seen.tokens, batch_size=config.batch_size)
        held = measure_prior(generator.prior, tokens, min_masked=MaskingConfig().min_masked)
        bits = measure_bits(generator.prior, seen.tokens, batch_size=config.batch_size, limit=BITS_OF)
    classes = generator.prior.space.classes
    labels = torch.arange(config.samples) % len(classes) if classes else torch.full((config.samples,), -1)
    with watch.part("drawing samples"):
        grids = generator.sample_tokens(
            labels, sampler=config.sampler, guidance=config.guidance, seed=config.seed, batch_size=config.batch_size
        )
        images = generator.decode(grids, batch_size=config.batch_size)
    meter = TokenUsageMeter(subject.tokenizer.quantizer)
    meter.update(grids)

    with watch.part("measuring samples"):
        scores = seen.scorer.score(images, labels, batch_size=config.batch_size) if seen.scorer else None
        by_protocol = seen.protocols.of_samples(images, batch_size=config.batch_size)
        gallery = _gallery(subject, config, classifier, images, labels)
    return SampleResult(
        loss=held["loss"],
        accuracy=held["accuracy"],
        class_accuracy=scores.class_accuracy if scores else None,
        frechet=scores.frechet if scores else None,
        bits=bits,
        count=len(images),
        gallery=gallery,
        usage=meter.compute().pooled,
        scores=by_protocol,
    )


def _gallery(
    subject: Subject, config: EvaluationConfig, classifier: Classifier | None, images: Tensor, labels: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """A few samples of each class, each with the nearest training image, so that copying would be seen."""
    names = dict(enumerate(subject.train.classes)) or {-1: "samples"}
    chosen = torch.cat([torch.nonzero(labels == label)[:PER_CLASS, 0] for label in names])
    queries = images[chosen]
    wanted = _describe(classifier, queries)
    best, nearest = torch.full((len(queries),), torch.inf), torch.zeros_like(queries)
    for batch in eval_batches(fixed_subset(subject.train, config.neighbours), subject.data, batch_size=256):
        found = nearest_neighbours(wanted, _describe(classifier, batch.images))
        closer = found.distances[:, 0] < best
        best[closer] = found.distances[closer, 0]
        nearest[closer] = batch.images[found.indices[closer, 0]]
    of_class = {name: labels[chosen] == label for label, name in names.items()}
    return {name: (queries[mine], nearest[mine]) for name, mine in of_class.items()}


def _describe(classifier: Classifier | None, images: Tensor) -> Tensor:
    """What "near" is measured on: the classifier's features, or pixels where there is none."""
    return images.flatten(1) if classifier is None else features_of(classifier, images)
