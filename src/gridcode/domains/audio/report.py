"""From the measurements of sounds to a report: figures, spectrograms, and players to listen with."""

from __future__ import annotations

import base64

import torch
from torch import Tensor

from gridcode.domains.audio.config import AudioEvaluationConfig
from gridcode.domains.audio.data.decode import encode
from gridcode.domains.audio.evaluate import AudioEvaluation, AudioSubject
from gridcode.domains.audio.show import spectrograms
from gridcode.evaluation.by_class import usage_figure, usage_rows
from gridcode.evaluation.images import contact_sheet
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Gallery, ImageGroup, Table

SPEECH = {
    "stoi": "how well speech is understood, 0 to 1, by the package pystoi",
    "pesq": "what listeners would say, 1 to 4.6, by the package pesq",
}
"""What speech is measured by, where the packages are installed."""


def audio_findings(found: AudioEvaluation, subject: AudioSubject, config: AudioEvaluationConfig) -> Findings:
    """What :func:`gridcode.evaluation.publish.publish` writes of sounds.

    Args:
        found: What was measured.
        subject: What it was measured on.
        config: How it was measured.
    """
    rate = subject.data.rate
    rows = [found.sounds, found.reconstructions]
    if found.samples is not None:
        drawn = torch.cat(list(found.samples.shown.values()))
        rows.append(drawn[: len(found.sounds)])
    return Findings(
        title=f"gridcode on {subject.data.dataset}",
        figures=found.figures(),
        key_figures=_key_figures(found),
        tables=_tables(found),
        galleries=_galleries(found, rate),
        codes=found.codes,
        overview=contact_sheet(spectrograms(torch.cat(rows), rate=rate), columns=len(found.sounds)),
        settings=subject.settings(config),
    )


def _key_figures(found: AudioEvaluation) -> list[Figure]:
    figures = [
        *(Figure(name.upper(), value, "", SPEECH[name]) for name, value in found.speech.items()),
        Figure("bit rate", round(found.bits_per_second), "bit/s", "tokens per second times bits per token"),
        Figure("mel distance", round(found.scores.mel_distance, 3), "nats", "reconstructions of validation sounds"),
        usage_figure(found.scores.usage.pooled),
    ]
    if found.reconstructions_accuracy is not None and found.originals_accuracy is not None:
        note = f"of reconstructions; of originals {found.originals_accuracy:.1%}"
        figures.append(Figure("recognised", f"{found.reconstructions_accuracy:.1%}", "", note))
    return [*figures, *found.asked_for()]


def _tables(found: AudioEvaluation) -> list[Table]:
    scores = found.scores
    rows = [
        Figure("mel distance", scores.mel_distance, "nats", "mean absolute difference of log-mel spectra"),
        Figure("STFT distance", scores.stft_distance, "dB", "mean absolute difference of log magnitudes"),
        Figure("SI-SDR", scores.si_sdr, "dB", "scale-invariant signal-to-distortion ratio"),
        Figure("bit rate", found.bits_per_second, "bit/s", ""),
        *usage_rows(scores.usage.pooled),
    ]
    tables = [Table("Reconstruction", rows)]
    if found.samples is not None:
        tables.append(found.samples.bits_table())
    return [*tables, *found.recognised_tables("a classifier of log-mel spectra")]


def _galleries(found: AudioEvaluation, rate: int) -> list[Gallery]:
    heard = _group("", [found.sounds, found.reconstructions], rate)
    explanation = "Spectrograms, 0 Hz at the bottom and time to the right; below each the sound itself."
    galleries = [Gallery("Reconstructions", ("original", "reconstruction"), [heard], explanation)]
    if found.samples is not None:
        groups = [_group(name, [sounds], rate) for name, sounds in found.samples.shown.items() if len(sounds)]
        galleries.append(Gallery("Samples", ("sample",), groups, "Generated token by token and decoded."))
    return galleries


def _group(name: str, storeys: list[Tensor], rate: int) -> ImageGroup:
    players = [[_address(sound, rate) for sound in sounds] for sounds in storeys]
    return ImageGroup(name, [spectrograms(sounds, rate=rate) for sounds in storeys], players=players)


def _address(sound: Tensor, rate: int) -> str:
    """A waveform (1, T) as an address that holds the whole file."""
    return "data:audio/flac;base64," + base64.b64encode(encode(sound[0].numpy(), rate)).decode("ascii")
