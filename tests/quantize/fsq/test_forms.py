"""Every form against its published formula, in numpy and float64, and against vector-quantize-pytorch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.forms import FORMS, FormName, channel, code_grid
from gridcode.quantize.fsq.quantizer import FSQ

Array = NDArray[np.float64]
LEVELS = (2, 3, 4, 5, 7, 8, 16, 33, 256, 999)


def paper(z: Array, L: int, eps: float = 1e-3) -> Array:
    half = (L - 1) * (1 - eps) / 2
    offset = 0.5 if L % 2 == 0 else 0.0
    return np.round(np.tanh(z + math.tan(offset / half)) * half - offset) / (L // 2)


def atanh(z: Array, L: int, eps: float = 1e-3) -> Array:
    half = (L - 1) * (1 + eps) / 2
    offset = 0.5 if L % 2 == 0 else 0.0
    return np.round(np.tanh(z + math.atanh(offset / half)) * half - offset) / (L // 2)


def symmetric(z: Array, L: int) -> Array:
    return 2 / (L - 1) * np.floor((L - 1) * (np.tanh(z) + 1) / 2 + 0.5) - 1


def ifsq(z: Array, L: int) -> Array:
    sigmoid = 1 / (1 + np.exp(-1.6 * z))
    if L % 2:
        return np.round((2 * sigmoid - 1) * (L - 1) / 2) / (L // 2)
    return (2 * np.clip(np.floor(L * sigmoid), 0, L - 1) + 1) / L - 1


ORACLES: dict[FormName, Callable[[Array, int], Array]] = {
    "paper": paper,
    "atanh": atanh,
    "symmetric": symmetric,
    "dithered": symmetric,
    "ifsq": ifsq,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", FORMS)
def test_codes_and_gradient_are_the_formulas(form: FormName, level: int) -> None:
    z = np.random.default_rng(level).normal(size=4000) * 2
    latents = torch.tensor(z[:, None], requires_grad=True)
    out = FSQ([level], form=form).eval()(latents)
    np.testing.assert_allclose(out.codes.detach()[:, 0].numpy(), ORACLES[form](z, level), rtol=0, atol=1e-12)
    out.codes.sum().backward()
    curve = channel(form, level, 1e-3 if form in ("paper", "atanh") else 0.0)
    slope = (curve.bounded(z + 1e-6) - curve.bounded(z - 1e-6)) / 2e-6
    assert latents.grad is not None
    np.testing.assert_allclose(latents.grad[:, 0].numpy(), slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", FORMS)
def test_bounded_latents_round_to_the_codes(form: FormName, level: int) -> None:
    latents = torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(level)) * 2
    quantizer = FSQ([level], form=form).eval()
    codes = torch.tensor(quantizer.grid.channels[0].codes)
    nearest = (quantizer.relax(latents) - codes).abs().argmin(1)
    assert torch.equal(nearest, quantizer(latents).indices)


@given(
    form=st.sampled_from(FORMS),
    level=st.integers(2, 1000),
    z=st.floats(-20, 20, width=32),
    steps=st.integers(-2, 2),
    place=st.integers(0, 998),
)
@settings(max_examples=200, deadline=None)
def test_float32_latents_fall_on_the_right_side_of_every_threshold(
    form: FormName, level: int, z: float, steps: int, place: int
) -> None:
    """Also at the thresholds themselves and at their nearest float32 neighbours."""
    book = code_grid([level], form)
    exact = book.channels[0].thresholds
    near = np.float32(exact[place % len(exact)])
    for _ in range(abs(steps)):
        near = np.nextafter(near, np.float32(math.copysign(np.inf, steps)))
    latents = np.array([z, near], dtype=np.float32)
    expected = (latents.astype(np.float64)[:, None] > exact).sum(1)
    assert FSQ([level], form=form)(torch.tensor(latents[:, None])).indices.tolist() == expected.tolist()


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [7, 5, 5, 5, 5]], ids=str)
@pytest.mark.parametrize(("form", "mirrored"), [("atanh", False), ("symmetric", True)])
def test_indices_are_those_of_vector_quantize_pytorch(form: FormName, mirrored: bool, levels: list[int]) -> None:
    peer = pytest.importorskip("vector_quantize_pytorch").FSQ(levels, preserve_symmetry=mirrored)
    latents = torch.randn(1_000_000, len(levels), generator=torch.Generator().manual_seed(0))
    ours = FSQ(levels, form=form)(latents)
    codes, indices = peer(latents[None])
    same = ours.indices == indices[0]
    assert (~same).sum() <= 2
    torch.testing.assert_close(ours.codes[same], codes[0][same], rtol=0, atol=1e-6)


def test_a_million_latents_of_the_paper_by_its_formula() -> None:
    levels = [8, 5, 5, 5]
    latents = torch.randn(1_000_000, 4, generator=torch.Generator().manual_seed(0))
    z = latents.double().numpy()
    expected = np.stack([paper(z[:, i], level) for i, level in enumerate(levels)], 1)
    assert (FSQ(levels)(latents).codes.double().numpy() - expected > 1e-6).any(1).sum() <= 2


def test_the_forms_are_not_interchangeable() -> None:
    """On normal latents and [8, 5, 5, 5]: the paper's indices are 99 % of atanh's and 69 % of the symmetric ones."""
    latents = torch.randn(200_000, 4, generator=torch.Generator().manual_seed(0))
    base = FSQ([8, 5, 5, 5])(latents).indices
    agree = {
        form: float((FSQ([8, 5, 5, 5], form=form).eval()(latents).indices == base).double().mean()) for form in FORMS
    }
    assert agree["atanh"] == pytest.approx(0.99, abs=0.003)
    assert agree["symmetric"] == agree["dithered"] == pytest.approx(0.688, abs=0.005)


@pytest.mark.parametrize(
    ("levels", "form", "eps", "message"),
    [
        ([1001], "paper", None, r"'paper' with eps 0.001 loses both end values of a level of 1001: .* below .* 0.001"),
        ([8, 1001], "atanh", None, "'atanh' with eps 0.001 rounds to codes outside the codebook of a level of 1001"),
        ([8], "paper", 1 / 7, "loses both end values of a level of 8"),
        ([8], "atanh", 1 / 7, "rounds to codes outside the codebook of a level of 8"),
        ([3, 2], "atanh", 0.0, "eps 0 has no threshold at level 2"),
        ([8], "symmetric", 1e-3, "'symmetric' has no eps, got 0.001; leave it out"),
        ([8], "ifsq", 1e-3, "'ifsq' has no eps"),
        ([8], "tanh", None, "form is 'tanh'; choose one of paper, atanh, symmetric, ifsq, dithered"),
        ([8], "paper", math.nan, "eps is nan; give a number in"),
        ([3], "paper", math.nextafter(0.5, 0), "cannot tell all 3 values"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(
    levels: list[int], form: FormName, eps: float | None, message: str
) -> None:
    with pytest.raises(GridcodeError, match=message):
        code_grid(levels, form, eps)


@pytest.mark.parametrize("form", ["symmetric", "ifsq", "dithered"])
def test_forms_without_eps_take_any_level(form: FormName) -> None:
    for level in (1001, 2**20):
        assert FSQ([level], form=form)(torch.tensor([[-30.0], [30.0]])).indices.tolist() == [0, level - 1]
