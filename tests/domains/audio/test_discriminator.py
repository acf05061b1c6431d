"""The discriminator of sounds: its spectrograms, its scores, and what it can learn to tell."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gridcode.domains.audio.networks.discriminator import Discriminator
from gridcode.domains.audio.spectrum import magnitudes, stft


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize("window", [64, 128])
def test_complex_spectra_are_those_of_the_sum(window: int) -> None:
    """One frame against its definition, in float64."""
    x, frame = noise(1, 1, 512), 5
    padded = F.pad(x[0, 0].double(), (window // 2, window // 2))
    shape = torch.hann_window(window, dtype=torch.float64)
    part = padded[frame * window // 4 :][:window] * shape / shape.sum()
    angles = torch.arange(window, dtype=torch.float64)
    waves = torch.exp(-2j * torch.pi * torch.arange(window // 2 + 1, dtype=torch.float64)[:, None] * angles / window)
    found = stft(x, window)
    torch.testing.assert_close(found[0, :, frame], (waves @ part.to(waves.dtype)).to(found.dtype))
    torch.testing.assert_close(found.abs(), magnitudes(x, window), rtol=1e-4, atol=1e-6)


def test_the_scores_are_the_last_layer_and_every_window_has_its_share() -> None:
    network, sounds = Discriminator((64, 128, 256), width=4), noise(2, 1, 4096)
    layers = network.layers(sounds)
    assert len(layers) == 3 * 5 + 1
    assert torch.equal(layers[-1], network(sounds))
    counts = [len(network.scales[k](stft(sounds, window))[-1][0].flatten()) for k, window in enumerate((64, 128, 256))]
    assert sum(counts) == layers[-1].shape[1]
    assert max(counts) < 1.3 * min(counts)


def test_weak_sounds_enter_at_the_root_of_their_size() -> None:
    """So a sound a hundred times weaker enters ten times weaker."""
    network, entered = Discriminator((128,), width=2), []
    network.scales[0].convs[0].register_forward_pre_hook(lambda module, inputs: entered.append(inputs[0]))
    for factor in (1.0, 0.01):
        network(noise(1, 1, 1024) * factor)
    strong = entered[0].norm(dim=1) > 0.1
    torch.testing.assert_close(entered[1].norm(dim=1)[strong] * 10, entered[0].norm(dim=1)[strong], rtol=0.01, atol=0)


def test_silence_has_finite_scores_and_gradients() -> None:
    silence = torch.zeros(1, 1, 512, requires_grad=True)
    Discriminator((64,), width=2)(silence).sum().backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


def test_it_learns_to_tell_a_tone_from_noise() -> None:
    torch.manual_seed(0)
    network = Discriminator((64, 128), width=4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    tones = torch.sin(torch.linspace(0, 250, 512)).expand(4, 1, 512) * 0.2
    for step in range(15):
        loss = F.relu(1 - network(tones)).mean() + F.relu(1 + network(noise(4, 1, 512, seed=step))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network(tones).mean() > network(noise(4, 1, 512, seed=99)).mean() + 0.5
