r"""Losses on label maps: objects that return their terms by name; the loss is the terms' sum.

    depth      CE(logits, bin), 0 where the bin is the masked one
    panoptic   CE(class logits, class) + CE(instance logits, instance), void and 0 included
    colour     (x - y)^2 on RGB in [-1, 1]

each a mean over all pixels (and channels of colour) of the batch, masked ones too: the mean over a batch is then the
mean of its parts' means, whatever is masked where. In nats.

Reference: Kolesnikov et al., UViM, 2022, section 4 and published code, which averages in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

from torch import Tensor
from torch.nn import functional as F

from gridcode.domains.dense.data.config import Task


class LabelLoss(Protocol):
    """What a loss on label maps is."""

    def __call__(self, outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """The terms, by name.

        Args:
            outputs: Of each channel of labels its logits (..., K); for colours one tensor of values.
            labels: Of each channel its labels (...), int64; for colours one tensor of the values' shape.
        """


@final
class DepthLoss:
    """Cross-entropy over bins of depth; where the bin is the masked one there is no loss.

    Args:
        masked: The bin that says invalid.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 1.0, 1.0], [5.0, 0.0, 0.0]])
    >>> terms = DepthLoss(masked=0)([logits], [torch.tensor([1, 0])])
    >>> {name: round(float(term), 4) for name, term in terms.items()}  # log(1 / e + 2) / 2
    {'depth': 0.431}
    """

    def __init__(self, *, masked: int) -> None:
        self.masked = masked

    def __call__(self, outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """``depth``; see :class:`LabelLoss`."""
        (logits,), (bins,) = outputs, labels
        return {"depth": _cross_entropy(logits, bins, ignored=self.masked)}


@final
class PanopticLoss:
    """Cross-entropy over classes plus cross-entropy over instances.

    >>> import torch
    >>> terms = PanopticLoss()([torch.zeros(4, 3), torch.zeros(4, 8)], [torch.zeros(4).long(), torch.ones(4).long()])
    >>> {name: round(float(term), 4) for name, term in terms.items()}
    {'class': 1.0986, 'instance': 2.0794}
    """

    def __call__(self, outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """``class`` and ``instance``; see :class:`LabelLoss`."""
        names = ("class", "instance")
        terms = zip(names, outputs, labels, strict=True)
        return {name: _cross_entropy(logits, label) for name, logits, label in terms}


@final
class ColourLoss:
    """Mean squared error of RGB values in [-1, 1].

    >>> import torch
    >>> {name: float(term) for name, term in ColourLoss()([torch.zeros(2, 3)], [torch.full((2, 3), 0.5)]).items()}
    {'colour': 0.25}
    """

    def __call__(self, outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """``colour``; see :class:`LabelLoss`."""
        (values,), (colours,) = outputs, labels
        return {"colour": F.mse_loss(values.float(), colours)}


def make_label_loss(task: Task, masked: int | None) -> LabelLoss:
    """The loss of a task.

    Args:
        task: 'depth', 'panoptic' or 'colour'.
        masked: The label that no loss counts; only depth has one.
    """
    if task == "colour":
        return ColourLoss()
    if task == "panoptic":
        return PanopticLoss()
    return DepthLoss(masked=-1 if masked is None else masked)


def _cross_entropy(logits: Tensor, labels: Tensor, *, ignored: int = -1) -> Tensor:
    """Sum of -log softmax(logits)[label] where the label is not ``ignored``, over the number of all labels."""
    total = F.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=ignored, reduction="sum"
    )
    return total / max(labels.numel(), 1)
