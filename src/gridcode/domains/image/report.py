"""From the measurements of images to a report: figures, galleries and an overview."""

from __future__ import annotations

from math import log2
from typing import Any

import torch

from gridcode.domains.image.config import EvaluationConfig
from gridcode.domains.image.evaluate import Subject
from gridcode.domains.image.results import Evaluation
from gridcode.evaluation.images import ImageArray, contact_sheet, to_uint8
from gridcode.evaluation.protocol import Score
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Gallery, Table, reconstruction_gallery, sample_gallery
from gridcode.prior.bits import STEPS, TokenBits


def image_findings(evaluation: Evaluation, subject: Subject, config: EvaluationConfig) -> Findings:
    """What :func:`gridcode.evaluation.publish.publish` writes of images.

    Args:
        evaluation: What was measured.
        subject: What it was measured on.
        config: How it was measured.
    """
    return Findings(
        title=f"gridcode on {subject.data.dataset}",
        figures=evaluation.figures(),
        key_figures=_key_figures(evaluation),
        tables=_tables(evaluation),
        galleries=_galleries(evaluation),
        codes=evaluation.reconstruction.codes,
        overview=overview(evaluation),
        settings=subject.settings(config),
        warnings=evaluation.warnings,
        more=_more(evaluation, config),
    )


def _more(evaluation: Evaluation, config: EvaluationConfig) -> dict[str, Any]:
    """What ``report.json`` holds beside single figures."""
    second, more = evaluation.samples, dict[str, Any]()
    if second is not None:
        more["bits_by_step"] = [
            {"tokens": tokens, "bits_per_token": bits}
            for tokens, bits in zip(second.bits.groups, second.bits.by_step, strict=True)
        ]
    if evaluation.scores():
        more["scores"] = [score.record() for score in evaluation.scores()]
    return more


def overview(evaluation: Evaluation, *, columns: int = 12) -> ImageArray:
    """An overview on one sheet: originals, their reconstructions below, then samples, classes one after another.

    Args:
        evaluation: What was measured.
        columns: Images in a row.

    Returns:
        uint8, (H, W, C).
    """
    first, second = evaluation.reconstruction, evaluation.samples
    rows = [first.originals[:columns], first.reconstructions[:columns]]
    if second is not None:
        samples = torch.cat([drawn for drawn, _ in second.gallery.values()])
        shown = min(len(samples), 2 * columns)
        rows.append(samples[torch.arange(shown) * len(samples) // shown])
    return contact_sheet(to_uint8(torch.cat(rows)), columns=columns)


def _key_figures(evaluation: Evaluation) -> list[Figure]:
    first, second = evaluation.reconstruction, evaluation.samples
    figures = [
        Figure("PSNR", round(first.psnr, 2), "dB", "reconstructions of validation images"),
        Figure("codebook usage", f"{first.usage.usage:.1%}", "", f"of {first.usage.codebook_size:,} codes"),
        Figure("perplexity", round(first.usage.perplexity), "", f"{first.usage.entropy_bits:.2f} bits per token"),
    ]
    if second is not None and second.class_accuracy is not None:
        note = f"of {second.count:,} samples are what was asked for, by a classifier trained on this data"
        figures.append(Figure("class accuracy", f"{second.class_accuracy:.1%}", "", note))
    if second is not None and second.frechet is not None:
        note = "samples to real images, on features of a classifier trained on this data; this is not FID"
        figures.append(Figure("Fréchet distance", round(second.frechet, 3), "", note))
    return figures


def _tables(evaluation: Evaluation) -> list[Table]:
    first, second = evaluation.reconstruction, evaluation.samples
    rows = [
        Figure("PSNR", first.psnr, "dB", "mean over images, range [0, 1]"),
        Figure("SSIM", first.ssim, "", "mean over images"),
        Figure("codes used", first.usage.used, "", f"of {first.usage.codebook_size:,}"),
        Figure(
            "usage over ceiling",
            first.usage.usage_of_ceiling,
            "",
            f"of what {first.usage.count:,} tokens can use",
        ),
        Figure("perplexity", first.usage.perplexity, "codes", "2 to the entropy"),
    ]
    if len(first.tokens.codebooks) > 1:
        rows += [
            Figure(f"usage of codebook {number}", usage.usage, "", f"perplexity {usage.perplexity:.4g}")
            for number, usage in enumerate(first.tokens.codebooks, 1)
        ]
    if first.frechet is not None:
        note = "reconstructions to originals, on features of a classifier trained on this data; not FID"
        rows.append(Figure("Fréchet distance", first.frechet, "", note))
    tables = [Table("Reconstruction", rows)]
    if second is not None:
        rows = [
            Figure("token loss", second.loss, "nats", "validation tokens asked for, unsmoothed, whole vocabulary"),
            Figure("token accuracy", second.accuracy, "", "most probable guess"),
            Figure("code usage of samples", second.usage.usage, "", f"{second.usage.count:,} sampled tokens"),
        ]
        if second.class_accuracy is not None:
            rows.append(Figure("class accuracy", second.class_accuracy, "", "samples classified as requested"))
        if second.frechet is not None:
            rows.append(Figure("Fréchet distance", second.frechet, "", "samples to validation images; not FID"))
        tables.append(Table("Generation", rows))
    tables.append(Table("Bits per token", _bits_rows(evaluation)))
    if evaluation.scores():
        tables.append(Table("Scores by protocol", [_score_row(score) for score in evaluation.scores()]))
    if evaluation.classifier_accuracy is not None:
        note = "on real validation images; it measures the samples"
        tables.append(Table("The measuring classifier", [Figure("accuracy", evaluation.classifier_accuracy, "", note)]))
    return tables


def _score_row(score: Score) -> Figure:
    how = score.protocol
    note = (
        f"{how.name}: {how.count:,} {how.measured} against {how.reference_count or 'an unknown number of'} images of "
        f"{how.reference}, {how.crop}, {how.resize}, weights {how.extractor_hash[:8]}"
    )
    return Figure(f"{score.name} of {how.measured}", score.value, "", note)


def _bits_rows(evaluation: Evaluation) -> list[Figure]:
    """What a token costs: under the prior, and without one."""
    first, second = evaluation.reconstruction, evaluation.samples
    size, compressed = first.usage.codebook_size, first.compressed
    how = f"all validation tokens in a row; the smaller of {compressed.packed} bits and of whole bytes per token"
    rows = [
        Figure("uniform", log2(size), "bits", f"log2 of {size:,} codes; {compressed.packed} bits at a fixed width"),
        Figure("entropy", first.usage.entropy_bits, "bits", "of the token histogram"),
        Figure("zlib", compressed.zlib, "bits", how),
        Figure("zstd", compressed.zstd, "bits", how),
    ]
    if second is not None:
        bits = second.bits
        given = ", given the class" if second.class_accuracy is not None else ""
        note = f"uncovered in {len(bits.groups)} steps, codes only, unsmoothed{given}; {_by_step(bits)}"
        pixel = bits.per_token * first.tokens_per_pixel
        rows += [
            Figure("prior", bits.per_token, "bits", note),
            Figure("prior, a pixel", pixel, "bits", f"{first.tokens_per_pixel:.4g} tokens per pixel"),
        ]
    return rows


def _by_step(bits: TokenBits) -> str:
    """Bits per token of each step; of many, the first and the last."""
    if len(bits.by_step) <= STEPS:
        return "by step " + ", ".join(f"{step:.2f}" for step in bits.by_step)
    return f"first step {bits.by_step[0]:.2f}, last {bits.by_step[-1]:.2f}"


def _galleries(evaluation: Evaluation) -> list[Gallery]:
    first, second = evaluation.reconstruction, evaluation.samples
    galleries = [reconstruction_gallery(to_uint8(first.originals), to_uint8(first.reconstructions))]
    if second is not None:
        classes = [(name, to_uint8(drawn), to_uint8(near)) for name, (drawn, near) in second.gallery.items()]
        galleries.append(sample_gallery(classes))
    return galleries
