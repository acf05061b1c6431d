"""Stage II of dense prediction: train a prior to predict the code of an image's label map.

The tokens come from a store, the images from the data that was tokenized, joined by key (``join.py``). Masks and
dropout are keyed by the step, so a resumed run has the weights of an uninterrupted one, bit for bit on a CPU.

Reference: the paper, section 4.4 (UViM, section 4).
Differs from paper: AdamW instead of a variant of Adafactor; a moving average of the weights is the result; the crops
are the store's, so that an image always has the same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from gridcode.data.workers import TrainOrder
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.data.source import DenseSource
from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.domains.dense.prior.join import Pairs, check_same_data, eval_pairs, join_by_key, train_pairs
from gridcode.prior.base import Prior
from gridcode.prior.encoder import load_vit
from gridcode.prior.make import load_prior, make_prior
from gridcode.prior.train import TokenBatch, drawn_at, fit_prior, token_space
from gridcode.store.reader import TokenStore
from gridcode.tokenizer.domain import Sources
from gridcode.training.config import OptimConfig
from gridcode.training.fabric import make_fabric
from gridcode.training.optim import SCALE, make_optimizer, set_learning_rate
from gridcode.training.resume import describe
from gridcode.training.run import RunOptions, prepare_folder, same_examples
from gridcode.training.seeding import derive_seed


def train_dense_prior(
    config: DensePriorRun,
    store: TokenStore,
    options: RunOptions,
    *,
    sources: Sources | None = None,
) -> Prior:
    """Train an image-conditioned prior and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        config: The settings.
        store: The tokens; splits as for :func:`gridcode.prior.train.train_prior`.
        options: Where it goes, and whether to resume.
        sources: The images, where they do not come from ``config.data``.

    Returns:
        The best prior by validation loss, with averaged weights.

    Raises:
        GridcodeError: Store, images, folder or settings are unusable or do not belong together, or the loss is not
            finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    config.model.encoder.grid(*config.data.shape)  # before the folder is made
    check_same_data(store.manifest.data, config.data)
    learned = {"tokenizer": store.manifest.tokenizer, "rows": store.rows("train")}
    prepare_folder(options, config, {"tokens": learned})
    fabric = make_fabric(config.loop)
    train, val = join_split(store, "train", config.data, sources), join_split(store, "val", config.data, sources)
    assert train is not None, "store.rows would have refused it"
    same_examples(options, describe(len(train), (), (train.source.key(int(place)) for place in train.places)))

    torch.manual_seed(derive_seed(config.loop.seed, "weights"))
    shape = (config.channels, *config.data.shape)
    prior = make_prior(config.model, token_space(store), shape, decoding=config.prior)
    assert prior.encoder is not None
    if config.vit_weights is not None and not options.resume:
        load_vit(prior.encoder, config.vit_weights)
    prior = prior.to(fabric.device)

    def batches(start: int) -> Iterator[TokenBatch]:
        rank, world, loop = fabric.global_rank, fabric.world_size, config.loop
        pairs = train_pairs(train, config.data, TrainOrder(loop.batch_size, loop.seed, start, rank, world))
        shape = (loop.batch_size, train.tokens.shape[1])
        mine = slice(rank * loop.batch_size // world, (rank + 1) * loop.batch_size // world)
        for step, batch in enumerate(pairs, start):
            targets, _ = drawn_at(step, type(prior), config.masking, shape=shape, seed=loop.seed)
            yield TokenBatch(batch.tokens, batch.images, targets[mine])

    fit_prior(
        prior,
        scaled_optimizer(prior, config.optim, encoder_lr=config.encoder_lr),
        config,
        options,
        batches=batches,
        held_out=lambda: held_out_pairs(
            (val or train).some(config.loop.val_count), config.data, batch_size=config.loop.batch_size
        ),
        validated=val is not None,
        fabric=fabric,
    )
    return load_prior(options.out)


def join_split(
    store: TokenStore, split: Literal["train", "val"], data: DenseConfig, sources: Sources | None = None
) -> Pairs | None:
    """A split's tokens with their images; None where the store has no such split.

    Args:
        store: The tokens.
        split: 'train' or 'val'.
        data: Where the images are.
        sources: The images, where they do not come from ``data``.

    Raises:
        GridcodeError: The images cannot be opened, are missing, or are not those of the tokens.
    """
    if split not in store.splits:
        return None
    given = sources and {"train": sources.train, "val": sources.val}
    source: DenseSource = given[split] if given else open_dense(data, split)
    return join_by_key(store.load(split), source, split=split)


def held_out_pairs(pairs: Pairs, data: DenseConfig, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens and images for :func:`gridcode.prior.train.measure_prior`, read in this process."""
    for batch in eval_pairs(pairs, replace(data, workers=0), batch_size=batch_size):
        yield batch.tokens, batch.images


def scaled_optimizer(prior: Prior, config: OptimConfig, *, encoder_lr: float) -> torch.optim.AdamW:
    """AdamW as :func:`make_optimizer` makes it, with groups of their own for the encoder.

    Args:
        prior: What is trained.
        config: Rates and decay.
        encoder_lr: Learning rate of the encoder, as a share of the others'.
    """
    assert prior.encoder is not None
    groups = []
    encoder = set(prior.encoder.parameters())
    for group in make_optimizer(prior, config).param_groups:
        for scale, inside in ((1.0, False), (encoder_lr, True)):
            parameters = [p for p in group["params"] if (p in encoder) == inside]
            groups.append({"params": parameters, "weight_decay": group["weight_decay"], SCALE: scale})
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    set_learning_rate(optimizer, config.lr)
    return optimizer
