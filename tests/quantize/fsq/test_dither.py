"""Dithering: how often, how far, for whom, and with which gradient."""

from __future__ import annotations

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.dither import Dither
from gridcode.quantize.fsq.quantizer import FSQ

LEVELS = [8, 5]


def dithering(**probabilities: float) -> FSQ:
    return FSQ(LEVELS, form="dithered", channel_dim=1, dither=Dither(**probabilities)).train()


def latents(samples: int = 3000) -> torch.Tensor:
    return torch.randn(samples, 2, 3, 3, generator=torch.Generator().manual_seed(0))


def test_every_sample_is_wholly_rounded_raw_or_noisy_at_the_given_rates() -> None:
    torch.manual_seed(0)
    quantizer = dithering(noise=0.5, raw=0.2)
    z = latents()
    codes, bounded = quantizer(z).codes, quantizer.relax(z)
    rounded = (codes == quantizer.eval()(z).codes).flatten(1).all(1)
    raw = (codes == bounded).flatten(1).all(1)
    assert float(raw.float().mean()) == pytest.approx(0.2, abs=0.03)
    assert float(rounded.float().mean()) == pytest.approx(0.3, abs=0.03)
    noise = (codes - bounded)[~(raw | rounded)]
    for i, level in enumerate(LEVELS):
        half_bin = 1 / (level - 1)
        assert float(noise[:, i].abs().max()) <= half_bin * (1 + 1e-5)
        assert float(noise[:, i].std()) == pytest.approx(2 * half_bin / 12**0.5, rel=0.03)


def test_indices_are_those_of_the_rounded_latents() -> None:
    quantizer, z = dithering(noise=1.0, raw=0.0), latents(20)
    indices = quantizer(z).indices
    assert torch.equal(indices, quantizer.eval()(z).indices)


def test_outside_of_training_it_is_the_symmetric_form() -> None:
    z = latents(20)
    plain = FSQ(LEVELS, form="symmetric", channel_dim=1)(z)
    assert torch.equal(dithering().eval()(z).codes, plain.codes)


@pytest.mark.parametrize("rates", [{"noise": 1.0, "raw": 0.0}, {"noise": 0.0, "raw": 1.0}, {"noise": 0.0, "raw": 0.0}])
def test_the_gradient_is_that_of_the_bound_in_every_case(rates: dict[str, float]) -> None:
    quantizer = dithering(**rates)
    z = latents(20).requires_grad_()
    (got,) = torch.autograd.grad(quantizer(z).codes.sum(), z)
    (expected,) = torch.autograd.grad(quantizer.relax(z).sum(), z)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_codes_keep_the_latents_dtype(dtype: torch.dtype) -> None:
    assert dithering()(latents(20).to(dtype)).codes.dtype == dtype


@pytest.mark.parametrize("shape", [(2,), (0, 2), (4, 2)])
def test_any_rank(shape: tuple[int, ...]) -> None:
    quantizer = FSQ(LEVELS, form="dithered").train()
    assert quantizer(torch.zeros(shape)).codes.shape == shape


def test_only_the_dithered_form_takes_probabilities() -> None:
    with pytest.raises(GridcodeError, match="form 'paper' does not dither"):
        FSQ(LEVELS, dither=Dither())
