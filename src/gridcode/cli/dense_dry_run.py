"""What ``gridcode dense train --dry-run`` prints: settings and parameters of both stages."""

from __future__ import annotations

from dataclasses import asdict

import torch

from gridcode.domains.dense.describe import describe_label_run, run_categories
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.prior.make import make_conditional_prior
from gridcode.domains.dense.run_config import DenseRun
from gridcode.files import to_json
from gridcode.prior.space import TokenSpace
from gridcode.prior.train import token_levels
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.optim import COPIES


def describe_dense_run(run: DenseRun) -> str:
    """The text for both stages.

    Raises:
        GridcodeError: The stages do not fit each other, or the classes are the data's and it cannot be opened.
    """
    categories = run_categories(run.tokenizer)
    return "\n".join(["Stage I", "", describe_label_run(run.tokenizer, categories), "", "", *_stage_two(run)])


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


def _stage_two(run: DenseRun) -> list[str]:
    counts, loop = stage_two_parameters(run), run.prior.loop
    lines = ["Stage II", "", "settings", to_json(asdict(run.prior) | {"data": "as above"}, indent=2)]
    lines += ["", "parameters", *(f"  {name:12} {count:>14,}" for name, count in counts.items()), ""]
    memory = COPIES * 4 * counts["all"] / 2**30
    return [
        *lines,
        f"{'examples':12} {loop.steps} steps x {loop.batch_size} = {loop.steps * loop.batch_size:,}",
        f"{'memory':12} about {memory:.2f} GiB of weights and optimiser in training, activations not counted",
    ]
