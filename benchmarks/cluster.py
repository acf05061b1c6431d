"""Pictures a second that ``gridcode tokenize`` encodes: the local engine beside Ray with one actor and with two.

    python -m benchmarks.cluster [--parquet FILE] [--pictures 4000] [--shard 256] [--size 64] [--actors 1 2]
        [--rounds 3] [--out FILE.json]

The same pictures, a tokenizer with the weights that it begins with, one thread a process, and no processes that only
read: an actor does what the local engine does. A rate counts from the moment at which every actor has made a shard (the
local engine, its first batches), so that starting is apart: it is what passes until then. The engines take turns, and
the medians count. The stores of all numbers of actors must be equal. Needs Ray, and as many idle cores as actors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import machine
from benchmarks.scale import pictures, write_layouts
from gridcode.data.config import DataConfig
from gridcode.data.open import open_pictures
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.files import to_json, write_json
from gridcode.quantize.config import FSQConfig
from gridcode.tasks import on_ray
from gridcode.tasks.on_ray import RayOptions, tokenize_on_ray
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.model import Tokenizer


def measure(actors: int, model: Tokenizer, splits: dict[str, Any], data: DataConfig, out: Path) -> dict[str, float]:
    """Tokenize once, with so many actors, or with the local engine for none."""
    began, told = time.perf_counter(), list[tuple[int, float]]()

    def progress(done: int, total: int | None) -> None:
        told.append((done, time.perf_counter()))

    options = StoreOptions(out, batch_size=64)
    if actors:
        tokenize_on_ray(model, splits, data, options, RayOptions(actors=actors), progress=progress)
    else:
        tokenize(model, splits, data, options, progress=progress)
    first, since = next((done, at) for done, at in told if done >= max(1, actors) * on_ray.SHARD_EXAMPLES)
    last, until = told[-1]
    return {"pictures_per_s": (last - first) / (until - since), "start_s": since - began}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=Path)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--shard", type=int, default=256)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    on_ray.SHARD_EXAMPLES = given.shard  # type: ignore[misc]
    torch.manual_seed(0)
    model = Tokenizer(TokenizerConfig(quantizer=FSQConfig(levels=(8, 5, 5, 5)))).eval()
    found: dict[int, list[dict[str, float]]] = {actors: [] for actors in (0, *given.actors)}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_layouts(root, list(pictures(given.parquet, given.pictures, given.size)), 8)
        data = DataConfig(source=str(root / "parquet"), size=given.size, workers=0)
        splits = {"train": open_pictures(data, "train")}
        for turn in range(given.rounds):
            for actors, rows in found.items():
                rows.append(measure(actors, model, splits, data, root / f"store-{actors}-{turn}"))
        shas = {
            tuple(path.read_bytes() for path in sorted((root / f"store-{actors}-0").glob("*.parquet")))
            for actors in given.actors
        }
        assert len(shas) == 1, "the stores differ"
    alone = statistics.median(row["pictures_per_s"] for row in found[0])
    rows = []
    for actors, measured in found.items():
        rate = statistics.median(row["pictures_per_s"] for row in measured)
        rows.append(
            {
                "engine": f"ray, {actors} actors" if actors else "local",
                "pictures_per_s": rate,
                "of_local_per_actor": rate / alone / max(1, actors),
                "start_s": statistics.median(row["start_s"] for row in measured),
            }
        )
        print(to_json({key: round(value, 3) if isinstance(value, float) else value for key, value in rows[-1].items()}))
    if given.out:
        about = {"machine": machine("cpu"), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        write_json(
            given.out, about | {"pictures": given.pictures, "size": given.size, "rounds": given.rounds, "rows": rows}
        )


if __name__ == "__main__":
    main()
