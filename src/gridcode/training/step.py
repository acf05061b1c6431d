"""How every training step begins and ends, whatever is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gridcode.errors import GridcodeError
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import loss_scaler
from gridcode.training.optim import learning_rate, set_learning_rate
from gridcode.training.parallel import clip_gradients, whole
from gridcode.training.run import OpenRun
from gridcode.training.seeding import seed_step

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricOptimizer

LEAST_SCALE: Final = 2.0**-20
"""A loss scale that no healthy run reaches: PyTorch begins with 2^16, and halves it at each overflow."""


def begin_step(
    optimizer: torch.optim.Optimizer, step: int, *, loop: LoopConfig, optim: OptimConfig, rank: int = 0
) -> None:
    """Seed what is drawn in a step, and set its learning rate.

    Args:
        optimizer: Whose rate it is.
        step: The step about to be taken, from 0.
        loop: Seed and length of the run.
        optim: The schedule.
        rank: The process's number.
    """
    seed_step(loop.seed, step, rank=rank)
    set_learning_rate(optimizer, learning_rate(step, steps=loop.steps, config=optim))


def tell_schedule(run: OpenRun, optim: OptimConfig) -> None:
    """Say what a resumed run's new length does to the learning rate.

    Args:
        run: The run that was opened.
        optim: The schedule.
    """
    start, then, now = run.start, run.planned, run.loop.steps
    if then == now or start >= now:
        return
    before, after = (learning_rate(start, steps=steps, config=optim) for steps in (max(then, start), now))
    kind = "longer" if now > then else "shorter"
    run.say(
        f"the run takes {now} steps instead of {then}: from step {start} the learning rate is the {kind} schedule's, "
        f"{after:.3g} instead of {before:.3g}, and falls to {optim.final_lr * optim.lr:.3g} at step {now}"
    )


def finish_step(
    model: nn.Module,
    trained: nn.Module,
    ema: AveragedModel,
    optimizer: _FabricOptimizer,
    *,
    clip: float,
    fabric: Fabric,
) -> dict[str, Tensor | float]:
    """Clip the gradients, step, and take the new weights into their average.

    Args:
        model: What ``fabric.setup`` returned.
        trained: The network inside whose weights are trained.
        ema: Their moving average.
        optimizer: What changes them, as ``fabric.setup`` returned it.
        clip: Largest norm of the gradients; 0 does not clip.
        fabric: What scales the losses in fp16.

    Returns:
        What :func:`take_step` does.
    """
    figures = take_step(optimizer, lambda: clip_gradients(model, trained, clip), fabric=fabric)
    if not figures.get("skipped"):
        with whole(model):
            ema.update_parameters(trained)
    return figures


def take_step(optimizer: _FabricOptimizer, clip: Callable[[], Tensor], *, fabric: Fabric) -> dict[str, Tensor | float]:
    """Clip the gradients and step; in fp16 a gradient that overflows is passed over, and the loss scale is halved.

    Args:
        optimizer: What ``fabric.setup`` returned; its gradients are gone afterwards.
        clip: Clips them, and returns their norm before.
        fabric: What scales the losses in fp16.

    Returns:
        ``gradient_norm``, before clipping; in fp16 also ``loss_scale`` from the next step on, and ``skipped``, 1 where
        the gradient overflowed, which then has no norm.

    Raises:
        GridcodeError: The gradient overflows at any scale.

    Reference: Micikevicius et al. 2018, section 3.2.
    """
    scaler = loss_scaler(fabric)
    if scaler is None:
        norm = clip()
        optimizer.step()
        optimizer.zero_grad()
        return {"gradient_norm": norm}
    scaler.unscale_(optimizer.optimizer)
    norm = clip()
    optimizer.step()  # the scaler's, which passes over what is not finite
    optimizer.zero_grad()
    scale = scaler.get_scale()
    if bool(torch.isfinite(norm)):
        return {"gradient_norm": norm, "loss_scale": scale, "skipped": 0.0}
    if scale < LEAST_SCALE:
        raise GridcodeError(
            f"the gradient is not finite in fp16, at a loss scale of {scale:.3g} either: the run diverges; resume it "
            "from its last checkpoint, or start another with a lower optim.lr or with loop.precision=fp32"
        )
    return {"loss_scale": scale, "skipped": 1.0}
