"""Depth errors against plain numpy, alignment by its normal equations, and the named crops."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.metrics import DepthErrors, crop_region


def oracle(d, g):
    d, g = np.float64(d), np.float64(g)
    e = np.log(d) - np.log(g)
    n = len(e)
    pairs = sum((e[i] - e[j]) ** 2 for i in range(n) for j in range(n)) / (2 * n * n)  # Eigen et al., equation 2
    return (
        math.sqrt(((d - g) ** 2).sum() / n),
        (abs(d - g) / g).sum() / n,
        *(sum(max(a / b, b / a) < 1.25**k for a, b in zip(d, g, strict=True)) / n for k in (1, 2, 3)),
        math.sqrt((e**2).sum() / n),
        math.sqrt(pairs),
    )


def scores(d, g, **settings):
    errors = DepthErrors(**settings)
    errors.update(torch.as_tensor(d), torch.as_tensor(g))
    found = errors.compute()
    return astuple(found)[:7]


def depths(count=3, size=(4, 5), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 9, (count, 1, *size))
    return truth * np.exp(rng.normal(0, 0.2, truth.shape)), truth


def test_each_image_counts_once_and_invalid_pixels_do_not():
    d, g = depths()
    g[0, 0, :2], g[1, 0, 0, 0], g[2, 0, 1, 1] = 0, 10.0, 1e-3
    expected = np.mean(
        [oracle(a[(b > 1e-3) & (b < 10)], b[(b > 1e-3) & (b < 10)]) for a, b in zip(d, g, strict=True)], 0
    )
    assert scores(d, g) == pytest.approx(tuple(expected))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.integers(1, 4), st.integers(1, 5))
def test_any_depths_agree_with_the_oracle(seed, factor, height, width):
    d, g = depths(1, (height, width), seed)
    assert scores(d * factor, g) == pytest.approx(oracle(factor * d.ravel(), g.ravel()), rel=1e-6, abs=1e-6)
    assert scores(d * factor, g)[6] == pytest.approx(scores(d, g)[6], abs=1e-6)


def test_alignment_solves_least_squares():
    d, g = depths(1)
    x, y = d.ravel(), g.ravel()
    scale = np.linalg.lstsq(x[:, None], y, rcond=None)[0]
    assert scores(d, g, align="scale") == pytest.approx(oracle(x * scale, y))
    slope, shift = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
    assert scores(d, g, align="scale_shift") == pytest.approx(oracle(np.maximum(x * slope + shift, 1e-3), y))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 10), st.floats(-5, 5))
def test_alignment_undoes_scale_and_shift(seed, scale, shift):
    _, g = depths(1, seed=seed)
    assert scores(g * scale, g, align="scale") == pytest.approx((0, 0, 1, 1, 1, 0, 0), abs=1e-6)
    assert scores(g * scale + shift, g, align="scale_shift") == pytest.approx((0, 0, 1, 1, 1, 0, 0), abs=1e-6)


def test_a_constant_prediction_becomes_the_mean():
    _, g = depths(1)
    rmse = scores(np.full_like(g, 3.0), g, align="scale_shift")[0]
    assert rmse == pytest.approx(g.std())


def test_crops_are_those_of_the_papers():
    assert crop_region("nyu", 480, 640) == (slice(54, 480), slice(41, 601))
    assert crop_region("eigen", 480, 640) == (slice(45, 471), slice(41, 601))
    assert crop_region("none", 7, 9) == (slice(0, 7), slice(0, 9))
    assert crop_region("nyu", 120, 160) == (slice(14, 120), slice(10, 150))
    d, g = depths(2, (48, 64))
    rows, columns = crop_region("nyu", 48, 64)
    assert scores(d, g, crop="nyu") == pytest.approx(scores(d[..., rows, columns], g[..., rows, columns]))


def test_every_figure_has_its_own_name():
    """Ratios of 1.2, 1.5, 1.9 and 2: a quarter of the pixels passes each threshold in turn."""
    g = torch.ones(1, 1, 2, 2)
    errors = DepthErrors()
    errors.update(g * torch.tensor([[1.2, 1 / 1.5], [1.9, 2.0]]), g)
    found = errors.compute()
    assert (found.delta, found.delta_2, found.delta_3) == (0.25, 0.5, 0.75)
    logs = np.log([1.2, 1 / 1.5, 1.9, 2.0])
    assert found.rmse_log == pytest.approx(math.sqrt((logs**2).mean()))
    assert found.si_log == pytest.approx(logs.std())


def test_merged_parts_equal_the_whole_and_empty_images_are_counted():
    d, g = depths(4)
    g[3] = 0
    left, right = DepthErrors(), DepthErrors()
    left.update(torch.as_tensor(d[:1]), torch.as_tensor(g[:1]))
    right.update(torch.as_tensor(d[1:]), torch.as_tensor(g[1:]))
    left.merge(right)
    found = left.compute()
    assert astuple(found)[:7] == pytest.approx(scores(d, g))
    assert (found.count, found.empty) == (3, 1)


def test_errors_name_what_was_seen():
    one = torch.ones(1, 1, 2, 2)
    with pytest.raises(GridcodeError, match="near < far"):
        DepthErrors(near=2, far=1)
    with pytest.raises(GridcodeError, match="crop must be one of none, nyu, eigen, not 'garg'"):
        DepthErrors(crop="garg")
    with pytest.raises(GridcodeError, match="align must be"):
        DepthErrors(align="median")
    with pytest.raises(GridcodeError, match=r"saw \(1, 1, 2, 2\) and \(1, 2, 2\)"):
        DepthErrors().update(one, one[0])
    with pytest.raises(GridcodeError, match="predicted depth is 0"):
        DepthErrors().update(one * 0, one)
    with pytest.raises(GridcodeError, match="NaN"):
        DepthErrors().update(one * math.nan, one)
    empty = DepthErrors()
    empty.update(one, one * 0)
    with pytest.raises(GridcodeError, match=r"no pixel with .* in 1 images"):
        empty.compute()
    with pytest.raises(GridcodeError, match="other settings"):
        empty.merge(DepthErrors(far=80))
