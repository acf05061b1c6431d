"""Speech at low rates: tokens of gridcode beside Opus and Codec 2, by what is heard and what is understood.

    cell            what the sounds go through
    originals       nothing: what the classifier recognises of them
    gridcode        a tokenizer and back
    opus-6000       Opus (PyAV's libopus), 6,000 bits per second, its lowest for speech
    codec2-1300 …   Codec 2 (pycodec2), a vocoder: it keeps pitch and envelope of speech, not its waveform

    sounds ─> codec ─> sounds      mel and STFT distance, SI-SDR, STOI, PESQ, share of digits that are recognised

Bits per second are those of the packets, without a container; the tokens' are log2 of the codebook each, before any
prior makes them fewer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar, Final

import torch
from torch import Tensor

from gridcode.data.labelled.source import some_of
from gridcode.domains.audio.config import AudioEvaluationConfig
from gridcode.domains.audio.data.loader import eval_batches
from gridcode.domains.audio.data.source import open_sounds
from gridcode.domains.audio.domain import AudioDomain
from gridcode.domains.audio.evaluate import mel_images, sound_classifier
from gridcode.domains.audio.loss import mel_distance
from gridcode.domains.audio.measure import BANDS, FLOOR, WINDOWS, si_sdr, spectral_distance
from gridcode.domains.audio.show import spectrograms
from gridcode.domains.audio.speech import speech_scores
from gridcode.errors import GridcodeError
from gridcode.evaluation.both_stages import recognised
from gridcode.evaluation.images import contact_sheet, save_png
from gridcode.features.classifier import load_classifier, save_classifier
from gridcode.studies.config import CLASSIFIER
from gridcode.studies.curves import ahead_of, row_of
from gridcode.studies.intervals import below, percent, share_difference
from gridcode.studies.results import weights_below
from gridcode.studies.speech.codecs import load, through_codec
from gridcode.studies.speech.config import SpeechConfig
from gridcode.studies.study import Cell, Study, Values
from gridcode.studies.summary import Bars, Column, StudyTable, Summary, Verdict
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.seeding import fixed_sample

ORIGINALS, OURS = "originals", "gridcode"
FEWER: Final = 0.03
"""What share of the sounds may be recognised no more."""
RATE_OF: Final = "bits_per_second"
PLOTTED: Final = (RATE_OF, "recognised", "stoi", "pesq")
MEASURES: Final = (
    Column(RATE_OF, "bits per second", 0),
    Column("recognised", "digits recognised", 1, percent=True),
    Column("stoi", "STOI", 3),
    Column("pesq", "PESQ", 2),
    Column("mel_distance", "mel distance (nats)", 3),
    Column("stft_distance", "STFT distance (dB)", 2),
    Column("si_sdr", "SI-SDR (dB)", 1),
)
HIGHER: Final = frozenset({"recognised", "stoi", "pesq", "si_sdr"})
"""Measures of which more is better."""
SHOWN: Final = 4
"""Sounds on the image."""


@dataclass(frozen=True)
class Speech(Study):
    """See the module."""

    name: ClassVar[str] = "speech"
    choices: ClassVar[tuple[str, ...]] = ("codecs",)
    paths: ClassVar[tuple[str, ...]] = ("tokenizer",)
    config: SpeechConfig = field(default_factory=SpeechConfig)

    def cells(self) -> list[Cell]:
        """The originals, the tokenizer and each codec; nothing in them depends on a seed."""
        return [Cell(name, 0) for name in (ORIGINALS, OURS, *self.config.codecs)]

    def kind(self, cell: Cell) -> str:
        """Alike; codecs take seconds."""
        return "codec"

    def prepare(self, out: Path) -> None:
        """Train the classifier; what is not installed is told before that."""
        self._check()
        if not (out / CLASSIFIER).exists():
            train = open_sounds(self.config.data, "train")
            if not train.classes:
                raise GridcodeError("the study of speech needs sounds with classes that a classifier is to recognise")
            settings = AudioEvaluationConfig(classifier_steps=self.config.classifier_steps)
            save_classifier(
                sound_classifier(train, self.config.data, settings), out / CLASSIFIER, classes=train.classes
            )

    def weights(self) -> dict[str, str]:
        """Of the tokenizer."""
        return {"tokenizer": weights_below(self.config.tokenizer)}

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`; all cells say at once what is not installed."""
        self._check()
        start = time.perf_counter()
        some = spoken(self.config)[0][: max(1, self.config.count // 10)]
        measured(some, self._through(cell, some)[0], self.config.data.rate)
        return 10 * (time.perf_counter() - start)

    def _check(self) -> None:
        for name in self.config.codecs:
            load(name.partition("-")[0])

    def _through(self, cell: Cell, sounds: Tensor) -> tuple[Tensor, float]:
        """Sounds through a cell's codec and back, and its bits per second."""
        if cell.setting == ORIGINALS:
            return sounds, 16.0 * self.config.data.rate
        if cell.setting == OURS:
            return through_tokens(self.config.tokenizer, sounds)
        return through_codec(cell.setting, sounds)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Measure a codec."""
        sounds, labels = spoken(self.config)
        back, bits = self._through(cell, sounds)
        rate = self.config.data.rate
        share = recognised(load_classifier(out / CLASSIFIER), back, labels, partial(mel_images, rate=rate))
        values = {RATE_OF: bits, "recognised": share, "sounds": len(sounds)}
        return values if cell.setting == ORIGINALS else values | measured(sounds, back, rate)

    def headline(self, values: Values) -> str:
        """See :class:`Study`."""
        return f"{values[RATE_OF]:.0f} bits per second, {values['recognised']:.1%} recognised"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        found = {cell.setting: values for cell, values in results.items()}
        columns = [column for column in MEASURES if any(column.key in values for values in found.values())]
        rows = [[title_of(name), *row_of(values, columns)] for name, values in found.items()]
        table = StudyTable("Speech through each codec", ("", *(column.title for column in columns)), rows)
        shown = [title_of(name) for name in found if name != ORIGINALS]
        note = (
            f"{max((values['sounds'] for values in found.values()), default=0)} sounds, one after another through each "
            "codec. STOI and PESQ (narrow band) are means over stretches of six seconds. Mel and STFT distance are "
            "parts of the tokenizer's loss, of no other codec's. The tokenizer learned from other sounds of these "
            "data; the other codecs were made for any speech. Spectrograms: a sound a column; from top to bottom the "
            f"original, {', '.join(shown)}."
        )
        panels = [_bars(column, found) for column in columns if column.key in PLOTTED]
        title = f"Speech at low rates, {self.config.data.dataset}"
        return Summary(title, verdicts(found), [table] if rows else [], panels, notes=(note,))

    def save_images(self, out: Path) -> None:
        """``spectrograms.png``: sounds, and what each codec makes of them."""
        sounds = spoken(self.config)[0]
        sounds = sounds[torch.from_numpy(fixed_sample(len(sounds), SHOWN))]
        rows = [sounds, *(self._through(cell, sounds)[0] for cell in self.cells() if cell.setting != ORIGINALS)]
        save_png(
            contact_sheet(spectrograms(torch.cat(rows), rate=self.config.data.rate), columns=len(sounds)),
            out / "spectrograms.png",
        )


@lru_cache(maxsize=1)
def spoken(config: SpeechConfig) -> tuple[Tensor, Tensor]:
    """The study's sounds (n, 1, T) and their classes (n,), read once a process."""
    source = some_of(open_sounds(config.data, "val"), config.count)
    batches = list(eval_batches(source, config.data, batch_size=50))
    return torch.cat([batch.waveforms for batch in batches]), torch.cat([batch.labels for batch in batches])


@torch.inference_mode()
def through_tokens(folder: str, sounds: Tensor) -> tuple[Tensor, float]:
    """Sounds through a tokenizer and back, and its bits per second.

    Raises:
        GridcodeError: It is no tokenizer of sounds.
    """
    tokenizer = Tokenizer.from_pretrained(folder).eval()
    domain = tokenizer.domain
    if not isinstance(domain, AudioDomain):
        raise GridcodeError(f"{folder} is a tokenizer of another kind of data; give one of sounds")
    back = torch.cat([tokenizer.decode(tokenizer.encode(part)) for part in torch.split(sounds, 50)])
    return back.clamp(-1, 1), domain.bits_per_second(tokenizer)


@torch.inference_mode()
def measured(sounds: Tensor, back: Tensor, rate: int) -> Values:
    """What is measured of sounds and what came back of them, both (n, 1, T)."""
    values: Values = dict(speech_scores(sounds, back, rate))
    return values | {
        "mel_distance": mel_distance(sounds, back, rate, WINDOWS, BANDS, FLOOR).mean().item(),
        "stft_distance": spectral_distance(sounds, back).mean().item(),
        "si_sdr": si_sdr(sounds, back).nanmean().item(),
    }


def _bars(column: Column, found: Mapping[str, Values]) -> Bars:
    """A bar a codec, of a measure."""
    values = {title_of(name): [of[column.key]] for name, of in found.items() if column.key in of}
    return Bars(column.title, {"": values}, percent=column.percent, log=column.key == RATE_OF)


def title_of(setting: str) -> str:
    """What a table calls a cell.

    >>> title_of("codec2-1300"), title_of("gridcode")
    ('Codec 2, mode 1300', 'gridcode')
    """
    codec, _, rate = setting.partition("-")
    return {"opus": f"Opus, {rate} bit/s", "codec2": f"Codec 2, mode {rate}"}.get(codec, setting)


def verdicts(found: Mapping[str, Values]) -> list[Verdict]:
    """Whether digits survive the tokenizer, and whether it is ahead of each codec that takes as many bits or more."""
    claims = list[Verdict]()
    if OURS not in found:
        return claims
    ours = found[OURS]
    if ORIGINALS in found:
        before = found[ORIGINALS]
        loss = share_difference(before["recognised"], before["sounds"], ours["recognised"], ours["sounds"])
        shares = f"{percent(ours['recognised'], 1)} against {percent(found[ORIGINALS]['recognised'], 1)}"
        lost = loss.text(1, scale=100, unit=" points")
        figures = f"{shares}, at {ours[RATE_OF]:.0f} bits per second: {lost} lost"
        claim = f"a classifier recognises at most {percent(FEWER)} of the digits less after the tokenizer than before"
        claims.append(Verdict(claim, below(loss, FEWER), figures))
    for name, theirs in found.items():
        if name in (ORIGINALS, OURS) or theirs[RATE_OF] < ours[RATE_OF]:
            continue
        ahead, parts = ahead_of(ours, theirs, MEASURES[1:], HIGHER)
        other = f"{title_of(name)} ({theirs[RATE_OF]:.0f} bits per second)"
        claim = f"at {ours[RATE_OF]:.0f} bits per second tokens are better than {other} in most measures"
        claims.append(
            Verdict(
                claim,
                "seen" if 2 * ahead > len(parts) else "not seen",
                f"in {ahead} of {len(parts)}: {', '.join(parts)}",
            )
        )
    return claims
