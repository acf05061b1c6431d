"""Tokens per second of the coders and of a prior, beside constriction alone and zstd.

    python -m benchmarks.codec [--codes 1000] [--grids 64] [--rounds 3]

    raw, static       the codec's own, on tokens with the frequencies 1 / (1 + k)
    constriction      its range coder alone, by one model of floats for all tokens: the floor of static
    zstd              level 19, on two bytes per token
    frequencies       logits in float64 to integer frequencies, with the search for offsets
    range coder       constriction with frequencies of each token
    prior, float32    what measuring its bits takes: 12 passes
    prior, encode     the same in float64, with all that coding needs

CPU seconds, medians of rounds in turns; on a GPU wall time is what counts, so wall seconds are printed beside.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import constriction
import numpy as np
import pyarrow as pa
import torch

from benchmarks.measure import machine, seconds
from gridcode.codec import Header, RangeDecoder, RangeEncoder, decode_tokens, encode_tokens, frequencies_of_steps
from gridcode.codec.histogram import pack_counts
from gridcode.prior.coding import PriorCoder
from gridcode.prior.coding.logits import as_steps, safe_offsets
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT

SIDE = 8


def codec_calls(tokens: np.ndarray, codes: int) -> dict[str, Callable[[], Any]]:
    """What is done to tokens without a prior."""
    calls: dict[str, Callable[[], Any]] = {}
    for coder in ("raw", "static"):
        table = pack_counts(tokens, codes) if coder == "static" else b""
        header = Header(coder, "0" * 16, codes, tokens.shape, table=table)
        data = encode_tokens(header, tokens)
        calls[f"{coder}, encode"] = lambda header=header: encode_tokens(header, tokens)
        calls[f"{coder}, decode"] = lambda header=header, data=data: decode_tokens(header, data, tokens.size)
    counts = np.bincount(tokens, minlength=codes) + 1.0
    model = constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
    symbols = tokens.astype(np.int32)

    def alone() -> np.ndarray:
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(symbols, model)
        return encoder.get_compressed()

    words = alone()
    calls["constriction, encode"] = alone
    calls["constriction, decode"] = lambda: constriction.stream.queue.RangeDecoder(words).decode(model, tokens.size)
    zstd, raw = pa.Codec("zstd", compression_level=19), tokens.astype("<u2").tobytes()
    packed = zstd.compress(raw)
    calls["zstd, encode"] = lambda: zstd.compress(raw)
    calls["zstd, decode"] = lambda: zstd.decompress(packed, len(raw))
    return calls


def prior_calls(tokens: np.ndarray, codes: int, device: str) -> dict[str, Callable[[], Any]]:
    """What is done to tokens with one; the logits are random."""
    torch.manual_seed(0)
    space = TokenSpace(codes, (SIDE, SIDE), classes=(), tokenizer="", data={})
    prior = MaskGIT(MaskGITConfig(width=256, depth=6, heads=4, mlp=1024), space).eval().to(device)
    coder = PriorCoder(prior)
    grids, labels = torch.from_numpy(tokens).view(-1, SIDE * SIDE), torch.full((tokens.size // SIDE**2,), -1)
    how = coder.settings(len(grids))
    data = coder.encode(grids, labels, how)
    logits = 2 * np.random.default_rng(0).normal(size=(tokens.size, codes))
    offsets = safe_offsets(logits)
    rows = frequencies_of_steps(as_steps(logits, offsets))

    def code() -> bytes:
        encoder = RangeEncoder()
        encoder.encode(tokens, rows)
        return encoder.finish()

    coded = code()
    with_device = grids.to(device), labels.to(device)

    @torch.inference_mode()
    def measure() -> None:
        for start in range(0, len(grids), how.batch):
            prior.log_probs(
                with_device[0][start : start + how.batch], with_device[1][start : start + how.batch], steps=12
            )

    return {
        "frequencies": lambda: frequencies_of_steps(as_steps(logits, safe_offsets(logits))),
        "range coder, encode": code,
        "range coder, decode": lambda: RangeDecoder(coded).decode(rows),
        "prior, float32": measure,
        "prior, encode": lambda: coder.encode(grids, labels, how),
        "prior, decode": lambda: coder.decode(data, labels, how),
    }


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """CPU and wall seconds of a call."""
    start = time.process_time()
    wall = seconds(call)
    return time.process_time() - start, wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codec", description="Time the coders.")
    parser.add_argument("--codes", type=int, default=1000, help="K")
    parser.add_argument("--grids", type=int, default=64, help="grids of 8x8 for the prior")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="tokens for the coders without one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    settings = parser.parse_args()
    draw, weights = np.random.default_rng(0), 1 / (1 + np.arange(settings.codes))
    tokens = draw.choice(settings.codes, settings.tokens, p=weights / weights.sum())
    few = tokens[: settings.grids * SIDE**2]
    print(f"{machine(settings.device)}, {torch.get_num_threads()} threads, {settings.codes} codes")
    print(f"{'':22}{'tokens/s, CPU':>16}{'tokens/s, wall':>16}")
    for calls, count in (
        (codec_calls(tokens, settings.codes), tokens.size),
        (prior_calls(few, settings.codes, settings.device), few.size),
    ):
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for _ in range(settings.rounds):
            for name, call in calls.items():
                times[name].append(measured(call))
        for name, found in times.items():
            cpu, wall = (statistics.median(each) for each in zip(*found, strict=True))
            print(f"{name:22}{count / max(cpu, 1e-9):16,.0f}{count / wall:16,.0f}")


if __name__ == "__main__":
    main()
