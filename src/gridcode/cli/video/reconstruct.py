"""``gridcode reconstruct`` of clips: through a tokenizer and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.reconstruct import chosen_examples, parse_reconstructed
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.video.options import VideoReading

_SHOWN = 8
"""Clips in comparison.png, at most."""


@dataclass(frozen=True)
class Arguments:
    """Send clips through a tokenizer and back.

    --out gets the reconstructions, and comparison.png with film strips of the first 8.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """A video, or all that training reads, of splits the validation, or 'motion'; the tokenizer's own by default."""
    data: VideoReading = field(default_factory=VideoReading)
    """How videos are read."""
    count: int = 16
    """Clips at most, from all over the input."""
    format: Literal["webp", "gif"] = "webp"
    """Of the files."""


def run(arguments: list[str]) -> None:
    """Reconstruct clips.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse_reconstructed(Arguments, "video", arguments)
    import torch

    from gridcode.domains.video.data.decode import SUFFIXES
    from gridcode.domains.video.data.loader import as_clips, read_clip
    from gridcode.domains.video.data.source import Clip, frame_rate, open_input
    from gridcode.domains.video.files import write_clip
    from gridcode.domains.video.measure import frame_psnr
    from gridcode.domains.video.show import save_sheet

    chosen = chosen_examples(parsed, "video", open_input)
    tokenizer, data, out = chosen.tokenizer, chosen.data, parsed.output.make()
    fps = frame_rate(data, chosen.source)

    def pass_through(clip: Clip, name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
        original = as_clips(read_clip(clip, None, config=data)[None])
        back = tokenizer.decode(tokenizer.encode(original.to(tokenizer.device))).cpu()
        found = frame_psnr(original, back).mean().item()
        write_clip(out / f"{name}.{parsed.format}", back[0], fps=fps)
        print(f"{clip.key}  {found:.2f} dB")
        return original[0], back[0], found

    clips, backs, figures = zip(*chosen.each(pass_through, SUFFIXES), strict=True)
    save_sheet(out / "comparison.png", torch.stack(clips[:_SHOWN]), torch.stack(backs[:_SHOWN]))
    count = len(figures)
    print(f"{count} clip{'s' * (count != 1)} in {out}, PSNR {sum(figures) / count:.2f} dB")
    print(f"film strips of originals, each with its reconstruction below: {out / 'comparison.png'}")
