"""A prior's training step and its sampling, beside what they cannot do without and beside x-transformers.

    python -m benchmarks.prior [--device cpu] [--shapes laptop laptop-modern maskgit] [--rounds 5] [--heads]

Three sides of equal shape, one after another in every round, medians, ratios first:

    gridcode   MaskGIT (the shape's style, joint head): loss, backward, clipping, AdamW; 12 steps of its own sampler
    floor      the same matrix products and attention alone: no embedding, norm, activation, loss, optimiser or draw
    peer       x-transformers' ``Encoder`` in its ``NonAutoregressiveWrapper``: the loss and sampling loop of its users

The floor does the products that gridcode does: in the last block and the head only the places that are asked for.
Sampling has no guidance, so that all sides make 12 passes. The peer has no class token (256 places for gridcode's 257)
and runs every place through its head.

``--heads`` measures the three heads at codebooks from 2^10 to 2^20 codes instead: a training step, sampling, and the
peak memory of fresh processes that do nothing else, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import machine, resident_peak, seconds
from gridcode.files import from_json, to_json, write_json
from gridcode.nn.attention import attend
from gridcode.prior.config import MaskGITConfig, MaskingConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.schedule import still_masked, training_mask
from gridcode.prior.train import prediction_scores
from gridcode.training.config import OptimConfig
from gridcode.training.fabric import fast_autocast
from gridcode.training.optim import make_optimizer

SIDES = ("gridcode", "floor", "peer")
STEPS, CLASSES = 12, 10
BITS = (10, 12, 14, 16, 18, 20)
HEADS = ("joint", "independent", "chain")


@dataclass(frozen=True)
class Shape:
    """A model and how many grids go through it at a time."""

    config: MaskGITConfig
    side: int
    train: int
    sample: int

    @property
    def grid(self) -> tuple[int, int]:
        """The token grid."""
        return self.side, self.side


SHAPES = {
    "laptop": Shape(
        MaskGITConfig(style="maskgit", width=256, depth=6, heads=4, mlp=1024, dropout=0.0), 16, train=16, sample=16
    ),
    "laptop-modern": Shape(
        MaskGITConfig(style="modern", width=256, depth=6, heads=4, mlp=1024, dropout=0.0), 16, train=16, sample=16
    ),
    "maskgit": Shape(
        MaskGITConfig(style="maskgit", width=768, depth=24, heads=16, mlp=3072, dropout=0.0), 16, train=2, sample=2
    ),
}
HEAD_SHAPE = Shape(
    MaskGITConfig(style="maskgit", width=256, depth=6, heads=4, mlp=1024, dropout=0.0), 8, train=8, sample=8
)


@dataclass(frozen=True)
class Side:
    """What is timed: one training step, and one batch of grids sampled."""

    step: Callable[[], Any]
    sample: Callable[[], Any]


class Products(nn.Module):
    """The matrix products and the attention of MaskGIT's transformer, and nothing else."""

    def __init__(self, config: MaskGITConfig, vocabulary: int) -> None:
        super().__init__()
        D, M, self.heads = config.width, config.mlp, config.heads
        shapes = {"qkv": (D, 3 * D), "out": (D, D), "up": (D, M), "down": (M, D)}
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(*shape, bias=False) for name, shape in shapes.items()})
            for _ in range(config.depth)
        )
        self.dense, self.logits = nn.Linear(D, D, bias=False), nn.Linear(D, vocabulary, bias=False)

    def forward(self, x: Tensor, asked: Tensor) -> Tensor:
        """(B, N, D) -> (M, V): the flat places ``asked`` (M,)."""
        B, N, D = x.shape
        for number, layer in enumerate(self.layers, 1):
            q, k, v = layer["qkv"](x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
            y = attend(q, k, v).transpose(1, 2).reshape(B, N, D)
            if number == len(self.layers):
                y = y.flatten(0, 1)[asked]
            x = layer["down"](layer["up"](layer["out"](y)))
        return self.logits(self.dense(x))


def space_of(shape: Shape, levels: tuple[int, ...]) -> TokenSpace:
    """Tokens as a tokenizer with these levels makes them."""
    K = torch.Size(levels).numel()
    return TokenSpace(K, shape.grid, tuple(str(i) for i in range(CLASSES)), tokenizer="", data={}, levels=levels)


def batch_of(shape: Shape, K: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (B, N), labels (B,) and masks (B, N) of a training step."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, K, (shape.train, shape.side**2), generator=draw)
    masked = training_mask(tuple(tokens.shape), min_masked=MaskingConfig().min_masked, generator=draw)
    return tokens.to(device), torch.zeros(shape.train, dtype=torch.int64, device=device), masked.to(device)


def gridcode(shape: Shape, levels: tuple[int, ...], device: str) -> Side:
    """Our side."""
    torch.manual_seed(0)
    space = space_of(shape, levels)
    prior = MaskGIT(shape.config, space).to(device)
    optimizer = make_optimizer(prior, OptimConfig())
    tokens, labels, masked = batch_of(shape, space.codebook_size, device)
    noise = Noise.of_examples(0, torch.arange(shape.sample, device=device))

    def step() -> None:
        prior.train()
        with fast_autocast(torch.device(device)):
            scores = prior(tokens, labels, masked, MaskingConfig().label_smoothing)
        prediction_scores(scores, masked).loss.backward()
        nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def sample() -> None:
        prior.eval()
        hidden = torch.full((shape.sample, shape.side**2), prior.mask, device=device)
        classes = torch.zeros(shape.sample, dtype=torch.int64, device=device)
        with torch.inference_mode(), fast_autocast(torch.device(device)):
            prior.fill(hidden, classes, config=SamplerConfig(steps=STEPS), guidance=0.0, noise=noise)

    return Side(step, sample)


def floor(shape: Shape, levels: tuple[int, ...], device: str) -> Side:
    """The products alone."""
    K = torch.Size(levels).numel()
    model = Products(shape.config, K + CLASSES + 1).to(device)
    _, _, masked = batch_of(shape, K, device)
    N = shape.side**2

    def places(count: int, wanted: Tensor) -> Tensor:
        rows, columns = wanted.nonzero(as_tuple=True)
        return rows * (N + 1) + columns + 1

    x, asked = torch.randn(shape.train, N + 1, shape.config.width, device=device), places(shape.train, masked)
    y = torch.randn(shape.sample, N + 1, shape.config.width, device=device)
    counts, left = [], torch.tensor([N])
    for number in range(STEPS):
        counts.append(int(left))
        left = still_masked(torch.tensor([N]), left, step=number, steps=STEPS)
    each = [places(shape.sample, torch.arange(N, device=device).expand(shape.sample, N) < count) for count in counts]

    def step() -> None:
        with fast_autocast(torch.device(device)):
            logits = model(x, asked)
        logits.backward(torch.ones_like(logits))
        model.zero_grad()

    def sample() -> None:
        with torch.inference_mode(), fast_autocast(torch.device(device)):
            for wanted in each:
                model(y, wanted)

    return Side(step, sample)


def peer(shape: Shape, levels: tuple[int, ...], device: str) -> Side:
    """x-transformers."""
    from x_transformers import Encoder, TransformerWrapper
    from x_transformers.nonautoregressive_wrapper import NonAutoregressiveWrapper

    config, K = shape.config, torch.Size(levels).numel()
    layers = Encoder(
        dim=config.width,
        depth=config.depth,
        heads=config.heads,
        attn_dim_head=config.width // config.heads,
        ff_mult=config.mlp // config.width,
        attn_flash=device != "cpu",
    )
    net = TransformerWrapper(num_tokens=K + CLASSES + 1, max_seq_len=shape.side**2, attn_layers=layers)
    model = NonAutoregressiveWrapper(
        net,
        mask_id=K + CLASSES,
        steps=STEPS,
        schedule="cosine",
        no_replace_prob=0.0,
        random_token_prob=0.0,
        use_simple_mdlm_loss_weight=False,
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens, _, _ = batch_of(shape, K, device)

    def step() -> None:
        with fast_autocast(torch.device(device)):
            loss = model(tokens).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def sample() -> None:
        with torch.inference_mode(), fast_autocast(torch.device(device)):
            model.generate(batch_size=shape.sample)

    return Side(step, sample)


MAKERS = {"gridcode": gridcode, "floor": floor, "peer": peer}
BOOK = (8, 5, 5, 5)


def book_of(bits: int) -> tuple[int, ...]:
    """Levels of product 2^bits: eights, and what is left.

    >>> book_of(10), book_of(12)
    ((8, 8, 4, 4), (8, 8, 8, 8))
    """
    eights, rest = divmod(bits, 3)
    return {0: (8,) * eights, 1: (8,) * (eights - 1) + (4, 4), 2: (8,) * eights + (4,)}[rest]


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One shape: medians of all sides in turns, and their memory in processes of their own."""
    shape = SHAPES[name]
    sides = {side: MAKERS[side](shape, BOOK, options.device) for side in SIDES}
    times: dict[str, dict[str, list[float]]] = {side: {"step": [], "sample": []} for side in SIDES}
    for number in range(options.rounds + 1):
        for side, calls in sides.items():
            for what in ("step", "sample"):
                spent = seconds(getattr(calls, what))
                if number:  # the first round warms up
                    times[side][what].append(spent)
        print(name, f"round {number} of {options.rounds}", file=sys.stderr)
    medians = {side: {what: statistics.median(values) for what, values in both.items()} for side, both in times.items()}
    memory = {side: alone(["--alone", "compare", name, side], options)["peak_mib"] for side in SIDES}
    return {
        "shape": name,
        "grid": shape.grid,
        "batch": {"step": shape.train, "sample": shape.sample},
        "seconds": medians,
        "sampling_over_floor": medians["gridcode"]["sample"] / medians["floor"]["sample"],
        "step_over_floor": medians["gridcode"]["step"] / medians["floor"]["step"],
        "sampling_times_peer": medians["peer"]["sample"] / medians["gridcode"]["sample"],
        "step_times_peer": medians["peer"]["step"] / medians["gridcode"]["step"],
        "images_per_s": shape.sample / medians["gridcode"]["sample"],
        "peak_mib": memory,
    }


def alone(words: Iterable[str], options: argparse.Namespace) -> dict[str, Any]:
    """Figures of a fresh process; {} where it was killed for memory."""
    command = [sys.executable, "-m", "benchmarks.prior", *words, "--device", options.device]
    command += ["--threads", str(options.threads), "--rounds", str(options.rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return from_json(done.stdout) if done.returncode == 0 else {"peak_mib": None}


def measure_alone(what: str, name: str, side: str, options: argparse.Namespace) -> dict[str, Any]:
    """In a fresh process: peak memory beyond what importing takes, and medians."""
    cuda = options.device.startswith("cuda")
    before = resident_peak()
    if what == "compare":
        calls = MAKERS[side](SHAPES[name], BOOK, options.device)
    else:
        shape = replace(HEAD_SHAPE, config=replace(HEAD_SHAPE.config, head=side))
        calls = gridcode(shape, book_of(int(name)), options.device)
    steps = [seconds(calls.step) for _ in range(options.rounds + 1)][1:]
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else resident_peak() - before
    samples = [seconds(calls.sample) for _ in range(options.rounds + 1)][1:]
    return {"peak_mib": peak, "step": statistics.median(steps), "sample": statistics.median(samples)}


def heads(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every head at every codebook, the heads in turns."""
    rows = []
    for bits in BITS:
        for head in HEADS:
            rows.append({"head": head, "bits": bits, **alone(["--alone", "heads", str(bits), head], options)})
            print(rows[-1], file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown of the comparison."""
    lines = [
        "| shape | sampling / floor | step / floor | sampling, times the peer | step, times the peer | images/s "
        "| step s | peak MiB: gridcode, floor, peer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        memory = ", ".join("-" if value is None else f"{value:.0f}" for value in row["peak_mib"].values())
        lines.append(
            f"| {row['shape']} | {row['sampling_over_floor']:.2f} | {row['step_over_floor']:.2f} "
            f"| {row['sampling_times_peer']:.2f}x | {row['step_times_peer']:.2f}x | {row['images_per_s']:.2f} "
            f"| {row['seconds']['gridcode']['step']:.3f} | {memory} |"
        )
    return "\n".join(lines)


def heads_table(rows: list[dict[str, Any]]) -> str:
    """Markdown of the heads: each figure, and its ratio to the head's own at 2^10."""
    first = {row["head"]: row for row in rows if row["bits"] == BITS[0]}
    lines = [
        "| head | codebook | step ms | / 2^10 | sample ms | / 2^10 | peak MiB | / 2^10 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for head in HEADS:
        for row in (row for row in rows if row["head"] == head):
            if row["peak_mib"] is None:
                lines.append(f"| {head} | 2^{row['bits']} | does not fit | | | | | |")
                continue
            cells = [
                f"{row[what] * scale:.0f} | {row[what] / first[head][what]:.2f}"
                for what, scale in (("step", 1e3), ("sample", 1e3), ("peak_mib", 1.0))
            ]
            lines.append(f"| {head} | 2^{row['bits']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--heads", action="store_true")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        print(to_json(measure_alone(*options.alone, options)))
        return
    out = options.out or Path("benchmarks/results") / ("heads.json" if options.heads else "prior.json")
    rows = heads(options) if options.heads else [compare(name, options) for name in options.shapes]
    text = heads_table(rows) if options.heads else table(rows)
    about = {"machine": machine(options.device), "threads": options.threads, "rounds": options.rounds}
    write_json(out, {**about, "rows": rows})
    out.with_suffix(".md").write_text(f"{text}\n\n{to_json(about)}\n")
    print(text)


if __name__ == "__main__":
    main()
