"""Long sounds in parts: the same tokens and the same samples as in one piece."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gridcode.domains.audio.architectures import SpectralConfig, WaveformConfig
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import Recording, write
from gridcode.domains.audio.domain import AudioDomain
from gridcode.domains.audio.files import reconstruct_file
from gridcode.domains.audio.stream import decode_stream, encode_stream, reconstruct_stream
from gridcode.quantize.config import FSQConfig, QuantizerConfig, ResidualFSQConfig
from gridcode.tokenizer.model import Tokenizer


def tokenizer(quantizer: QuantizerConfig | None = None, kind: str = "waveform") -> Tokenizer:
    torch.manual_seed(0)
    quantizer = quantizer or FSQConfig((8, 5))
    config: WaveformConfig | SpectralConfig
    if kind == "waveform":
        config = WaveformConfig(quantizer=quantizer, strides=(4, 2), widths=(6, 8), dilations=(1, 3), kernel=5)
    else:
        config = SpectralConfig(quantizer, hop=8, window=48, width=8, encoder_blocks=2, decoder_blocks=3, kernel=5)
    made = Tokenizer(config, AudioDomain(8000)).eval()
    for parameter in made.parameters():  # untrained weights leave little of a signal
        parameter.data *= 1.5
    return made


def sound(length: int) -> Tensor:
    return torch.rand(1, 1, length, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9


def reach(function: torch.nn.Module, entering: Tensor, place: int) -> Tensor:
    """Where the gradient of a place of the result goes."""
    entering.requires_grad_()
    function(entering)[..., place].sum().backward()
    assert entering.grad is not None
    return entering.grad.flatten(0, -2).abs().sum(0).nonzero()[:, 0]


@pytest.mark.parametrize("kind", ["waveform", "spectral"])
def test_the_context_covers_what_a_place_depends_on(kind: str) -> None:
    made = tokenizer(kind=kind)
    f, context, t = made.config.stride, made.config.context, 200
    seen = reach(made.encoder, sound(t * f), 100)
    assert 100 - context <= seen.min().item() // f
    assert seen.max().item() // f <= 100 + context
    for offset in (0, f - 1):
        seen = reach(made.decoder, torch.rand(1, 2, 1, t), 100 * f + offset)
        assert 100 - context <= seen.min().item()
        assert seen.max().item() <= 100 + context


@pytest.mark.parametrize("quantizer", [FSQConfig((8, 5)), ResidualFSQConfig(levels=(5, 3), stages=2)])
@pytest.mark.parametrize("length", [1, 803, 2400])
@pytest.mark.parametrize("kind", ["waveform", "spectral"])
def test_parts_give_the_whole(quantizer: QuantizerConfig, length: int, kind: str) -> None:
    made, whole = tokenizer(quantizer, kind), sound(length)
    padded = torch.nn.functional.pad(whole, (0, -length % made.config.stride))
    indices = made.double().encode(padded.double())
    parts = encode_stream(made, whole.double().split(171, -1), block=16)
    assert torch.equal(torch.cat(list(parts), 2), indices)
    back = made.float().decode(indices)
    pieces = torch.cat(list(decode_stream(made, indices.split(13, 2), block=16)), -1)
    torch.testing.assert_close(pieces, back, atol=1e-5, rtol=0)


def test_a_part_is_never_longer_than_its_block_and_context() -> None:
    made, longest = tokenizer(), 0

    def note(module: torch.nn.Module, entering: tuple[Tensor, ...]) -> None:
        nonlocal longest
        longest = max(longest, entering[0].shape[-1])

    made.encoder.register_forward_pre_hook(note)
    for _ in encode_stream(made, (sound(4000) for _ in range(10)), block=32):
        pass
    assert longest == (32 + 2 * made.config.context) * made.config.stride


def test_a_file_comes_back_at_its_length_and_loudness(tmp_path: Path) -> None:
    data = AudioConfig(samples=512, crop=512)
    samples = 0.05 * sound(3001)[0, 0].numpy()
    write(tmp_path / "a.wav", samples, 8000)
    found = reconstruct_file(tokenizer(), Recording(tmp_path / "a.wav", "a.wav"), tmp_path / "out.flac", data)
    back = Recording(tmp_path / "out.flac", "out").read(8000)
    assert len(back) == 3001
    assert found.seconds == pytest.approx(3001 / 8000)
    heard = Recording(tmp_path / "a.wav", "a.wav").read(8000)
    factor = 0.9 / np.abs(heard).max()
    whole = torch.from_numpy(heard * np.float32(factor))[None, None]
    expected = torch.cat(list(reconstruct_stream(tokenizer(), [whole])), -1)[0, 0, :3001]
    np.testing.assert_allclose(back, (expected / factor).numpy(), atol=2**-14)
    x, y = whole[0, 0].double(), expected.double()
    target = (x @ y) ** 2 / (x @ x)
    assert found.si_sdr == pytest.approx(10 * math.log10(target / (y @ y - target)), abs=0.01)
    assert torch.equal(found.beginning[0], whole[0, 0, :512])
    torch.testing.assert_close(found.its_reconstruction[0], expected[:512])
    assert not list(tmp_path.glob(".*"))


def test_silence_stays_silence_in_length(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros(100, np.float32), 8000)
    data = AudioConfig(samples=64, crop=64)
    found = reconstruct_file(tokenizer(), Recording(tmp_path / "a.wav", "a.wav"), tmp_path / "b.wav", data)
    assert math.isnan(found.si_sdr)
    assert len(Recording(tmp_path / "b.wav", "b").read(8000)) == 100
