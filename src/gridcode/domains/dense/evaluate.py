"""Measure dense prediction: Stage I alone, both stages, and what takes no codes or no model.

    own codes of a label map     -> label tokenizer -> Stage I, the oracle
    another image's codes        -> label tokenizer -> what codes that say nothing of this image give
    no codes, nulls in their place -> label tokenizer -> what the context alone gives (trained by code dropout)
    image -> Stage II -> the most probable codes -> label tokenizer -> the prediction, as the paper measures it
    image -> Stage II -> codes drawn as they are probable -> label tokenizer -> one draw, and the mean of several
    training label maps                             -> trivial baselines

All rows are figures of the same validation images. Were Stage II no better than another image's codes, the
codes would carry nothing. Where an image leaves its labels open, the best prediction depends on the figure: the mean
of draws for a squared error (RMSE, PSNR), single draws for a set of images against another (Fréchet distance).

Reference: the paper, section 5.3 and Table 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.domains.dense.baselines import Baseline, fit_baselines
from gridcode.domains.dense.colour_sets import ColourSets, colour_observer
from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.depth import DepthMap
from gridcode.domains.dense.data.loader import DenseBatch, dense_eval_batches
from gridcode.domains.dense.data.source import DenseSource, LabelMap, Planes
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.measure import TaskMeter
from gridcode.domains.dense.show import error_map
from gridcode.errors import GridcodeError
from gridcode.evaluation.charts import CodeUsage
from gridcode.quantize.usage import Usage
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsageMeter
from gridcode.training.log import Say
from gridcode.training.seeding import fixed_sample

PredictCodes = Callable[[Tensor, int], Tensor]
"""Images in [-1, 1], (B, C, H, W), and the batch's number to their most probable indices (B, h, w)."""
DrawCodes = Callable[[Tensor, int, int], Tensor]
"""Images, a number of draws and the batch's number to indices (draws, B, h, w)."""

ORACLE = "Stage I (oracle)"
OTHERS = "another image's codes"
NONE = "no codes"
BOTH = "both stages"
DRAW = "one draw"
MEAN = "mean of draws"
_SHOWN = (ORACLE, BOTH, DRAW, MEAN)


@dataclass(frozen=True)
class StageTwo:
    """How a prior answers for images.

    Attributes:
        predict: Its most probable codes.
        draw: Codes drawn as they are probable; None leaves out the rows of draws.
    """

    predict: PredictCodes
    draw: DrawCodes | None = None


@dataclass(frozen=True)
class DenseSubject:
    """What is measured, and on what.

    Attributes:
        tokenizer: Stage I, in evaluation mode.
        stage_two: The prior; None measures Stage I alone.
        data: How images and label maps are read; task and size are the tokenizer's.
        train: Training images, for the baselines.
        val: Validation images.
    """

    tokenizer: Tokenizer
    stage_two: StageTwo | None
    data: DenseConfig
    train: DenseSource
    val: DenseSource


@dataclass(frozen=True)
class DenseGallery:
    """Validation images to look at, uint8 (n, H, W, 3) each.

    Attributes:
        keys: The images' names.
        rows: By name: input, truth, each decoded map, and its error.
    """

    keys: tuple[str, ...]
    rows: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class DenseEvaluation:
    """Everything that was measured.

    Attributes:
        scores: The task's figures of each row; :data:`ORACLE` first.
        usage: Of the label tokenizer's codes on validation maps.
        codes: How often every code and digit is used.
        token_accuracy: Share of validation codes that Stage II predicts exactly; None without it.
        count: Validation images.
        gallery: Images.
    """

    scores: dict[str, dict[str, float]]
    usage: Usage
    codes: CodeUsage
    token_accuracy: float | None
    count: int
    gallery: DenseGallery

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        figures: dict[str, float | int | None] = {"images": self.count}
        for row, scores in self.scores.items():
            figures |= {f"{row}: {name}": value for name, value in scores.items()}
        return figures | {
            "codebook_size": self.usage.codebook_size,
            "usage": self.usage.usage,
            "perplexity": self.usage.perplexity,
            "token_accuracy": self.token_accuracy,
        }


def evaluate_dense(subject: DenseSubject, config: DenseEvaluationConfig, *, say: Say = print) -> DenseEvaluation:
    """Measure every row.

    Args:
        subject: What is measured.
        config: How much of it.
        say: Told what is being done.

    Raises:
        GridcodeError: The data cannot be read, does not fit the tokenizer, or is a single image.
    """
    tokenizer = subject.tokenizer
    _check(subject)
    say("the trivial baselines, from training label maps")
    baselines = fit_baselines(
        subject.data, subject.train.categories, _batches(subject.train, config.train_count, subject.data, config)
    )
    say("encoding validation label maps")
    keys: list[str] = []
    encoded = []
    for batch in _batches(subject.val, config.count, subject.data, config):
        encoded.append(_encode(tokenizer, batch))
        keys += batch.keys
    indices = torch.cat(encoded)
    if len(indices) < 2:
        raise GridcodeError("dense evaluation needs at least 2 validation images: one decodes another's codes")
    usage = TokenUsageMeter(tokenizer.quantizer)
    usage.update(indices)
    shown = set(fixed_sample(len(indices), config.shown).tolist())
    rows = _Rows(subject, baselines, shown, draws=config.draws)
    if subject.data.task == "colour" and config.observer_steps:
        say("the network whose features compare colours")
        device = next(tokenizer.parameters()).device
        observer = colour_observer(
            subject.train, subject.data, steps=config.observer_steps, device=device, folder=config.observer
        )
        rows.colours = ColourSets(observer, keys, rows.names)
    say("decoding, and predicting" if subject.stage_two else "decoding")
    for batch in _batches(subject.val, config.count, subject.data, config):
        rows.add(batch, indices)
    return DenseEvaluation(
        scores=rows.scores(),
        usage=usage.compute().pooled,
        codes=CodeUsage.from_indices(indices.numpy(), tokenizer.quantizer.levels),
        token_accuracy=rows.hits / indices.numel() if subject.stage_two else None,
        count=len(indices),
        gallery=rows.gallery(),
    )


class _Rows:
    """The figures of every row and the images to look at, batch by batch."""

    def __init__(self, subject: DenseSubject, baselines: dict[str, Baseline], shown: set[int], *, draws: int) -> None:
        self._subject, self._baselines, self._shown = subject, baselines, shown
        self._draws = draws if subject.stage_two and subject.stage_two.draw else 0
        drawn = [DRAW, MEAN] if dense_domain(subject.tokenizer).label_map.averages else [DRAW]
        predicted = [BOTH, *(drawn if self._draws else [])] if subject.stage_two else []
        self.names = [ORACLE, OTHERS, NONE, *predicted, *baselines]
        categories = dense_domain(subject.tokenizer).categories
        self._meters = {name: TaskMeter(subject.data, categories) for name in self.names}
        self.colours: ColourSets | None = None
        """Colour: the rows as sets of images, where they are compared as such."""
        self._galleries: dict[str, list[NDArray[np.uint8]]] = {}
        self._keys: list[str] = []
        self._seen = 0
        self.hits = 0
        """Codes that Stage II predicted exactly."""

    def add(self, batch: DenseBatch, indices: Tensor) -> None:
        """Decode and score a batch; ``indices`` are those of all validation images."""
        tokenizer, device = self._subject.tokenizer, next(self._subject.tokenizer.parameters()).device
        images, count = batch.images.to(device), len(batch.keys)
        here = torch.arange(self._seen, self._seen + count)
        # The image half a set away: neighbours in a folder are often of one room.
        others = (here + max(1, len(indices) // 2)) % len(indices)
        nothing = (count, *tokenizer.config.codes)
        decoded = {
            ORACLE: tokenizer.decode(indices[here].to(device), images),
            OTHERS: tokenizer.decode(indices[others].to(device), images),
            NONE: tokenizer.decode(indices[here].to(device), images, known=torch.zeros(nothing, dtype=torch.bool)),
        }
        if self._subject.stage_two is not None:
            predicted = self._subject.stage_two.predict(images, self._seen)
            self.hits += int((predicted.cpu() == indices[here]).sum())
            decoded[BOTH] = tokenizer.decode(predicted, images)
            decoded |= self._drawn(self._subject.stage_two.draw, images)
        decoded |= {name: baseline.predict(batch) for name, baseline in self._baselines.items()}
        for name, planes in decoded.items():
            self._meters[name].update(planes, batch.planes)
        if self.colours is not None:
            self.colours.update(batch, decoded)
        for place in range(count):
            if self._seen + place in self._shown:
                self._keep(batch, place, decoded)
        self._seen += count

    def _drawn(self, draw: DrawCodes | None, images: Tensor) -> dict[str, Tensor]:
        """The first draw, and the mean of all where the task has one."""
        if draw is None or not self._draws:
            return {}
        tokenizer = self._subject.tokenizer
        if not dense_domain(tokenizer).label_map.averages:
            return {DRAW: tokenizer.decode(draw(images, 1, self._seen)[0], images)}
        maps = [tokenizer.decode(codes, images) for codes in draw(images, self._draws, self._seen)]
        return {DRAW: maps[0], MEAN: dense_domain(tokenizer).label_map.mean(maps)}

    def scores(self) -> dict[str, dict[str, float]]:
        """The figures of each row."""
        found = {name: meter.compute() for name, meter in self._meters.items()}
        if self.colours is not None:
            for name, distance in self.colours.compute().items():
                found.setdefault(name, {})["frechet"] = distance
        return found

    def gallery(self) -> DenseGallery:
        """The images that were kept."""
        return DenseGallery(tuple(self._keys), {name: np.stack(rows) for name, rows in self._galleries.items()})

    def _keep(self, batch: DenseBatch, place: int, decoded: dict[str, Tensor]) -> None:
        data, truth = self._subject.data, batch.planes[place].numpy()
        maps = {"truth": truth, **{name: decoded[name][place].cpu().numpy() for name in _SHOWN if name in decoded}}
        seen = ((batch.images[place].expand(3, -1, -1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        rows = {"input": seen} | _coloured(dense_domain(self._subject.tokenizer).label_map, maps)
        rows |= {f"{name}: error": error_map(maps[name], truth, data) for name in _SHOWN if name in maps}
        for name, image in rows.items():
            self._galleries.setdefault(name, []).append(image)
        self._keys.append(batch.keys[place])


def _coloured(label_map: LabelMap, maps: dict[str, Planes]) -> dict[str, NDArray[np.uint8]]:
    """Images of a truth and of what was decoded; depth on one scale."""
    if not isinstance(label_map, DepthMap):
        return {name: label_map.image(planes) for name, planes in maps.items()}
    joined = np.concatenate([label_map.normalise(maps["truth"]), *list(maps.values())[1:]], axis=2)
    parts = np.split(label_map.image(joined), len(maps), axis=1)
    return dict(zip(maps, parts, strict=True))


def _check(subject: DenseSubject) -> None:
    mine, theirs = dense_domain(subject.tokenizer).data, subject.data
    if (mine.task, mine.shape) != (theirs.task, theirs.shape):
        raise GridcodeError(
            f"the label tokenizer is for {mine.task} at {mine.height}x{mine.width}, the data for {theirs.task} at "
            f"{theirs.height}x{theirs.width}; measure it on its own task and size"
        )
    if dense_domain(subject.tokenizer).categories != subject.val.categories:
        raise GridcodeError(
            f"the classes of {subject.val.name} are not those that the label tokenizer was trained on; measure it on "
            "images of its own classes"
        )


def _batches(source: DenseSource, count: int, data: DenseConfig, config: DenseEvaluationConfig) -> Iterator[DenseBatch]:
    return dense_eval_batches(DenseDomain.part(source, count), data, batch_size=config.batch_size)


def _encode(tokenizer: Tokenizer, batch: DenseBatch) -> Tensor:
    device = next(tokenizer.parameters()).device
    return tokenizer.encode(batch.labels.to(device), batch.images.to(device)).cpu()
