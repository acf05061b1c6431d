"""The Fréchet pipeline beside torchmetrics, and precision and recall beside a plain ``torch.cdist``.

    python -m benchmarks.evaluation [--device cpu] [--images 64] [--vectors 10000] [--features 1280] [--rounds 3]
                                    [--out FILE.json]

Sides take turns round after round, medians, ratios first:

- images per second: bytes to mean and covariance through EfficientNet-lite0 (the protocol ``fd-lite0``), beside
  torchmetrics' ``FrechetInceptionDistance`` on the same network with PyTorch's own bicubic resize, and the network
  alone on images of its size;
- the distance alone, from statistics of the features' length: ours by singular values, torchmetrics' by eigenvalues;
- precision and recall of ``--vectors`` samples against as many: ours in blocks (density and coverage come with them),
  and the whole matrix by ``torch.cdist``. torchmetrics has neither. Seconds, and the peak of a fresh process less the
  features themselves (on CUDA: of the allocator).

Needs the extra ``dev``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import forget_peak, machine, resident_peak, seconds
from gridcode.features.efficientnet import SIDES, EfficientNetLite, load_efficientnet_lite
from gridcode.features.extractor import lite_extractor
from gridcode.files import from_json, to_json, write_json
from gridcode.metrics import GaussianStatistics, frechet_distance, manifold_scores

BATCH, K = 16, 3
WAYS = ("blocks", "cdist")


def medians(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds of each side, which take turns, after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, call in sides.items():
            spent = seconds(call)
            if number:
                times[name].append(spent)
    return {name: statistics.median(spent) for name, spent in times.items()}


class Resized(nn.Module):
    """The network as torchmetrics takes one: bytes in, features out."""

    num_features = 1280

    def __init__(self, network: EfficientNetLite) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, 1280)."""
        side = (SIDES["lite0"],) * 2
        images = F.interpolate(pixels.float() / 127.5 - 1, size=side, mode="bicubic", antialias=True)
        return self.network.vectors(images.clamp(-1, 1))


def pipeline(images: int, side: int, rounds: int, device: str) -> dict[str, float]:
    """Images per second of each way from bytes to statistics."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor, network = lite_extractor("lite0", device=device), load_efficientnet_lite("lite0").to(device)
    pixels = torch.randint(0, 256, (images, 3, side, side), generator=torch.Generator().manual_seed(0))
    batches = pixels.to(torch.uint8).split(BATCH)
    normalised = torch.rand(BATCH, 3, SIDES["lite0"], SIDES["lite0"], device=device) * 2 - 1

    def ours() -> None:
        found = GaussianStatistics(extractor.dim)
        for part in batches:
            found.update(extractor(part / 127.5 - 1).vectors)

    metric = FrechetInceptionDistance(Resized(network)).to(device)

    @torch.inference_mode()
    def theirs() -> None:
        for part in batches:
            metric.update(part.to(device), real=True)

    @torch.inference_mode()
    def alone() -> None:
        for part in batches:
            network.vectors(normalised[: len(part)])

    spent = medians({"gridcode": ours, "torchmetrics": theirs, "network alone": alone}, rounds)
    return {name: images / value for name, value in spent.items()}


def distance(features: int, rounds: int) -> dict[str, float]:
    """Seconds of the distance alone."""
    from torchmetrics.image.fid import _compute_fid

    sets = []
    for number in range(2):
        sets.append(GaussianStatistics(features))
        sets[-1].update(torch.randn(2 * features, features, generator=torch.Generator().manual_seed(number)))
    a, b = sets
    sides = {
        "gridcode": lambda: frechet_distance(a, b),
        "torchmetrics": lambda: _compute_fid(a.mean, a.covariance, b.mean, b.covariance),
    }
    return medians(sides, rounds)


def vectors(count: int, features: int, device: str) -> tuple[Tensor, Tensor]:
    """Samples and reference, (count, features) each."""
    draw = torch.Generator().manual_seed(0)
    samples, reference = (torch.randn(count, features, generator=draw).to(device) for _ in range(2))
    return 0.98 * samples + 0.01, reference


def by_cdist(samples: Tensor, reference: Tensor) -> tuple[float, float]:
    """Precision and recall from whole matrices of distances."""
    across = torch.cdist(samples, reference)
    real, fake = (torch.cdist(part, part).kthvalue(K + 1, dim=1).values for part in (reference, samples))
    return float((across <= real).any(1).float().mean()), float((across <= fake[:, None]).any(0).float().mean())


def neighbours(way: str, count: int, features: int, device: str) -> dict[str, float]:
    """One measurement of precision and recall, in a fresh process: seconds, and the peak beyond the features."""
    samples, reference = vectors(count, features, device)
    call: Callable[[Tensor, Tensor], Any] = manifold_scores if way == "blocks" else by_cdist
    call(samples[:64], reference[:64])
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    else:
        forget_peak()
        before = resident_peak()
    spent = seconds(lambda: call(samples, reference))
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else resident_peak()
    found = call(samples[:512], reference[:512])
    precision, recall = found if isinstance(found, tuple) else (found.precision, found.recall)
    return {"seconds": spent, "peak_mib": peak - before, "precision_of_512": precision, "recall_of_512": recall}


def fresh(way: str, arguments: argparse.Namespace) -> dict[str, float]:
    """:func:`neighbours` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.evaluation", "--only", way, "--device", arguments.device]
    command += ["--vectors", str(arguments.vectors), "--features", str(arguments.features)]
    found = from_json(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert isinstance(found, dict)
    return found


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, as JSON."""
    found: dict[str, Any] = {
        "machine": machine(arguments.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "settings": {key: value for key, value in vars(arguments).items() if key not in ("out", "only")},
        "images_per_s": pipeline(arguments.images, arguments.side, arguments.rounds, arguments.device),
        "distance_s": distance(arguments.features, arguments.rounds),
    }
    turns = [{way: fresh(way, arguments) for way in WAYS} for _ in range(arguments.rounds)]
    found["precision_recall"] = {
        way: {key: statistics.median(turn[way][key] for turn in turns) for key in turns[0][way]} for way in WAYS
    }
    return found


def tell(found: Mapping[str, Any]) -> None:
    """The figures as lines, ratios first."""
    rate, spent, near = found["images_per_s"], found["distance_s"], found["precision_recall"]
    for peer in ("torchmetrics", "network alone"):
        print(f"images/s   {rate['gridcode'] / rate[peer]:.2f}x {peer}: {rate['gridcode']:.3g} and {rate[peer]:.3g}")
    print(
        f"distance     {spent['torchmetrics'] / spent['gridcode']:.2f}x as fast as torchmetrics: "
        f"{spent['gridcode']:.3g} s and {spent['torchmetrics']:.3g} s"
    )
    ours, whole = (near[way] for way in WAYS)
    print(
        f"precision    {whole['seconds'] / ours['seconds']:.2f}x as fast as torch.cdist: {ours['seconds']:.3g} s and "
        f"{whole['seconds']:.3g} s; memory {ours['peak_mib'] / whole['peak_mib']:.2f}x: {ours['peak_mib']:.0f} MiB "
        f"and {whole['peak_mib']:.0f} MiB"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=64, help="images that are measured")
    parser.add_argument("--side", type=int, default=128, help="their side in pixels")
    parser.add_argument("--vectors", type=int, default=10_000, help="samples, and as many reference vectors")
    parser.add_argument("--features", type=int, default=1280, help="length of a vector")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="torchmetrics")
    if arguments.only:
        print(to_json(neighbours(arguments.only, arguments.vectors, arguments.features, arguments.device)))
        return
    found = run(arguments)
    tell(found)
    if arguments.out is not None:
        write_json(arguments.out, found)


if __name__ == "__main__":
    main()
