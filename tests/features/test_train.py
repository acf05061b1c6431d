from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.features import ClassifierConfig, accuracy, train_classifier

CONFIG = ClassifierConfig(classes=3, size=16, widths=(8, 16), feature_dim=16, steps=40, batch_size=32)


@dataclass(frozen=True)
class Labelled:
    images: Tensor
    labels: Tensor


def stripes(count: int, *, seed: int, batch: int = 32) -> Iterator[Labelled]:
    """Class 0: flat noise; 1: the upper half bright; 2: the left half bright."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        labels = torch.randint(0, 3, (batch,), generator=generator)
        images = 0.3 * torch.randn(batch, 3, 16, 16, generator=generator)
        images[labels == 1, :, :8] += 0.7
        images[labels == 2, :, :, :8] += 0.7
        yield Labelled(images.clamp(-1, 1), labels)


def test_it_learns_a_simple_task_and_reports_progress() -> None:
    seen: list[tuple[int, int, float]] = []
    classifier = train_classifier(CONFIG, stripes(40, seed=0), progress=lambda *line: seen.append(line))
    assert accuracy(classifier, stripes(4, seed=1)) > 0.95
    assert [line[:2] for line in seen] == [(step, 40) for step in range(1, 41)]
    assert seen[-1][2] < seen[0][2]


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    short = replace(CONFIG, steps=3)
    one = train_classifier(short, stripes(3, seed=0)).state_dict()
    two = train_classifier(short, stripes(3, seed=0)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(before, torch.random.get_rng_state())


def test_accuracy_passes_over_unlabelled_images() -> None:
    classifier = train_classifier(replace(CONFIG, steps=1), stripes(1, seed=0))
    batch = next(stripes(1, seed=2))
    with torch.no_grad():
        predicted = classifier(batch.images).argmax(dim=1)
    labels = predicted.clone()
    labels[:16] = -1
    labels[16:20] = (labels[16:20] + 1) % 3
    assert accuracy(classifier, [Labelled(batch.images, labels)]) == pytest.approx(12 / 16, abs=1 / 16)


def test_what_cannot_be_trained_on_is_refused() -> None:
    batch = next(stripes(1, seed=0))
    with pytest.raises(GridcodeError, match="unlabelled data"):
        train_classifier(CONFIG, iter([Labelled(batch.images, torch.full((32,), -1))]))
    with pytest.raises(GridcodeError, match="saw label 3, but the config has 3 classes"):
        train_classifier(CONFIG, iter([Labelled(batch.images, torch.full((32,), 3))]))
    with pytest.raises(GridcodeError, match="ended after 2 of 40 steps"):
        train_classifier(CONFIG, stripes(2, seed=0))
    classifier = train_classifier(replace(CONFIG, steps=1), stripes(1, seed=0))
    with pytest.raises(GridcodeError, match="no image has a label"):
        accuracy(classifier, [Labelled(batch.images, torch.full((32,), -1))])
