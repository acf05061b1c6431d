"""``gridcode reconstruct``: pictures through a tokenizer and back, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gridcode.cli.arguments import parse


@dataclass(frozen=True)
class Arguments:
    """Command line of ``reconstruct``."""

    tokenizer: str
    """A tokenizer's folder or hub id."""
    out: Path
    """Folder for the pictures: each reconstruction, and comparison.png with originals above reconstructions."""
    input: Path | None = None
    """A picture, or a folder, Parquet or .npz file of pictures; the tokenizer's own validation data by default."""
    count: int = 16
    """Pictures at most."""
    native: bool = False
    """Keep each picture's own size instead of the tokenizer's training size."""
    force: bool = False
    """Write into a folder that is not empty."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""


def run(arguments: list[str]) -> None:
    """Reconstruct pictures.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(
        Arguments, arguments, prog="gridcode reconstruct", description="Send pictures through a tokenizer and back."
    )
    import torch

    from gridcode.cli.output import fresh_folder, file_name
    from gridcode.data.image import decode_image
    from gridcode.data.open import open_source, open_split
    from gridcode.data.source import Example
    from gridcode.evaluation.pictures import contact_sheet, save_png, to_uint8
    from gridcode.metrics.image import psnr
    from gridcode.tasks.data_of import data_of
    from gridcode.tasks.reconstruct import as_batch, reconstruct
    from gridcode.tokenizer.model import Tokenizer

    tokenizer = Tokenizer.from_pretrained(parsed.tokenizer, device=parsed.device)
    data = data_of(tokenizer)
    if parsed.input is None:
        source = open_split(data, "val")
        examples = [source[i] for i in range(min(parsed.count, len(source)))]
    elif parsed.input.is_file() and parsed.input.suffix.lower() not in (".parquet", ".npz"):
        pixels = decode_image(parsed.input, name=str(parsed.input))
        examples = [Example(image=pixels, label=None, key=parsed.input.name)]
    else:
        stored = open_source(parsed.input)
        examples = [stored[i] for i in range(min(parsed.count, len(stored)))]
    out = fresh_folder(parsed.out, force=parsed.force)
    pairs, scores = [], []
    for number, example in enumerate(examples):
        image = as_batch(example, tokenizer, size=None if parsed.native else data.size).to(parsed.device)
        back = reconstruct(tokenizer, image)
        scores.append(float(psnr(back, image)))
        pairs.append((to_uint8(image)[0], to_uint8(back)[0]))
        save_png(out / f"{number:04d}-{file_name(example.key)}.png", pairs[-1][1])
        print(f"{example.key}  {scores[-1]:.2f} dB")
    save_png(out / "comparison.png", contact_sheet(pairs))
    print(f"{len(pairs)} pictures in {out}, PSNR {torch.tensor(scores).mean():.2f} dB; see {out / 'comparison.png'}")
