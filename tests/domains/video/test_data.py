"""Moving scenes do what they are called; videos of every form are read or refused by name; where a clip lies."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.data.workers import TrainOrder
from gridcode.domains.video.config import VideoConfig
from gridcode.domains.video.data import moving
from gridcode.domains.video.data.decode import Film, clip_frames
from gridcode.domains.video.data.loader import as_clips, eval_batches, train_batches
from gridcode.domains.video.data.moving import MOTIONS, draw_clip
from gridcode.domains.video.data.source import frame_rate, open_clips, open_input
from gridcode.domains.video.files import animation, frames_of, write_clip
from gridcode.errors import GridcodeError


def film(path: Path, values: list[int], side: tuple[int, int] = (16, 16), *, fps: float = 10.0) -> Path:
    """A video of plain grey frames."""
    frames = np.stack([np.full((*side, 3), value, np.uint8) for value in values])
    frames[:, 0, 0, 0] ^= np.arange(len(values), dtype=np.uint8)  # equal frames would be written as one
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(animation(frames, fps=fps, format="gif" if path.suffix == ".gif" else "webp"))
    return path


def movie(path: Path, values: list[int], side: tuple[int, int] = (32, 48)) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = *side, "yuv420p"
        for value in values:
            frame = av.VideoFrame.from_ndarray(np.full((*side, 3), value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def draw(number: int, frames: int = 9, size: int = 16, **settings: int) -> np.ndarray:
    return draw_clip(0, number, frames=frames, stride=2, size=size, objects=1, **settings).astype(int)


def test_a_clip_is_its_number_at_any_length() -> None:
    for number in range(4):
        assert np.array_equal(draw(number), draw(number))
        assert np.array_equal(draw(number)[:3], draw(number, frames=3))
        assert np.abs(np.diff(draw(number), axis=0)).max() > 30
    assert not np.array_equal(draw(0), draw(4))


def test_what_falls_lands_and_the_floor_stays_where_the_camera_does() -> None:
    height = moving._height(np.linspace(-1, 5, 601), 0.8)
    assert height[:101].tolist() == pytest.approx([0.8] * 101)
    assert height.min() == 0
    assert height[-100:].max() == 0
    peaks = height[1:-1][(height[1:-1] > height[:-2]) & (height[1:-1] > height[2:])]
    assert peaks == pytest.approx([0.8 * moving._BOUNCE ** (2 * n) for n in range(1, len(peaks) + 1)], rel=0.1)
    floor = draw(1, size=32)[:, -3:, :3]
    assert np.ptp(floor, axis=0).max() <= 2  # it is a little darker below what hangs over it


def test_a_turn_of_the_camera_is_a_turn_of_all_else() -> None:
    scene = moving.draw_layout(0, np.arange(3))
    turned = moving._turn(scene, np.full(3, 0.7), np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(turned.center, axis=2), np.linalg.norm(scene.center, axis=2))
    np.testing.assert_allclose(
        turned.rotation @ turned.rotation.transpose(0, 1, 3, 2), np.eye(3) + np.zeros((3, 3, 1, 1)), atol=1e-12
    )
    # The pattern's value at a point that turned is that at the point before.
    u, v = (
        layout.tiles[:, 0] * layout.center[:, 0, 0] + layout.tiles[:, 1] * layout.center[:, 0, 1]
        for layout in (scene, turned)
    )
    np.testing.assert_allclose(u, v)


def test_built_in_clips_are_numbered_and_resumed() -> None:
    data = VideoConfig(frames=3, size=16, train_count=8, val_count=6)
    train, val = open_clips(data, "train"), open_clips(data, "val")
    assert (len(train), len(val), train.classes, val[2].key) == (8, 6, MOTIONS, "slide-10")
    assert frame_rate(replace(data, stride=2), val) == 4.0
    faster = open_clips(replace(data, fps=16.0), "val")
    assert frame_rate(replace(data, fps=16.0), faster) == 16.0
    halves, whole = faster[1].read(replace(data, frames=3), 0.5), val[1].read(data, 0.5)
    assert np.array_equal(halves[2], whole[1])
    batch = next(eval_batches(val, data, batch_size=6))
    assert batch.clips.shape == (6, 3, 3, 16, 16)
    assert batch.labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert -1 <= batch.clips.min() < batch.clips.max() <= 1
    stream = train_batches(train, data, TrainOrder(4, seed=1))
    next(stream)
    later = next(stream)
    resumed = next(train_batches(train, data, TrainOrder(4, seed=1, start_step=1)))
    assert torch.equal(later.clips, resumed.clips)
    whole = {key: clip for batch in (later, next(stream)) for key, clip in zip(batch.keys, batch.clips, strict=True)}
    cropped = next(train_batches(train, replace(data, crop=2), TrainOrder(4, seed=1, start_step=1)))
    assert cropped.clips.shape == (4, 3, 2, 16, 16)
    for key, clip in zip(cropped.keys, cropped.clips, strict=True):
        assert any(torch.equal(clip, whole[key][:, start : start + 2]) for start in (0, 1))


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animations_are_read_frame_by_frame(name: str, tmp_path: Path) -> None:
    found = Film(film(tmp_path / name, [0, 50, 100, 150, 200], (8, 12)))
    assert found.starts == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    frames = found.read([1, 3, 3], 8)
    assert frames.shape == (3, 8, 8, 3)
    assert frames[:, 4, 4].tolist() == [[50] * 3, [150] * 3, [150] * 3]


def test_movies_are_read_frame_by_frame(tmp_path: Path) -> None:
    found = Film(movie(tmp_path / "a.mp4", [0, 60, 120, 180, 240]))
    assert found.starts == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert found.read([0, 2, 4], 16)[:, 8, 8, 0].tolist() == pytest.approx([0, 120, 240], abs=6)
    data = VideoConfig(source=str(found.path), frames=3, size=16)
    assert frame_rate(data, open_input(data)) == pytest.approx(25)
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:300])
    with pytest.raises(GridcodeError, match=r"b\.mp4: not a readable video \(.*data.on_error=skip"):
        _ = Film(tmp_path / "b.mp4").starts


def test_without_the_package_movies_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(
        GridcodeError, match=r"need the package av \(.*\); install it with pip install 'gridcode\[video\]'"
    ):
        _ = Film(tmp_path / "a.mp4").starts


@pytest.mark.parametrize(("settings", "expected"), [
    ({}, [0, 1, 2, 3]),
    ({"place": 1.0}, [6, 7, 8, 9]),
    ({"place": 0.5}, [3, 4, 5, 6]),
    ({"stride": 3, "place": 1.0}, [0, 3, 6, 9]),
    ({"stride": 4, "place": 0.3}, [0, 4, 8]),
    ({"fps": 5.0}, [0, 2, 4, 6]),
    ({"fps": 20.0}, [0, 0, 1, 1]),
    ({"fps": 5.0, "stride": 2, "frames": 9, "place": 1.0}, [0, 4, 8]),
    ({"frames": 99}, list(range(10))),
    ({"fps": 1e12}, [0, 0, 0, 0]),
    ({"fps": 1e12, "place": 1.0}, [9, 9, 9, 9]),  # a microsecond is nothing
])  # fmt: skip
def test_the_frames_of_a_clip(settings: dict, expected: list[int]) -> None:
    starts = [number / 10 for number in range(10)]
    wanted = {"fps": None, "stride": 1, "frames": 4, "place": 0.0} | settings
    assert clip_frames(starts, **wanted).tolist() == expected


def test_an_image_is_a_film_of_one_frame_that_is_repeated_or_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 16), (255, 0, 0, 255)).save(tmp_path / "a.png")
    data = VideoConfig(source=str(tmp_path / "a.png"), frames=5, size=16)
    clip = open_input(data)[0].read(data, 0.5)
    assert clip.shape == (5, 16, 16, 3)
    assert clip[:, 3, 3].tolist() == [[255, 0, 0]] * 5
    with pytest.raises(GridcodeError, match=r"a\.png: 1 frames, fewer than data.frames=5; set data.fewer=repeat"):
        open_input(data)[0].read(replace(data, fewer="refuse"), 0.5)
    assert frame_rate(data, open_input(data)) == 8.0
    with pytest.raises(GridcodeError, match="one video cannot be split; add videos"):
        open_clips(data, "train")


def test_folders_have_classes_and_splits_and_one_broken_film_is_named_or_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        place = ("train" if number < 4 else "test", ("run", "walk")[number % 2])
        film(tmp_path.joinpath(*place, f"{number}.{('gif', 'webp')[number % 2]}"), [number * 20] * (2 + number))
    data = VideoConfig(source=str(tmp_path), frames=3, size=16)
    train, val = open_clips(data, "train"), open_clips(data, "val")
    assert (train.classes, len(train), len(val)) == (("run", "walk"), 4, 2)
    batch = next(eval_batches(train, data, batch_size=4))
    assert batch.labels.tolist() == [0, 0, 1, 1]
    assert batch.clips[:, 0, 0, 8, 8].tolist() == pytest.approx([value / 127.5 - 1 for value in (0, 40, 20, 60)])
    (tmp_path / "train/run/0.gif").write_bytes(b"GIF89a")
    with pytest.raises(GridcodeError, match=r"train/run/0\.gif: not a readable video"):
        list(eval_batches(open_clips(data, "train"), data, batch_size=2))
    skipping = replace(data, on_error="skip")
    batches = list(eval_batches(open_clips(data, "train"), skipping, batch_size=2))
    assert sum(len(batch.keys) for batch in batches) == 3
    assert "0.gif: not a readable video" in caplog.text
    assert frame_rate(data, open_clips(data, "train")) == pytest.approx(10)  # of the first that can be read
    for source, said in (("/none", "no such file or folder"), (str(tmp_path / "empty"), "no videos here")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(GridcodeError, match=said):
            open_clips(replace(data, source=source), "train")


@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_a_clip_that_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    frames = draw_clip(0, 1, frames=3, stride=4, size=16, objects=1)
    clip = as_clips(frames[None])[0]
    assert np.array_equal(frames_of(clip), frames)
    write_clip(tmp_path / name, clip, fps=8.0)
    found = Film(tmp_path / name)
    assert found.starts == pytest.approx([0, 0.125, 0.25], abs=0.011)
    again = found.read([0, 1, 2], 16).astype(int)
    assert np.abs(again - frames).max() <= (0 if name == "a.webp" else 60)  # a GIF has 256 colours
