"""What ``--dry-run`` prints, for every kind of data: settings, parameters, token grid, and an estimate of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import log2, prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gridcode.domains.dense.describe import describe_label_run, run_categories
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.prior.make import make_conditional_prior
from gridcode.domains.dense.run_config import DenseRun
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.discriminator import Discriminator
from gridcode.files import to_json
from gridcode.prior import TokenSpace
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.prior.make import make_prior
from gridcode.prior.train import token_levels, token_space
from gridcode.recipes.recipe import Recipe
from gridcode.store.reader import TokenStore
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.config import LoopConfig
from gridcode.training.optim import COPIES
from gridcode.training.precision import resolve_precision


def describe_tokenizer_run(run: TokenizerRun) -> str:
    """The text for a Stage I run."""
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model)
    grid = tokenizer.token_grid(run.data.size, run.data.size)
    tokens, K = prod(grid), tokenizer.codebook_size
    encoder, decoder, weights = (
        _parameters(tokenizer.encoder),
        _parameters(tokenizer.decoder),
        tokenizer.parameter_count,
    )
    parts = {"encoder": encoder, "quantizer": weights - encoder - decoder, "decoder": decoder}
    bytes_per_value = 4 if resolve_precision(run.loop) == "fp32" else 2
    kept = run.model.kept(run.data.size, run.data.size)
    return _text(
        asdict(run),
        parts,
        {
            "quantizer": to_json(tokenizer.quantizer.spec()),
            "token grid": f"{_sides(grid)} = {tokens} tokens of {K:,} codes ({log2(K):.2f} bits)",
            "rate": f"{tokens * log2(K) / run.data.size**2:.3f} bits per pixel",
            "examples": _examples(run.loop),
        },
        weights=weights,
        activations=_at_a_time(run.loop) * kept * bytes_per_value,
        beside=_networks_of_the_loss(run),
    )


def _networks_of_the_loss(run: TokenizerRun) -> str:
    """What Stage I's loss takes beside the tokenizer; nothing if pixels alone are compared."""
    perceptual, adversarial, networks = run.loss.perceptual, run.loss.adversarial, []
    if perceptual.active:
        names = {"lpips": "VGG-16", "lite0": "EfficientNet-lite0"}
        networks.append(names.get(perceptual.kind, "a perceptual network"))
    if adversarial.active:
        with torch.device("meta"):
            discriminator = Discriminator(
                run.data.channels, run.data.size, width=adversarial.width, patch=adversarial.patch
            )
        networks.append(f"a discriminator of {_parameters(discriminator):,} parameters")
    return " and ".join(networks)


def stored_space(folder: Path) -> TokenSpace:
    """The tokens of a store.

    Raises:
        GridcodeError: There is no store.
    """
    return token_space(TokenStore.open(folder))


def assumed_space(recipe: Recipe) -> TokenSpace:
    """The tokens that a recipe's own tokenizer will make of its own pictures, before there are any."""
    run = recipe.tokenizer
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model)
    return TokenSpace(
        codebook_size=tokenizer.codebook_size,
        grid=tokenizer.token_grid(run.data.size, run.data.size),
        classes=tuple(f"class {number}" for number in range(recipe.classes)),
        tokenizer="",
        data={},
        levels=token_levels(tokenizer.quantizer.spec()),
    )


def describe_prior_run(run: PriorRun, space: TokenSpace) -> str:
    """The text for a Stage II run on tokens of a space."""
    with torch.device("meta"):
        prior = make_prior(run.model, space)
    parts = {"vocabulary": _parameters(prior.vocabulary), "transformer": _parameters(prior.trunk)}
    N, D = space.length + 1, run.model.width
    bytes_per_value = 4 if resolve_precision(run.loop) == "fp32" else 2
    # Each layer keeps about 8 maps of the width and 2 of the MLP; the tokens asked for, of which a masked prior has two
    # thirds, have fp32 logits: of every code, class and MASK, or of every level.
    outputs = space.codebook_size + len(space.classes) + 1 if run.model.head == "joint" else sum(space.levels)
    layers = run.model.depth * N * (8 * D + 2 * run.model.mlp) * bytes_per_value
    logits = (0.7 if isinstance(run.model, MaskGITConfig) else 1) * N * outputs * 4 * 2
    return _text(
        asdict(run),
        parts,
        {
            "token grid": f"{_sides(space.grid)} = {prod(space.grid)} tokens of {space.codebook_size:,} codes",
            "classes": str(len(space.classes)) if space.classes else "none",
            "examples": _examples(run.loop),
        },
        weights=_parameters(prior),
        activations=_at_a_time(run.loop) * (layers + logits),
    )


def describe_dense_run(run: DenseRun) -> str:
    """The text for both stages.

    Raises:
        GridcodeError: The stages do not fit each other, or the classes are the data's and it cannot be opened.
    """
    categories = run_categories(run.tokenizer)
    return "\n".join(
        ["Stage I", "", describe_label_run(run.tokenizer, categories), "", "", "Stage II", "", describe_stage_two(run)]
    )


def stage_two_parameters(run: DenseRun) -> dict[str, int]:
    """The learned numbers of each part of Stage II, without making them."""
    with torch.device("meta"):
        tokenizer = Tokenizer(run.tokenizer.model, DenseDomain(run.data, run_categories(run.tokenizer)))
        levels = token_levels(tokenizer.quantizer.spec())
        space = TokenSpace(tokenizer.codebook_size, tokenizer.token_grid(), (), "", {}, levels=levels)
        settings = run.stage_two()
        shape = (dense_domain(tokenizer).label_map.context_channels, *run.data.shape)
        prior = make_conditional_prior(settings.prior, settings.model, space, shape)
    parts = {"encoder": prior.encoder, "decoder": prior.decoder, "vocabulary": prior.vocabulary}
    counts = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
    return counts | {"all": prior.parameter_count}


def describe_stage_two(run: DenseRun) -> str:
    """The text for Stage II of dense prediction.

    Raises:
        GridcodeError: The stages do not fit each other, or the classes are the data's and it cannot be opened.
    """
    parts = stage_two_parameters(run)
    weights = parts.pop("all")
    facts = {"examples": _examples(run.prior.loop)}
    return _text(asdict(run.prior) | {"data": asdict(run.data)}, parts, facts, weights=weights, activations=None)


def _sides(grid: Sequence[int]) -> str:
    return " x ".join(str(side) for side in grid)


def _examples(loop: LoopConfig) -> str:
    return f"{loop.steps} steps x {loop.batch_size} = {loop.steps * loop.batch_size:,}"


def _at_a_time(loop: LoopConfig) -> float:
    """Examples that a process has in memory together."""
    return loop.batch_size / (loop.devices * loop.accumulate)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _text(
    settings: Mapping[str, Any],
    parts: Mapping[str, int],
    facts: Mapping[str, str],
    *,
    weights: int,
    activations: float | None,
    beside: str = "",
) -> str:
    counts = {name: f"{count:,}" for name, count in {**parts, "all": weights}.items()}
    learned = COPIES * 4 * weights
    memory = f"{learned / 2**30:.2f} weights and optimiser, "
    memory += "activations not counted" if activations is None else f"{activations / 2**30:.2f} activations"
    lines = ["settings", to_json(settings, indent=2), "", "parameters"]
    lines += [f"  {name:12} {count:>14}" for name, count in counts.items()]
    lines += ["", *(f"{name:12} {fact}" for name, fact in facts.items())]
    lines += [
        f"memory       about {(learned + (activations or 0)) / 2**30:.2f} GiB in training on each device (estimate: "
        f"{memory}), and {f'{beside}, and ' * bool(beside)}torch itself"
    ]
    return "\n".join(lines)
