"""Stage I of dense prediction: train a label tokenizer to write label maps as codes and read them back.

The task's loss on every pixel, and the quantizer's own loss where it has one; each example's codes are dropped in a
random share (``code_dropout.py``). No discriminator, no perceptual loss. Everything random is keyed by the step, so a
resumed run has the weights of an uninterrupted one, bit for bit on a CPU.

Reference: the paper, section 4.4 (UViM, section 4).
Differs from paper: AdamW instead of a variant of Adafactor; a moving average of the weights is the result.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import PurePath

import torch
from torch import Tensor, nn

from gridcode.domains.dense.code_dropout import draw_dropped
from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.loader import dense_eval_batches, dense_train_batches
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.data.source import DensePart, DenseSource
from gridcode.domains.dense.losses import make_label_loss
from gridcode.domains.dense.measure import measure_labels
from gridcode.domains.dense.model import LabelTokenizer
from gridcode.domains.dense.networks import blocks_of
from gridcode.domains.dense.strip import save_label_strip
from gridcode.tokenizer.progress import Progress, make_watch, summed, usage_facts
from gridcode.training.fabric import make_fabric, scaler_memory
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.parallel import adapt, in_parts
from gridcode.training.resume import describe
from gridcode.training.run import Run, RunOptions, open_run, prepare_folder, same_examples
from gridcode.training.seeding import derive_seed, some_of
from gridcode.training.state import Trainee
from gridcode.training.step import begin_step, finish_step, tell_schedule

STRIP = 8
"""Validation pictures that are kept to be looked at, with their maps."""


@dataclass(frozen=True)
class DenseSources:
    """The pictures with label maps of a run.

    Attributes:
        train: What it learns from.
        val: What it is measured on.
    """

    train: DenseSource
    val: DenseSource


def train_label_tokenizer(
    config: LabelTokenizerRun, options: RunOptions, *, sources: DenseSources | None = None
) -> LabelTokenizer:
    """Train a label tokenizer and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        config: Everything that determines the result.
        options: Where it goes, and whether to resume.
        sources: The pictures with label maps, where they do not come from ``config.data``.

    Returns:
        The best label tokenizer by the task's figure on validation pictures, with averaged weights.

    Raises:
        GridcodeError: The data, the folder or the settings are unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    prepare_folder(options, config)
    fabric = make_fabric(config.loop)
    data = config.data
    if sources is None:
        sources = DenseSources(open_dense(data, "train"), open_dense(data, "val"))
    else:  # what config.data names was not read: record what was
        data = replace(data, source=sources.train.name)

    train, names = sources.train, sources.train.categories.names if sources.train.categories else ()
    same_examples(options, describe(len(train), names, (train.key(index) for index in range(len(train)))))

    torch.manual_seed(derive_seed(config.loop.seed, "weights"))
    tokenizer = LabelTokenizer(config.model, config.data, sources.train.categories)
    tokenizer.info = {"data": asdict(data), "dataset": PurePath(data.source).name or data.source}
    tokenizer.to(fabric.device)
    ema = make_ema(tokenizer, config.optim)
    averaged = ema.module
    assert isinstance(averaged, LabelTokenizer)
    # Decay would pull a book's vectors to the origin, away from the latents that they stand for.
    optimizer = make_optimizer(tokenizer, config.optim, no_decay=tokenizer.quantizer)
    task_loss = make_label_loss(data.task, tokenizer.label_map.masked)
    watch = make_watch(config.alarms, tokenizer.quantizer)
    trainee = Trainee(tokenizer, ema, optimizer, memories={"alarms": watch} | scaler_memory(fabric))

    with open_run(options, config.loop, trainee, fabric=fabric, title="label tokenizer") as run:
        tell_schedule(run, config.optim)
        adapt(tokenizer, config.loop, blocks=blocks_of([tokenizer.encoder, tokenizer.decoder]))
        model, optimizer = fabric.setup(_Forward(tokenizer), optimizer)
        progress = Progress(run, watch, tokenizer.quantizer, config.alarms)
        rank, world, seed = fabric.global_rank, fabric.world_size, config.loop.seed
        batches = dense_train_batches(
            sources.train,
            config.data,
            batch_size=config.loop.batch_size,
            seed=seed,
            start_step=run.start,
            rank=rank,
            world=world,
        )
        for step in run.steps():
            batch = next(batches)
            dropped = draw_dropped(len(batch.keys), config.model.codes, seed=seed, step=step, rank=rank, world=world)
            examples = (batch.labels, batch.images, dropped & config.code_dropout)
            begin_step(optimizer, step, loop=config.loop, optim=config.optim, rank=rank)

            parts: list[dict[str, Tensor]] = []
            on_device = tuple(tensor.to(fabric.device) for tensor in examples)
            for part, share in in_parts(fabric, model, on_device, count=config.loop.accumulate):
                *outputs, indices, quantizer_loss = model(*part)
                terms = task_loss(outputs, tokenizer.targets(part[0]))
                loss = torch.stack([*terms.values(), quantizer_loss]).sum()
                fabric.backward(share * loss)
                progress.count(indices)
                shown = (terms if len(terms) > 1 else {}) | {"quantizer": quantizer_loss}
                parts.append({name: share * term.detach() for name, term in {"loss": loss, **shown}.items()})
            figures = finish_step(model, tokenizer, ema, optimizer, clip=config.optim.clip, fabric=fabric)

            validate = partial(_validate, run, step, averaged, sources.val, config)
            metrics = summed(parts) | figures
            progress.end_step(step, metrics, validate=validate, save=averaged.save_pretrained)
    fabric.barrier()
    return LabelTokenizer.from_pretrained(options.out)


class _Forward(nn.Module):
    """A training step's forward pass as a plain tuple: Fabric's precision plugin refuses frozen dataclasses."""

    def __init__(self, tokenizer: LabelTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, labels: Tensor, images: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        """The outputs, the indices and the quantizer's loss."""
        out = self.tokenizer(labels, images, dropped)
        return (*out.outputs, out.quantized.indices, out.quantized.loss)


def some_examples(source: DenseSource, count: int) -> DenseSource:
    """At most ``count`` examples from all over a source, always the same ones, in its order."""
    if count >= len(source):
        return source
    return DensePart(source, some_of(len(source), count).tolist(), name=source.name)


def _validate(
    run: Run, step: int, tokenizer: LabelTokenizer, source: DenseSource, config: LabelTokenizerRun
) -> dict[str, float]:
    """Measure the averaged weights and keep the best; what the alarms look at."""
    data = replace(config.data, workers=0)
    chosen = some_examples(source, config.loop.val_count)
    measured = measure_labels(tokenizer, dense_eval_batches(chosen, data, batch_size=config.loop.batch_size))
    run.validated(step, measured.scores, score=measured.score(data), save=tokenizer.save_pretrained)
    batch = next(dense_eval_batches(some_examples(source, STRIP), data, batch_size=STRIP))
    labels, images = batch.labels.to(run.fabric.device), batch.images.to(run.fabric.device)
    decoded = tokenizer.decode(tokenizer.encode(labels, images), images)
    save_label_strip(run.out / "pictures" / f"step-{step + 1:08d}.png", batch, decoded, tokenizer.label_map)
    return usage_facts(measured.usage)
