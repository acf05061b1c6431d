r"""What Stage I of dense prediction minimises: losses on label maps, by terms, and which codes a step drops.

    depth      CE(logits, bin), 0 where the bin is the masked one
    panoptic   CE(class logits, class) + CE(instance logits, instance), void and 0 included
    colour     (x - y)^2 on RGB in [-1, 1]

each a mean over all pixels (and channels of colour) of the batch, masked ones too: the mean over a batch is then the
mean of its parts' means, whatever is masked where. In nats.

Of each example's n codes a random share is dropped, from none to all:

    u ~ U(0, 1);  floor(u (n + 1)) of the n codes, drawn without replacement, are dropped

so every number from 0 to n is equally likely. The decoder gets a learned null in their place. It then works from any
part of the codes, and its first steps do not hang on codes that mean nothing yet.

Reference: Kolesnikov et al., UViM, 2022, sections 3 and 4 and published code (``code_dropout = "random"``).
Differs from paper: UViM zeroes dropped codes. With odd levels zero is a valid FSQ code, so the null is one of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.domains.dense.data.config import Task
from gridcode.tokenizer.domain import Objective
from gridcode.training.seeding import generator

if TYPE_CHECKING:
    from gridcode.domains.dense.config import LabelTokenizerRun
    from gridcode.domains.dense.data.loader import DenseBatch
    from gridcode.domains.dense.domain import DenseDomain


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


def draw_dropped(count: int, grid: tuple[int, int], *, seed: int, step: int, rank: int = 0, world: int = 1) -> Tensor:
    """The dropped codes of one process's examples of a step.

    An example's draw depends on the seed, the step and its place in the whole batch, not on the number of processes.

    Args:
        count: Examples of this process; each process has as many.
        grid: Rows and columns of codes.
        seed: The run's.
        step: The step's number.
        rank: Which process.
        world: Number of processes.

    Returns:
        bool, (count, rows, columns), on the CPU.

    >>> draw_dropped(2, (1, 3), seed=0, step=5).shape
    torch.Size([2, 1, 3])
    """
    n = grid[0] * grid[1]
    draws = torch.rand(world * count, n + 1, generator=generator(seed, "code dropout", step), dtype=torch.float64)
    own = draws[rank * count : (rank + 1) * count]
    number = (own[:, :1] * (n + 1)).floor()
    # The place of each code in the order of its draws: below ``number`` with chance number / n.
    place = own[:, 1:].argsort(dim=1).argsort(dim=1)
    return (place < number).view(-1, *grid)


@final
class DenseObjective(Objective):
    """The task's loss on every pixel; each example's codes are dropped in a random share (:func:`draw_dropped`).

    Args:
        run: The settings.
        domain: The label maps.
        rank: Which process.
        world: Number of processes.
    """

    def __init__(self, run: LabelTokenizerRun, domain: DenseDomain, *, rank: int, world: int) -> None:
        self._run, self._domain, self._rank, self._world = run, domain, rank, world
        self._loss = make_label_loss(domain.data.task, domain.label_map.masked)

    def inputs(self, batch: DenseBatch, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Labels, images, and the codes that are dropped."""
        dropped = draw_dropped(
            len(batch.keys),
            self._run.model.codes,
            seed=self._run.loop.seed,
            step=step,
            rank=self._rank,
            world=self._world,
        )
        return batch.labels, batch.images, dropped & self._run.code_dropout

    def terms(self, outputs: Sequence[Tensor], inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """``depth``, ``class`` and ``instance``, or ``colour``."""
        return self._loss(outputs, self._domain.targets(self._run.model, inputs[0]))


def _cross_entropy(logits: Tensor, labels: Tensor, *, ignored: int = -1) -> Tensor:
    """Sum of -log softmax(logits)[label] where the label is not ``ignored``, over the number of all labels."""
    total = F.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=ignored, reduction="sum"
    )
    return total / max(labels.numel(), 1)
