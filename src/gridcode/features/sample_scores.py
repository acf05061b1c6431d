"""What a classifier of the data says of generated images: are they of the class asked for, and how far from real ones?

It is trained on the data's own labels; its Fréchet distance is not the FID, and two classifiers' cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gridcode.data.config import DataConfig
from gridcode.data.loader import Batch, train_batches
from gridcode.data.source import ImageSource
from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier, load_classifier, save_classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.distance import feature_distance
from gridcode.features.train import accuracy, train_classifier
from gridcode.files import read_json
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.training.log import Say


@dataclass(frozen=True)
class SampleScores:
    """What a classifier says of samples.

    Attributes:
        class_accuracy: Share of samples that it puts into the class asked for, in [0, 1].
        frechet: Fréchet distance of their features to those of real images.
    """

    class_accuracy: float
    frechet: float


@dataclass(frozen=True)
class SampleScorer:
    """A trained classifier, and the statistics of real images' features.

    Attributes:
        classifier: In evaluation mode.
        real: Of validation images.
    """

    classifier: Classifier
    real: GaussianStatistics

    def score(self, images: Tensor, labels: Tensor, *, batch_size: int) -> SampleScores:
        """Measure samples.

        Args:
            images: (n, C, H, W) in [-1, 1].
            labels: (n,) int64, the classes that were asked for.
            batch_size: Images at a time.
        """
        parts = zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
        batches = [Batch(part, requested, keys=()) for part, requested in parts]
        drawn = statistics_of(self.classifier, (batch.images for batch in batches))
        return SampleScores(accuracy(self.classifier, batches), frechet_distance(drawn, self.real))


def measuring_classifier(
    train: ImageSource,
    data: DataConfig,
    *,
    steps: int,
    seed: int,
    device: torch.device | str,
    folder: str | Path | None = None,
    say: Say = lambda text: None,
) -> Classifier:
    """The classifier that measures: trained on labelled images, or read from its folder.

    Args:
        train: Training images; they have labels.
        data: How they are read.
        steps: Training steps.
        seed: Seeds weights and order.
        device: Where it runs.
        folder: Where it is saved; one that is there already is taken as it is. None saves none.
        say: Told how far its training is, in quarters.

    Raises:
        GridcodeError: The classifier in the folder is for other images or classes, or cannot be read.
    """
    settings = ClassifierConfig(
        classes=len(train.classes), size=data.size, channels=data.channels, steps=steps, seed=seed
    )
    if folder is not None and Path(folder).exists():
        classifier = load_classifier(folder)
        for name in ("classes", "size", "channels"):
            has, needs = getattr(classifier.config, name), getattr(settings, name)
            if has != needs:
                raise GridcodeError(
                    f"the classifier in {folder} has {name}={has}, these images need {needs}; give another "
                    "evaluation.classifier"
                )
        names = class_names(folder)
        if names and names != train.classes:
            raise GridcodeError(
                f"the classifier in {folder} knows {_few(names)}, these images are {_few(train.classes)}; give "
                "another evaluation.classifier"
            )
        return classifier.to(device)
    batches = train_batches(train, data, batch_size=settings.batch_size, seed=seed)

    def tell(done: int, total: int, loss: float) -> None:
        if done % -(-total // 4) == 0:
            say(f"step {done} of {total}, loss {loss:.3f}")

    classifier = train_classifier(settings, batches, progress=tell, device=device)
    if folder is not None:
        save_classifier(classifier, Path(folder), classes=train.classes)
    return classifier


def class_names(folder: str | Path) -> tuple[str, ...]:
    """The names of the classes that a saved classifier knows, in label order; none where its folder does not say."""
    file = Path(folder) / "config.json"
    return tuple(read_json(file, "a classifier's settings").get("classes") or ()) if file.is_file() else ()


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])])


@torch.inference_mode()
def features_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Features (B, F) of images (B, C, H, W) in [-1, 1], on the CPU."""
    return classifier.features(images.to(next(classifier.parameters()).device)).cpu()


@torch.inference_mode()
def perceptual_distance(classifier: Classifier, first: Tensor, second: Tensor) -> Tensor:
    """How different pairs of images (B, C, H, W) look to the classifier, layer by layer: (B,) in [0, 2], on the CPU.

    It took no part in a tokenizer's training, so a perceptual loss is not graded by its own network.
    """
    device = next(classifier.parameters()).device
    return feature_distance(classifier.maps(first.to(device)), classifier.maps(second.to(device))).cpu()


def statistics_of(classifier: Classifier, batches: Iterable[Tensor]) -> GaussianStatistics:
    """The statistics of the features of batches of images."""
    statistics = GaussianStatistics(classifier.config.feature_dim)
    for images in batches:
        statistics.update(features_of(classifier, images))
    return statistics
