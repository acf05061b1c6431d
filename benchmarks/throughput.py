"""Images per second and peak memory of a tokenizer, beside diffusers' ``VQModel`` of equal shape.

    python -m benchmarks.throughput [--device cpu] [--size 64] [--batch 16] [--rounds 7] [--out FILE.json]

Both sides do the same work: encode = images to indices; step = forward, loss, backward, clipping, AdamW. The variants
(fp32 or bf16 autocast, default or channels-last layout) are timed round by round, one after another, and the medians
compared; ratios come first. "As people run it" is diffusers in fp32 and the default layout. Memory is the peak resident
set of a fresh process that does one variant's training steps, less that of one that only imports; on a CUDA device, the
peak that its allocator gave out.

The config (``gridcode-64``): widths 64, 128, 256, one block a stage in the encoder, two in the decoder, downsampling 4,
a codebook of 1000 codes over 4 channels; diffusers without mid-block attention, which gridcode's tokenizer has none of.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import machine, resident_peak, seconds
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.files import to_json, write_json
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers import SamplerConfig, fill_masked
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.config import OptimConfig
from gridcode.training.optim import make_optimizer

LEVELS = (8, 5, 5, 5)
CONFIG = TokenizerConfig(quantizer=FSQConfig(LEVELS), widths=(64, 128, 256), encoder_blocks=1, decoder_blocks=2)
SIDES = ("gridcode", "diffusers")
DTYPES = ("fp32", "bf16")
LAYOUTS = {"default": torch.contiguous_format, "channels-last": torch.channels_last}


class Peer(nn.Module):
    """diffusers' VQModel behind the same two calls."""

    def __init__(self) -> None:
        super().__init__()
        from diffusers import VQModel

        stages = len(CONFIG.widths)
        self.model = VQModel(
            down_block_types=("DownEncoderBlock2D",) * stages,
            up_block_types=("UpDecoderBlock2D",) * stages,
            block_out_channels=CONFIG.widths,
            layers_per_block=CONFIG.encoder_blocks,
            latent_channels=len(LEVELS),
            num_vq_embeddings=1000,
            mid_block_add_attention=False,
        )

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> indices."""
        _, _, (_, _, indices) = self.model.quantize(self.model.encode(images).latents)
        return indices

    def loss(self, images: Tensor) -> Tensor:
        """Reconstruction and codebook loss."""
        latents = self.model.encode(images).latents
        codes, codebook_loss, _ = self.model.quantize(latents)
        return F.mse_loss(self.model.decode(codes, force_not_quantize=True).sample.float(), images) + codebook_loss


class Ours(nn.Module):
    """gridcode's tokenizer behind the same two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Tokenizer(CONFIG)

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> indices."""
        return self.model.quantize(images).indices

    def loss(self, images: Tensor) -> Tensor:
        """Reconstruction loss; FSQ has none of its own."""
        return F.mse_loss(self.model(images).outputs.float(), images)


def variant(side: str, dtype: str, layout: str, images: Tensor) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The two measured calls of a variant: encode, and a training step."""
    torch.manual_seed(0)
    model = (Ours() if side == "gridcode" else Peer()).to(images.device).to(memory_format=LAYOUTS[layout])
    images = images.contiguous(memory_format=LAYOUTS[layout])
    optimizer = (
        make_optimizer(model, OptimConfig()) if side == "gridcode" else torch.optim.AdamW(model.parameters(), lr=1e-4)
    )

    def autocast() -> torch.autocast:
        return torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == "bf16")

    def encode() -> None:
        with torch.inference_mode(), autocast():
            model.encode(images)

    def step() -> None:
        with autocast():
            loss = model.loss(images)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return encode, step


def measure(images: Tensor, rounds: int) -> dict[str, dict[str, float]]:
    """Images per second of every variant, medians over interleaved rounds."""
    calls = {
        (side, dtype, layout): variant(side, dtype, layout, images)
        for side in SIDES
        for dtype in DTYPES
        for layout in LAYOUTS
    }
    times: dict[tuple[str, str, str], dict[str, list[float]]] = {key: {"encode": [], "step": []} for key in calls}
    for number in range(rounds + 1):
        for key, (encode, step) in calls.items():
            encode_time, step_time = min(seconds(encode) for _ in range(2)), seconds(step)
            if number:  # the first round warms up
                times[key]["encode"].append(encode_time)
                times[key]["step"].append(step_time)
        print(f"round {number}/{rounds}", file=sys.stderr)
    return {
        " ".join(key): {what: len(images) / statistics.median(values) for what, values in entry.items()}
        for key, entry in times.items()
    }


def sampling(rounds: int, *, size: int, batch: int, device: str) -> dict[str, float]:
    """Images per second of 12-step sampling with guidance at laptop shape, tokens to images."""
    tokenizer = Tokenizer(CONFIG).eval().to(device)
    side = size // CONFIG.downsampling
    space = TokenSpace(codebook_size=1000, grid=(side, side), classes=("a", "b"), tokenizer="", data={})
    prior = MaskGIT(MaskGITConfig(), space).eval().to(device)
    labels = torch.arange(batch, device=device) % 2

    def draw(precision: str) -> None:
        noise = Noise.of_examples(0, torch.arange(batch, device=device))
        start = torch.full((batch, space.length), prior.mask, device=device)
        with (
            torch.inference_mode(),
            torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"),
        ):
            model = prior.conditional(labels)
            tokens = fill_masked(
                model,
                start,
                mask=prior.mask,
                grid=prior.space.grid,
                config=SamplerConfig(),
                noise=noise,
                guidance=0.2,
            )
            tokenizer.decode(tokens.view(batch, side, side))

    result = {}
    for precision in DTYPES:
        draw(precision)
        result[f"gridcode {precision}"] = batch / statistics.median(
            seconds(lambda p=precision: draw(p)) for _ in range(max(2, rounds // 2))
        )
    return result


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """MiB that a variant's training steps need in a fresh process, beyond what imports take."""
    peaks = []
    for what in (name, "imports"):
        command = [sys.executable, "-m", "benchmarks.throughput", "--peak", what, "--device", options.device]
        command += ["--size", str(options.size), "--batch", str(options.batch)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return peaks[0] - peaks[1]


def print_peak(what: str, images: Tensor) -> None:
    """Print this process's peak in MiB after two steps of a variant."""
    Peer()
    if what != "imports":
        _, step = variant(*what.split(), images)
        step()
        step()
    if images.is_cuda:
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(resident_peak())


def main() -> None:
    """Measure everything, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/throughput.json"))
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    images = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=arguments.device) * 2 - 1
    if arguments.peak:
        print_peak(arguments.peak, images)
        return
    speeds = measure(images, arguments.rounds)
    base = speeds["diffusers fp32 default"]
    rows = {}
    for name, speed in speeds.items():
        same = speeds[" ".join(["diffusers", *name.split()[1:]])]
        rows[name] = {
            "encode_ratio_to_diffusers_as_run": speed["encode"] / base["encode"],
            "step_ratio_to_diffusers_as_run": speed["step"] / base["step"],
            "encode_ratio_to_diffusers_same_dtype_and_layout": speed["encode"] / same["encode"],
            "step_ratio_to_diffusers_same_dtype_and_layout": speed["step"] / same["step"],
            "encode_images_per_s": speed["encode"],
            "step_images_per_s": speed["step"],
            "step_peak_mib": peak_memory(name, arguments),
        }
    result = {
        "machine": machine(arguments.device),
        "torch": torch.__version__,
        "config": "gridcode-64: widths 64, 128, 256; 1 encoder and 2 decoder blocks a stage; downsampling 4",
        "parameters": {
            side: sum(p.numel() for p in (Ours() if side == SIDES[0] else Peer()).parameters()) for side in SIDES
        },
        "size": arguments.size,
        "batch": arguments.batch,
        "rounds": arguments.rounds,
        "rows": rows,
        "sampling_images_per_s": sampling(
            arguments.rounds, size=arguments.size, batch=arguments.batch, device=arguments.device
        ),
    }
    write_json(arguments.out, result)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| variant | encode / as run | step / as run | encode / same | step / same | encode/s | step/s | step MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in result["rows"].items():
        ratios = [f"{value:.2f}" for key, value in row.items() if "ratio" in key]
        rates = [
            f"{row['encode_images_per_s']:.1f}",
            f"{row['step_images_per_s']:.1f}",
            f"{row['step_peak_mib']:.0f}",
        ]
        lines.append(f"| {name} | " + " | ".join(ratios + rates) + " |")
    lines += [
        "",
        f"sampling, 12 steps, images/s: {to_json(result['sampling_images_per_s'])}",
        result["machine"],
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
