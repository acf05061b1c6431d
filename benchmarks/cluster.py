"""Images per second that ``gridcode tokenize`` encodes: the local engine beside Ray with one actor and with two.

    python -m benchmarks.cluster [--parquet FILE] [--images 1024] [--shard 128] [--size 64] [--actors 1 2]
        [--rounds 3] [--out FILE.json]

The same images, a tokenizer with the weights that it begins with, one thread a process, and no processes that only
read: an actor does what the local engine does. A rate counts from the moment at which every actor has made a shard (the
local engine, its first batches), so that starting is apart: it is what passes until then. The engines take turns, and
the medians count. Cores that work at once slow each other, so each number of actors stands beside as many processes of
the local engine too, each with all images of its own. The stores of all numbers of actors must be equal. Needs Ray,
and as many idle cores as actors.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measure import machine
from benchmarks.scale import source_images, write_layouts
from gridcode.data.config import DataConfig
from gridcode.data.open import open_images
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.files import to_json, write_json
from gridcode.quantize.config import FSQConfig
from gridcode.tasks import on_ray
from gridcode.tasks.on_ray import RayOptions, tokenize_on_ray
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.model import Tokenizer


def the_model() -> Tokenizer:
    """The weights that a tokenizer begins with."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Tokenizer(TokenizerConfig(quantizer=FSQConfig(levels=(8, 5, 5, 5)))).eval()


def measure(actors: int, data: DataConfig, out: Path, shard: int) -> dict[str, float]:
    """Tokenize once, with so many actors, or with the local engine for none."""
    on_ray.SHARD_EXAMPLES = shard  # type: ignore[misc]
    model, splits = the_model(), {"train": open_images(data, "train")}
    began, told = time.perf_counter(), list[tuple[int, float]]()

    def progress(done: int, total: int | None) -> None:
        told.append((done, time.perf_counter()))

    options = StoreOptions(out, batch_size=64)
    if actors:
        tokenize_on_ray(model, splits, data, options, RayOptions(actors=actors), progress=progress)
    else:
        tokenize(model, splits, data, options, progress=progress)
    first, since = next((done, at) for done, at in told if done >= max(1, actors) * shard)
    last, until = told[-1]
    return {"images_per_s": (last - first) / (until - since), "start_s": since - began}


def measure_processes(processes: int, data: DataConfig, out: Path, shard: int) -> dict[str, float]:
    """So many processes of the local engine at once, each with all images; their rates' sum."""
    given = [(0, data, out / str(number), shard) for number in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows = pool.starmap(measure, given, chunksize=1)
    return {
        "images_per_s": sum(row["images_per_s"] for row in rows),
        "start_s": max(row["start_s"] for row in rows),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=Path)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--shard", type=int, default=128)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    ways = [(engine, count) for count in given.actors for engine in ("local", "ray")]
    found: dict[tuple[str, int], list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_layouts(root, list(source_images(given.parquet, given.images, given.size)), 8)
        data = DataConfig(source=str(root / "parquet"), size=given.size, workers=0)
        for turn in range(given.rounds):
            for engine, count in ways:
                run = measure if engine == "ray" else measure_processes
                found[engine, count].append(run(count, data, root / f"{engine}-{count}-{turn}", given.shard))
        shas = {
            tuple(path.read_bytes() for path in sorted((root / f"ray-{actors}-0").glob("*.parquet")))
            for actors in given.actors
        }
        assert len(shas) == 1, "the stores differ"
    rates = {way: statistics.median(row["images_per_s"] for row in rows) for way, rows in found.items()}
    rows = []
    for (engine, count), measured in found.items():
        rows.append(
            {
                "engine": engine,
                "processes": count,
                "images_per_s": rates[engine, count],
                "of_local": rates[engine, count] / rates["local", count],
                "start_s": statistics.median(row["start_s"] for row in measured),
            }
        )
        print(to_json({key: round(value, 3) if isinstance(value, float) else value for key, value in rows[-1].items()}))
    if given.out:
        about = {"machine": machine("cpu"), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        about |= {"images": given.images, "size": given.size, "rounds": given.rounds}
        write_json(
            given.out, about | {"rows": rows, "runs": {f"{way[0]}-{way[1]}": runs for way, runs in found.items()}}
        )


if __name__ == "__main__":
    main()
