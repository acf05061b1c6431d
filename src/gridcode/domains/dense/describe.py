"""What a label tokenizer's run would train, before it trains: parameters, codes, and an estimate of memory."""

from __future__ import annotations

from dataclasses import asdict
from math import log2, prod

import torch
from torch import nn

from gridcode.data.open import SCENES
from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.config import Categories
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.data.scenes import SCENE_CATEGORIES
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.networks import LabelDecoder, LabelEncoder
from gridcode.files import to_json
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.fabric import resolve_precision
from gridcode.training.optim import COPIES


def run_categories(run: LabelTokenizerRun) -> Categories | None:
    """The classes of a run's data: none but for the task 'panoptic'.

    Raises:
        GridcodeError: The data cannot be opened.
    """
    if run.data.task != "panoptic":
        return None
    return SCENE_CATEGORIES if run.data.source == SCENES else open_dense(run.data, "val").categories


def label_parameters(run: LabelTokenizerRun, categories: Categories | None = None) -> dict[str, int]:
    """The learned numbers of each part, without making them.

    Args:
        run: The run.
        categories: The classes of a panoptic task; the data's own where they are not given.

    >>> label_parameters(LabelTokenizerRun())["quantizer"]
    0
    """
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model, DenseDomain(run.data, categories or run_categories(run)))
    encoder, decoder = tokenizer.encoder, tokenizer.decoder
    assert isinstance(encoder, LabelEncoder)
    assert isinstance(decoder, LabelDecoder)
    labels = sum(_count(part) for part in (*encoder.embeddings, *decoder.heads))
    networks = _count(encoder) + _count(decoder)
    return {
        "labels": labels,
        "encoder": _count(encoder) - sum(_count(part) for part in encoder.embeddings),
        "quantizer": tokenizer.parameter_count - networks,
        "decoder": _count(decoder) - sum(_count(part) for part in decoder.heads),
        "all": tokenizer.parameter_count,
    }


def describe_label_run(run: LabelTokenizerRun, categories: Categories | None = None) -> str:
    """The text of a dry run.

    Args:
        run: The run.
        categories: The classes of a panoptic task; the data's own where they are not given.

    Raises:
        GridcodeError: The classes are not given and the data cannot be opened.

    >>> print(describe_label_run(LabelTokenizerRun()).splitlines()[-3])
    codes        8 x 8 = 64 of 4,375 (12.10 bits), 774 bits an example
    """
    categories = categories or run_categories(run)
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model, DenseDomain(run.data, categories))
    parts = label_parameters(run, categories)
    grid, K = tokenizer.token_grid(), tokenizer.codebook_size
    h, w = run.model.patches(*run.data.shape)
    D, depth = run.model.width, run.model.encoder_depth + run.model.decoder_depth
    pixels = run.data.height * run.data.width
    # Each block keeps about 8 maps of the width and 2 of the MLP; logits are kept three times, in fp32.
    kept = depth * h * w * (8 * D + 2 * run.model.mlp) * (4 if resolve_precision(run.loop) == "fp32" else 2)
    kept += 3 * pixels * sum(dense_domain(tokenizer).label_map.groups or (3,)) * 4
    activations = kept * run.loop.batch_size / run.loop.accumulate
    weights = COPIES * 4 * parts["all"]
    lines = ["settings", to_json(asdict(run), indent=2), "", "parameters"]
    lines += [f"  {name:12} {count:>14,}" for name, count in parts.items()]
    lines += [
        "",
        f"{'codes':12} {' x '.join(map(str, grid))} = {prod(grid)} of {K:,} ({log2(K):.2f} bits), "
        f"{prod(grid) * log2(K):.0f} bits an example",
        f"{'examples':12} {run.loop.steps} steps x {run.loop.batch_size} = {run.loop.steps * run.loop.batch_size:,}",
        f"{'memory':12} about {(weights + activations) / 2**30:.2f} GiB in training (estimate: {weights / 2**30:.2f} "
        f"weights and optimiser, {activations / 2**30:.2f} activations), and torch itself",
    ]
    return "\n".join(lines)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
