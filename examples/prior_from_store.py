"""Both stages in Python: a tokenizer, its token store, a prior that reads the store alone, and samples by class.

Run ``python examples/prior_from_store.py``: under a minute, for blurred objects of 16 pixels. Larger images
and longer runs give better ones: ``make demo`` takes five minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from gridcode.data import open_split
from gridcode.evaluation import save_png, to_uint8
from gridcode.prior import train_prior
from gridcode.recipes import recipe
from gridcode.store import TokenStore
from gridcode.tasks import Generator, StoreOptions
from gridcode.tasks.tokenize import tokenize
from gridcode.tokenizer import Sources, train_tokenizer
from gridcode.training.run import RunOptions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/example"))
    parser.add_argument("--steps", type=int, default=340, help="steps of Stage I; Stage II takes twice as many")
    arguments = parser.parse_args()
    out, steps = arguments.out, arguments.steps

    settings = recipe("scenes_demo")
    stage_one, stage_two = settings.tokenizer, settings.prior
    data = replace(stage_one.data, size=16, train_count=min(2000, 16 * steps), val_count=16)
    often = {"val_every": steps, "val_count": 16, "checkpoint_every": steps}
    small, shallow = replace(stage_one.model, patch=4, widths=(64,)), replace(stage_two.model, depth=3)
    stage_one = replace(stage_one, data=data, model=small, loop=replace(stage_one.loop, steps=steps, **often))
    stage_two = replace(stage_two, model=shallow, loop=replace(stage_two.loop, steps=2 * steps, **often))

    # Stage I: images to integers.
    sources = Sources(open_split(data, "train"), open_split(data, "val"))
    tokenizer = train_tokenizer(stage_one, RunOptions(out / "tokenizer", force=True), sources=sources)
    tokenize(tokenizer, {"train": sources.train, "val": sources.val}, data, StoreOptions(out / "tokens", force=True))

    # Stage II: the store is all that it reads.
    store = TokenStore.open(out / "tokens")
    table = store.load("train")
    print(f"{len(table.keys)} examples of {store.manifest.grid} tokens, {store.manifest.codebook_size} codes")
    prior = train_prior(stage_two, store, RunOptions(out / "prior", force=True))

    images = Generator(prior, tokenizer).sample(labels=[0, 1, 2, 3, 4], guidance=1.25, seed=0)  # (5, 3, 16, 16)
    pictures = to_uint8(images)  # (5, 16, 16, 3)
    for number, name in enumerate(store.manifest.classes):
        save_png(pictures[number], out / f"{name}.png")
        print("wrote", out / f"{name}.png")


if __name__ == "__main__":
    main()
