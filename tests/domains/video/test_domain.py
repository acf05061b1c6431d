"""Clips through every verb at smoke size; what is given stays; figures that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.cli.main import main
from gridcode.domains.video.config import VideoLossConfig
from gridcode.domains.video.continuation import continued
from gridcode.domains.video.data.decode import Film
from gridcode.domains.video.data.loader import VideoBatch, as_clips
from gridcode.domains.video.data.moving import draw_clip
from gridcode.domains.video.domain import VideoDomain, data_of
from gridcode.domains.video.files import write_clip
from gridcode.domains.video.loss import VideoObjective
from gridcode.domains.video.measure import difference_error, frame_psnr
from gridcode.errors import GridcodeError
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer

GUIDE = Path(__file__).parents[3] / "docs/guides/video.md"
SHORT = ["--loop.steps", "2", "--loop.log-every", "1", "--loop.val-every", "2", "--loop.checkpoint-every", "2"]
BEHIND = {"train": SHORT, "sample": ["--steps", "2", "--count", "1"], "reconstruct": ["--count", "2"]}
"""What the guide's commands are given in addition, so that they take no time."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's first commands, with the smoke recipe, and an autoregressive prior beside."""
    folder = tmp_path_factory.mktemp("video")
    block = GUIDE.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
    assert block.count("\n") == 7
    for line in block.replace("video_laptop", "video_smoke").replace("runs/video", str(folder)).splitlines():
        words = line.split()[1:]
        given = ["--given-frames", "1"] if "--given" in words else []
        assert main([*words, *given, *BEHIND.get(words[0], [])]) == 0, line
    words = ["--tokens", str(folder / "tokens"), "--prior", "ar", "--out", str(folder / "ar"), *SHORT]
    assert main(["train", "prior", "video_smoke", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def generators(runs: Path) -> dict[str, Generator]:
    tokenizer = Tokenizer.from_pretrained(runs / "tokenizer")
    return {name: Generator.from_pretrained(runs / name, tokenizer) for name in ("prior", "ar")}


def test_a_run_leaves_a_model_its_card_images_and_tokens(runs: Path) -> None:
    card = (runs / "tokenizer/best/README.md").read_text()
    assert "| downsampling | 8 pixels per side; 1 + T frames have 1 + T/4 places |" in card
    with Image.open(runs / "tokenizer/images/step-00000002.png") as strip:
        assert strip.size == (5 * (6 * 16 + 4) + 4, 8 * (6 * 16 + 4) + 4)
    tokenizer = Tokenizer.from_pretrained(runs / "tokenizer")
    assert isinstance(tokenizer.domain, VideoDomain)
    assert (tokenizer.domain.fps, data_of(tokenizer).frames) == (8.0, 5)
    manifest = json.loads((runs / "tokens/manifest.json").read_text())
    assert (manifest["grid"], manifest["axes"]) == ([2, 2, 2], 3)
    assert manifest["classes"] == ["turn", "fall", "slide", "approach"]


def test_samples_and_continuations_are_animations(runs: Path) -> None:
    names = sorted(path.name for path in (runs / "samples").iterdir())
    assert names == ["0000-turn.webp", "0001-fall.webp", "0002-slide.webp", "0003-approach.webp", "samples.png"]
    assert Film(runs / "samples/0001-fall.webp").starts == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])
    (found,) = (runs / "continuations").glob("*.webp")
    clip = Film(found).read(range(5), 16)
    number = int(found.stem.rpartition("-")[2])
    assert np.array_equal(clip[0], draw_clip(0, number, frames=1, stride=1, size=16, objects=1)[0])


@pytest.mark.parametrize("prior", ["prior", "ar"])
def test_given_frames_stay_and_the_others_follow_from_them(generators: dict[str, Generator], prior: str) -> None:
    generator, sampler = generators[prior], SamplerConfig(steps=2)
    given = torch.rand(3, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = continued(generator, given, [0, 3, -1], sampler=sampler, seed=1, batch_size=2)
    assert found.shape == (3, 3, 5, 16, 16)
    assert torch.equal(found[:, :, :1], given)
    other = continued(generator, -given, [0, 3, -1], sampler=sampler, seed=1, batch_size=2)
    assert not torch.equal(found[:, :, 1:], other[:, :, 1:])
    for frames, said in ((5, "given frames must be 1, got 5"), (2, "given frames must be 1, got 2")):
        with pytest.raises(GridcodeError, match=said):
            continued(generator, given.expand(-1, -1, frames, -1, -1), [0, 3, -1])
    with pytest.raises(GridcodeError, match="draws frames of 2x2 tokens, and those given have 3x2"):
        continued(generator, torch.zeros(1, 3, 1, 24, 16), [0])
    with pytest.raises(GridcodeError, match="there are no clips whose frames are given"):
        continued(generator, given[:0], [])
    half = continued(generator, given.bfloat16(), [0, 3, -1], sampler=sampler, seed=1)
    assert torch.equal(half[:, :, :1], given.bfloat16().float())


def test_reconstruct_takes_films_and_skips_what_is_broken(runs: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in/a.gif", as_clips(draw_clip(0, 1, frames=9, stride=1, size=24, objects=1)[None])[0], fps=8)
    Image.new("L", (30, 20), 99).save(tmp_path / "in/b.png")
    (tmp_path / "in/c.webp").write_bytes(b"broken")
    words = ["reconstruct", "--tokenizer", str(runs / "tokenizer"), "--input", str(tmp_path / "in")]
    assert main([*words, "--out", str(tmp_path / "stop")]) == 2
    err = capsys.readouterr().err
    assert "c.webp: not a readable video" in err
    assert err.count("\n") == 1
    more = ["--out", str(tmp_path / "skip"), "--data.on-error", "skip", "--data.frames", "9", "--format", "gif"]
    assert main([*words, *more]) == 0
    assert {path.name for path in (tmp_path / "skip").iterdir()} == {"0000-a.gif", "0001-b.gif", "comparison.png"}
    film = Film(tmp_path / "skip/0000-a.gif")  # equal frames are one that is shown longer
    assert (film.starts[0], film.starts[-1]) == (0, pytest.approx(8 * 0.12))
    assert main([*words, "--out", str(tmp_path / "wrong"), "--data.frames", "8"]) == 2
    assert "set --data.frames 9" in capsys.readouterr().err


def test_eval_writes_figures_and_animations_side_by_side(runs: Path) -> None:
    figures = json.loads((runs / "report/report.json").read_text())["figures"]
    assert figures["bits_per_clip"] == pytest.approx(8 * np.log2(4375))
    assert figures["difference_error"] > 0 < figures["motion"]
    assert 0 <= figures["classifier_accuracy_on_samples"] <= 1
    assert figures["given_frames"] == 1
    page = (runs / "report/report.html").read_text()
    assert page.count("data:image/webp;base64,") == 2 * 8 + 4 + 2 * 3
    assert "continuation" in page


def test_what_the_verbs_refuse_is_one_line(runs: Path, tmp_path: Path, capsys) -> None:
    tokenizer, tokens = str(runs / "tokenizer"), str(runs / "tokens")
    models = ["--prior", str(runs / "prior"), "--tokenizer", tokenizer]
    given = ["--given", "motion", "--given-frames", "1"]
    for words, said in (
        (["train", "prior", "scenes_smoke", "--tokens", tokens],
         "holds tokens of clips, and scenes_smoke is a recipe of images; give one of video_laptop"),
        (["train", "tokenizer", "video_smoke", "--data.source", "/none"], "/none: no such file or folder"),
        (["train", "tokenizer", "video_smoke", "--data.frames", "6"], "set --data.frames 5"),
        (["sample", "fsdd_smoke", *models], "is a tokenizer of clips, not a tokenizer of sounds"),
        (["sample", *models, "--given", "/none"], "or 'motion' for the built-in videos"),
        (["sample", *models, "--given", "motion"], "given frames must be 1, got 5"),
        (["sample", *models, "--given", "motion", "--classes", "fall", "turn"], "--given takes one of --classes"),
        (["sample", *models, "--data.size", "8"], "is for those of --given, and there are none"),
        (["sample", *models, "--given-frames", "1"], "counts frames of --given, and there are none"),
        (["sample", *models, *given, "--first", "3"], "--first numbers new clips; leave it out with --given"),
        (["sample", *models, *given, "--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["eval", *models, "--given", "1", "--data.frames", "9"], "grids of 2x2x2 tokens, and these videos have 3x2x2"),
        (["eval", *models, "--given", "5"], "given frames must be 1, got 5"),
    ):  # fmt: skip
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_figures_are_those_of_the_definitions() -> None:
    generator = torch.Generator().manual_seed(0)
    clips, others = (torch.rand(2, 3, 4, 6, 5, generator=generator) for _ in range(2))
    x, y = clips.double().numpy(), others.double().numpy()
    for number in range(2):
        for frame in range(4):
            error = np.square((x[number, :, frame] - y[number, :, frame]) / 2).mean()
            assert frame_psnr(clips, others)[number, frame].item() == pytest.approx(-10 * np.log10(error), rel=1e-4)
        changes = (y[number, :, 1:] - y[number, :, :-1]) - (x[number, :, 1:] - x[number, :, :-1])
        expected = np.sqrt(np.square(changes).mean()) * 127.5
        assert difference_error(clips, others)[number].item() == pytest.approx(expected, rel=1e-4)
    batch = VideoBatch(clips, labels=torch.zeros(2), keys=("a", "b"))
    inputs = VideoObjective(VideoLossConfig()).inputs(batch, 0)
    terms = VideoObjective(VideoLossConfig(l2=2.0, difference=3.0)).terms(others, inputs, 0)
    assert terms["l2"].item() == pytest.approx(2 * np.square(x - y).mean(), rel=1e-4)
    assert terms["difference"].item() == pytest.approx(3 * np.square(np.diff(y - x, axis=2)).mean(), rel=1e-4)
    still = VideoObjective(VideoLossConfig(difference=3.0)).terms(others[:, :, :1], (clips[:, :, :1],), 0)
    assert still.keys() == {"l2"}
    assert difference_error(clips[:, :, :1], others[:, :, :1]).tolist() == [0, 0]
