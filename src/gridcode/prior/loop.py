"""The training loop that every prior shares, whatever it is conditioned on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from gridcode.prior.loss import MaskedScores, masked_token_loss
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import scaler_memory
from gridcode.training.optim import make_ema
from gridcode.training.parallel import adapt, in_parts
from gridcode.training.run import RunOptions, open_run
from gridcode.training.state import Trainee
from gridcode.training.step import begin_step, finish_step, tell_schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric


P = TypeVar("P", bound=nn.Module)


class RunSettings(Protocol):
    """What a prior's run says of its optimiser and its loop."""

    @property
    def optim(self) -> OptimConfig:
        """The optimiser."""

    @property
    def loop(self) -> LoopConfig:
        """The loop."""


@dataclass(frozen=True)
class Lessons(Generic[P]):
    """What a prior learns from and is measured by.

    Attributes:
        batches: From a step on, without end, this process's batches: what the prior's forward pass takes, of which the
            last, (B, N) bool, says which tokens are asked for.
        measure: Figures of the averaged prior, ``loss`` among them; the lowest loss is the best.
        label_smoothing: Share of the target spread evenly over the vocabulary.
        validated: Whether ``measure`` looks at tokens that are not learned from.
    """

    batches: Callable[[int], Iterator[tuple[Tensor, ...]]]
    measure: Callable[[P], dict[str, float]]
    label_smoothing: float
    validated: bool


def learn_tokens(
    prior: P,
    optimizer: torch.optim.Optimizer,
    lessons: Lessons[P],
    settings: RunSettings,
    options: RunOptions,
    *,
    fabric: Fabric,
    blocks: Iterable[nn.Module],
) -> None:
    """Train a prior and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        prior: On its device.
        optimizer: What changes its weights.
        lessons: Batches, and how it is measured.
        settings: Rates, length and precision.
        options: Where it goes, and whether to resume.
        fabric: The processes.
        blocks: Layers that can be recomputed in the backward pass.

    Raises:
        GridcodeError: The folder is unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    loop, optim = settings.loop, settings.optim
    ema = make_ema(prior, optim)
    averaged: Any = ema.module
    trainee = Trainee(prior, ema, optimizer, memories=scaler_memory(fabric))
    with open_run(options, loop, trainee, fabric=fabric, title="prior") as run:
        tell_schedule(run, optim)
        adapt(prior, loop, blocks=list(blocks))
        model, wrapped = fabric.setup(prior, optimizer)
        if not lessons.validated:
            run.warn(run.start, "the token store has no split 'val': what is called validation is on training tokens")
        for step, batch in zip(run.steps(), lessons.batches(run.start), strict=False):
            begin_step(wrapped, step, loop=loop, optim=optim, rank=fabric.global_rank)
            parts: list[MaskedScores] = []
            on_device = tuple(tensor.to(fabric.device) for tensor in batch)
            for part, share in in_parts(fabric, model, on_device, count=loop.accumulate):
                scored = masked_token_loss(model(*part, lessons.label_smoothing), part[-1])
                fabric.backward(share * scored.loss)
                parts.append(MaskedScores(share * scored.loss.detach(), share * scored.accuracy))
            figures = finish_step(model, prior, ema, wrapped, clip=optim.clip, fabric=fabric)

            loss, accuracy = sum(one.loss for one in parts), sum(one.accuracy for one in parts)
            run.log(step, {"loss": loss, "accuracy": accuracy} | figures)
            if run.logs_at(step):
                run.write_line(step)
            if run.validates_at(step):
                if run.writer:
                    scores = lessons.measure(averaged)
                    run.validated(step, scores, score=-scores["loss"], save=averaged.save_pretrained)
                fabric.barrier()
            run.end_step(step, save=averaged.save_pretrained)
    fabric.barrier()
