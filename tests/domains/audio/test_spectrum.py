"""Spectra beside independent ones: scipy's STFT, and librosa's mel filters written out from their formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import stft

from gridcode.domains.audio.config import AudioLossConfig, AudioTokenizerRun
from gridcode.domains.audio.loss import AudioObjective, mel_distance, stft_distance
from gridcode.domains.audio.measure import si_sdr, spectral_distance
from gridcode.domains.audio.spectrum import log_mel, magnitudes, mel_filters, mel_spectrum
from gridcode.training.fabric import make_fabric


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.2


@pytest.mark.parametrize("window", [64, 256])
def test_magnitudes_are_scipys(window: int) -> None:
    sounds = noise(2, 1, 1024)
    _, _, theirs = stft(
        sounds[:, 0].numpy(),
        window="hann",
        nperseg=window,
        noverlap=window - window // 4,
        boundary="zeros",
        padded=False,
    )
    np.testing.assert_allclose(magnitudes(sounds, window).numpy(), np.abs(theirs), atol=1e-6)


def slaney_mel(hertz: np.ndarray) -> np.ndarray:
    """librosa's ``hz_to_mel(htk=False)``."""
    linear = hertz / (200.0 / 3)
    return np.where(hertz >= 1000.0, 15.0 + np.log(np.maximum(hertz, 1e-9) / 1000.0) / (np.log(6.4) / 27.0), linear)


def librosa_filters(rate: int, window: int, bands: int) -> np.ndarray:
    """``librosa.filters.mel(sr=rate, n_fft=window, n_mels=bands)`` by its definition, one filter at a time."""
    grid = np.linspace(0, rate / 2, 200_001)
    edges = np.interp(np.linspace(0, slaney_mel(np.array(rate / 2)), bands + 2), slaney_mel(grid), grid)
    bins = np.arange(window // 2 + 1) * rate / window
    filters = np.zeros((bands, len(bins)))
    for band in range(bands):
        left, centre, right = edges[band : band + 3]
        rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
        filters[band] = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return filters


@pytest.mark.parametrize(("rate", "window", "bands"), [(8000, 256, 40), (16000, 512, 80)])
def test_mel_filters_are_librosas(rate: int, window: int, bands: int) -> None:
    np.testing.assert_allclose(
        mel_filters(rate, window, bands).numpy(), librosa_filters(rate, window, bands), atol=1e-6
    )


def test_a_mel_band_is_the_mean_magnitude_under_its_filter() -> None:
    sounds, filters = noise(1, 1, 1024), mel_filters(8000, 256, 20)
    bands = torch.einsum("mk,bkn->bmn", filters, magnitudes(sounds, 256)) / filters.sum(1)[:, None]
    torch.testing.assert_close(mel_spectrum(sounds, 8000, 256, 20), bands)
    torch.testing.assert_close(log_mel(sounds, 8000, window=256, bands=20), (bands + 1e-3).log())


def test_the_loss_is_its_formula() -> None:
    x, y, config = noise(2, 1, 1024), noise(2, 1, 1024, seed=1), AudioLossConfig(windows=(64, 128))
    run = AudioTokenizerRun(loss=config)
    terms = AudioObjective(run, fabric=make_fabric(run.loop)).terms(y, (x,), step=0)
    assert terms["l1"].item() == pytest.approx((x - y).abs().mean().item(), rel=1e-5)
    expected = 0.0
    for window in (64, 128):
        X, Y = magnitudes(x, window).numpy(), magnitudes(y, window).numpy()
        convergence = [np.linalg.norm(a - b) / (np.linalg.norm(a) + 1e-3) for a, b in zip(X, Y, strict=True)]
        expected += np.abs(np.log(X + 1e-3) - np.log(Y + 1e-3)).mean() / 2 + np.mean(convergence) / 2
    assert terms["stft"].item() == pytest.approx(0.5 * expected, rel=1e-4)
    whole = mel_distance(x, y, 8000, config.mel_windows, config.mels, config.floor)
    assert terms["mel"].item() == pytest.approx(whole.mean().item(), rel=1e-5)


def test_silence_has_a_finite_loss_and_gradient() -> None:
    silence, guess = torch.zeros(1, 1, 1024), torch.zeros(1, 1, 1024, requires_grad=True)
    loss = (
        stft_distance(silence, guess, (64, 256), 1e-3) + mel_distance(silence, guess, 8000, (256,), (20,), 1e-3).sum()
    )
    loss.backward()
    assert loss.item() == 0
    assert guess.grad is not None
    assert guess.grad.isfinite().all()


def test_si_sdr_knows_no_scale_and_has_its_value() -> None:
    x, error = noise(3, 1, 4000), noise(3, 1, 4000, seed=1)
    error -= (error * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True) * x
    error *= x.norm(dim=-1, keepdim=True) / error.norm(dim=-1, keepdim=True)
    for ratio in (0.1, 1.0):
        expected = torch.full((3,), -20 * np.log10(ratio))
        for scale in (0.5, 3.0):
            torch.testing.assert_close(si_sdr(x, scale * (x + ratio * error)), expected, atol=1e-3, rtol=1e-4)
    assert si_sdr(torch.zeros(1, 1, 8), torch.ones(1, 1, 8)).isnan().all()


def test_a_quieter_copy_is_as_many_decibels_away() -> None:
    loud = noise(1, 1, 4096) * 3
    assert spectral_distance(loud, loud * 0.5).item() == pytest.approx(20 * np.log10(2), abs=0.5)
