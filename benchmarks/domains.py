"""Every kind's tokenizer at laptop size: examples and tokens per second there and back; sound against its own length.

    python -m benchmarks.domains [--rounds 3] [--minutes 10] [--out FILE.json]

One thread, the recipes' networks with the weights that they begin with. Of sound: how many times faster than it plays
encoding and decoding are, in one part and as a stream of ``--minutes``, by how much peak memory grows with a stream ten
times as long, and the same of transformers' ``DacModel`` and ``EncodecModel`` (extra ``bench``) of equal stride and
about equal width, random weights too; the codecs take turns, and medians count. A codec whose package is not installed
is left out and says so.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import forget_peak, machine, resident_peak, seconds
from gridcode.domains.audio.architectures import AUDIO_ARCHITECTURES
from gridcode.domains.audio.stream import reconstruct_stream
from gridcode.files import to_json, write_json
from gridcode.recipes import recipe
from gridcode.studies.domains.config import RECIPES_OF
from gridcode.tokenizer.domain import domain_of
from gridcode.tokenizer.model import Tokenizer

RATE = 8000
PART = 8
"""Seconds of sound that codecs take at a time."""


def new_tokenizer(run: Any) -> Tokenizer:
    """A recipe's tokenizer, with the weights that it begins with."""
    torch.manual_seed(0)
    return Tokenizer(run.model, domain_of(run).of_settings(run.data)).eval()


def ours() -> dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Any], int]]:
    """Encoding, decoding and the number of weights of the recipe of sounds, with each architecture."""
    run: Any = recipe("fsdd_laptop").tokenizer
    found = {}
    for name, kind in AUDIO_ARCHITECTURES.items():
        model = run.model if isinstance(run.model, kind) else kind.like(run.model)
        tokenizer = new_tokenizer(replace(run, model=model))
        found[f"gridcode, {name}"] = (tokenizer.encode, tokenizer.decode, tokenizer.parameter_count)
    return found


def peers() -> dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Any], int]]:
    """Transformers' codecs of the same stride, 64 samples; channels double at each level, from 48 to 192."""
    try:
        from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel
    except ImportError:
        print("transformers is not installed: without its codecs")
        return {}
    torch.manual_seed(0)
    dac = DacModel(
        DacConfig(
            encoder_hidden_size=24,
            decoder_hidden_size=192,
            hidden_size=192,
            downsampling_ratios=[2, 4, 8],
            upsampling_ratios=[8, 4, 2],
            n_codebooks=1,
            codebook_size=1024,
            sampling_rate=RATE,
        )
    ).eval()
    encodec = EncodecModel(
        EncodecConfig(
            upsampling_ratios=[8, 4, 2],
            num_filters=24,
            sampling_rate=RATE,
            target_bandwidths=[1.25],
            codebook_size=1024,
        )
    ).eval()

    def count(model: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    return {
        "DAC": (
            dac.encode,
            lambda found: dac.decode(found.quantized_representation),
            count(dac),
        ),
        "EnCodec": (
            encodec.encode,
            lambda found: encodec.decode(found.audio_codes, found.audio_scales),
            count(encodec),
        ),
    }


def sounds(rounds: int) -> list[dict[str, Any]]:
    """How many times faster than it plays sound goes through each codec."""
    codecs = {**ours(), **peers()}
    sound = torch.rand(1, 1, PART * RATE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in codecs}
    for turn in range(rounds + 1):
        for name, (encode, decode, _) in codecs.items():
            tokens = encode(sound)
            times = seconds(lambda: encode(sound)), seconds(lambda: decode(tokens))  # noqa: B023
            if turn:  # the first warms up
                found[name].append(times)
    rows = []
    for name, (_, _, weights) in codecs.items():
        encoding, decoding = (PART / statistics.median(times) for times in zip(*found[name], strict=True))
        rows.append(
            {"codec": name, "encode_times_real_time": encoding, "decode_times_real_time": decoding, "weights": weights}
        )
    return rows


def stream(minutes: float) -> dict[str, float]:
    """A long sound there and back in parts: times real time, and how much peak memory grows with its length."""
    tokenizer = new_tokenizer(recipe("fsdd_laptop").tokenizer)

    def pieces(count: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(count):
            yield torch.rand(1, 1, RATE, generator=generator) * 2 - 1

    def through(count: int) -> int:
        return sum(part.shape[-1] for part in reconstruct_stream(tokenizer, pieces(count)))

    length = max(10, round(60 * minutes))
    through(length // 10)
    forget_peak()
    through(length // 10)
    short = resident_peak()
    forget_peak()
    taken = seconds(lambda: through(length))
    return {
        "minutes": length / 60,
        "times_real_time": length / taken,
        "peak_mib": resident_peak(),
        "peak_mib_of_a_tenth": short,
    }


def kinds(rounds: int) -> list[dict[str, Any]]:
    """Examples and tokens per second of every kind's tokenizer, in batches of the recipe's size."""
    rows = []
    for kind, name in RECIPES_OF.items():
        run: Any = recipe(name).tokenizer
        tokenizer = new_tokenizer(run)
        domain, size = tokenizer.domain, run.loop.batch_size
        examples = _examples(kind, run, size)
        tokens = tokenizer.encode(examples)
        times = [
            (seconds(lambda: tokenizer.encode(examples)), seconds(lambda: tokenizer.decode(tokens)))  # noqa: B023
            for _ in range(rounds + 1)
        ][1:]
        encoding, decoding = (statistics.median(part) for part in zip(*times, strict=True))
        each = math.prod(tokenizer.token_grid(*domain.shape(run.data)))
        rows.append(
            {
                "kind": kind,
                "batch": size,
                "tokens_an_example": each,
                "encode_examples_per_s": size / encoding,
                "decode_examples_per_s": size / decoding,
                "encode_tokens_per_s": size * each / encoding,
                "weights": tokenizer.parameter_count,
            }
        )
    return rows


def _examples(kind: str, run: Any, size: int) -> Tensor:
    """Examples of noise, of a kind's shape."""
    data, generator = run.data, torch.Generator().manual_seed(0)
    if kind == "text":
        return torch.randint(256, (size, data.window), generator=generator, dtype=torch.uint8)
    shapes = {
        "image": lambda: (data.channels, data.size, data.size),
        "audio": lambda: (1, data.samples),
        "points": lambda: (data.points, 3),
        "video": lambda: (3, data.frames, data.size, data.size),
    }
    return torch.rand(size, *shapes[kind](), generator=generator) * 2 - 1


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {"stream": stream(given.minutes), "sounds": sounds(given.rounds), "kinds": kinds(given.rounds)}
    for row in (found["stream"], *found["sounds"], *found["kinds"]):
        print(to_json({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}))
    if given.out:
        write_json(given.out, {"machine": machine("cpu"), "rounds": given.rounds, **found})


if __name__ == "__main__":
    main()
