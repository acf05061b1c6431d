"""Tokens coded by a prior in one process, and decoded in another: with more threads, and another instruction set.

    OMP_NUM_THREADS=1 python -m tests.codec.identity --tokens runs/tokens --split val --prior runs/prior --out coded

Prints how large the file is beside the prior's cross-entropy, as ``gridcode eval`` gives it, and whether the other
process found the tokens that were coded. The exit status is 1 where it did not, or where the coded tokens take more
than 1 % above the cross-entropy. A file that is there already is not coded again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from gridcode.prior.bits import measure_bits
from gridcode.prior.make import load_prior
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.tasks.coded_store import CodedTokens, code_split
from gridcode.training.log import ProgressBar

OTHER = {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}
"""Of the process that decodes; the one that codes is called with one thread."""


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--tokens", "--prior", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, help="examples, the first ones")
    parser.add_argument("--decode", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    store, path = TokenStore.open(given.tokens), given.out / f"{given.split}.gc"
    if given.count and given.count < store.rows(given.split):
        store = first_of(store, given.split, given.count, given.out / "first")
    prior, table = load_prior(given.prior), store.load(given.split)
    if given.decode:
        with ProgressBar("decode", total=len(table.keys)) as bar:
            done = 0
            for part in CodedTokens.open(path, prior=prior):
                rows = slice(done, done := done + len(part.keys))
                if not (torch.equal(part.tokens, table.tokens[rows]) and part.keys == table.keys[rows]):
                    return 1
                bar.advance(done)
        return int(done != len(table.keys))

    if not path.exists():
        start = time.perf_counter()
        with ProgressBar("code", total=len(table.keys)) as bar:
            code_split(store, given.split, path, prior=prior, progress=lambda done, _: bar.advance(done))
        print(f"coded in {time.perf_counter() - start:.0f} s, torch's threads: {torch.get_num_threads()}")
    stream = CodedTokens.open(path, prior=prior).stream
    size, count = sum(map(len, stream.payloads())), table.tokens.numel()
    entropy = measure_bits(prior, table).per_token
    above = 8 * size / count / entropy - 1
    print(f"{count:,} tokens of {len(table.keys):,} examples in {path.stat().st_size:,} bytes, coded tokens {size:,}")
    print(f"{8 * size / count:.4f} bits per token, cross-entropy {entropy:.4f}: {above:+.2%}")
    start = time.perf_counter()
    command = [sys.executable, "-m", "tests.codec.identity", *sys.argv[1:], "--decode"]
    code = subprocess.run(command, env={**os.environ, **OTHER}, check=False).returncode
    names = " ".join(f"{name}={value}" for name, value in OTHER.items())
    print(f"{names}: the same tokens: {code == 0} ({time.perf_counter() - start:.0f} s)")
    return int(code != 0 or above > 0.01)


def first_of(store: TokenStore, split: str, count: int, folder: Path) -> TokenStore:
    """A store of a split's first examples."""
    if not folder.exists():
        rows = next(store.batches(split, count))
        with StoreWriter.of(folder, store.manifest) as writer:
            writer.write(split, rows.tokens.view(-1, *store.manifest.grid), rows.labels, rows.keys, rows.columns)
    return TokenStore.open(folder)


if __name__ == "__main__":
    sys.exit(main())
