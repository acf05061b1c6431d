"""How every training step begins and ends, whatever is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.optim import learning_rate, set_learning_rate
from gridcode.training.run import Run
from gridcode.training.seeding import seed_step
from gridcode.training.sharding import clip_gradients, whole


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


def tell_schedule(run: Run, optim: OptimConfig) -> None:
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
    model: nn.Module, trained: nn.Module, ema: AveragedModel, optimizer: torch.optim.Optimizer, *, clip: float
) -> Tensor:
    """Clip the gradients, step, and take the new weights into their average.

    Args:
        model: What ``fabric.setup`` returned.
        trained: The network inside whose weights are trained.
        ema: Their moving average.
        optimizer: What changes them.
        clip: Largest norm of the gradients; 0 does not clip.

    Returns:
        The gradients' norm before.
    """
    norm = clip_gradients(model, trained, clip)
    optimizer.step()
    optimizer.zero_grad()
    with whole(model):
        ema.update_parameters(trained)
    return norm
