"""Images/s through the loader: folder, Parquet, tar by index, tar as a stream; webdataset's and litdata's own.

    python -m benchmarks.scale [--parquet FILE] [--images 2000] [--shards 8] [--batch 64] [--size 128]
        [--workers 0 2] [--rounds 3] [--out FILE.json]

The same images are written in every layout into a temporary folder: the first ones of a Parquet file, or the
built-in scenes as JPEG. All ways decode, crop at random and mirror with the same code, so what differs is how the bytes
are found and how batches reach the training process. The ways take turns, round by round; the medians count, of wall
time and of CPU time (this process's and its workers'). Opening is measured apart. Before that, webdataset and our
reader must find the same examples in the tar files, byte for byte. A way whose package is not installed is left out and
says so. litdata reads chunks of its own format, which it has written; :mod:`benchmarks.cluster` compares engines that
tokenize.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from benchmarks.measure import machine, resident_peak
from gridcode.data import DataConfig, Scenes, train_batches
from gridcode.data.image import decode_image
from gridcode.data.loader import square_of
from gridcode.data.open import open_source
from gridcode.data.parquet import columns_of
from gridcode.data.shards.images import TarImages
from gridcode.data.shards.stream import ImageStream
from gridcode.files import to_json, write_json

PEERS = ("webdataset", "litdata")
WAYS = ("folder", "parquet", "tar", "stream", *PEERS)


def source_images(parquet: Path | None, count: int, size: int) -> Iterator[tuple[bytes, int]]:
    """Encoded images with their labels."""
    if parquet is None:
        for example in Scenes(seed=0, start=0, count=count, size=size):
            file = io.BytesIO()
            Image.fromarray(example.image).save(file, "jpeg", quality=90)
            yield file.getvalue(), example.label or 0
        return
    with pq.ParquetFile(parquet) as file:
        found = columns_of(file.schema_arrow, str(parquet))
        rows = (row for batch in file.iter_batches(256) for row in batch.to_pylist())
        for row in islice(rows, count):
            cell = row[found.image]
            yield cell["bytes"] if isinstance(cell, dict) else cell, row.get(found.label, 0) if found.label else 0


def write_layouts(root: Path, examples: list[tuple[bytes, int]], shards: int) -> None:
    """The images as a folder of classes, as Parquet files and as tar files."""
    per_shard = -(-len(examples) // shards)
    for name in ("parquet", "tar"):
        (root / name).mkdir()
    for number, (data, label) in enumerate(examples):
        place = root / "folder" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}.jpg").write_bytes(data)
    for shard in range(shards):
        rows = list(enumerate(examples))[shard * per_shard : (shard + 1) * per_shard]
        table = {
            "image": [{"bytes": data, "path": None} for _, (data, _) in rows],
            "label": [row[1][1] for row in rows],
        }
        pq.write_table(pa.table(table), root / "parquet" / f"{shard:03d}.parquet", row_group_size=256)
        with tarfile.open(root / "tar" / f"{shard:03d}.tar", "w") as tar:
            for number, (data, label) in rows:
                for extension, content in (("jpg", data), ("cls", str(label).encode())):
                    info = tarfile.TarInfo(f"{number:06d}.{extension}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def write_litdata(root: Path, examples: list[tuple[bytes, int]], shards: int) -> None:
    """The images in as many of litdata's chunks."""
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(root / "litdata"), chunk_size=-(-len(examples) // shards))
    for number, (data, label) in enumerate(examples):
        writer[number] = {"jpg": data, "cls": label, "__key__": f"{number:06d}"}
    writer.done()
    writer.merge()


def check_same_examples(root: Path) -> None:
    """Webdataset and our reader find the same examples."""
    import webdataset as wds

    paths = sorted((root / "tar").glob("*.tar"))
    theirs = wds.WebDataset([str(path) for path in paths], shardshuffle=False)
    ours = TarImages(paths)
    count = 0
    for index, sample in enumerate(theirs):
        key = f"{Path(sample['__url__']).name}:{sample['__key__']}"
        assert (ours.key(index), ours.encoded(index)) == (key, sample["jpg"]), key
        assert ours[index].label == int(sample["cls"]), key
        count += 1
    assert count == len(ours)


class _Made:
    """What webdataset's pipeline does with an example, as our loader does it."""

    def __init__(self, config: DataConfig) -> None:
        self.config, self.generator = config, np.random.default_rng(0)

    def __call__(self, sample: dict[str, Any]) -> tuple[Any, int, str]:
        pixels = square_of(decode_image(sample["jpg"], name=sample["__key__"]), self.config, self.generator)
        return pixels, int(sample["cls"]), sample["__key__"]


def _stacked(items: list[tuple[Any, int, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.stack([item[0] for item in items])), torch.tensor([item[1] for item in items])


class _Stacked:
    """A batch of what litdata gives."""

    def __init__(self, made: _Made) -> None:
        self.made = made

    def __call__(self, samples: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        return _stacked([self.made(sample) for sample in samples])


def open_way(way: str, root: Path, config: DataConfig, batch: int) -> Callable[[], Iterator[int]]:
    """Open a layout; the result starts a loader, which says how many images each batch has."""
    if way == "webdataset":
        import webdataset as wds

        urls = [str(path) for path in sorted((root / "tar").glob("*.tar"))]

        def start() -> Iterator[int]:
            data = wds.WebDataset(urls, shardshuffle=False, resampled=True, nodesplitter=wds.split_by_node)
            data = (
                data.shuffle(config.shuffle_buffer // max(1, config.workers))
                .map(_Made(config))
                .batched(batch, collation_fn=_stacked)
            )
            loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=config.workers)
            for images, labels in loader:
                images.to(torch.float32).div_(127.5).sub_(1.0)
                yield len(labels)

        return start
    if way == "litdata":
        from litdata import StreamingDataLoader, StreamingDataset

        made = _Made(config)
        chunks = StreamingDataset(str(root / way), shuffle=True, seed=0)
        settings: Any = {"batch_size": batch, "num_workers": config.workers, "collate_fn": _Stacked(made)}

        def epochs() -> Iterator[int]:
            while True:
                for images, labels in StreamingDataLoader(chunks, **settings):
                    images.to(torch.float32).div_(127.5).sub_(1.0)
                    yield len(labels)

        return epochs
    if way == "stream":
        shards = tuple(str(path) for path in sorted((root / "tar").glob("*.tar")))
        source: Any = ImageStream(shards, "tar", classes=tuple(map(str, range(1000))))
    else:
        source = open_source(root / way)
    return lambda: (len(made.keys) for made in train_batches(source, config, batch_size=batch, seed=0))


def cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measure(start: Callable[[], Iterator[int]], count: int, batch: int) -> dict[str, float]:
    """Wall and CPU seconds of ``count`` images, the loader's start and end in the CPU's, and growth of memory."""
    before, batches = cpu_seconds(), start()
    done = next(batches)  # workers have started
    begun, halfway, peak = time.perf_counter(), 0.0, resident_peak()
    while done < count + batch:
        done += next(batches)
        if halfway == 0.0 and done >= count // 2:
            halfway = resident_peak()
    wall = time.perf_counter() - begun
    growth = resident_peak() - (halfway or peak)
    batches.close()
    del batches
    return {"wall_s": wall, "cpu_s": cpu_seconds() - before, "peak_growth_mib": growth, "images": done - batch}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    missing = [peer for peer in PEERS if find_spec(peer) is None]
    ways = [way for way in WAYS if way not in missing]
    for peer in missing:
        print(f"{peer} is not installed: its loader is left out; pip install {peer}")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        examples = list(source_images(given.parquet, given.images, given.size))
        write_layouts(root, examples, given.shards)
        if "litdata" in ways:
            write_litdata(root, examples, given.shards)
        if "webdataset" in ways:
            check_same_examples(root)
            print(f"webdataset and gridcode find the same {len(examples):,} examples")
        for workers in given.workers:
            config = DataConfig(size=given.size, workers=workers, shuffle_buffer=512)
            starts, opening = {}, {}
            for way in ways:
                begun = time.process_time()
                starts[way] = open_way(way, root, config, given.batch)
                opening[way] = time.process_time() - begun
            found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for _ in range(given.rounds):
                for way in ways:
                    found[way].append(measure(starts[way], len(examples), given.batch))
            for way in ways:
                wall, cpu = (
                    statistics.median(one[key] / one["images"] for one in found[way]) for key in ("wall_s", "cpu_s")
                )
                row = {
                    "way": way,
                    "workers": workers,
                    "images_per_s": 1 / wall,
                    "cpu_ms_per_image": 1000 * cpu,
                    "opening_cpu_s": opening[way],
                    "peak_growth_mib": max(one["peak_growth_mib"] for one in found[way]),
                }
                rows.append(row)
                print(
                    to_json({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
                )
    if given.out:
        about = {"machine": machine("cpu"), "cores": os.cpu_count(), "images": len(examples), "rounds": given.rounds}
        write_json(given.out, about | {"batch": given.batch, "size": given.size, "rows": rows})


if __name__ == "__main__":
    main()
