"""``gridcode reconstruct`` of sounds: whole files of any length, through a tokenizer and back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import tyro

from gridcode.cli.reconstruct import parse_reconstructed
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output, read_each
from gridcode.cli.sound.options import SoundReading

_SHOWN = 16
"""Sounds in the picture, at most."""


@dataclass(frozen=True)
class Arguments:
    """Send sounds through a tokenizer and back, at their whole length.

    --out gets the reconstructions, and comparison.png with the spectrograms of the beginnings of the first 16.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """A sound, or all that training reads, of splits the validation; the tokenizer's own by default."""
    data: Annotated[SoundReading, tyro.conf.arg(name="data")] = field(default_factory=SoundReading)
    """How sounds are read."""
    count: int = 16
    """Sounds at most, from all over the input."""
    format: Literal["flac", "wav"] = "flac"
    """Of the files."""


def run(arguments: list[str]) -> None:
    """Reconstruct sounds.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse_reconstructed(Arguments, "audio", arguments)
    import torch

    from gridcode.data.file_names import file_stem, without_ending
    from gridcode.data.labelled.source import some_of
    from gridcode.domains.audio.data.decode import SUFFIXES
    from gridcode.domains.audio.data.source import open_input, open_sounds
    from gridcode.domains.audio.domain import data_of
    from gridcode.domains.audio.files import FileResult, reconstruct_file
    from gridcode.domains.audio.show import save_sheet

    tokenizer = parsed.model.load()
    data = parsed.data.applied(data_of(tokenizer))
    source = open_sounds(data, "val") if parsed.input is None else open_input(replace(data, source=parsed.input))
    chosen, out = some_of(source, parsed.count), parsed.output.make()

    def pass_through(number: int) -> FileResult:
        sound = chosen[number]
        path = out / f"{number:04d}-{file_stem(without_ending(sound.key, SUFFIXES))}.{parsed.format}"
        found = reconstruct_file(tokenizer, sound.recording, path, data)
        print(f"{sound.key}  {found.seconds:.2f} s  {found.si_sdr:.2f} dB")
        return found

    results = read_each(len(chosen), pass_through, name=source.name, what="sounds", on_error=data.on_error)
    beginnings, count = list[tuple[torch.Tensor, torch.Tensor]](), 0
    for count, found in enumerate(results, 1):
        if count <= _SHOWN:
            beginnings.append((found.beginning, found.its_reconstruction))
    sounds, backs = (torch.stack(part) for part in zip(*beginnings, strict=True))
    save_sheet(out / "comparison.png", sounds, backs, rate=data.rate)
    print(f"{count} sound{'s' * (count != 1)} in {out}")
    print(f"spectrograms of originals, each with its reconstruction below: {out / 'comparison.png'}")
