"""FSQ beside vector-quantize-pytorch and a copy of the same bytes; VQ's cost against its number of codewords.

    python -m benchmarks.quantizers [--device cpu] [--vectors 1048576] [--rounds 9] [--out FILE.json] [--skip-vq]

Three sides take turns in one process, round after round, and the medians are compared; ratios come first:

- gridcode: ``FSQ(levels)``;
- vector-quantize-pytorch: its ``FSQ(levels)``, eager, as people run it;
- the floor: ``copy_`` into a buffer that is there already, of as many bytes as the work must read and write: latents
  in, codes and int64 indices out; for the backward pass also latents and upstream gradient in, gradient out.

Extra memory is the peak of a fresh process that runs one forward and backward pass (on CUDA: of the allocator), less
input and upstream gradient, divided by the input's bytes; results count. A small pass before loads code and libraries.

The second part times one training step (forward, loss, backward) of a VQ of growing size beside an FSQ of the same
number of codes, and plots both. Needs the extras ``dev`` and ``bench``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import forget_peak, machine, resident_peak, seconds
from gridcode.files import from_json, to_json, write_json, write_text
from gridcode.quantize.fsq.kernels.ops import kernel_for
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.vq import VQ

LEVELS = {"8,5,5,5": (8, 5, 5, 5), "8,8,8,6,5": (8, 8, 8, 6, 5)}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDES = ("gridcode", "vector-quantize-pytorch", "copy")
WORK = ("forward", "forward + backward", "indices to codes")
VQ_VECTORS, VQ_CHANNELS = 4096, 64
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Case:
    """What one row of the table measures."""

    levels: str
    dtype: str
    threads: int

    def inputs(self, vectors: int, device: str) -> tuple[Tensor, Tensor]:
        """Latents and upstream gradient (1, n, d)."""
        generator = torch.Generator().manual_seed(0)
        shape = (1, vectors, len(LEVELS[self.levels]))
        latents, upstream = (torch.randn(shape, generator=generator).to(device, DTYPES[self.dtype]) for _ in range(2))
        return latents.requires_grad_(), upstream


def calls(side: str, case: Case, vectors: int, device: str) -> dict[str, Callable[[], Any]]:
    """The timed calls of a side, by name."""
    latents, upstream = case.inputs(vectors, device)
    levels, dtype = LEVELS[case.levels], DTYPES[case.dtype]
    if side == "copy":
        return _copies(latents, vectors)
    if side == "gridcode":
        ours = FSQ(levels).to(device)
        indices = ours(latents).indices

        def forward() -> Tensor:
            return ours(latents).codes

        def decode() -> Tensor:
            return ours.indices_to_codes(indices, dtype=dtype)
    else:
        from vector_quantize_pytorch import FSQ as Peer  # noqa: N811 (a class)

        peer = Peer(list(levels)).to(device)
        indices = peer(latents)[1]

        def forward() -> Tensor:
            return peer(latents)[0]

        def decode() -> Tensor:
            return peer.indices_to_codes(indices).to(dtype)

    def inference() -> None:
        with torch.no_grad():
            forward()

    def both() -> None:
        latents.grad = None
        forward().backward(upstream)

    return dict(zip(WORK, (inference, both, decode), strict=True))


def _copies(latents: Tensor, vectors: int) -> dict[str, Callable[[], Any]]:
    """Copies that read and write as many bytes as each work must."""
    size, index = latents.numel() * latents.element_size(), 8 * vectors
    moved = dict(zip(WORK, (2 * size + index, 5 * size + index, size + index), strict=True))

    def copy(count: int) -> Callable[[], Any]:
        source = torch.ones(count // 2, dtype=torch.uint8, device=latents.device)
        target = torch.ones_like(source)
        return lambda: target.copy_(source)

    return {name: copy(count) for name, count in moved.items()}


def compare(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Medians of every side over interleaved rounds, their ratios, and the memory of each."""
    torch.set_num_threads(case.threads)
    sides = {side: calls(side, case, options.vectors, options.device) for side in SIDES}
    times: dict[tuple[str, str], list[float]] = {(side, work): [] for side in SIDES for work in WORK}
    for number in range(options.rounds + 2):
        for work in WORK:
            for side in SIDES:
                taken = seconds(sides[side][work])
                if number > 1:  # two rounds warm up
                    times[side, work].append(taken)
    row: dict[str, Any] = {"levels": case.levels, "dtype": case.dtype, "threads": case.threads}
    for work in WORK:
        ours, peer, floor = (statistics.median(times[side, work]) for side in SIDES)
        row[work] = {
            "speed_up_over_vector_quantize_pytorch": peer / ours,
            "times_the_copy": ours / floor,
            "gridcode_ms": ours * 1e3,
            "vector_quantize_pytorch_ms": peer * 1e3,
            "copy_ms": floor * 1e3,
            "share_of_copy_bandwidth": floor / ours,
        }
    row["extra_memory_times_the_input"] = {side: extra_memory(side, case, options) for side in SIDES[:2]}
    return row


def extra_memory(side: str, case: Case, options: argparse.Namespace) -> float:
    """Peak of one forward + backward beyond input and upstream gradient, in inputs, measured in a fresh process."""
    words = [side, case.levels, case.dtype, str(case.threads)]
    command = [sys.executable, "-m", "benchmarks.quantizers", "--peak", ";".join(words)]
    command += ["--device", options.device, "--vectors", str(options.vectors)]
    return float(_fresh(command))


def _fresh(command: list[str]) -> str:
    """What a new process prints, whose memory shows: freed blocks go back at once, and hide nothing allocated later."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def print_peak(words: str, options: argparse.Namespace) -> None:
    """Print one side's extra memory; this is what the fresh process runs."""
    side, levels, dtype, threads = words.split(";")
    case = Case(levels, dtype, int(threads))
    torch.set_num_threads(case.threads)
    calls(side, case, 2**17, options.device)["forward + backward"]()
    work = calls(side, case, options.vectors, options.device)["forward + backward"]
    latents, _ = case.inputs(options.vectors, "meta")
    size = latents.numel() * latents.element_size()
    if options.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        print((torch.cuda.max_memory_allocated() - before) / size)
        return
    forget_peak()
    before_mib = resident_peak()
    work()
    print((resident_peak() - before_mib) * 2**20 / size)


def vq_steps(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds and MiB of a training step of VQ and FSQ at every codebook size."""
    rows = []
    for bits in range(10, 19, 2):
        for name in ("VQ.plain", "VQ.uvim", "VQ.maskgit", "FSQ"):
            command = [sys.executable, "-m", "benchmarks.quantizers", "--vq", f"{name};{bits}"]
            command += ["--device", options.device]
            rows.append(from_json(_fresh(command)))
            print(rows[-1], file=sys.stderr)
    return rows


def print_vq_step(words: str, options: argparse.Namespace) -> None:
    """Print one quantizer's step time and memory; this is what the fresh process runs."""
    name, bits = words.split(";")
    size = 2 ** int(bits)
    torch.manual_seed(0)
    if name == "FSQ":
        quantizer: torch.nn.Module = FSQ((8,) * (int(bits) // 3) + (2 ** (int(bits) % 3),) * (int(bits) % 3 > 0))
    else:
        preset = {"VQ.plain": VQ.plain, "VQ.uvim": VQ.uvim, "VQ.maskgit": VQ.maskgit}[name]
        quantizer = preset(size, VQ_CHANNELS)
    quantizer.to(options.device)
    channels = quantizer.channels
    latents = torch.randn(VQ_VECTORS, channels, device=options.device, requires_grad=True)

    def step() -> None:
        latents.grad = None
        out = quantizer(latents)
        (out.codes.square().mean() + out.loss).backward()

    step()
    times = [seconds(step) for _ in range(3 if size >= 2**16 else 7)]
    if options.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        memory = (torch.cuda.max_memory_allocated() - before) / 2**20
    else:
        forget_peak()
        start = resident_peak()
        step()
        memory = resident_peak() - start
    state = sum(t.numel() * t.element_size() for t in quantizer.state_dict().values()) / 2**20
    print(
        to_json(
            {
                "quantizer": name,
                "bits": int(bits),
                "ms": statistics.median(times) * 1e3,
                "step_mib": memory,
                "state_mib": state,
            }
        )
    )


def plot_vq(rows: list[dict[str, Any]], path: Path) -> None:
    """Step time and memory against the codebook's size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name in dict.fromkeys(row["quantizer"] for row in rows):
        line = [row for row in rows if row["quantizer"] == name]
        bits = [row["bits"] for row in line]
        axes[0].plot(bits, [row["ms"] for row in line], marker="o", label=name)
        axes[1].plot(bits, [row["step_mib"] + row["state_mib"] for row in line], marker="o", label=name)
    for axis, label in zip(axes, ("ms a training step", "MiB, state and step"), strict=True):
        axis.set(xlabel="codewords, log2", ylabel=label, yscale="log")
        axis.grid(alpha=0.3, which="both")
    axes[0].legend()
    figure.savefig(path, dpi=110)


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| levels | dtype | threads | forward / vqp | fwd + bwd / vqp | decode / vqp | forward / copy | "
        "fwd + bwd / copy | decode / copy | forward ms | fwd + bwd ms | extra memory | vqp's |",
        "|" + "---|" * 13,
    ]
    for row in result["rows"]:
        ups = [f"{row[work]['speed_up_over_vector_quantize_pytorch']:.1f}x" for work in WORK]
        floors = [f"{row[work]['times_the_copy']:.2f}" for work in WORK]
        times = [f"{row[work]['gridcode_ms']:.2f}" for work in WORK[:2]]
        memory = [f"{value:.2f}" for value in row["extra_memory_times_the_input"].values()]
        cells = [row["levels"], row["dtype"], str(row["threads"]), *ups, *floors, *times, *memory]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"{result['machine']}; kernel: {result['kernel']}; {result['vectors']} vectors"]
    if result["vq"]:
        lines += ["", "| quantizer | codewords | ms per step | step MiB | state MiB |", "|---|---|---|---|---|"]
        for row in result["vq"]:
            cells = [
                row["quantizer"],
                f"2^{row['bits']}",
                *(f"{row[key]:.1f}" for key in ("ms", "step_mib", "state_mib")),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure everything, print a table, write JSON, the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--vectors", type=int, default=2**20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS / "quantizers.json")
    parser.add_argument("--skip-vq", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--vq", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak or options.vq:
        return print_peak(options.peak, options) if options.peak else print_vq_step(options.vq, options)
    threads = [1, 2] if options.device == "cpu" else [torch.get_num_threads()]
    rows = []
    for case in [Case(levels, dtype, count) for levels in LEVELS for dtype in DTYPES for count in threads]:
        rows.append(compare(case, options))
        print(to_json(rows[-1]), file=sys.stderr)
    result = {
        "machine": machine(options.device),
        "torch": torch.__version__,
        "kernel": kernel_for(torch.device(options.device), torch.float32),
        "vectors": options.vectors,
        "rounds": options.rounds,
        "rows": rows,
        "vq": [] if options.skip_vq else vq_steps(options),
    }
    write_json(options.out, result)
    write_text(options.out.with_suffix(".md"), table(result))
    if result["vq"]:
        plot_vq(result["vq"], options.out.with_suffix(".png"))
    print(table(result))
    return None


if __name__ == "__main__":
    main()
