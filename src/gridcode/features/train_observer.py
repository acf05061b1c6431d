"""Train the observer: on labels where the pictures have them, else on which way up they were turned."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.features.observer import Observer
from gridcode.features.observer_config import ObserverConfig
from gridcode.features.train import LabelledBatch
from gridcode.training.config import OptimConfig
from gridcode.training.optim import learning_rate, make_optimizer, set_learning_rate
from gridcode.training.precision import fast_autocast


def train_observer(
    config: ObserverConfig,
    batches: Iterator[LabelledBatch],
    *,
    progress: Callable[[int, float], None] | None = None,
    device: torch.device | str = "cpu",
) -> Observer:
    """Train an observer from scratch: AdamW, linear warm-up, cosine decay.

    The same config and batches give the same weights on one machine; no global generator is touched.

    Args:
        config: Shape, steps and learning rate.
        batches: At least ``config.steps`` of them; pictures are square.
        progress: Called after every step with (steps done, loss in nats).
        device: Where to train; the observer stays there.

    Returns:
        The observer in eval mode, its weights fixed.

    >>> from gridcode.data import Batch
    >>> ramp = torch.linspace(-1, 1, 16).expand(8, 3, 16, 16)
    >>> batch = Batch(images=ramp, labels=torch.full((8,), -1), keys=("",) * 8)
    >>> config, losses = ObserverConfig(targets=4, rotations=True, widths=(8, 8), steps=30), []
    >>> observer = train_observer(config, iter([batch] * 30), progress=lambda done, loss: losses.append(loss))
    >>> losses[-1] < losses[0], observer.training
    (True, False)
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        observer = Observer(config).to(device)
    optim = OptimConfig(lr=config.lr, weight_decay=0.02, warmup=config.steps // 10, final_lr=0.0)
    optimizer = make_optimizer(observer, optim)
    observer.train()
    for step in range(config.steps):
        images, targets = _exercise(next(batches), rotations=config.rotations)
        set_learning_rate(optimizer, learning_rate(step, steps=config.steps, config=optim))
        with fast_autocast(device):
            logits = observer(images.to(device))
        targets = targets.to(device)
        # Pictures without a label (-1) teach nothing; a batch may have none with one.
        loss = F.cross_entropy(logits.float(), targets, ignore_index=-1, reduction="sum")
        loss = loss / (targets >= 0).sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if progress is not None:
            progress(step + 1, loss.item())
    return observer.eval().requires_grad_(False)


def _exercise(batch: LabelledBatch, *, rotations: bool) -> tuple[Tensor, Tensor]:
    """Pictures (B, C, H, W) and what to answer (B,): their labels, or by how many quarters each was turned."""
    if not rotations:
        return batch.images, batch.labels
    turns = torch.arange(len(batch.images)) % 4
    turned = [torch.rot90(image, int(turn), (1, 2)) for image, turn in zip(batch.images, turns, strict=True)]
    return torch.stack(turned), turns
