"""Pixel errors of colours by their formulas, and a Fréchet distance that keeps its two sets apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.metrics import ColourErrors, ColourFrechet, GaussianStatistics, frechet_distance, split_reference


def images(count=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, 3, 4, 5)), rng.uniform(-1, 1, (count, 3, 4, 5))


def test_errors_equal_their_formulas():
    a, b = images()
    errors = ColourErrors()
    errors.update(torch.as_tensor(a), torch.as_tensor(b))
    found = errors.compute()
    assert found.mse == pytest.approx(((a - b) ** 2).mean())
    assert found.mae == pytest.approx(abs(a - b).mean())
    decibels = [10 * math.log10(4 / ((x - y) ** 2).mean()) for x, y in zip(a, b, strict=True)]
    assert found.psnr == pytest.approx(np.mean(decibels), rel=1e-5)


def test_overshoot_is_clamped_and_parts_merge():
    a, b = (torch.as_tensor(part) for part in images())
    whole, left, right = ColourErrors(), ColourErrors(), ColourErrors()
    whole.update((a * 3).clamp(-1, 1), b)
    left.update(a[:1] * 3, b[:1])
    right.update(a[1:] * 3, b[1:])
    left.merge(right)
    assert left.compute().mse == pytest.approx(whole.compute().mse)
    assert left.compute().count == 3


def test_distance_is_that_of_the_features():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(9, 4, generator=generator), torch.randn(8, 4, generator=generator) + 1
    distance = ColourFrechet("noise", 4)
    distance.update_generated(a, [f"a{i}" for i in range(9)])
    distance.update_reference(b[:5], [f"b{i}" for i in range(5)])
    distance.update_reference(b[5:], [f"b{i}" for i in range(5, 8)])
    one, other = GaussianStatistics(4), GaussianStatistics(4)
    one.update(a)
    other.update(b)
    found = distance.compute()
    assert found.distance == pytest.approx(frechet_distance(one, other))
    assert (found.features, found.generated, found.reference) == ("noise", 9, 8)


@pytest.mark.parametrize("first", ["generated", "reference"])
def test_one_image_in_both_sets_is_refused(first):
    distance = ColourFrechet("noise", 1)
    updates = {"generated": distance.update_generated, "reference": distance.update_reference}
    updates.pop(first)(torch.zeros(1, 1), ["cat.png"])
    (second,) = updates.values()
    with pytest.raises(GridcodeError, match=r"'cat\.png' is both colourised and in the reference set"):
        second(torch.zeros(2, 1), ["dog.png", "cat.png"])


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(max_size=3), min_size=2, max_size=20), st.integers(0, 5), st.data())
def test_any_split_is_disjoint_and_ignores_the_order(keys, seed, data):
    keys = sorted(keys)
    count = data.draw(st.integers(1, len(keys) // 2))
    chosen, reference = split_reference(keys, count, seed=seed)
    assert len(chosen) == len(reference) == count
    assert not set(chosen) & set(reference)
    turned = keys[::-1]
    again = split_reference(turned, count, seed=seed)
    assert [{turned[i] for i in part} for part in again] == [{keys[i] for i in part} for part in (chosen, reference)]


def test_errors_name_what_was_seen():
    with pytest.raises(GridcodeError, match="no image was seen"):
        ColourErrors().compute()
    with pytest.raises(GridcodeError, match=r"saw \(1, 1, 4, 4\)"):
        ColourErrors().update(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    with pytest.raises(GridcodeError, match="2 feature vectors and 1 keys"):
        ColourFrechet("noise", 1).update_generated(torch.zeros(2, 1), ["a"])
    with pytest.raises(GridcodeError, match="of 2 images need 4, but there are 3"):
        split_reference(["a", "b", "c"], 2)
    with pytest.raises(GridcodeError, match="occurs twice"):
        split_reference(["a", "a"], 1)
