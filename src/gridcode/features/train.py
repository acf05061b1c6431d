"""Train the networks that measure: the classifier on labels, the observer on labels or on which way up images are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig, ObserverConfig
from gridcode.features.observer import Observer
from gridcode.training.config import OptimConfig
from gridcode.training.fabric import fast_autocast
from gridcode.training.optim import learning_rate, make_optimizer, set_learning_rate

Progress = Callable[[int, int, float], None]
"""Called after every step with (steps done, steps in all, loss in nats)."""
Network = TypeVar("Network", bound=nn.Module)


class ShortTraining(Protocol):
    """How long a network learns, and how fast."""

    @property
    def seed(self) -> int:
        """Of the weights."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""

    @property
    def lr(self) -> float:
        """Peak learning rate."""


class LabelledBatch(Protocol):
    """What is read of a batch, such as a ``gridcode.data.Batch``."""

    @property
    def images(self) -> Tensor:
        """In [-1, 1], (B, C, H, W)."""

    @property
    def labels(self) -> Tensor:
        """int64, (B,); -1 where an image has no label."""


def train_classifier(
    config: ClassifierConfig,
    batches: Iterator[LabelledBatch],
    *,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Train a classifier from scratch: AdamW, linear warm-up, cosine decay, label smoothing.

    Augmentation is the batches' own. The same config and batches give the same weights on one machine; no
    global generator is touched.

    Args:
        config: Shape, steps and learning rate.
        batches: At least ``config.steps`` of them.
        progress: Called after every step with (steps done, steps in all, loss in nats).
        device: Where to train; the classifier stays there.

    Returns:
        The trained classifier in eval mode.

    Raises:
        GridcodeError: A batch has no labels, a label is out of range, or the batches ended early.

    >>> from gridcode.data import Batch
    >>> images = torch.cat([torch.full((8, 3, 16, 16), -0.5), torch.full((8, 3, 16, 16), 0.5)])
    >>> batch = Batch(images=images, labels=torch.arange(16) // 8, keys=("",) * 16)
    >>> config = ClassifierConfig(classes=2, size=16, widths=(8, 8), steps=20)
    >>> accuracy(train_classifier(config, iter([batch] * 20)), [batch])
    1.0
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)

    examples = (_labelled(batch, config.classes) for batch in batches)
    return train_network(lambda: Classifier(config), config, examples, loss, progress, torch.device(device)).eval()


def train_observer(
    config: ObserverConfig,
    batches: Iterator[LabelledBatch],
    *,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> Observer:
    """Train an observer from scratch: AdamW, linear warm-up, cosine decay.

    The same config and batches give the same weights on one machine; no global generator is touched.

    Args:
        config: Shape, steps and learning rate.
        batches: At least ``config.steps`` of them; images are square.
        progress: Called after every step with (steps done, steps in all, loss in nats).
        device: Where to train; the observer stays there.

    Returns:
        The observer in eval mode, its weights fixed.

    >>> from gridcode.data import Batch
    >>> ramp = torch.linspace(-1, 1, 16).expand(8, 3, 16, 16)
    >>> batch = Batch(images=ramp, labels=torch.full((8,), -1), keys=("",) * 8)
    >>> config, losses = ObserverConfig(targets=4, rotations=True, widths=(8, 8), steps=30), []
    >>> note = lambda done, steps, loss: losses.append(loss)
    >>> observer = train_observer(config, iter([batch] * 30), progress=note)
    >>> losses[-1] < losses[0], observer.training
    (True, False)
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        # Images without a label (-1) teach nothing; a batch may have none with one.
        total = F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
        return total / (targets >= 0).sum().clamp(min=1)

    examples = (_targets(batch, rotations=config.rotations) for batch in batches)
    observer = train_network(lambda: Observer(config), config, examples, loss, progress, torch.device(device))
    return observer.eval().requires_grad_(False)


def accuracy(classifier: Classifier, batches: Iterable[LabelledBatch]) -> float:
    """Share of the labelled images that the classifier recognises as their label, in [0, 1].

    For generated images the label is the class that was asked for.

    Args:
        classifier: In eval mode; images are moved to its device.
        batches: Finite. Images without a label (-1) are passed over.

    Raises:
        GridcodeError: No image has a label.
    """
    device = next(classifier.parameters()).device
    right = count = 0
    for batch in batches:
        with torch.inference_mode(), fast_autocast(device):
            predicted = classifier(batch.images.to(device)).argmax(dim=1).cpu()
        right += int((predicted == batch.labels).sum())
        count += int((batch.labels >= 0).sum())
    if not count:
        raise GridcodeError("accuracy: no image has a label; leave this figure out for unlabelled data")
    return right / count


def _labelled(batch: LabelledBatch, classes: int) -> tuple[Tensor, Tensor]:
    """The labelled images of a batch, (B', C, H, W), and their labels, (B',)."""
    known = batch.labels >= 0
    if int(known.sum()) < 2:  # batch norm needs two
        raise GridcodeError(
            f"train_classifier: {int(known.sum())} of {len(batch.labels)} images of a batch have labels, it "
            "needs at least 2; leave the classifier out for unlabelled data"
        )
    images, labels = batch.images[known], batch.labels[known]
    if int(labels.max()) >= classes:
        raise GridcodeError(
            f"train_classifier: saw label {int(labels.max())}, but the config has {classes} classes; "
            "count the data's classes again"
        )
    return images, labels


def train_network(
    make: Callable[[], Network],
    config: ShortTraining,
    examples: Iterator[tuple[Tensor, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    progress: Progress | None,
    device: torch.device,
) -> Network:
    """AdamW with linear warm-up and cosine decay.

    Args:
        make: Makes the network, seeded by ``config.seed``.
        config: Seed, steps and learning rate.
        examples: Inputs (B, …), such as images (B, C, H, W), and their targets (B, …); at least ``config.steps``.
        loss_of: Of outputs, float32, and targets: a scalar.
        progress: Called after every step with (steps done, steps in all, loss).
        device: Where to train.

    Returns:
        The network, in training mode.

    Raises:
        GridcodeError: The examples ended early.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = make().to(device)
    optim = OptimConfig(lr=config.lr, weight_decay=0.02, warmup=config.steps // 10, final_lr=0.0)
    optimizer = make_optimizer(network, optim)
    network.train()
    for step in range(config.steps):
        example = next(examples, None)
        if example is None:
            raise GridcodeError(
                f"{type(network).__name__.lower()}: the batches ended after {step} of {config.steps} steps; "
                "repeat the data"
            )
        images, targets = example
        set_learning_rate(optimizer, learning_rate(step, steps=config.steps, config=optim))
        with fast_autocast(device):
            logits = network(images.to(device))
        loss = loss_of(logits.float(), targets.to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if progress is not None:
            progress(step + 1, config.steps, loss.item())
    return network


def _targets(batch: LabelledBatch, *, rotations: bool) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) and what to recognise (B,): their labels, or by how many quarters each was turned."""
    if not rotations:
        return batch.images, batch.labels
    turns = torch.arange(len(batch.images)) % 4
    turned = [torch.rot90(image, int(turn), (1, 2)) for image, turn in zip(batch.images, turns, strict=True)]
    return torch.stack(turned), turns
