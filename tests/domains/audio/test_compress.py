"""Sounds to files and back: the tokens exactly, any length, and nothing else than one's own files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.codec.bitstream import Header, Sound, pack_stream, parse_stream
from gridcode.domains.audio.architectures import SpectralConfig, WaveformConfig
from gridcode.domains.audio.compress import SoundCodec
from gridcode.domains.audio.data.decode import Recording, Waveform, write
from gridcode.domains.audio.domain import AudioDomain
from gridcode.domains.image import TokenizerConfig
from gridcode.domains.image.domain import ImageDomain
from gridcode.errors import GridcodeError
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.quantize.config import FSQConfig, QuantizerConfig, ResidualFSQConfig
from gridcode.tokenizer.model import Tokenizer

WINDOW = 6
"""Places of the prior's grid."""


def codec(quantizer: QuantizerConfig = FSQConfig((8, 5)), *, prior: bool = False) -> SoundCodec:  # noqa: B008
    torch.manual_seed(0)
    config = SpectralConfig(quantizer, hop=8, window=32, width=8, encoder_blocks=1, decoder_blocks=1)
    tokenizer = Tokenizer(config, AudioDomain(8000)).eval()
    if not prior:
        return SoundCodec(tokenizer)
    grid = (1, WINDOW, *tokenizer.quantizer.index_shape)
    space = TokenSpace(tokenizer.codebook_size, grid, classes=(), tokenizer=tokenizer.weights_hash(), data={})
    return SoundCodec(tokenizer, MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval())


def sound(length: int, size: float = 0.3) -> Waveform:
    found: Waveform = (np.random.default_rng(length).uniform(-size, size, length)).astype(np.float32)
    return found


CODECS = {
    "plain": codec(),
    "prior": codec(prior=True),
    "residual": codec(ResidualFSQConfig(levels=(5, 3), stages=2), prior=True),
}


@settings(deadline=None, max_examples=25)
@given(
    name=st.sampled_from(sorted(CODECS)), length=st.integers(1, 900), coder=st.sampled_from(["raw", "static", "prior"])
)
def test_a_sound_of_any_length_comes_back_as_the_tokenizer_gives_it(name: str, length: int, coder) -> None:
    made = CODECS[name]
    if coder == "prior" and made.prior is None:
        coder = None
    wave = sound(length)
    data = made.compress(wave, coder=coder)
    header = parse_stream(data, "a.gc").header
    gain = header.sound.gain / 65536
    assert header.sound.samples == length
    assert gain == pytest.approx(min(0.9 / np.abs(wave).max(), 100), abs=1e-4)
    places = -(-length // 8)
    assert header.grid[1] == (max(WINDOW, places) if header.coder == "prior" else places)
    padded = np.zeros((1, 1, header.grid[1] * 8), np.float32)
    padded[0, 0, :length] = wave * np.float32(gain)
    tokens = made.tokenizer.encode(torch.from_numpy(padded))
    expected = made.tokenizer.decode(tokens)[0, 0, :length].numpy() / gain
    np.testing.assert_allclose(made.decompress(data), expected, atol=1e-5)


def test_a_file_is_read_in_parts_and_resampled(tmp_path: Path) -> None:
    made, wave = CODECS["plain"], sound(5000)
    write(tmp_path / "a.flac", wave, 8000)
    write(tmp_path / "b.wav", sound(5000), 16000)
    data, seconds = made.compress_file(Recording(tmp_path / "a.flac", "a.flac"))
    assert seconds == 5000 / 8000
    rounded = Recording(tmp_path / "a.flac", "a.flac").read(8000)
    assert data == made.compress(rounded)
    data, seconds = made.compress_file(Recording(tmp_path / "b.wav", "b.wav"))
    assert seconds == 2500 / 8000
    assert len(made.decompress(data)) == 2500


def test_silence_and_one_sample() -> None:
    for name in CODECS:
        made = CODECS[name]
        for wave in (np.zeros(300, np.float32), np.full(1, 1e-6, np.float32)):
            assert np.isfinite(back := made.decompress(made.compress(wave))).all()
            assert len(back) == len(wave)


def test_what_is_no_sound_or_not_of_this_codec() -> None:
    made = CODECS["plain"]
    for wave in (sound(9).astype(np.float64), sound(9)[None], sound(9)[:0], sound(9) * 9, sound(9) * np.float32("nan")):
        with pytest.raises(GridcodeError, match="compress takes"):
            made.compress(wave)
    with pytest.raises(GridcodeError, match="needs a prior beside the tokenizer"):
        made.compress(sound(9), coder="prior")
    with pytest.raises(GridcodeError, match="is a tokenizer of kind 'image'; give one of sounds"):
        SoundCodec(Tokenizer(TokenizerConfig(widths=(8,)), ImageDomain()))
    other = SoundCodec(Tokenizer(WaveformConfig(strides=(2,), widths=(8,)), AudioDomain(8000)))
    data = made.compress(sound(90))
    with pytest.raises(GridcodeError, match=r"a\.gc was made by tokenizer .* give the model it was made by"):
        other.decompress(data, name="a.gc")
    coded = CODECS["prior"].compress(sound(90))
    with pytest.raises(GridcodeError, match=r"a\.gc was coded by prior .*, and this model has none; give the model"):
        made.decompress(coded, name="a.gc")
    stream = parse_stream(data, "a.gc")
    for change, said in (
        ({"sound": None}, "holds the tokens of a token store, not a sound"),
        ({"sound": Sound(90, 9000, 1)}, "says 9000 samples per second; it is damaged"),
        ({"sound": Sound(97, 8000, 1)}, "its tokens are not those of its size"),
        ({"codes": 41}, "its tokens are not those of its size"),
    ):
        header: Header = replace(stream.header, **change)
        with pytest.raises(GridcodeError, match=said):
            made.decompress(pack_stream(header, [stream.payload(0)]), name="a.gc")


def test_a_sound_of_a_day_is_refused_before_it_is_coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridcode.domains.audio.compress.LONGEST", 10)
    made, said = CODECS["plain"], "a sound of 11 tokens does not fit into one file; cut it"
    with pytest.raises(GridcodeError, match=said):
        made.compress(sound(81))
    made.compress(sound(80))
    write(tmp_path / "a.flac", sound(81), 8000)
    recording = Recording(tmp_path / "a.flac", "a.flac")
    monkeypatch.setattr(Recording, "blocks", None)
    with pytest.raises(GridcodeError, match=rf"a\.flac: {said}"):
        made.compress_file(recording)
    with pytest.raises(GridcodeError, match=r"a\.flac: the coder prior needs a prior"):
        made.compress_file(recording, coder="prior")


def test_a_codec_is_loaded_with_its_prior(tmp_path: Path) -> None:
    made = CODECS["prior"]
    made.tokenizer.save_pretrained(tmp_path / "tokenizer")
    made.prior.save_pretrained(tmp_path / "prior")
    wave = sound(200)
    assert SoundCodec.from_pretrained(tmp_path).compress(wave) == made.compress(wave)
    assert SoundCodec.from_pretrained(tmp_path / "tokenizer").compress(wave) == made.compress(wave, coder="raw")
