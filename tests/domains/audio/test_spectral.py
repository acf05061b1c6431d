"""Networks between a Fourier transform and its inverse: the transforms, and what the networks keep of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.domains.audio.architectures import SpectralConfig, WaveformConfig, audio_architecture_from_json
from gridcode.domains.audio.domain import AudioDomain
from gridcode.domains.audio.networks.make import make_networks
from gridcode.domains.audio.networks.spectral import inverse, transform
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.model import Tokenizer


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.8 - 0.9


@settings(deadline=None, max_examples=30)
@given(hop=st.sampled_from([2, 8, 20]), factor=st.integers(1, 4), places=st.integers(1, 12), seed=st.integers(0, 99))
def test_the_inverse_gives_the_waveform_back(hop: int, factor: int, places: int, seed: int) -> None:
    window, sound = 2 * factor * hop, noise(2, places * hop, seed=seed)
    spectra = transform(sound, window, hop)
    assert spectra.shape == (2, window // 2 + 1, places)
    torch.testing.assert_close(inverse(spectra, window, hop), sound)


def test_a_frame_is_centred_on_its_place() -> None:
    """Against numpy's transform of the samples around place 3."""
    window, hop, sound = 32, 8, noise(1, 80)
    around = sound[0, 3 * hop + hop // 2 - window // 2 :][:window].numpy()
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    expected = np.fft.rfft(around * shape) / shape.sum()
    np.testing.assert_allclose(transform(sound, window, hop)[0, :, 3].numpy(), expected, atol=1e-12)


def test_the_inverse_is_the_nearest_in_the_mean_square_of_frames() -> None:
    """Of spectra that no waveform has: moving any sample makes the windowed frames less alike."""
    window, hop, places = 16, 4, 6
    draw = torch.Generator().manual_seed(0)
    wanted = torch.fft.rfft(torch.randn(1, window, places, dtype=torch.float64, generator=draw), dim=1)
    sound = inverse(wanted, window, hop).requires_grad_()
    shape = torch.hann_window(window, dtype=torch.float64)
    padded = torch.nn.functional.pad(sound, ((window - hop) // 2,) * 2)
    frames = padded.unfold(-1, window, hop) * shape
    target = torch.fft.irfft(wanted * shape.sum(), window, dim=1).transpose(1, 2)
    (frames - target).square().sum().backward()
    assert sound.grad is not None
    assert sound.grad.abs().max() < 1e-10


def test_silence_has_finite_latents_gradients_and_sound() -> None:
    encoder, decoder = make_networks(SpectralConfig(width=8, hop=16, window=64), 4)
    silence = torch.zeros(1, 1, 160, requires_grad=True)
    decoder(encoder(silence)).sum().backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


def test_angles_stay_exact_under_autocast() -> None:
    """The last layer and the inverse are in float32, also where the layers before are in bf16."""
    _, decoder = make_networks(SpectralConfig(width=8, hop=16, window=64, decoder_blocks=1), 4)
    seen = []
    decoder.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        sound = decoder(torch.rand(1, 4, 1, 10))
    assert seen == [torch.float32]
    assert sound.dtype == torch.float32


@pytest.mark.parametrize("make", [
    lambda: SpectralConfig(hop=3), lambda: SpectralConfig(hop=0), lambda: SpectralConfig(window=96),
    lambda: SpectralConfig(window=64), lambda: SpectralConfig(kernel=4), lambda: SpectralConfig(width=0),
    lambda: SpectralConfig(decoder_blocks=0), lambda: audio_architecture_from_json({"name": "x", "quantizer": {}}),
])  # fmt: skip
def test_shapes_that_cannot_be_are_refused(make) -> None:
    with pytest.raises(GridcodeError, match=r"must|there is no architecture"):
        make()


def test_a_kind_like_another_keeps_the_quantizer_and_the_stride() -> None:
    conv = WaveformConfig(quantizer=FSQConfig((8, 5)), strides=(8, 4), widths=(8, 8))
    assert SpectralConfig.like(conv) == SpectralConfig(quantizer=FSQConfig((8, 5)), hop=32, window=128)
    assert WaveformConfig.like(SpectralConfig(quantizer=FSQConfig((8, 5)))).quantizer == FSQConfig((8, 5))


def test_a_folder_without_a_name_holds_convolutions(tmp_path) -> None:
    """As models were saved before there were other networks."""
    values = {"quantizer": {"name": "fsq", "levels": [8, 5]}, "strides": [4, 2], "widths": [4, 4]}
    assert audio_architecture_from_json(values) == WaveformConfig(FSQConfig((8, 5)), strides=(4, 2), widths=(4, 4))
    for config in (SpectralConfig(width=8, hop=16, window=64), WaveformConfig(strides=(4, 2), widths=(4, 4))):
        Tokenizer(config, AudioDomain(8000)).save_pretrained(tmp_path / config.name)
        assert Tokenizer.from_pretrained(tmp_path / config.name).config == config
