"""``gridcode sample`` of sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gridcode.cli import sample
from gridcode.domains.audio.config import AudioEvaluationConfig


@dataclass(frozen=True)
class Arguments(sample.Arguments):
    """Make new sounds: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets the sounds, and samples.png with the
    spectrograms of all of them.
    """

    count: int = 4
    """How many of each class."""
    format: Literal["flac", "wav"] = "flac"
    """Of the files."""


def run(arguments: list[str]) -> None:
    """Sample sounds.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = sample.parse_sampled(Arguments, "audio", arguments, AudioEvaluationConfig())
    from gridcode.domains.audio.data.decode import write
    from gridcode.domains.audio.domain import data_of
    from gridcode.domains.audio.show import spectrograms
    from gridcode.evaluation.images import contact_sheet, save_png

    drawn = parsed.draw()
    rate = data_of(drawn.tokenizer).rate
    for stem, sound in zip(drawn.stems, drawn.examples, strict=True):
        write(drawn.out / f"{stem}.{parsed.format}", sound[0].numpy(), rate)
    sheet, count = drawn.out / "samples.png", len(drawn.examples)
    save_png(contact_sheet(spectrograms(drawn.examples, rate=rate), columns=parsed.count), sheet)
    print(f"{count} sound{'s' * (count != 1)} in {drawn.out}; spectrograms of all in {sheet}, a class a row")
