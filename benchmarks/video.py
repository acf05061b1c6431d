"""Clips as a whole beside frame by frame, at equal bits: a tokenizer of clips, and one of images on each frame.

    python -m benchmarks.video --tokenizer runs/video/tokenizer --work runs/video/frames [--out FILE.json]

The image tokenizer is trained here, in ``--work``, on the frames of the same training clips: convolutions of about as
many weights, as many frames per step and as many steps, the same optimiser. Its tokens lie twice as far apart, and its
levels are chosen so that the frames of a clip take as many bits together as the clip's tokens do. Both reconstruct the
same validation clips.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from math import log2, prod
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.measure import machine
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.source import Example, ImageSource
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.video.data.loader import eval_batches
from gridcode.domains.video.data.source import ClipSource, open_clips
from gridcode.domains.video.domain import data_of
from gridcode.domains.video.measure import VideoMeter
from gridcode.files import read_json, write_json
from gridcode.quantize.config import FSQConfig, with_tuples
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.run import RunOptions


class FramesOfClips(ImageSource):
    """Every frame of every clip, an image each."""

    def __init__(self, clips: ClipSource, data: Any) -> None:
        self.name = f"frames of {clips.name}"
        self._clips, self._data = clips, data

    def __len__(self) -> int:
        return len(self._clips) * self._data.frames

    def __getitem__(self, index: int) -> Example:
        clip, frame = divmod(index, self._data.frames)
        found = self._clips[clip]
        return Example(found.read(self._data, 0.5)[frame], None, f"{found.key}#{frame}")


def frame_tokenizer(options: argparse.Namespace, data: Any, record: dict[str, Any]) -> Tokenizer:
    """Train a tokenizer of images on frames, as long as that of clips was trained."""
    loop = record["loop"]
    frames = loop["batch_size"] * data.train_frames
    run = TokenizerRun(
        data=DataConfig(source="frames", size=data.size, crop=CropPolicy(train="center", flip=False)),
        model=TokenizerConfig(
            quantizer=FSQConfig(levels=tuple(options.levels)), patch=4, widths=(64, 64, 80), decoder_blocks=1
        ),
        optim=OptimConfig(**with_tuples(record["optim"])),
        loop=LoopConfig(steps=options.steps or loop["steps"], batch_size=frames, val_every=10**6, val_count=1000),
    )
    sources = Sources(*(FramesOfClips(open_clips(data, split), data) for split in ("train", "val")))
    return train_tokenizer(run, RunOptions(options.work, force=True), sources=sources).eval()


def measured(encoder: Tokenizer, clips: ClipSource, data: Any, *, by_frame: bool) -> dict[str, float]:
    """PSNR, difference error, usage and bits of a clip."""
    meter, grid = VideoMeter(encoder), (data.size, data.size)

    def both(examples: Tensor) -> tuple[Tensor, Tensor]:
        tokens = encoder.encode(examples)
        return encoder.decode(tokens), tokens

    for batch in eval_batches(clips, data, batch_size=20):
        if by_frame:
            frames, tokens = both(batch.clips.transpose(1, 2).flatten(0, 1))
            back = frames.unflatten(0, (len(batch.clips), data.frames)).transpose(1, 2)
        else:
            back, tokens = both(batch.clips)
        meter.update(batch.clips, back, tokens)
    found = meter.compute()
    places = data.frames * prod(encoder.token_grid(*grid)) if by_frame else prod(encoder.token_grid(data.frames, *grid))
    return {
        "psnr_db": found.psnr,
        "psnr_of_first_frame_db": found.psnr_of_frame[0],
        "psnr_of_last_frame_db": found.psnr_of_frame[-1],
        "difference_error": found.difference_error,
        "motion": found.motion,
        "usage": found.usage.pooled.usage,
        "perplexity": found.usage.pooled.perplexity,
        "bits_per_clip": places * log2(encoder.codebook_size),
        "parameters": encoder.parameter_count,
    }


def main(arguments: list[str] | None = None) -> int:
    """Train the image tokenizer, measure both, print and perhaps write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True, help="run of a tokenizer of clips")
    parser.add_argument("--work", type=Path, required=True, help="folder of the image tokenizer's run")
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 8, 6, 10, 5], help="of the image tokenizer")
    parser.add_argument("--steps", type=int, help="of the image tokenizer; as many as the other's by default")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(arguments)
    clips = Tokenizer.from_pretrained(options.tokenizer)
    data, start = data_of(clips), time.process_time()
    frames = frame_tokenizer(options, data, read_json(options.tokenizer / "run.json", "training run"))
    seconds, val = time.process_time() - start, open_clips(data, "val")
    found = {
        "clips": measured(clips, val, data, by_frame=False),
        "frames": measured(frames, val, data, by_frame=True) | {"training_cpu_seconds": seconds},
    }
    for name, figures in found.items():
        print(name, *(f"{figure} {value:.4g}" for figure, value in figures.items()), sep="\n    ")
    if options.out is not None:
        settings = {"frames": asdict(frames.config), "clips": asdict(clips.config), "data": asdict(data)}
        write_json(options.out, {"figures": found, "settings": settings, "machine": machine("cpu")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
