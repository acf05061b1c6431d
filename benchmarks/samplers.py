"""All samplers at one checkpoint and one number of steps: how good, how sure of it, how fast.

    python -m benchmarks.samplers --prior runs/x/prior --tokenizer runs/x/tokenizer [--samples 2000] [--seeds 3]
        [--steps 12] [--guidance 0.2] [--out FILE.json]

For each sampler and seed: the Fréchet distance of samples to validation images on the features of a classifier of the
data, and the share of samples that it puts into the class asked for. The classifier is trained once. Intervals are
Student's, 95 %, over the seeds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.measure import machine
from gridcode.cli.shared.options import DataChange
from gridcode.data.loader import eval_batches
from gridcode.data.open import open_split
from gridcode.data.source import fixed_subset
from gridcode.domains.image.domain import data_of
from gridcode.features.sample_scores import SampleScorer, measuring_classifier, statistics_of
from gridcode.files import to_json, write_json
from gridcode.prior.samplers.config import SamplerConfig, SamplerName
from gridcode.tasks.generate import Generator

STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""Two-sided 95 % quantiles by the number of seeds."""


@dataclass(frozen=True)
class Row:
    """One sampler's figures, a value for each seed."""

    sampler: str
    frechet: list[float]
    class_accuracy: list[float]
    seconds: list[float]


def scorer_of(generator: Generator, data: Any, options: argparse.Namespace) -> SampleScorer:
    """The classifier and the real images' statistics."""
    train, val = open_split(data, "train"), open_split(data, "val")
    device = generator.device
    classifier = measuring_classifier(
        train, data, steps=options.classifier_steps, seed=0, device=device, folder=options.classifier
    )
    batches = (batch.images for batch in eval_batches(fixed_subset(val, 10_000), data, batch_size=200))
    return SampleScorer(classifier, statistics_of(classifier, batches))


def measure(generator: Generator, scorer: SampleScorer, name: SamplerName, options: argparse.Namespace) -> Row:
    """All seeds of one sampler."""
    classes = len(generator.prior.space.classes)
    labels = torch.arange(options.samples) % classes
    row = Row(name, [], [], [])
    for seed in range(options.seeds):
        start = time.perf_counter()
        config = SamplerConfig(sampler=name, steps=options.steps)
        tokens = generator.sample_tokens(
            labels, sampler=config, guidance=options.guidance, seed=seed, batch_size=options.batch
        )
        row.seconds.append(time.perf_counter() - start)
        scores = scorer.score(generator.decode(tokens), labels, batch_size=options.batch)
        row.frechet.append(scores.frechet)
        row.class_accuracy.append(scores.class_accuracy)
        print(name, seed, scores, f"{row.seconds[-1]:.1f} s", file=sys.stderr)
    return row


def interval(values: list[float]) -> str:
    """Mean and half width."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = STUDENT.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| sampler | Fréchet distance | asked class | seconds |", "|---|---|---|---|"]
    lines += [
        f"| {row.sampler} | {interval(row.frechet)} | {interval(row.class_accuracy)} "
        f"| {statistics.median(row.seconds):.1f} |"
        for row in sorted(rows, key=lambda row: statistics.mean(row.frechet))
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--source", help="where the data is, if not where the tokenizer was trained")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=0.2)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--classifier-steps", type=int, default=1500)
    parser.add_argument("--classifier", help="the measuring classifier's folder: read, or trained and kept there")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/samplers.json"))
    options = parser.parse_args()
    generator = Generator.from_pretrained(options.prior, options.tokenizer, device=options.device)
    data = DataChange(source=options.source).applied(data_of(generator.tokenizer))
    scorer = scorer_of(generator, data, options)
    rows = [measure(generator, scorer, name, options) for name in get_args(SamplerName)]
    settings = {
        name: value for name, value in vars(options).items() if name not in ("out", "prior", "tokenizer", "classifier")
    }
    settings |= {"data": data.dataset, "threads": torch.get_num_threads()}
    write_json(options.out, {"machine": machine(options.device), **settings, "rows": [asdict(row) for row in rows]})
    text = table(rows)
    options.out.with_suffix(".md").write_text(f"{text}\n\n{to_json(settings)}\n")
    print(text)


if __name__ == "__main__":
    main()
