"""Depth through a few codes (UViM with FSQ): both stages on built-in scenes, then a prediction with its spread.

Run ``python examples/dense_depth.py``: under a minute. It writes ``image.png`` and ``depth.png`` (near is bright).
The whole recipe (``gridcode dense train --task depth``) takes a quarter of an hour and is more exact.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from gridcode.data import DataConfig, open_split
from gridcode.domains.dense import DenseOptions, DensePredictor, DenseRun, train_dense
from gridcode.evaluation import save_png
from gridcode.recipes import recipe


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/depth-example"))
    parser.add_argument("--steps", type=int, default=180, help="steps of either stage")
    arguments = parser.parse_args()
    out, steps = arguments.out, arguments.steps

    settings = recipe("scenes_depth_laptop")
    count = min(1000, 16 * steps)
    data = replace(settings.tokenizer.data, height=32, width=32, train_count=count, val_count=16, workers=0)
    often = {"steps": steps, "batch_size": 16, "val_every": steps, "val_count": 16, "checkpoint_every": steps}
    model = replace(settings.tokenizer.model, patch=4, width=96, mlp=384)
    stage_one = replace(settings.tokenizer, data=data, model=model, loop=replace(settings.tokenizer.loop, **often))
    stage_two = replace(settings.prior, data=data, loop=replace(settings.prior.loop, **often))
    train_dense(DenseRun(stage_one, stage_two), DenseOptions(out, force=True), say=print)

    # The mean of eight draws has the least squared error; how far they differ says where it is unsure.
    predictor = DensePredictor.from_pretrained(out / "prior", out / "tokenizer", draws=8)
    image = open_split(DataConfig(source="scenes", size=data.height, train_count=1, val_count=1), "val")[0].image
    [found] = predictor.predict_images([image])
    depth, spread = found.planes[0], found.deviation
    print(f"depth of an image {image.shape}: {depth.min():.2f} to {depth.max():.2f} m, on average {depth.mean():.2f} m")
    save_png(image, out / "image.png")
    save_png(np.uint8(255 * depth.min() / depth)[..., None], out / "depth.png")
    print(f"the draws differ by {spread.mean():.2f} m on average, by {spread.max():.2f} m where they agree least")


if __name__ == "__main__":
    main()
