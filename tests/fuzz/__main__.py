"""Thousands of fuzzed images, folders, point clouds and JSON files through gridcode, counted by what came of them.

    python -m tests.fuzz --count 10000 --seed 0

Prints for each kind how many were decoded (as meant), refused clearly (in one line), ended in another error than
gridcode's own, or changed their meaning; and an example of each of the last two, with the seed that makes it again. The
exit status is 1 where there were any.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np

from tests.fuzz import test_clouds, test_folders, test_images, test_json, test_streams

OUTCOMES = ("decoded", "refused", "traceback", "changed")
SHARES: dict[str, tuple[float, Callable[[tuple[int, ...]], tuple[str, str]]]] = {
    **{
        kind: (share, lambda seed, make=make: test_images.judge(make(np.random.default_rng(seed))))
        for kind, (share, make) in test_images.KINDS.items()
    },
    "folders": (0.1, test_folders.check),
    "clouds": (0.1, test_clouds.check),
    "JSON, values": (0.1, lambda seed: test_json.check_value(np.random.default_rng(seed))),
    **{
        kind: (0.1, lambda seed, make=make: test_streams.judge(make(np.random.default_rng(seed))))
        for kind, make in test_streams.KINDS.items()
    },
    "JSON, damaged files": (0.1, lambda seed: test_json.check_file(np.random.default_rng(seed))),
}
"""Each kind's share of all cases, and what makes and judges the case of a seed."""


def main() -> int:
    """Run, print the table, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz gridcode's readers.")
    parser.add_argument("--count", type=int, default=10_000, help="cases in all")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same cases")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    total: Counter[str] = Counter()
    examples: list[str] = []
    print(f"{'kind':22}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES))
    for kind, (share, check) in SHARES.items():
        found: Counter[str] = Counter()
        for number in range(max(1, round(share * arguments.count))):
            seed = (arguments.seed, number)
            outcome, seen = check(seed)
            found[outcome] += 1
            if outcome in ("traceback", "changed") and found[outcome] <= 3:
                examples.append(f"{outcome}: {kind} of seed {seed}: {seen[:500]}")
        total += found
        print(f"{kind:22}" + "".join(f"{found[outcome]:11}" for outcome in OUTCOMES), flush=True)
    print(f"{'all':22}" + "".join(f"{total[outcome]:11}" for outcome in OUTCOMES))
    print("\n".join(examples), end="\n" if examples else "")
    return int(bool(examples))


sys.exit(main())
