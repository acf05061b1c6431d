"""Stage II: train a prior from a token store alone (paper, sections 4.3 and A.4.2).

The loss is the cross-entropy of the predicted tokens (MaskGIT, section 3.1), the vocabulary's own, as one number:

    loss = 1/B Σ_b 1/M_b Σ_{n predicted in b} loss_bn

so that an example counts the same however much of it is hidden. The loop (:func:`fit_prior`) and the measurement
(:func:`measure_prior`) are those of every prior, whatever it is conditioned on.

Differs from paper: after the warm-up the learning rate falls by a cosine, gradients are clipped, and an
exponential moving average of the weights is what is validated and saved; label smoothing spreads its share over the
whole vocabulary, the right token included, as PyTorch does; digit heads spread a part of it over each digit's levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.nn.module import load_weights
from gridcode.prior.base import Prior
from gridcode.prior.config import MaskingConfig, PriorRun, TokenSpace
from gridcode.prior.make import load_prior, make_prior, prior_class
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.store.mapped import map_tokens
from gridcode.store.reader import TokenStore, TokenTable
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import make_fabric, scaler_memory
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.parallel import adapt, in_parts
from gridcode.training.resume import describe
from gridcode.training.run import RunOptions, open_run, prepare_folder, same_examples
from gridcode.training.seeding import derive_seed, fixed_sample, generator, indices_at
from gridcode.training.state import Trainee
from gridcode.training.step import begin_step, finish_step, tell_schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class TokenBatch:
    """One training batch of one process.

    Attributes:
        tokens: (B, N) int64, the truth.
        condition: What the prior is given: labels (B,) int64, -1 where there is none or it was dropped, or examples.
        targets: (B, N) bool, True where the token is predicted: hidden from a masked prior.
    """

    tokens: Tensor
    condition: Tensor
    targets: Tensor


@dataclass(frozen=True)
class PredictionScores:
    """What predictions are worth.

    Attributes:
        loss: Mean over each example's predicted tokens, then over examples; nats.
        accuracy: Share of predicted tokens whose most probable guess is right.
    """

    loss: Tensor
    accuracy: Tensor


class PriorSettings(Protocol):
    """Settings of a prior's run: its task, its optimiser and its loop."""

    @property
    def masking(self) -> MaskingConfig:
        """The task."""

    @property
    def optim(self) -> OptimConfig:
        """The optimiser."""

    @property
    def loop(self) -> LoopConfig:
        """The loop."""


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
        axes=manifest.axes,
    )


def token_levels(quantizer: Mapping[str, Any]) -> tuple[int, ...]:
    """The levels of a token's digits, from the quantizer's spec; none where its codebook has no digits.

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
    train = map_tokens(store, "train")
    val = map_tokens(store, "val") if "val" in store.splits else None
    same_examples(options, describe(len(train.tokens), store.manifest.classes, store.keys("train")))

    torch.manual_seed(derive_seed(config.loop.seed, "weights"))
    prior = make_prior(config.model, token_space(store))
    if init_from is not None:
        start = prior_class(config.model).from_pretrained(init_from)
        load_weights(prior, start.state_dict(), origin=init_from)
    prior = prior.to(fabric.device)

    def batches(start: int) -> Iterator[TokenBatch]:
        for step in count(start):
            yield token_batch(train, config, step=step, rank=fabric.global_rank, world=fabric.world_size)

    fit_prior(
        prior,
        make_optimizer(prior, config.optim),
        config,
        options,
        batches=batches,
        held_out=lambda: held_out_tokens(val or train, batch_size=config.loop.batch_size, limit=config.loop.val_count),
        validated=val is not None,
        fabric=fabric,
    )
    return load_prior(options.out)


def fit_prior(
    prior: Prior,
    optimizer: torch.optim.Optimizer,
    settings: PriorSettings,
    options: RunOptions,
    *,
    batches: Callable[[int], Iterator[TokenBatch]],
    held_out: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    validated: bool,
    fabric: Fabric,
) -> None:
    """The training loop of every prior; it leaves ``best/`` and ``last/`` in the run's folder.

    Args:
        prior: On its device.
        optimizer: What changes its weights.
        settings: Task, rates, length and precision.
        options: Where it goes, and whether to resume.
        batches: From a step on, without end, this process's batches.
        held_out: What :func:`measure_prior` takes, anew at each validation; the lowest loss is the best.
        validated: Whether ``held_out`` holds tokens that are not learned from.
        fabric: The processes.

    Raises:
        GridcodeError: The folder is unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    loop, optim, masking = settings.loop, settings.optim, settings.masking
    ema = make_ema(prior, optim)
    averaged: Any = ema.module
    trainee = Trainee(prior, ema, optimizer, memories=scaler_memory(fabric))
    with open_run(options, loop, trainee, fabric=fabric, title="prior") as run:
        tell_schedule(run, optim)
        adapt(prior, loop, blocks=prior.blocks)
        model, wrapped = fabric.setup(prior, optimizer)
        if not validated:
            run.warn(run.start, "the token store has no split 'val': what is called validation is on training tokens")
        for step, batch in zip(run.steps(), batches(run.start), strict=False):
            begin_step(wrapped, step, loop=loop, optim=optim, rank=fabric.global_rank)
            parts: list[PredictionScores] = []
            on_device = tuple(tensor.to(fabric.device) for tensor in (batch.tokens, batch.condition, batch.targets))
            for part, share in in_parts(fabric, model, on_device, count=loop.accumulate):
                scored = prediction_scores(model(*part, masking.label_smoothing), part[-1])
                fabric.backward(share * scored.loss)
                parts.append(PredictionScores(share * scored.loss.detach(), share * scored.accuracy))
            figures = finish_step(model, prior, ema, wrapped, clip=optim.clip, fabric=fabric)

            loss, accuracy = sum(one.loss for one in parts), sum(one.accuracy for one in parts)
            run.log(step, {"loss": loss, "accuracy": accuracy} | figures)
            if run.logs_at(step):
                run.write_line(step)
            if run.validates_at(step):
                if run.writer:
                    scores = measure_prior(averaged, held_out(), min_masked=masking.min_masked)
                    run.validated(step, scores, score=-scores["loss"], save=averaged.save_pretrained)
                fabric.barrier()
            run.end_step(step, save=averaged.save_pretrained)
    fabric.barrier()


def prediction_scores(scores: TokenScores, targets: Tensor) -> PredictionScores:
    """The mean of each example's mean.

    Args:
        scores: Of the M predicted tokens in row-major order.
        targets: (B, N) bool with M True entries, at least one a row.

    >>> scores = TokenScores(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([True, False, False]))
    >>> prediction_scores(scores, torch.tensor([[True, True], [False, True]])).loss        # (2 + 5) / 2
    tensor(3.5000)
    """
    counts = targets.sum(1)
    weights = (1 / counts.float()).repeat_interleave(counts) / len(targets)
    return PredictionScores((scores.losses * weights).sum(), scores.right.float().mean())


def token_batch(table: TokenTable, config: PriorRun, *, step: int, rank: int = 0, world: int = 1) -> TokenBatch:
    """The batch of one step and process, from (seed, step) alone.

    Masks and dropped labels are drawn for the whole batch and then cut, so they do not depend on the number
    of processes.
    """
    B, seed = config.loop.batch_size, config.loop.seed
    if B % world:
        raise GridcodeError(f"loop.batch_size={B} cannot be shared by {world} processes: choose a multiple of {world}")
    rows = torch.from_numpy(indices_at(step * B, (step + 1) * B, count=len(table.tokens), seed=seed))
    shape = (B, table.tokens.shape[1])
    targets, dropped = drawn_at(step, prior_class(config.model), config.masking, shape=shape, seed=seed)
    mine = slice(rank * B // world, (rank + 1) * B // world)
    labels = table.labels[rows].masked_fill(dropped, -1)
    return TokenBatch(table.tokens[rows[mine]].long(), labels[mine], targets[mine])


def drawn_at(
    step: int, prior: type[Prior], masking: MaskingConfig, *, shape: tuple[int, int], seed: int
) -> tuple[Tensor, Tensor]:
    """What is random about a training step's task, from (seed, step) alone.

    Args:
        step: The step, from 0.
        prior: What is trained.
        masking: The task.
        shape: (B, N) of the batch of all processes.
        seed: The run's.

    Returns:
        The predicted tokens (B, N) and the examples whose condition is hidden (B,), bool.
    """
    draw = generator(seed, "masks", step)
    targets = prior.target_mask(shape, min_masked=masking.min_masked, generator=draw)
    return targets, torch.rand(shape[0], generator=draw) < masking.label_dropout


def held_out_tokens(table: TokenTable, *, batch_size: int, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens and labels for :func:`measure_prior`.

    Args:
        table: The tokens.
        batch_size: Examples at a time.
        limit: Examples at most, from all over the table.
    """
    rows = len(table.tokens)
    for part in torch.split(torch.from_numpy(fixed_sample(rows, min(rows, limit or rows))), batch_size):
        yield table.tokens[part].long(), table.labels[part]


@torch.inference_mode()
def measure_prior(prior: Prior, examples: Iterable[tuple[Tensor, Tensor]], *, min_masked: float) -> dict[str, float]:
    """Loss and accuracy of predicted tokens: a masked prior's on fixed masks, all of an autoregressive one's.

    Args:
        prior: In evaluation mode.
        examples: Batches of tokens (B, N) and what the prior is conditioned on, from any device.
        min_masked: Smallest share of masked tokens, as in training.

    Returns:
        ``loss`` (nats per token, unsmoothed, over the whole vocabulary) and ``accuracy``, each token given the truth of
        those that the prior sees.
    """
    loss, accuracy, seen = 0.0, 0.0, 0
    for number, (tokens, condition) in enumerate(examples):
        draw = generator(0, "validation masks", number)
        shape = (len(tokens), tokens.shape[1])
        targets = prior.target_mask(shape, min_masked=min_masked, generator=draw).to(prior.device)
        scores = prior(tokens.to(prior.device), condition.to(prior.device), targets)
        found = prediction_scores(scores, targets)
        loss += float(found.loss) * len(tokens)
        accuracy += float(found.accuracy) * len(tokens)
        seen += len(tokens)
    return {"loss": loss / seen, "accuracy": accuracy / seen}
