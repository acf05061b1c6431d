"""Training on a stream of tar shards by two processes with two readers each, killed and resumed.

The weights must be the same as those of a run left alone.

    python -m tests.faults.resume --kills 2 --seed 0

The command is ``torchrun --nproc-per-node 2`` with ``--data.workers 2``. Everything that belongs to it is killed with
``kill -9`` at a step that is drawn, in mid-epoch, and the command is called again with ``--resume``. The exit status is
1 where a byte of the weights differs.
"""

from __future__ import annotations

import argparse
import io
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from PIL import Image

from gridcode.data import Scenes
from gridcode.training.log import read_log
from tests.faults.processes import family, kill

SHARDS, EACH, BATCH, STEPS, EVERY = 8, 37, 16, 60, 4


def write_shards(folder: Path) -> None:
    """Tar files of images: an epoch is 18.5 steps."""
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number, example in enumerate(Scenes(seed=0, start=shard * EACH, count=EACH, size=32)):
                file = io.BytesIO()
                Image.fromarray(example.image).save(file, "png")
                info = tarfile.TarInfo(f"{number:03d}.png")
                info.size = file.tell()
                file.seek(0)
                tar.addfile(info, file)


def command(folder: Path, out: str) -> list[str]:
    """Train, by two processes with two readers each."""
    words = (
        f"train tokenizer scenes_smoke --out {folder}/{out} --data.source {folder}/{{0..7}}.tar --data.stream "
        "--data.size 16 --data.workers 2 --data.shuffle-buffer 64 --data.crop.train random "
        f"--loop.steps {STEPS} --loop.batch-size {BATCH} --loop.checkpoint-every {EVERY} --loop.log-every 1 "
        "--loop.val-every 1000 --loop.val-count 4 --loop.accelerator cpu"
    ) + " --resume" * (folder / out / "run.json").exists()
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "gridcode",
        *words.split(),
    ]


def steps_of(run: Path) -> int:
    """How far a run is."""
    return max((line.get("step", 0) for line in read_log(run)), default=0) if (run / "log.jsonl").exists() else 0


def main() -> int:
    """Train twice, once killed, and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.resume", description="Kill what trains on a stream.")
    parser.add_argument("--kills", type=int, default=2, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the steps at which")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gridcode-resume-"))
    write_shards(folder)
    for step in sorted(random.Random(arguments.seed).sample(range(EVERY + 2, STEPS - 2), arguments.kills)):
        with open(folder / "said.txt", "a") as said:
            process = subprocess.Popen(command(folder, "killed"), stdout=said, stderr=said)
        while process.poll() is None and steps_of(folder / "killed") < step:
            time.sleep(0.02)
        members = family(process.pid)
        for member in members:
            kill(member)
        process.wait()
        print(f"killed at step {steps_of(folder / 'killed')}: {len(members)} processes", flush=True)
    for out in ("killed", "alone"):
        with open(folder / "said.txt", "a") as said:
            if subprocess.run(command(folder, out), stdout=said, stderr=said, check=False).returncode:
                print((folder / "said.txt").read_text())
                return 1
    one, other = ((folder / out / "last" / "model.safetensors").read_bytes() for out in ("killed", "alone"))
    print(f"after {STEPS} steps the same weights as alone: {one == other}")
    return int(one != other)


if __name__ == "__main__":
    sys.exit(main())
