"""A tokenizer on a folder of images, trained, saved, loaded, and used in both directions.

Run ``python examples/tokenizer_on_a_folder.py path/to/images``; without a folder it writes some scenes to
one. About a minute.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from gridcode.data import DataConfig, eval_batches, open_split
from gridcode.recipes import recipe
from gridcode.tokenizer import Tokenizer, train_tokenizer
from gridcode.training.run import RunOptions


def write_scenes(folder: Path, count: int) -> None:
    """A folder as you may have one: a subfolder a class, a file an image."""
    scenes = open_split(DataConfig(source="scenes", size=32, train_count=count), "train")
    for number in range(count):
        example = scenes[number]
        path = folder / scenes.classes[example.label or 0] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(example.image).save(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/example"))
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    folder = arguments.folder or arguments.out / "pictures"
    if arguments.folder is None:
        write_scenes(folder, count=min(1000, 16 * arguments.steps))

    settings = recipe("cifar10_laptop").tokenizer  # full settings; each can be replaced
    settings = replace(
        settings,
        data=replace(settings.data, source=str(folder), size=32, val_fraction=0.1),
        loop=replace(settings.loop, steps=arguments.steps, batch_size=32, val_every=arguments.steps),
    )
    train_tokenizer(settings, RunOptions(arguments.out / "tokenizer", force=True))

    tokenizer = Tokenizer.from_pretrained(arguments.out / "tokenizer")  # the best of the run
    batch = next(iter(eval_batches(open_split(settings.data, "val"), settings.data, batch_size=8)))
    indices = tokenizer.encode(batch.images)  # (B, 3, 32, 32) in [-1, 1] -> (B, 8, 8) int64
    again = tokenizer.decode(indices)
    error = (again - batch.images).square().mean()
    print(f"{tuple(batch.images.shape)} -> {tuple(indices.shape)} of {tokenizer.codebook_size} codes")
    print(f"PSNR {10 * torch.log10(4 / error):.1f} dB; first row of tokens: {indices[0, 0].tolist()}")


if __name__ == "__main__":
    main()
