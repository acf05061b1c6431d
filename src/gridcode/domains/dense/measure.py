"""How good are decoded label maps? The task's own figures, on validation images.

    depth      RMSE, AbsRel, delta < 1.25, 1.25², 1.25³, log RMSE, SILog
    relative   SILog; the others but RMSE after the alignment that undoes how it was normalised
    panoptic   PQ (all, things, stuff), SQ, RQ
    colour     PSNR, MSE and mean absolute error on [-1, 1]

*Oracle* figures decode an image's own codes: no way of predicting codes can do better on average. With the codes of
another image they say what the context alone would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gridcode.domains.dense.data.config import Categories, DenseConfig
from gridcode.domains.dense.data.loader import DenseBatch
from gridcode.domains.dense.loss import make_label_loss
from gridcode.metrics.colour import ColourErrors
from gridcode.metrics.depth import DepthErrors
from gridcode.metrics.panoptic import PanopticQuality
from gridcode.tokenizer.domain import Measurement
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsageMeter

if TYPE_CHECKING:
    from gridcode.domains.dense.domain import DenseDomain


class TaskMeter:
    """A task's figures, seen batch by batch.

    Args:
        data: The task, and how depth is binned.
        categories: The classes of a panoptic task.

    >>> meter = TaskMeter(DenseConfig(task="colour"), None)
    >>> meter.update(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    >>> meter.compute()["mse"]
    0.0
    """

    def __init__(self, data: DenseConfig, categories: Categories | None) -> None:
        self._errors: DepthErrors | PanopticQuality | ColourErrors
        if data.task == "colour":
            self._errors = ColourErrors()
        elif data.task == "panoptic":
            self._errors = PanopticQuality(categories.things if categories else ())
        elif data.depth.relative == "none":
            self._errors = DepthErrors(near=max(data.depth.near, 1e-6), far=data.depth.far)
        else:
            self._errors = DepthErrors(near=1e-6, far=float("inf"), align=data.depth.relative)

    def update(self, decoded: Tensor, planes: Tensor) -> None:
        """Add label maps.

        Args:
            decoded: As :meth:`Tokenizer.decode` gives them, (B, n, H, W).
            planes: The truth, as a :class:`DenseBatch` holds it.
        """
        decoded, planes = decoded.cpu(), planes.cpu()
        if isinstance(self._errors, ColourErrors):
            decoded, planes = (bytes_.double() / 127.5 - 1 for bytes_ in (decoded, planes))
        self._errors.update(decoded, planes)

    def compute(self) -> dict[str, float]:
        """The figures so far, by name.

        Raises:
            GridcodeError: Nothing that counts was seen.
        """
        if isinstance(self._errors, ColourErrors):
            colours = self._errors.compute()
            return {"psnr": colours.psnr, "mse": colours.mse, "mae": colours.mae}
        if isinstance(self._errors, PanopticQuality):
            found = self._errors.compute()
            groups = {"pq": found.all.pq, "pq_things": found.things.pq, "pq_stuff": found.stuff.pq}
            return groups | {"sq": found.all.sq, "rq": found.all.rq}
        depth = self._errors.compute()
        deltas = {"delta": depth.delta, "delta_2": depth.delta_2, "delta_3": depth.delta_3}
        ratios = {"abs_rel": depth.abs_rel} | deltas | {"rmse_log": depth.rmse_log}
        if self._errors.align != "none":  # an RMSE would be in units that nobody knows
            return {"si_log": depth.si_log} | ratios
        return {"rmse": depth.rmse} | ratios | {"si_log": depth.si_log}


@torch.inference_mode()
def measure_labels(tokenizer: Tokenizer, domain: DenseDomain, batches: Iterable[DenseBatch]) -> Measurement:
    """The oracle: decode each image's own codes.

    Args:
        tokenizer: In evaluation mode.
        domain: Its label maps.
        batches: Images with label maps, of the tokenizer's task and size.

    Returns:
        The task's figures, ``loss`` (nats, or squared error), ``usage`` and ``perplexity`` of the codes.
    """
    data = domain.data
    meter, usage = TaskMeter(data, domain.categories), TokenUsageMeter(tokenizer.quantizer)
    loss = make_label_loss(data.task, domain.label_map.masked)
    total, count = 0.0, 0
    for batch in batches:
        labels = batch.labels.to(tokenizer.device)
        out = tokenizer(labels, batch.images.to(tokenizer.device))
        usage.update(out.quantized.indices)
        total += float(sum(loss(out.outputs, domain.targets(tokenizer.config, labels)).values())) * len(labels)
        count += len(labels)
        meter.update(domain.decoded(tokenizer.config, out.outputs), batch.planes)
    seen = usage.compute()
    pooled = {"loss": total / count, "usage": seen.pooled.usage, "perplexity": seen.pooled.perplexity}
    scores = meter.compute() | pooled | seen.by_book()
    return Measurement(scores, seen, score=task_score(scores, data))


def task_score(scores: Mapping[str, float], data: DenseConfig) -> float:
    """The figure that training keeps the best model by; more is better."""
    if data.task == "depth":
        return -scores["rmse" if data.depth.relative == "none" else "si_log"]
    return scores["pq" if data.task == "panoptic" else "psnr"]
