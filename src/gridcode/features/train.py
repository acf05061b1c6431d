"""Train the measuring classifier, and count how often it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig
from gridcode.training.config import OptimConfig
from gridcode.training.optim import learning_rate, make_optimizer, set_learning_rate
from gridcode.training.precision import fast_autocast


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
    progress: Callable[[int, int, float], None] | None = None,
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = Classifier(config).to(device)
    optim = OptimConfig(lr=config.lr, weight_decay=0.02, warmup=config.steps // 10, final_lr=0.0)
    optimizer = make_optimizer(classifier, optim)
    classifier.train()
    for step in range(config.steps):
        images, labels = _labelled(_next(batches, step, config.steps), config.classes)
        set_learning_rate(optimizer, learning_rate(step, steps=config.steps, config=optim))
        with fast_autocast(torch.device(device)):
            logits = classifier(images.to(device))
        loss = F.cross_entropy(logits.float(), labels.to(device), label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if progress is not None:
            progress(step + 1, config.steps, loss.item())
    return classifier.eval()


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


def _next(batches: Iterator[LabelledBatch], step: int, steps: int) -> LabelledBatch:
    batch = next(batches, None)
    if batch is None:
        raise GridcodeError(f"train_classifier: the batches ended after {step} of {steps} steps; repeat the data")
    return batch
