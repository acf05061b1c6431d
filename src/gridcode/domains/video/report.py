"""From the measurements of clips to a report: figures, and animations side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gridcode.domains.video.config import VideoEvaluationConfig
from gridcode.domains.video.domain import VideoDomain
from gridcode.domains.video.evaluate import VideoEvaluation, VideoSubject
from gridcode.domains.video.files import address, frames_of
from gridcode.domains.video.show import film_strips
from gridcode.evaluation.by_class import usage_figure, usage_rows
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Gallery, ImageGroup, Table


def video_findings(found: VideoEvaluation, subject: VideoSubject, config: VideoEvaluationConfig) -> Findings:
    """What :func:`gridcode.evaluation.publish.publish` writes of clips.

    Args:
        found: What was measured.
        subject: What it was measured on.
        config: How it was measured.
    """
    domain = subject.tokenizer.domain
    assert isinstance(domain, VideoDomain)
    strips = [torch.stack([found.clips, found.reconstructions], 1).flatten(0, 1)[:8]]
    if found.samples is not None:
        strips += [clips[:1] for clips in found.samples.shown.values()]
    return Findings(
        title=f"gridcode on {subject.data.dataset}",
        figures=found.figures(),
        key_figures=_key_figures(found),
        tables=_tables(found),
        galleries=_galleries(found, domain.fps),
        codes=found.codes,
        overview=film_strips(torch.cat(strips)),
        settings=subject.settings(config),
    )


def _key_figures(found: VideoEvaluation) -> list[Figure]:
    scores = found.scores
    still = f"of 255 grey levels; a clip that stands still: {scores.motion:.1f}"
    figures = [
        Figure("PSNR", f"{scores.psnr:.2f}", "dB", "of a frame of reconstructions, mean"),
        Figure("difference error", f"{scores.difference_error:.1f}", "", still),
        Figure("size", round(found.bits), "bits", "of a clip's tokens"),
        usage_figure(found.scores.usage.pooled),
    ]
    return [*figures, *found.asked_for()]


def _tables(found: VideoEvaluation) -> list[Table]:
    scores, of_frame = found.scores, found.scores.psnr_of_frame
    rows = [
        Figure("PSNR", scores.psnr, "dB", "mean over frames and clips"),
        Figure("PSNR of the first frame", of_frame[0], "dB", "which is coded alone"),
        Figure("PSNR of the last frame", of_frame[-1], "dB"),
        Figure("difference error", scores.difference_error, "", "of differences of frames, in 255 grey levels"),
        Figure("motion", scores.motion, "", "difference error of a reconstruction that stands still"),
        *usage_rows(scores.usage.pooled),
    ]
    tables = [Table("Reconstruction", rows)]
    if found.samples is not None:
        tables.append(found.samples.bits_table())
        further = found.samples.continuations
        if further is not None:
            rows = [
                Figure("PSNR of predicted frames", further.psnr, "dB"),
                Figure("PSNR of the last given frame", further.still_psnr, "dB", "repeated"),
                Figure("PSNR of reconstructions", further.reconstruction_psnr, "dB", "of the same frames"),
            ]
            tables.append(Table(f"Continuation of {further.given} frames", rows))
    return [*tables, *found.recognised_tables("a classifier of clips")]


def _galleries(found: VideoEvaluation, fps: float) -> list[Gallery]:
    seen = _group("", [found.clips, found.reconstructions], fps)
    galleries = [Gallery("Reconstructions", ("original", "reconstruction"), [seen], "Validation clips, and decoded.")]
    if found.samples is None:
        return galleries
    groups = [_group(name, [clips], fps) for name, clips in found.samples.shown.items() if len(clips)]
    galleries.append(Gallery("Samples", ("sample",), groups, "Generated token by token and decoded."))
    further = found.samples.continuations
    if further is not None:
        text = f"The first {further.given} frames are given; the others are drawn by the prior."
        group = _group("", [further.originals, further.clips], fps)
        galleries.append(Gallery("Continuations", ("original", "continuation"), [group], text))
    return galleries


def _group(name: str, storeys: Sequence[Tensor], fps: float) -> ImageGroup:
    """Clips that play, each in the place of its first frame."""
    moving = [[address(clip, fps=fps) for clip in clips] for clips in storeys]
    stills = [frames_of(clips[:, :, 0].transpose(0, 1)) for clips in storeys]
    return ImageGroup(name, stills, moving=moving)
