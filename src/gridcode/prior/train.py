"""Stage II: train a prior from a token store alone (paper, sections 4.3 and A.4.2).

Differs from paper: after the warm-up the learning rate falls by a cosine, gradients are clipped, and an
exponential moving average of the weights is what is validated and saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.nn.module import load_weights
from gridcode.prior.base import Prior
from gridcode.prior.config import PriorRun
from gridcode.prior.loop import Lessons, learn_tokens
from gridcode.prior.loss import masked_token_loss
from gridcode.prior.make import load_prior, make_prior, prior_class
from gridcode.prior.space import TokenSpace
from gridcode.store.reader import TokenStore, TokenTable
from gridcode.training.fabric import make_fabric
from gridcode.training.optim import make_optimizer
from gridcode.training.resume import describe
from gridcode.training.run import RunOptions, prepare_folder, same_examples
from gridcode.training.seeding import derive_seed, fixed_sample, generator, indices_at


@dataclass(frozen=True)
class MaskedBatch:
    """One training batch of one process.

    Attributes:
        tokens: (B, N) int64, the truth.
        labels: (B,) int64; -1 where there is none or it was dropped.
        masked: (B, N) bool, True where the token is asked for: hidden from a masked prior.
    """

    tokens: Tensor
    labels: Tensor
    masked: Tensor


def token_space(store: TokenStore) -> TokenSpace:
    """What a prior must know of a store's tokens."""
    manifest = store.manifest
    return TokenSpace(
        codebook_size=manifest.codebook_size,
        grid=tuple(manifest.grid),
        classes=tuple(manifest.classes),
        tokenizer=manifest.tokenizer,
        data=dict(manifest.data),
        levels=token_levels(manifest.quantizer),
    )


def token_levels(quantizer: Mapping[str, Any]) -> tuple[int, ...]:
    """The levels of a token's digits, from the quantizer's spec; none where its book has no digits.

    >>> token_levels({"name": "lfq", "bits": 3}), token_levels({"name": "vq", "size": 8})
    ((2, 2, 2), ())
    """
    if "levels" in quantizer:
        return tuple(quantizer["levels"])
    return (2,) * int(quantizer.get("bits", 0))


def train_prior(
    config: PriorRun, store: TokenStore, options: RunOptions, *, init_from: str | Path | None = None
) -> Prior:
    """Train a prior and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        config: Everything but the tokens that determines the result.
        store: The tokens; split "train" is learned, split "val" is measured ("train" itself, with a warning, where
            there is none).
        options: Where it goes, and whether to resume.
        init_from: A prior of the same shape and tokens whose weights it starts from.

    Returns:
        The best prior by validation loss, with averaged weights.

    Raises:
        GridcodeError: The store, the folder or the settings are unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    learned = {"tokenizer": store.manifest.tokenizer, "rows": store.rows("train")}
    prepare_folder(options, config, {"tokens": learned, "prior": prior_class(config.model).name})
    fabric = make_fabric(config.loop)
    train = store.load("train")
    val = store.load("val") if "val" in store.splits else None
    same_examples(options, describe(len(train.tokens), store.manifest.classes, train.keys))

    torch.manual_seed(derive_seed(config.loop.seed, "weights"))
    prior = make_prior(config.model, token_space(store))
    if init_from is not None:
        start = prior_class(config.model).from_pretrained(init_from)
        load_weights(prior, start.state_dict(), origin=init_from)
    prior = prior.to(fabric.device)

    def batches(start: int) -> Iterator[tuple[Tensor, ...]]:
        for step in count(start):
            batch = masked_batch(train, config, step=step, rank=fabric.global_rank, world=fabric.world_size)
            yield batch.tokens, batch.labels, batch.masked

    def measure(averaged: Prior) -> dict[str, float]:
        loop, min_masked = config.loop, config.masking.min_masked
        return measure_prior(
            averaged, val or train, min_masked=min_masked, batch_size=loop.batch_size, limit=loop.val_count
        )

    learn_tokens(
        prior,
        make_optimizer(prior, config.optim),
        Lessons(batches, measure, config.masking.label_smoothing, validated=val is not None),
        config,
        options,
        fabric=fabric,
        blocks=prior.trunk.blocks,
    )
    return load_prior(options.out)


def masked_batch(table: TokenTable, config: PriorRun, *, step: int, rank: int = 0, world: int = 1) -> MaskedBatch:
    """The batch of one step and process, from (seed, step) alone.

    Masks and dropped labels are drawn for the whole batch and then cut, so they do not depend on the number
    of processes.
    """
    B, seed = config.loop.batch_size, config.loop.seed
    if B % world:
        raise GridcodeError(f"loop.batch_size={B} cannot be shared by {world} processes: choose a multiple of {world}")
    rows = torch.from_numpy(indices_at(step * B, (step + 1) * B, count=len(table.tokens), seed=seed))
    draw = generator(seed, "masks", step)
    masked = prior_class(config.model).asked(
        (B, table.tokens.shape[1]), min_masked=config.masking.min_masked, generator=draw
    )
    dropped = torch.rand(B, generator=draw) < config.masking.label_dropout
    mine = slice(rank * B // world, (rank + 1) * B // world)
    labels = table.labels[rows].masked_fill(dropped, -1)
    return MaskedBatch(table.tokens[rows[mine]].long(), labels[mine], masked[mine])


@torch.inference_mode()
def measure_prior(
    prior: Prior, table: TokenTable, *, min_masked: float, batch_size: int, limit: int | None = None
) -> dict[str, float]:
    """Loss and accuracy of the tokens asked for: a masked prior's on fixed masks, all of an autoregressive one's.

    Args:
        prior: In evaluation mode.
        table: The tokens.
        min_masked: Smallest share of masked tokens, as in training.
        batch_size: Examples at a time.
        limit: Examples at most, from all over the table.

    Returns:
        ``loss`` (nats per token, unsmoothed, over the whole vocabulary) and ``accuracy``.
    """
    device = prior.device
    rows = len(table.tokens)
    seen = min(rows, limit or rows)
    chosen = torch.from_numpy(fixed_sample(rows, seen))
    loss = accuracy = 0.0
    for number, part in enumerate(torch.split(chosen, batch_size)):
        tokens, labels = table.tokens[part].to(device), table.labels[part].to(device)
        draw = generator(0, "validation masks", number)
        masked = prior.asked((len(tokens), tokens.shape[1]), min_masked=min_masked, generator=draw).to(device)
        scores = masked_token_loss(prior(tokens, labels, masked), masked)
        loss += float(scores.loss) * len(part)
        accuracy += float(scores.accuracy) * len(part)
    return {"loss": loss / seen, "accuracy": accuracy / seen}
