"""The study of speech: codecs by stand-ins and by Opus itself, delays, and a tiny tokenizer beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gridcode.domains.audio import AudioDomain, WaveformConfig
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.speech import speech_scores
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.studies.engine import run_cell, write_study
from gridcode.studies.registry import study_from_json
from gridcode.studies.results import read_study
from gridcode.studies.speech.codecs import load, through_codec
from gridcode.studies.speech.config import SpeechConfig
from gridcode.studies.speech.study import Speech, verdicts
from gridcode.tokenizer.model import Tokenizer
from tests.studies.test_domains import digits

RATE = 8000


def voiced(count: int = 8, length: int = 6400) -> torch.Tensor:
    """Harmonics of a gliding pitch, louder and softer: (count, 1, length)."""
    time = np.arange(count * length) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.3 * time)) / RATE
    sound = sum(np.sin(harmonic * pitch) / harmonic for harmonic in range(1, 20))
    loudness = np.abs(np.sin(2 * np.pi * 2.1 * time)) ** 2
    return torch.from_numpy((0.3 * sound * loudness).astype(np.float32)).view(count, 1, length)


def test_stoi_by_its_package_and_pesq_by_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class NoUtterancesError(Exception):
        """As pesq has it."""

    def pesq(rate: int, sound: np.ndarray, other: np.ndarray, mode: str) -> float:
        seen.append((rate, len(sound), len(other), mode))
        if len(seen) == 1:
            raise NoUtterancesError
        return 3.0

    monkeypatch.setitem(sys.modules, "pesq", SimpleNamespace(pesq=pesq, NoUtterancesError=NoUtterancesError))
    sounds = voiced(17)
    noisy = sounds + 0.3 * torch.randn(sounds.shape, generator=torch.Generator().manual_seed(0))
    same, other = speech_scores(sounds, sounds, RATE), speech_scores(sounds, noisy, RATE)
    assert same["stoi"] == pytest.approx(1.0, abs=1e-6)
    assert other["stoi"] < 0.9
    assert same["pesq"] == other["pesq"] == 3.0
    assert seen[:2] == [(8000, 8 * 6400, 8 * 6400, "nb"), (8000, 9 * 6400, 9 * 6400, "nb")]
    assert "pesq" not in speech_scores(sounds, sounds, 11025)
    assert speech_scores(sounds[:0], sounds[:0], RATE) == {}
    assert speech_scores(sounds[:1, :, :3000], sounds[:1, :, :3000], RATE) == {}
    assert speech_scores(0 * sounds, sounds, RATE) == {}
    assert speech_scores(sounds, 0 * sounds, RATE) == {"stoi": 0.0}
    for name in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, name, None)
    assert speech_scores(sounds, sounds, RATE) == {}


def test_opus_there_and_back() -> None:
    sounds = voiced()
    back, bits = through_codec("opus-6000", sounds)
    assert back.shape == sounds.shape
    assert 5000 < bits < 7500
    spectra = [
        torch.stft(x.flatten(), 256, window=torch.hann_window(256), return_complex=True).abs() for x in (sounds, back)
    ]
    assert torch.corrcoef(torch.stack([spectrum.flatten() for spectrum in spectra]))[0, 1] > 0.8


def test_codec2_by_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Codec2:
        """Gives back what it was given, a frame late."""

        def __init__(self, rate: int) -> None:
            assert rate == 1300
            self.last = np.zeros(320, np.int16)

        def samples_per_frame(self) -> int:
            return 320

        def bits_per_frame(self) -> int:
            return 52

        def encode(self, frame: np.ndarray) -> bytes:
            return frame.tobytes()

        def decode(self, data: bytes) -> np.ndarray:
            last, self.last = self.last, np.frombuffer(data, np.int16)
            return last

    monkeypatch.setitem(sys.modules, "pycodec2", SimpleNamespace(Codec2=Codec2))
    sounds = voiced()
    back, bits = through_codec("codec2-1300", sounds)
    assert bits == pytest.approx(1300)
    torch.testing.assert_close(back, sounds, atol=2e-4, rtol=0)
    monkeypatch.setitem(sys.modules, "pycodec2", None)
    with pytest.raises(GridcodeError, match="needs the package pycodec2: pip install pycodec2"):
        load("codec2")


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(GridcodeError, match="codecs must be one of opus-6000"):
        SpeechConfig(codecs=("mp3",))  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match=r"8000 samples per second, got data\.rate=16000"):
        SpeechConfig(data=AudioConfig(rate=16000))


def test_verdicts_count_measures() -> None:
    ours = {"bits_per_second": 1246.0, "recognised": 0.95, "stoi": 0.8, "mel_distance": 0.3, "sounds": 2000}
    opus = {"bits_per_second": 6000.0, "recognised": 0.97, "stoi": 0.7, "mel_distance": 0.5}
    lower = opus | {"bits_per_second": 700.0}  # fewer bits: no claim
    found = verdicts(
        {
            "originals": {"recognised": 0.955, "bits_per_second": 128000, "sounds": 2000},
            "gridcode": ours,
            "opus-6000": opus,
            "codec2-700": lower,
        }
    )
    assert [verdict.answer for verdict in found] == ["seen", "seen"]
    assert found[1].claim == (
        "at 1246 bits per second tokens are better than Opus, 6000 bit/s (6000 bits per second) in most measures"
    )
    assert found[1].figures.startswith("in 2 of 3: digits recognised 95.0 % against 97.0 %, STOI 0.800 against 0.700")


def test_a_tokenizer_beside_opus(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = WaveformConfig(quantizer=FSQConfig((5, 3)), widths=(8, 8, 8), dilations=(1,), head=4)
    Tokenizer(config, AudioDomain(rate=RATE)).save_pretrained(tmp_path / "tokenizer")
    data = AudioConfig(source=digits(tmp_path / "digits"), samples=4096, crop=1024)
    study = Speech(
        SpeechConfig(
            tokenizer=str(tmp_path / "tokenizer"), data=data, codecs=("opus-6000",), count=6, classifier_steps=2
        )
    )
    out, results = tmp_path / "out", {}
    study.prepare(out)
    for cell in study.cells():
        results[cell] = run_cell(study, cell, out)
        assert 0 <= results[cell]["recognised"] <= 1
        assert study.time_cell(cell) > 0
    study.save_images(out)
    assert (out / "spectrograms.png").is_file()
    write_study(study, results, out)
    content, found = read_study(out / "study.json")
    page = study_from_json(content).summary(found)
    assert [row[0] for row in page.tables[0].rows] == ["originals", "gridcode", "Opus, 6000 bit/s"]
    assert page.tables[0].rows[1][1] == "488"
