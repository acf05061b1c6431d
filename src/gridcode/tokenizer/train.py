"""Stage I: train a tokenizer to give back what it is given (paper, section 4.1), for every kind of data.

    batch ─ objective.inputs ─> Tokenizer ─> outputs ─ objective.terms ─> loss = sum of the terms + the quantizer's own

The terms are the kind's (:class:`gridcode.tokenizer.domain.Objective`): of images errors of pixels and a distance of
features, of sounds distances of spectra, of both a discriminator's score, where the settings have them; of label maps
the task's loss. The quantizer's own is logged as ``quantizer`` (FSQ has none). Everything random is keyed by the step,
so a resumed run has the weights of an uninterrupted one, bit for bit on a CPU.

Differs from paper: AdamW with warm-up, cosine and clipped gradients instead of Adam at a constant rate; a moving
average of the weights is the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor, nn

from gridcode.data.workers import TrainOrder
from gridcode.nn.module import load_weights
from gridcode.tokenizer.config import TokenizerSettings
from gridcode.tokenizer.domain import Sources, domain_of
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.progress import Progress, make_watch, summed, usage_facts
from gridcode.training.fabric import make_fabric, scaler_memory
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.parallel import adapt, in_parts
from gridcode.training.run import OpenRun, RunOptions, open_run, prepare_folder, same_examples
from gridcode.training.seeding import derive_seed
from gridcode.training.state import Trainee
from gridcode.training.step import begin_step, finish_step, tell_schedule

STRIP = 8
"""Validation examples that are shown, with their reconstructions."""


def train_tokenizer(
    config: TokenizerSettings,
    options: RunOptions,
    *,
    init_from: str | Path | None = None,
    sources: Sources | None = None,
    say: Callable[[str], None] | None = None,
) -> Tokenizer:
    """Train a tokenizer and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        config: Everything that determines the result.
        options: Where it goes, and whether to resume.
        init_from: A tokenizer of the same shape whose weights it starts from (fine-tuning).
        sources: The examples, where they do not come from ``config.data`` (a PyTorch dataset, say).
        say: Told what was understood of the data, a line each.

    Returns:
        The best tokenizer by the kind's figure on validation examples, with averaged weights.

    Raises:
        GridcodeError: The data, the folder or the settings are unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    config.check_files()
    kind = domain_of(config)
    begun = None if init_from is None else Tokenizer.from_pretrained(init_from)
    prepare_folder(options, config)
    fabric = make_fabric(config.loop)
    data, loop, optim = config.data, config.loop, config.optim
    if sources is None:
        sources = Sources(kind.open(data, "train"), kind.open(data, "val"))
    else:  # what config.data names was not read: record what was
        data = kind.recorded(data, sources.train)
    if say is not None:
        for line in kind.understood(data, sources):
            say(line)
    same_examples(options, kind.identity(sources.train))

    torch.manual_seed(derive_seed(loop.seed, "weights"))
    domain = kind.of(config.data, sources.train)
    tokenizer = Tokenizer(config.model, domain)
    if begun is not None and init_from is not None:
        load_weights(tokenizer, begun.state_dict(), origin=init_from)
    tokenizer.info = {"data": asdict(data), "dataset": PurePath(data.source).name or data.source}
    tokenizer.to(fabric.device)
    ema = make_ema(tokenizer, optim)
    averaged = ema.module
    assert isinstance(averaged, Tokenizer)
    # Decay would pull a codebook's vectors to the origin, away from the latents that they stand for.
    optimizer = make_optimizer(tokenizer, optim, no_decay=tokenizer.quantizer)
    objective = domain.make_objective(config, tokenizer, sources, options, fabric=fabric)
    watch = make_watch(config.alarms, tokenizer.quantizer)
    memories = {"alarms": watch, **scaler_memory(fabric), **kind.memories(sources.train)}
    trainee = Trainee(tokenizer, ema, optimizer, others=dict(objective.learners), memories=memories)

    with open_run(options, loop, trainee, fabric=fabric, title="tokenizer") as run:
        tell_schedule(run, optim)
        networks = (tokenizer.encoder, tokenizer.decoder)
        adapt(tokenizer, loop, blocks=[block for network in networks for block in domain.blocks(network)])
        model, optimizer = fabric.setup(_Forward(tokenizer, config.quantizer_dropout), optimizer)
        objective.setup(fabric)
        progress = Progress(run, watch, tokenizer.quantizer, config.alarms)
        rank, world = fabric.global_rank, fabric.world_size
        order = TrainOrder(loop.batch_size, loop.seed, run.start, rank, world)
        batches = kind.train_batches(sources.train, config.data, order)
        for step, batch in zip(run.steps(), batches, strict=False):
            for message in getattr(batch, "skipped", ()):
                run.warn(step + 1, f"skipped {message}")
            inputs = tuple(tensor.to(fabric.device) for tensor in objective.inputs(batch, step))
            begin_step(optimizer, step, loop=loop, optim=optim, rank=rank)

            parts: list[dict[str, Tensor]] = []
            for part, share in in_parts(fabric, model, inputs, count=loop.accumulate):
                outputs, indices, quantizer_loss = model(*part)
                terms = objective.terms(outputs, part, step)
                loss = torch.stack([*terms.values(), quantizer_loss]).sum()
                fabric.backward(share * loss)
                progress.count(indices)
                shown = (terms if len(terms) > 1 else {}) | {"quantizer": quantizer_loss}
                parts.append({name: share * term.detach() for name, term in {"loss": loss, **shown}.items()})
            figures = finish_step(model, tokenizer, ema, optimizer, clip=optim.clip, fabric=fabric)

            metrics = summed(parts) | figures | objective.finish_step(inputs, step)
            validate = partial(_validate, run, step, averaged, sources.val, config)
            progress.end_step(step, metrics, validate=validate, save=averaged.save_pretrained)
    fabric.barrier()
    return Tokenizer.from_pretrained(options.out)


class _Forward(nn.Module):
    """A training step's forward pass as plain tuples: Fabric's precision plugin refuses frozen dataclasses."""

    def __init__(self, tokenizer: Tokenizer, dropout: float) -> None:
        super().__init__()
        self.tokenizer, self.dropout = tokenizer, dropout

    def forward(self, *inputs: Tensor) -> tuple[Any, Tensor, Tensor]:
        """The outputs, the indices and the quantizer's loss."""
        out = self.tokenizer(*inputs, quantizer_dropout=self.dropout)
        return out.outputs, out.quantized.indices, out.quantized.loss


def _validate(
    run: OpenRun, step: int, tokenizer: Tokenizer, source: Any, config: TokenizerSettings
) -> dict[str, float]:
    """Measure the averaged weights and save the best; returns what the alarms check."""
    domain, data = tokenizer.domain, tokenizer.domain.without_workers(config.data)
    chosen = domain.part(source, config.loop.val_count)
    measured = domain.measure(tokenizer, domain.eval_batches(chosen, data, batch_size=config.loop.batch_size))
    run.validated(step, measured.scores, score=measured.score, save=tokenizer.save_pretrained)
    batch = next(iter(domain.eval_batches(domain.part(source, STRIP), data, batch_size=STRIP)))
    domain.save_images(run.out / "images" / f"step-{step + 1:08d}.png", tokenizer, batch)
    return dict(measured.signs) | usage_facts(measured.usage)
