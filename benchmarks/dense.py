"""Dense prediction: images per second and peak memory, one code after another, with and without a cache, and masked.

    python -m benchmarks.dense [--shapes laptop laptop-256 paper] [--batches 1 16 64] [--repeats 3] [--limit-gib 12]
        [--device cpu] [--threads N] [--out FILE.json]

Random weights: speed does not depend on them. Each row runs in a process of its own, so that its peak memory is its
own (CUDA: the allocator's peak). A prediction is Stage II's codes and Stage I's decoder with the image, argmax and
all. The image's encoder runs once in every way. `cache` keeps keys and values, `none` computes every code's past
again, `maskgit` fills the grid in 12 steps. What would not fit into --limit-gib is left out and says so (weights and
an estimate of activations).

    shape        image   codes              networks
    laptop       64 px     16 of 240          the recipe scenes_depth_laptop
    laptop-256   128 px    256 of 240         the same networks
    paper        512 px    256 of 4375        the recipe uvim_depth_paper
    toy          32 px     4 of 240           to see that it runs
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import prod
from pathlib import Path

import torch

from benchmarks.measure import machine, resident_peak, seconds
from gridcode.domains.dense.config import LabelTokenizerConfig
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.recipes import DenseRun
from gridcode.files import from_json, to_json, write_json
from gridcode.prior.ar import Autoregressive
from gridcode.prior.base import Prior
from gridcode.prior.config import CrossAttentionConfig, FeatureEncoderConfig, TokenSpace
from gridcode.prior.make import make_prior
from gridcode.prior.noise import Noise
from gridcode.prior.train import token_levels
from gridcode.recipes import dense_recipe
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.fabric import fast_autocast

WAYS = ("cache", "none", "maskgit")
SHAPES = ("toy", "laptop", "laptop-256", "paper")


@dataclass(frozen=True)
class Row:
    """One way at one shape and batch."""

    shape: str
    way: str
    batch: int
    images_per_s: float | None
    seconds: list[float]
    peak_mib: float | None
    note: str = ""


def run_of(shape: str) -> DenseRun:
    """The settings of a shape."""
    if shape == "paper":
        return dense_recipe("uvim_depth_paper").run
    run = dense_recipe("scenes_depth_laptop").run
    if shape == "laptop":
        return run
    if shape == "laptop-256":
        data, model = replace(run.data, height=128, width=128), replace(run.tokenizer.model, codes=(16, 16))
        return DenseRun(replace(run.tokenizer, data=data, model=model), replace(run.prior, data=data))
    data = replace(run.data, height=32, width=32)
    book = run.tokenizer.model.quantizer
    tokenizer = LabelTokenizerConfig(book, codes=(2, 2), width=16, encoder_depth=1, decoder_depth=1, heads=2, mlp=32)
    encoder = FeatureEncoderConfig(width=16, depth=1, heads=2, mlp=32)
    prior = CrossAttentionConfig(encoder=encoder, width=16, depth=1, heads=2, mlp=32)
    return DenseRun(replace(run.tokenizer, data=data, model=tokenizer), replace(run.prior, data=data, model=prior))


def models(shape: str, way: str, device: str) -> tuple[Tokenizer, Prior]:
    """Both stages with random weights."""
    run = run_of(shape)
    with torch.device(device):
        tokenizer = Tokenizer(run.tokenizer.model, DenseDomain(run.data)).eval()
        levels = token_levels(tokenizer.quantizer.spec())
        space = TokenSpace(tokenizer.codebook_size, tokenizer.token_grid(), (), "", {}, levels=levels)
        image = (dense_domain(tokenizer).label_map.context_channels, *run.data.shape)
        kind = "maskgit" if way == "maskgit" else "ar"
        prior = make_prior(run.prior.model, space, image, decoding=kind).eval()
    return tokenizer, prior


def needed_gib(shape: str, batch: int) -> float:
    """Weights of both stages, one layer's attention of the image, keys and values, and the logits of every pixel."""
    run = run_of(shape)
    with torch.device("meta"):
        tokenizer, prior = models(shape, "cache", "meta")
    model, data = run.prior.model, run.data
    patches, codes = prod(model.encoder.grid(*data.shape)), prod(tokenizer.token_grid())
    weights = sum(p.numel() for part in (tokenizer, prior) for p in part.parameters())
    layer = patches * (8 * model.encoder.width + 2 * model.encoder.mlp)
    kept = 2 * model.depth * model.width * (patches + codes)
    logits = 2 * data.height * data.width * sum(dense_domain(tokenizer).label_map.groups)
    return 4 * (weights + batch * (layer + kept + logits)) / 2**30


def without_cache(prior: Prior, images: torch.Tensor) -> torch.Tensor:
    """What an autoregressive prior predicts, where every code's past is computed again."""
    assert isinstance(prior, Autoregressive)
    condition, noise = prior.condition(images), Noise.of_examples(0, torch.arange(len(images), device=prior.device))
    codes = torch.zeros(len(images), prior.space.length, dtype=torch.int64, device=prior.device)
    for n, keys in enumerate(noise.spread(prior.space.length).keys.unbind(1)):
        answer = prior.vocabulary.distribution(prior.hidden(codes[:, : n + 1], condition)[:, -1])
        codes[:, n] = answer.sample(temperature=0.0, noise=Noise(keys))
    return codes


@torch.inference_mode()
def measure(shape: str, way: str, batch: int, *, repeats: int, device: str) -> Row:
    """Time one row, after one call that does not count."""
    tokenizer, prior = models(shape, way, device)
    images = torch.rand(batch, *(prior.example_shape or ()), device=device) * 2 - 1

    def predict() -> None:
        with fast_autocast(prior.device):
            codes = without_cache(prior, images) if way == "none" else prior.predict(images)
        tokenizer.decode(codes.view(-1, *tokenizer.token_grid()), images)

    predict()
    times = [seconds(predict) for _ in range(repeats)]
    cuda = device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else resident_peak()
    return Row(shape, way, batch, batch / statistics.median(times), times, peak)


def row_in_its_process(shape: str, way: str, batch: int, options: argparse.Namespace) -> Row:
    """A row, measured by a fresh interpreter, or why there is none."""
    needed = needed_gib(shape, batch)
    if needed > options.limit_gib:
        return Row(shape, way, batch, None, [], None, f"left out: about {needed:.1f} GiB")
    command = [sys.executable, "-m", "benchmarks.dense", "--one", shape, way, str(batch)]
    command += ["--repeats", str(options.repeats), "--device", options.device, "--threads", str(options.threads)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        return Row(shape, way, batch, None, [], None, f"failed with code {found.returncode}")
    return Row(**from_json(found.stdout.splitlines()[-1]))


def table(rows: list[Row]) -> str:
    """Markdown; the cache's gain is beside no cache at the same shape and batch."""
    speeds = {(row.shape, row.way, row.batch): row.images_per_s for row in rows}
    lines = ["| shape | way | batch | images/s | times no cache | peak MiB |", "|---|---|---|---|---|---|"]
    for row in rows:
        none = speeds.get((row.shape, "none", row.batch))
        if row.images_per_s is None:
            lines.append(f"| {row.shape} | {row.way} | {row.batch} | {row.note} | | |")
            continue
        gain = f"{row.images_per_s / none:.2f}" if none else ""
        lines.append(
            f"| {row.shape} | {row.way} | {row.batch} | {row.images_per_s:.4g} | {gain} | {row.peak_mib:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES[1:]))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-gib", type=float, default=12.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/dense.json"))
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "WAY", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        shape, way, batch = options.one
        row = measure(shape, way, int(batch), repeats=options.repeats, device=options.device)
        print(to_json(asdict(row)))
        return
    settings = {"repeats": options.repeats, "threads": options.threads, "torch": torch.__version__}
    rows: list[Row] = []
    for shape, batch, way in product(options.shapes, options.batches, WAYS):
        rows.append(row_in_its_process(shape, way, batch, options))
        print(rows[-1], file=sys.stderr)
        # After every row: whoever stops it keeps what was measured.
        write_json(options.out, {"machine": machine(options.device), **settings, "rows": [asdict(row) for row in rows]})
        options.out.with_suffix(".md").write_text(f"{table(rows)}\n\n{to_json(settings)}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
