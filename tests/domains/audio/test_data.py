"""Sound files: what is read of them, how it is cut, and the one line that refuses what cannot be read."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from gridcode.data.workers import TrainOrder
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data import decode
from gridcode.domains.audio.data.decode import Recording, encode, write
from gridcode.domains.audio.data.loader import eval_batches, gain, train_batches, whole
from gridcode.domains.audio.data.source import open_input, open_sounds
from gridcode.errors import GridcodeError


def sine(hertz: float, seconds: float, rate: int = 8000, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def recording(samples: np.ndarray, rate: int = 8000, **settings: str) -> Recording:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **({"format": "WAV"} | settings))
    return Recording(buffer.getvalue(), "a.wav")


@pytest.mark.parametrize(("format", "subtype", "step"), [
    ("WAV", "PCM_U8", 2**-7), ("WAV", "PCM_16", 2**-15), ("WAV", "PCM_24", 2**-23), ("WAV", "FLOAT", 1e-7),
    ("FLAC", "PCM_16", 2**-15), ("FLAC", "PCM_24", 2**-23),
])  # fmt: skip
def test_every_depth_is_read(format: str, subtype: str, step: float) -> None:
    samples = sine(300, 0.05)
    np.testing.assert_allclose(recording(samples, format=format, subtype=subtype).read(8000), samples, atol=step)


def test_stereo_becomes_the_mean_of_its_channels() -> None:
    both = np.stack([sine(200, 0.1), sine(500, 0.1)], 1)
    np.testing.assert_allclose(recording(both, subtype="FLOAT").read(8000), both.mean(1), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 11025, 44100])
def test_other_rates_are_resampled_whole_in_parts_and_as_a_stream(rate: int) -> None:
    found, expected = recording(sine(440, 1.0, rate), rate, subtype="FLOAT"), sine(440, 1.0)
    assert found.length(8000) == 8000
    np.testing.assert_allclose(found.read(8000)[200:-200], expected[200:-200], atol=2e-3)
    np.testing.assert_allclose(found.read(8000, 3000, 500), expected[3000:3500], atol=2e-3)
    stream = np.concatenate(list(found.blocks(8000, frames=5000)))
    np.testing.assert_allclose(stream[200:7800], expected[200:7800], atol=2e-3)


def test_a_part_of_a_long_file_reads_only_that_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "long.flac", np.zeros(600_000, np.float32), 8000)
    asked, read = list[int](), soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, n=-1, **rest: asked.append(n) or read(self, n, **rest)
    )
    found = Recording(tmp_path / "long.flac", "long.flac")
    assert len(found.read(8000, 300_000, 4096)) == 4096
    assert asked == [4096]
    assert sum(len(part) for part in found.blocks(8000, frames=100_000)) == 600_000
    assert asked[1:] == [100_000] * 6


def test_what_is_clipped_silent_or_one_sample_long_is_read() -> None:
    config = AudioConfig(samples=64, crop=64)
    clipped = recording(np.clip(sine(300, 0.1, amplitude=3), -1, 1)).read(8000)
    assert np.abs(clipped).max() <= 1
    for samples, peak in ((np.zeros(99, np.float32), 0.0), (np.full(1, 0.5, np.float32), 0.9)):
        sound = type("S", (), {"recording": recording(samples)})
        assert np.abs(whole(sound, config)).max() == pytest.approx(peak, abs=1e-3)
    assert recording(np.full(3, 1.0, np.float32), 48000).read(8000).shape == (1,)
    (part,) = recording(np.full(1, 0.5, np.float32), 48000).blocks(8000)
    assert part.shape == (recording(np.full(1, 0.5, np.float32), 48000).length(8000),)


def test_what_cannot_be_written_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", sine(300, 0.05), 8000)
    kept = (tmp_path / "a.flac").read_bytes()
    with pytest.raises(
        OSError, match=r"a\.flac cannot be written \(flac does not support this sample rate\)"
    ) as caught:
        write(tmp_path / "a.flac", sine(300, 0.05), 1_000_000)
    assert isinstance(caught.value, GridcodeError)
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]
    assert (tmp_path / "a.flac").read_bytes() == kept


REFUSED = {
    "nan.wav": (lambda: recording(np.array([0, np.nan], np.float32), subtype="FLOAT").file, "holds NaN or infinite"),
    "empty.wav": (lambda: recording(np.zeros(0, np.float32)).file, "holds no samples"),
    "nothing.wav": (lambda: b"", "not a readable sound file"),
    "text.flac": (lambda: b"no sound at all", "not a readable sound file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_file_is_named_in_one_line_or_skipped(name: str, tmp_path: Path) -> None:
    content, said = REFUSED[name]
    for number in range(3):
        write(tmp_path / f"good{number}.wav", sine(300, 0.05), 8000)
    (tmp_path / name).write_bytes(content())
    config = AudioConfig(source=str(tmp_path), val_source=str(tmp_path), samples=64, crop=64)
    source = open_sounds(config, "train")
    with pytest.raises(GridcodeError, match=re.escape(str(tmp_path / name)) + f": {said}") as caught:
        list(eval_batches(source, config, batch_size=4))
    assert "\n" not in str(caught.value)
    config = replace(config, on_error="skip")
    (batch,) = eval_batches(source, config, batch_size=4)
    assert (len(batch.keys), len(batch.skipped)) == (3, 1)
    trained = next(train_batches(source, config, TrainOrder(8, seed=0)))
    assert trained.waveforms.shape == (8, 1, 64)
    assert name not in trained.keys


def test_a_corpus_of_broken_files_and_folders_without_sounds_are_refused(tmp_path: Path) -> None:
    config = AudioConfig(source=str(tmp_path), on_error="skip", samples=64, crop=64)
    with pytest.raises(GridcodeError, match="no sounds here"):
        open_sounds(config, "train")
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    source = open_input(config)
    for batches in (eval_batches(source, config, batch_size=2), train_batches(source, config, TrainOrder(2, seed=0))):
        with pytest.raises(GridcodeError, match=r"can(not)? be read"):
            next(batches)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        open_sounds(replace(config, source=str(tmp_path / "missing")), "train")


def test_classes_come_from_folders_names_or_parquet(tmp_path: Path) -> None:
    for part, digit, number in (("train", 3, 0), ("train", 7, 0), ("train", 7, 1), ("test", 7, 0)):
        folder = tmp_path / "splits" / part / f"d{digit}"
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{number}.flac", sine(200, 0.02), 8000)
        (tmp_path / "flat").mkdir(exist_ok=True)
        write(tmp_path / "flat" / f"{digit}_ann_{part}{number}.wav", sine(200, 0.02), 8000)
    by_folder = AudioConfig(source=str(tmp_path / "splits"))
    train, val = open_sounds(by_folder, "train"), open_sounds(by_folder, "val")
    assert (train.classes, [sound.label for sound in train]) == (("d3", "d7"), [0, 1, 1])
    assert (val.classes, [sound.label for sound in val], val.key(0)) == (("d3", "d7"), [1], "d7/0.flac")
    flat = AudioConfig(source=str(tmp_path / "flat"))
    assert open_input(flat).classes == ()
    named = open_input(replace(flat, labels="name"))
    assert (named.classes, [sound.label for sound in named]) == (("3", "7"), [0, 1, 1, 1])
    odd = tmp_path / os.fsdecode(b"\xe9_1.wav")
    write(odd, sine(200, 0.02), 8000)
    (found,) = open_input(AudioConfig(source=str(odd), labels="name"))
    assert (found.key, found.recording.length(8000)) == (r"\xe9_1.wav", 160)
    assert open_input(AudioConfig(source=str(odd), labels="name")).classes == (r"\xe9",)
    odd.unlink()
    both = [open_sounds(replace(flat, val_fraction=0.5, labels="name"), split) for split in ("train", "val")]
    assert sorted(sound.key for part in both for sound in part) == [named.key(index) for index in range(4)]

    rows = {"audio": [{"bytes": encode(sine(200, 0.02), 8000), "path": "x.flac"}] * 2, "label": ["no", "yes"]}
    for part in ("train", "test"):
        pq.write_table(pa.table(rows), tmp_path / f"{part}.parquet")
    (tmp_path / "table").mkdir()
    for part in ("train", "test"):
        (tmp_path / f"{part}.parquet").rename(tmp_path / "table" / f"{part}.parquet")
    table = open_sounds(AudioConfig(source=str(tmp_path / "table")), "val")
    assert (table.classes, [sound.label for sound in table], table.key(1)) == (("no", "yes"), [0, 1], "test.parquet:1")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(GridcodeError, match="no column 'audio'"):
        open_input(AudioConfig(source=str(tmp_path / "x.parquet")))


def test_crops_depend_on_seed_and_position_alone_and_short_sounds_lie_among_zeros(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", sine(300, 0.5), 8000)
    write(tmp_path / "short.wav", np.full(20, 0.3, np.float32), 8000)
    config = AudioConfig(source=str(tmp_path), samples=64, crop=64)
    source = open_input(config)
    stream = train_batches(source, config, TrainOrder(4, seed=1))
    first, second = next(stream), next(stream)
    again = next(train_batches(source, config, TrainOrder(4, seed=1, start_step=1)))
    assert again.keys == second.keys
    assert again.waveforms.equal(second.waveforms)
    short = first.waveforms[first.keys.index("short.wav"), 0]
    assert int((short != 0).sum()) == 20
    assert short.max().item() == pytest.approx(0.9, abs=1e-6)
    (batch,) = eval_batches(source, config, batch_size=4)
    assert batch.waveforms[1, 0, :20].min() > 0.89
    assert not batch.waveforms[1, 0, 20:].any()
    middle = sine(300, 0.5)[(4000 - 64) // 2 :][:64]
    np.testing.assert_allclose(batch.waveforms[0, 0].numpy(), middle * 0.9 / np.abs(middle).max(), atol=1e-3)
    assert gain(1e-9) == 100


def test_the_extra_is_named_where_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(decode, "import_module", missing)
    with pytest.raises(GridcodeError, match=r"sounds need the package soundfile .*pip install 'gridcode\[audio\]'"):
        Recording(b"", "a.wav").read(8000)
