"""What ``--dry-run`` prints, for every kind of data: settings, parameters, token grid, and an estimate of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import log2, prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.recipes import DenseRun
from gridcode.files import to_json
from gridcode.nn.module import count_parameters
from gridcode.prior import TokenSpace
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.prior.make import make_prior
from gridcode.prior.train import token_levels, token_space
from gridcode.recipes import ClassRecipe
from gridcode.store.reader import TokenStore
from gridcode.tokenizer.domain import Domain, domain_of
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.config import LoopConfig
from gridcode.training.fabric import resolve_precision
from gridcode.training.optim import COPIES


def describe_tokenizer_run(run: Any, domain: Domain | None = None) -> str:
    """The text for a Stage I run of any kind of data.

    Args:
        run: Its :class:`~gridcode.tokenizer.config.TokenizerSettings`.
        domain: What is known of the data; the settings tell it where it is not given.

    Raises:
        GridcodeError: The data must be opened to tell what the tokenizer would be, and cannot be.

    >>> from gridcode.domains.dense import LabelTokenizerRun
    >>> describe_tokenizer_run(LabelTokenizerRun()).splitlines()[-4:-2]
    ['token grid   8 x 8 = 64 tokens of 4,375 codes (12.10 bits)', 'rate         774 bits per example']
    """
    domain = domain or domain_of(run).of_settings(run.data)
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model, domain)
    bytes_per_value = 4 if resolve_precision(run.loop) == "fp32" else 2
    outline = domain.outline(tokenizer, run, bytes_per_value=bytes_per_value)
    grid, K = tokenizer.token_grid(*domain.shape(run.data)), tokenizer.codebook_size
    return _text(
        asdict(run),
        outline.parts,
        {
            "quantizer": to_json(tokenizer.quantizer.spec()),
            "token grid": f"{_sides(grid)} = {prod(grid)} tokens of {K:,} codes ({log2(K):.2f} bits)",
            **outline.facts,
            "examples": _examples(run.loop),
        },
        weights=tokenizer.parameter_count,
        activations=None if outline.activations is None else _at_a_time(run.loop) * outline.activations,
        beside=outline.beside,
    )


def stored_space(folder: Path) -> TokenSpace:
    """The tokens of a store.

    Raises:
        GridcodeError: There is no store.
    """
    return token_space(TokenStore.open(folder))


def assumed_space(recipe: ClassRecipe) -> TokenSpace:
    """The tokens that a recipe's own tokenizer will make of its own examples, before there are any."""
    run = recipe.tokenizer
    domain = domain_of(run).of_settings(run.data)
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model, domain)
    return TokenSpace(
        codebook_size=tokenizer.codebook_size,
        grid=tokenizer.token_grid(*domain.shape(run.data)),
        classes=tuple(f"class {number}" for number in range(recipe.classes)),
        tokenizer="",
        data={},
        levels=token_levels(tokenizer.quantizer.spec()),
        axes=len(tokenizer.config.grid_names),
    )


def describe_prior_run(run: PriorRun, space: TokenSpace) -> str:
    """The text for a Stage II run on tokens of a space."""
    with torch.device("meta"):
        prior = make_prior(run.model, space)
    parts = {"vocabulary": count_parameters(prior.vocabulary), "transformer": count_parameters(prior.trunk)}
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
        weights=count_parameters(prior),
        activations=_at_a_time(run.loop) * (layers + logits),
    )


def describe_dense_run(run: DenseRun) -> str:
    """The text for both stages.

    Raises:
        GridcodeError: The stages do not fit each other, or the classes are the data's and it cannot be opened.
    """
    first, second = describe_tokenizer_run(run.tokenizer), describe_stage_two(run)
    return "\n".join(["Stage I", "", first, "", "", "Stage II", "", second])


def stage_two_parameters(run: DenseRun) -> dict[str, int]:
    """The learned numbers of each part of Stage II, without making them."""
    with torch.device("meta"):
        tokenizer = Tokenizer(run.tokenizer.model, DenseDomain.of_settings(run.data))
        levels = token_levels(tokenizer.quantizer.spec())
        space = TokenSpace(tokenizer.codebook_size, tokenizer.token_grid(), (), "", {}, levels=levels)
        settings = run.stage_two()
        shape = (dense_domain(tokenizer).label_map.context_channels, *run.data.shape)
        prior = make_prior(settings.model, space, shape, decoding=settings.prior)
    assert prior.encoder is not None
    parts: dict[str, nn.Module] = {"encoder": prior.encoder, "decoder": prior.trunk, "vocabulary": prior.vocabulary}
    counts = {name: count_parameters(part) for name, part in parts.items()}
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
