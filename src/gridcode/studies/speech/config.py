"""Which tokenizer of sounds is compared with which speech codecs, as frozen values; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from gridcode.domains.audio.config import AudioConfig
from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.studies.config import check_chosen

CodecName: TypeAlias = Literal["opus-6000", "codec2-700", "codec2-1200", "codec2-1300", "codec2-2400"]

RATE: Final = 8000
"""Samples per second of the speech codecs."""


@dataclass(frozen=True)
class SpeechConfig:
    """Whose speech is compared."""

    tokenizer: str = "runs/digits/tokenizer"
    """A tokenizer of sounds of 8,000 samples per second."""
    data: AudioConfig = field(default_factory=AudioConfig)
    """The sounds: those of the validation split, whose classes a classifier is to recognise."""
    codecs: tuple[CodecName, ...] = get_args(CodecName)
    """What stands beside, by name and bits per second; they need the packages av and pycodec2."""
    count: int = 300
    """Sounds, at most."""
    classifier_steps: int = 600
    """Training steps of the classifier of log-mel spectra."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, and rates that the codecs do not have."""
        check_numbers(self, "", counts=("count", "classifier_steps"))
        check_chosen(codecs=self.codecs)
        check_choices(self, "", codecs=get_args(CodecName))
        if self.data.rate != RATE:
            raise GridcodeError(f"speech codecs have {RATE} samples per second, got data.rate={self.data.rate}")
