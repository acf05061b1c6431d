"""The self-made perceptual network: it learns, it is kept, and it is no relative of the one that measures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gridcode.data import Batch
from gridcode.errors import GridcodeError
from gridcode.features.classifier import Classifier
from gridcode.features.config import ClassifierConfig, ObserverConfig
from gridcode.features.observer import Observer, load_observer, save_observer
from gridcode.features.train import _targets, train_observer

CONFIG = ObserverConfig(targets=3, widths=(8, 16), steps=40, lr=5e-3)


def stripes(count: int, *, seed: int) -> Iterator[Batch]:
    """Class 0: flat noise; 1: the upper half bright; 2: the left half bright; one image in eight has no label."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(count):
        labels = torch.randint(0, 3, (32,), generator=draw)
        images = 0.3 * torch.randn(32, 3, 16, 16, generator=draw)
        images[labels == 1, :, :8] += 0.7
        images[labels == 2, :, :, :8] += 0.7
        labels[::8] = -1
        yield Batch(images=images.clamp(-1, 1), labels=labels, keys=("",) * 32)


def share_right(observer: Observer, images: Tensor, targets: Tensor) -> float:
    kept = targets >= 0
    return float((observer(images).argmax(1) == targets)[kept].float().mean())


def test_it_learns_classes_and_passes_over_what_has_none() -> None:
    losses: list[float] = []
    observer = train_observer(CONFIG, stripes(40, seed=0), progress=lambda done, steps, loss: losses.append(loss))
    held_out = next(stripes(1, seed=1))
    assert share_right(observer, held_out.images, held_out.labels) > 0.9
    assert len(losses) == 40
    assert not observer.training
    assert not any(parameter.requires_grad for parameter in observer.parameters())


def test_it_learns_which_way_up_images_are() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(32, 3, 16, 16)
    batch = Batch(images=ramp, labels=torch.full((32,), -1), keys=("",) * 32)
    config = ObserverConfig(targets=4, rotations=True, widths=(8, 16), steps=60, lr=5e-3)
    observer = train_observer(config, iter([batch] * 60))
    images, turns = _targets(batch, rotations=True)
    assert turns.bincount().tolist() == [8, 8, 8, 8]
    for image, turn in zip(images, turns, strict=True):
        assert torch.equal(torch.rot90(image, -int(turn), (1, 2)), ramp[0])
    assert share_right(observer, images, turns) == 1.0


def test_a_batch_without_any_label_is_no_harm() -> None:
    batch = Batch(images=torch.zeros(4, 3, 8, 8), labels=torch.full((4,), -1), keys=("",) * 4)
    observer = train_observer(ObserverConfig(targets=3, widths=(8,), steps=2), iter([batch] * 2))
    assert all(torch.isfinite(parameter).all() for parameter in observer.parameters())


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    short = ObserverConfig(targets=3, widths=(8, 16), steps=3)
    one, two = (train_observer(short, stripes(3, seed=0)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(before, torch.random.get_rng_state())


@settings(deadline=None, max_examples=20)
@given(height=st.integers(4, 20), width=st.integers(4, 20), seed=st.integers(0, 9))
def test_the_distance_is_zero_to_itself_and_two_at_most(height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    observer = Observer(ObserverConfig(targets=4, widths=(8, 8, 8))).eval()
    x, y = (torch.rand(2, 3, height, width) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert observer.distance(x, x).tolist() == [0.0, 0.0]
        distance = observer.distance(x, y)
    assert ((distance > 0) & (distance <= 2)).all()


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16), (2, 3, 3, 16)])
def test_images_that_do_not_fit_are_one_line(shape: tuple[int, ...]) -> None:
    message = r"takes images \(B, 3, H, W\) of at least 4 pixels per side, got shape .*; give loss.perceptual.widths"
    with pytest.raises(GridcodeError, match=message):
        Observer(ObserverConfig(targets=4, widths=(8, 8, 8))).features(torch.zeros(shape))


def test_it_comes_back_from_its_folder_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    observer = Observer(ObserverConfig(targets=7, widths=(8, 16), channels=1))
    save_observer(observer, tmp_path / "observer")
    back = load_observer(tmp_path / "observer")
    assert back.config == observer.config
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in observer.state_dict().items())
    assert not any(parameter.requires_grad for parameter in back.parameters())
    assert "no measure of quality" in (tmp_path / "observer" / "README.md").read_text()


def test_a_config_that_is_no_observers_is_one_line(tmp_path: Path) -> None:
    save_observer(Observer(CONFIG), tmp_path / "observer")
    path = tmp_path / "observer" / "config.json"
    config = json.loads(path.read_text())
    for harm in ({"depth": 3}, "words"):
        path.write_text(json.dumps(config | {"observer": harm}))
        with pytest.raises(GridcodeError, match=r"has no valid 'observer'; train it again"):
            load_observer(tmp_path / "observer")


def test_a_trained_observer_sees_that_an_image_is_too_pale_or_too_dark() -> None:
    """A norm over an image's own values would not: blur and a wrong brightness then cost the same nothing."""
    draw = torch.Generator().manual_seed(0)
    pictures = torch.rand(64, 3, 4, 4, generator=draw).repeat_interleave(4, 2).repeat_interleave(4, 3) * 2 - 1
    batch = Batch(pictures, torch.arange(64) % 4, keys=("",) * 64)
    config = ObserverConfig(targets=4, rotations=True, widths=(8, 16), steps=30)
    observer = train_observer(config, iter([batch] * 30))
    near = observer.distance(pictures, pictures + 0.01 * torch.randn(pictures.shape, generator=draw)).mean()
    for wrong in (pictures * 0.4, pictures + 0.5, pictures - 0.5):
        assert observer.distance(pictures, wrong).mean() > 5 * near


def test_no_model_is_graded_by_its_own_teacher() -> None:
    """Other layers and other names than the classifier behind the Fréchet distance: neither can stand for the other."""
    teacher, grader = Observer(ObserverConfig(targets=10)), Classifier(ClassifierConfig(classes=10, size=32))
    kinds = [{type(module) for module in network.modules()} for network in (teacher, grader)]
    assert nn.ReLU in kinds[0] - kinds[1]
    assert nn.SiLU in kinds[1] - kinds[0]
    assert not {n for n in teacher.state_dict() if n.startswith("stages")} & grader.state_dict().keys()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"targets": 3, "rotations": True}, "an image has 4 rotations"),
        ({"targets": 4, "widths": ()}, "positive multiples of 8"),
        ({"targets": 4, "widths": (12,)}, "positive multiples of 8"),
        ({"targets": 1}, "observer.targets must be at least 2, got 1"),
        ({"targets": 2, "channels": 0}, "observer.channels must be at least 1, got 0"),
        ({"targets": 2, "steps": 0}, "observer.steps must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        ObserverConfig(**fields)  # type: ignore[arg-type]
