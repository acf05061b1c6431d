"""Both games against the formulas in numpy, and the gradient penalty against gradients known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from gridcode.tokenizer.adversarial import Hinge, NonSaturating, feature_distance, gradient_penalty

SCORES = arrays.arrays(np.float32, 5, elements=st.floats(-60, 60, width=32))


def softplus(x: np.ndarray) -> np.ndarray:
    """-log of the probability that a classifier with logit -x gives its class, in float64."""
    return np.logaddexp(0.0, x.astype(np.float64))


@settings(deadline=None)
@given(real=SCORES, fake=SCORES, weight=st.sampled_from([0.1, 1.0]))
def test_non_saturating_is_the_logistic_loss_with_exchanged_labels(
    real: np.ndarray, fake: np.ndarray, weight: float
) -> None:
    loss = NonSaturating(weight)
    both = loss.discriminator(torch.from_numpy(real), torch.from_numpy(fake))
    assert float(both) == pytest.approx(softplus(-real).mean() + softplus(fake).mean(), rel=1e-5, abs=1e-6)
    terms = loss.tokenizer(torch.from_numpy(fake))
    assert list(terms) == ["adversarial"]
    assert float(terms["adversarial"]) == pytest.approx(weight * softplus(-fake).mean(), rel=1e-5, abs=1e-6)


@settings(deadline=None)
@given(real=SCORES, fake=SCORES, weight=st.sampled_from([0.1, 1.0]))
def test_hinge_is_its_formula(real: np.ndarray, fake: np.ndarray, weight: float) -> None:
    loss = Hinge(weight)
    expected = np.maximum(0, 1 - real.astype(np.float64)).mean() + np.maximum(0, 1 + fake.astype(np.float64)).mean()
    both = loss.discriminator(torch.from_numpy(real), torch.from_numpy(fake))
    assert float(both) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    terms = loss.tokenizer(torch.from_numpy(fake))
    assert float(terms["adversarial"]) == pytest.approx(-weight * fake.astype(np.float64).mean(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("loss", [NonSaturating(1.0), Hinge(1.0)])
def test_even_is_the_loss_of_a_discriminator_that_cannot_tell(loss: NonSaturating | Hinge) -> None:
    assert float(loss.discriminator(torch.zeros(3), torch.zeros(3))) == pytest.approx(loss.even)


def test_a_lost_tokenizer_still_has_a_gradient() -> None:
    """What non-saturating means: where D is sure (s = -20) the gradient of L_G is -1, that of log(1 - D) nearly 0."""
    scores = torch.full((1,), -20.0, requires_grad=True)
    NonSaturating(1.0).tokenizer(scores)["adversarial"].backward()
    assert float(scores.grad) == pytest.approx(-1.0, abs=1e-6)


@settings(deadline=None)
@given(scale=st.floats(-3, 3), batch=st.integers(1, 4), seed=st.integers(0, 99))
def test_r1_is_the_analytic_one_of_a_quadratic(scale: float, batch: int, seed: int) -> None:
    """D(x) = scale |x|² has the gradient 2 scale x, so R1 = 4 scale² mean |x|²; by scale it is 8 scale mean |x|²."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 2, 3, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(factor * x.square().sum((1, 2, 3)), x)
    mean = float(x.detach().square().sum((1, 2, 3)).mean())
    assert float(penalty.detach()) == pytest.approx(4 * scale**2 * mean, rel=1e-5, abs=1e-12)
    penalty.backward()
    assert float(factor.grad) == pytest.approx(8 * scale * mean, rel=1e-5, abs=1e-12)


def test_r1_of_a_network_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    x = torch.randn(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(network(x), x)
    total, step = 0.0, 1e-6
    with torch.no_grad():
        for place in range(12):
            moved = torch.zeros(12, dtype=torch.float64)
            moved[place] = step
            moved = moved.view(1, 3, 2, 2)
            total += float(((network(x + moved) - network(x - moved)) / (2 * step)).square().mean())
    assert float(penalty.detach()) == pytest.approx(total, rel=1e-5)


def test_half_the_range_has_twice_the_gradient_and_four_times_the_penalty() -> None:
    """MaskGIT's images are in [0, 1]: what the docstring says of its cost."""
    weights = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    ours = torch.zeros(2, 3, 4, 4, requires_grad=True)
    theirs = ((ours.detach() + 1) / 2).requires_grad_(True)
    here = gradient_penalty((weights * ours).sum((1, 2, 3)), ours)
    there = gradient_penalty((weights * (2 * theirs - 1)).sum((1, 2, 3)), theirs)
    assert float(there.detach()) == pytest.approx(4 * float(here.detach()), rel=1e-6)
    assert math.isclose(float(here.detach()), float(weights.square().sum()), rel_tol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(0.01, 100))
def test_features_are_compared_beside_the_size_of_the_real_ones(seed: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    real, fake = ([draw.normal(size=shape) for shape in ((2, 3), (2, 4, 5))] for _ in range(2))
    expected = np.mean([np.abs(a - b).mean() / np.abs(a).mean() for a, b in zip(real, fake, strict=True)])
    found = feature_distance(*([torch.from_numpy(one * scale) for one in side] for side in (real, fake)))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_features_give_their_gradient_to_the_reconstructions_alone() -> None:
    real, fake = torch.ones(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    feature_distance([real], [fake]).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().min() > 0
    assert feature_distance([torch.zeros(2)], [torch.zeros(2)]) == 0  # a layer that says nothing
