"""``gridcode reconstruct`` of sounds: whole files of any length, through a tokenizer and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.audio.options import SoundReading
from gridcode.cli.reconstruct import chosen_examples, parse_reconstructed
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output

_SHOWN = 16
"""Sounds in comparison.png, at most."""


@dataclass(frozen=True)
class Arguments:
    """Send sounds through a tokenizer and back, at their whole length.

    --out gets the reconstructions, and comparison.png with the spectrograms of the beginnings of the first 16.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """A sound, or all that training reads, of splits the validation; the tokenizer's own by default."""
    data: SoundReading = field(default_factory=SoundReading)
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

    from gridcode.domains.audio.data.decode import SUFFIXES
    from gridcode.domains.audio.data.source import Sound, open_input
    from gridcode.domains.audio.files import FileResult, reconstruct_file
    from gridcode.domains.audio.show import save_sheet

    chosen, out = chosen_examples(parsed, "audio", open_input), parsed.output.make()

    def pass_through(sound: Sound, name: str) -> FileResult:
        path = out / f"{name}.{parsed.format}"
        found = reconstruct_file(chosen.tokenizer, sound.recording, path, chosen.data)
        print(f"{sound.key}  {found.seconds:.2f} s  {found.si_sdr:.2f} dB")
        return found

    beginnings, count = list[tuple[torch.Tensor, torch.Tensor]](), 0
    for count, found in enumerate(chosen.each(pass_through, SUFFIXES), 1):
        if count <= _SHOWN:
            beginnings.append((found.beginning, found.its_reconstruction))
    sounds, backs = (torch.stack(part) for part in zip(*beginnings, strict=True))
    save_sheet(out / "comparison.png", sounds, backs, rate=chosen.data.rate)
    print(f"{count} sound{'s' * (count != 1)} in {out}")
    print(f"spectrograms of originals, each with its reconstruction below: {out / 'comparison.png'}")
