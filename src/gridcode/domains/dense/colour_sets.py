"""Colourised images as a set, against other real ones: the Fréchet distance of every row of a colour evaluation.

    half of the validation images, colourised  ────┐
                                                   ├─> observer's features ─> Fréchet distance
    the other half, as they are  ──────────────────┘

The paper's FID-5k takes Inception's features and 5,000 images. Here they are an observer's
(:mod:`gridcode.features.observer`), which learned from training images which way up they are; figures of two
observers do not compare, so one can be kept and shared. It sees colours, and takes no part in any training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gridcode.data.loader import Batch
from gridcode.data.workers import TrainOrder
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.loader import DenseBatch, dense_train_batches
from gridcode.domains.dense.data.source import DenseSource
from gridcode.errors import GridcodeError
from gridcode.features.config import ObserverConfig
from gridcode.features.observer import Observer, load_observer, save_observer
from gridcode.features.train import train_observer
from gridcode.metrics.colour import ColourFrechet, split_reference

TRUE_COLOURS: Final = "true colours"
"""What is as far from the reference as any other real images."""
_FEATURES: Final = "observer"
_BATCH: Final = 32


class ColourSets:
    """Sets of colourised images, by row, and one of other real ones.

    Args:
        observer: Makes the features.
        keys: Names of the validation images, each once: half are colourised, half are the reference.
        rows: What colourises.

    Raises:
        GridcodeError: There are fewer than 4 images, or a key occurs twice.

    >>> sets = ColourSets(Observer(ObserverConfig(targets=4, rotations=True, widths=(8,))), list("abcd"), ["grey"])
    >>> batch = DenseBatch(torch.zeros(4, 1, 8, 8), *[torch.zeros(4, 3, 8, 8, dtype=torch.uint8)] * 2, tuple("abcd"))
    >>> sets.update(batch, {"grey": batch.planes})
    >>> sets.compute()
    {'grey': 0.0, 'true colours': 0.0}
    """

    def __init__(self, observer: Observer, keys: Sequence[str], rows: Sequence[str]) -> None:
        if len(keys) < 4:
            raise GridcodeError(
                f"a Fréchet distance of colours needs at least 4 validation images, got {len(keys)}; "
                "set evaluation.observer_steps=0 to leave it out"
            )
        self._observer = observer
        colourise, reference = split_reference(keys, len(keys) // 2)
        self._colourise, self._reference = ({keys[place] for place in places} for places in (colourise, reference))
        dim = observer.config.widths[-1]
        self._distances = {row: ColourFrechet(_FEATURES, dim) for row in (*rows, TRUE_COLOURS)}

    def update(self, batch: DenseBatch, decoded: dict[str, Tensor]) -> None:
        """Add a batch.

        Args:
            batch: Validation images.
            decoded: By row, RGB bytes (B, 3, H, W).
        """
        reference = self._features(batch, batch.planes, self._reference)
        for row, distance in self._distances.items():
            planes = batch.planes if row == TRUE_COLOURS else decoded[row]
            distance.update_generated(*self._features(batch, planes, self._colourise))
            distance.update_reference(*reference)

    def compute(self) -> dict[str, float]:
        """The distance of each row, and of the true colours of the images that were colourised."""
        return {row: distance.compute().distance for row, distance in self._distances.items()}

    @torch.inference_mode()
    def _features(self, batch: DenseBatch, planes: Tensor, wanted: set[str]) -> tuple[Tensor, list[str]]:
        places = [place for place, key in enumerate(batch.keys) if key in wanted]
        device = next(self._observer.parameters()).device
        images = planes[places].to(device).float() / 127.5 - 1
        return self._observer.vectors(images).cpu(), [batch.keys[place] for place in places]


def colour_observer(
    train: DenseSource, data: DenseConfig, *, steps: int, device: torch.device | str, folder: str | Path | None = None
) -> Observer:
    """The network whose features are compared: trained on the colours of training images, or read from its folder.

    Args:
        train: Training images.
        data: How they are read; of the task colour.
        steps: Training steps of 32 images.
        device: Where it runs.
        folder: Where it is kept; one that is there already is taken as it is. None keeps none.

    Raises:
        GridcodeError: What the folder holds cannot be read, or images cannot.
    """
    if folder is not None and Path(folder).exists():
        return load_observer(folder).to(device)
    side = min(data.shape)
    widths = tuple(width for number, width in enumerate((16, 32, 64, 128)) if side >= 8 << number) or (16,)
    config = ObserverConfig(targets=4, rotations=True, widths=widths, steps=steps)
    observer = train_observer(config, _squares(train, data, seed=config.seed), device=device)
    if folder is not None:
        save_observer(observer, Path(folder))
    return observer


def _squares(train: DenseSource, data: DenseConfig, *, seed: int) -> Iterator[Batch]:
    """Central squares of training images, which can be turned; without labels."""
    side = min(data.shape)
    top, left = ((length - side) // 2 for length in data.shape)
    for batch in dense_train_batches(train, data, TrainOrder(_BATCH, seed)):
        images = batch.labels[..., top : top + side, left : left + side]
        yield Batch(images, torch.full((len(images),), -1), batch.keys)
