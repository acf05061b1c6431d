"""A cluster of this machine's processes, killed at random while it tokenizes; the store must be that of one left alone.

    python -m tests.faults --kills 20 --seed 0

Needs Ray. Two nodes with one CPU each join a third that has none. What is killed is drawn anew every few seconds: an
actor, a process that reads for it, a node (another one joins then), or the command itself (it is then called again).
Prints what was killed and when, and compares the store with that of the local engine, row by row. The exit status is 1
where they differ, or where the store was complete before everything was killed: give it more images then.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ray
import torch
from ray.cluster_utils import Cluster

from gridcode.cli.main import main as gridcode
from gridcode.store.reader import TokenStore
from tests.faults.processes import kill, processes

SIZE, SHARD = 64, 32
COMMAND = f"""
import sys
from gridcode.cli.main import main
from gridcode.tasks import on_ray

on_ray.SHARD_EXAMPLES, on_ray._COMMIT_SECONDS = {SHARD}, 1.0
sys.exit(main(sys.argv[1:]))
"""
TRAIN = (
    f"train tokenizer scenes_smoke --data.size {SIZE} --data.val-count 40 "
    "--data.workers 1 --loop.steps 2 --loop.batch-size 4 --loop.val-count 4 --loop.accelerator cpu"
)


class Trial:
    """A command on a cluster, and the ways to hurt them."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.folder, self.draw = folder, draw
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.commands = 0
        self.start()

    def start(self) -> None:
        """Call the command."""
        words = f"tokenize --tokenizer {self.folder}/tokenizer --out {self.folder}/store --batch-size 16 --engine ray"
        errors = open(self.folder / f"command-{self.commands}.txt", "w")  # noqa: SIM115
        self.command = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words.split(), "--address", self.cluster.address],
            stdout=errors,
            stderr=errors,
        )
        self.commands += 1

    def hurt(self) -> str:
        """Kill something, and say what."""
        there = processes()
        working = [process for process, (_, words) in there.items() if words.startswith("ray::ShardMaker")]
        readers = [process for process, (parent, _) in there.items() if parent in working]
        working = [process for process in working if there[process][0] not in working]
        choices = ["command", "node"] + ["actor"] * (2 * bool(working)) + ["reader"] * bool(readers)
        what = self.draw.choice(choices)
        if what == "actor":
            kill(self.draw.choice(working))
        elif what == "reader":
            kill(self.draw.choice(readers))
        elif what == "node":
            place = self.draw.randrange(2)
            self.cluster.remove_node(self.nodes[place], allow_graceful=False)
            self.nodes[place] = self.cluster.add_node(num_cpus=1)
        else:
            self.command.kill()
            self.command.wait()
            self.start()
        return what


def main() -> int:
    """Run, print what was killed, compare, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Kill what tokenizes on Ray.")
    parser.add_argument("--kills", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of what is killed, and when")
    parser.add_argument("--images", type=int, default=6_400, help="of the store")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="gridcode-faults-"))
    assert gridcode([*TRAIN.split(), f"--data.train-count={arguments.images}", f"--out={folder}/tokenizer"]) == 0
    assert gridcode(f"tokenize --tokenizer {folder}/tokenizer --out {folder}/alone --batch-size 16".split()) == 0
    trial, started, kills = Trial(folder, draw), time.monotonic(), 0
    seen, since = 0, started
    while trial.command.poll() is None:
        time.sleep(0.2)
        there = len(list((folder / "store").glob("*.parquet")))
        # A kill a second after another hits what only starts: most wait until something was made since the last one.
        if kills < arguments.kills and (there > seen or time.monotonic() - since > 240):
            time.sleep(draw.uniform(0, 1.5))
            if trial.command.poll() is None and not (folder / "store" / "manifest.json").exists():
                kills += 1
                print(f"{time.monotonic() - started:5.0f} s  {there} shards there; killed: {trial.hurt()}", flush=True)
                seen, since = len(list((folder / "store").glob("*.parquet"))), time.monotonic()
    said = (folder / f"command-{trial.commands - 1}.txt").read_text()
    print(f"{kills} killed, the command was called {trial.commands} times, exit status {trial.command.returncode}")
    if trial.command.returncode:
        print(said)
        return 1
    alone, store = TokenStore.open(folder / "alone"), TokenStore.open(folder / "store")
    same = all(
        one.keys == other.keys and torch.equal(one.tokens, other.tokens) and torch.equal(one.labels, other.labels)
        for one, other in ((alone.load(split), store.load(split)) for split in ("train", "val"))
    )
    left = sorted(path.name for path in (folder / "store").iterdir() if path.suffix != ".parquet")
    print(f"rows: {store.rows('train')} and {store.rows('val')}; the same as alone: {same}; beside the shards: {left}")
    trial.cluster.shutdown()
    ray.shutdown()
    return 0 if same and left == ["manifest.json"] and kills == arguments.kills else 1


if __name__ == "__main__":
    sys.exit(main())
