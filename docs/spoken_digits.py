"""Write the sounds and spectrograms of docs/guides/sound.md: one of each digit, originals, reconstructions and samples.

Run ``python docs/spoken_digits.py --tokenizer runs/digits/tokenizer --prior runs/digits/prior --data DATA/fsdd``.

    docs/sounds/digits-ROW.flac    the ten digits one after another, of each row
    docs/images/digits.png         their spectrograms: a row each
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from gridcode.domains.audio.data.decode import write
from gridcode.domains.audio.domain import AudioDomain, data_of
from gridcode.domains.audio.show import spectrograms
from gridcode.evaluation.images import contact_sheet
from gridcode.tasks.generate import Generator
from gridcode.tokenizer import Tokenizer

DOCS = Path(__file__).parent
GAP = 800
"""Samples of silence between two digits."""


def main() -> None:
    """Take the first held-out sound of each class, and draw a sample of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tokenizer", "prior", "data"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_pretrained(arguments.tokenizer).eval()
    settings = replace(data_of(tokenizer), source=arguments.data, on_error="stop")
    held_out = AudioDomain.open(settings, "val")
    found: dict[int, torch.Tensor] = {}
    for batch in AudioDomain.eval_batches(held_out, settings, batch_size=100):
        for sound, label in zip(batch.waveforms, batch.labels.tolist(), strict=True):
            found.setdefault(label, sound)
    originals = torch.stack([found[label] for label in sorted(found)])
    generator = Generator.from_pretrained(arguments.prior, tokenizer)
    rows = {
        "originals": originals,
        "reconstructions": tokenizer.decode(tokenizer.encode(originals)),
        "samples": generator.sample(labels=list(range(len(originals))), guidance=1.0, seed=0),
    }
    for name, sounds in rows.items():
        joined = F.pad(sounds, (0, GAP)).flatten()
        write(DOCS / "sounds" / f"digits-{name}.flac", joined.numpy(), settings.rate)
    pictures = spectrograms(torch.cat(list(rows.values())), rate=settings.rate)
    sheet = Image.fromarray(contact_sheet(pictures, columns=len(originals)))
    sheet.quantize(64).save(DOCS / "images" / "digits.png", optimize=True)


if __name__ == "__main__":
    main()
