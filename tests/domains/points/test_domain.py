"""Clouds through every verb at smoke size; tokens know no order of points; what tokenizers of clouds refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.cli.main import main
from gridcode.domains.points.config import (
    CloudConfig,
    PointsConfig,
    PointsEvaluationConfig,
    PointsLossConfig,
    PointsTokenizerRun,
)
from gridcode.domains.points.data.decode import read_points
from gridcode.domains.points.data.loader import PointsBatch
from gridcode.domains.points.domain import PointsDomain, data_of
from gridcode.domains.points.files import write_cloud
from gridcode.domains.points.loss import PointsObjective
from gridcode.domains.points.networks import sorted_points, template
from gridcode.domains.points.recognise import RecogniserConfig, recognised, train_recogniser
from gridcode.errors import GridcodeError
from gridcode.tokenizer.model import Tokenizer

SHORT = [
    "--loop.steps",
    "2",
    "--loop.val-count",
    "4",
    "--loop.log-every",
    "1",
    "--loop.val-every",
    "2",
    "--loop.checkpoint-every",
    "2",
]
SMALL = CloudConfig(tokens=6, width=16, heads=2, encoder_depth=1, decoder_depth=1, charts=3)


GUIDE = Path(__file__).parents[3] / "docs/guides/points.md"
BEHIND = {"train": SHORT, "sample": ["--steps", "2", "--count", "1"], "reconstruct": ["--count", "2"]}
"""What the guide's commands are given in addition, so that they take no time."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's first commands, with the smoke recipe, and an autoregressive prior beside."""
    folder = tmp_path_factory.mktemp("solids")
    block = GUIDE.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
    for line in block.splitlines():
        words = line.replace("solids_laptop", "solids_smoke").replace("runs/solids", str(folder)).split()[1:]
        assert main([*words, *BEHIND.get(words[0], [])]) == 0, line
    words = ["--tokens", str(folder / "tokens"), "--prior", "ar", "--out", str(folder / "ar"), *SHORT]
    assert main(["train", "prior", "solids_smoke", *words]) == 0
    return folder


def test_a_run_leaves_a_model_its_card_images_and_tokens(runs: Path) -> None:
    assert "| size | 40 bits per cloud |" in (runs / "tokenizer/best/README.md").read_text()
    with Image.open(runs / "tokenizer/images/step-00000002.png") as strip:
        assert strip.size[1] == 2 * (140 + 4) + 4
    tokenizer = Tokenizer.from_pretrained(runs / "tokenizer")
    assert isinstance(tokenizer.domain, PointsDomain)
    assert data_of(tokenizer).scale == (0.45, 0.7)
    manifest = json.loads((runs / "tokens/manifest.json").read_text())
    assert manifest["grid"] == [1, 4]
    assert manifest["classes"] == ["sphere", "cube", "cylinder", "cone", "torus"]


@pytest.mark.parametrize(("prior", "form", "points"), [("prior", "npy", 64), ("ar", "ply", 90)])
def test_sample_writes_clouds_and_scatter_plots(runs: Path, prior: str, form: str, points: int, capsys) -> None:
    out = runs / f"samples of {prior}"
    words = ["--prior", str(runs / prior), "--tokenizer", str(runs / "tokenizer"), "--out", str(out), "--count", "1"]
    words += ["--steps", "2", "--classes", "cone", "any", "--format", form, "--points", str(points)]
    assert main(["sample", *words]) == 0
    assert "2 clouds in" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [f"0000-cone.{form}", f"0001-any.{form}", "samples.png"]
    assert read_points(out / f"0000-cone.{form}").shape == (points, 3)


def test_reconstruct_takes_files_and_skips_what_is_broken(runs: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    write_cloud(tmp_path / "in/a.ply", torch.rand(90, 3))
    write_cloud(tmp_path / "in/b.npy", torch.rand(9, 3))
    (tmp_path / "in/c.npy").write_bytes(b"broken")
    words = ["reconstruct", "--tokenizer", str(runs / "tokenizer"), "--input", str(tmp_path / "in")]
    assert main([*words, "--out", str(tmp_path / "stop")]) == 2
    assert re.fullmatch(
        r"gridcode reconstruct: .*c\.npy: not a readable cloud .*--data.on-error skip\n", capsys.readouterr().err
    )
    assert main([*words, "--out", str(tmp_path / "skip"), "--data.on-error", "skip", "--data.points", "32"]) == 0
    assert {path.name for path in (tmp_path / "skip").iterdir()} == {"0000-a.npy", "0001-b.npy", "comparison.png"}
    assert read_points(tmp_path / "skip/0000-a.npy").shape == (32, 3)
    assert len(list((runs / "reconstructions").iterdir())) == 3


def test_eval_writes_figures_and_scatter_plots(runs: Path, tmp_path: Path) -> None:
    figures = json.loads((runs / "report/report.json").read_text())["figures"]
    assert figures["bits_per_cloud"] == pytest.approx(4 * np.log2(1000))
    assert figures["chamfer_ratio"] > 2  # nothing was learned
    assert figures["distance_to_surface"] > 0.05
    for name in ("originals", "reconstructions", "samples", "samples_torus"):
        assert 0 <= figures[f"classifier_accuracy_on_{name}"] <= 1
    assert figures["coverage_of_training_clouds"] > 0
    page = (runs / "report/report.html").read_text()
    assert "Recognised by a classifier of clouds" in page
    assert page.count('src="data:image/png') >= 2 * 10 + 5
    for number in range(4):
        place = tmp_path / "in" / f"{number}.npy"
        place.parent.mkdir(exist_ok=True)
        write_cloud(place, torch.rand(40, 3))
    words = ["--tokenizer", str(runs / "tokenizer/best"), "--data.source", str(tmp_path / "in")]
    assert main(["eval", "solids_smoke", *words, "--out", str(tmp_path / "plain")]) == 0
    figures = json.loads((tmp_path / "plain/report.json").read_text())["figures"]
    assert figures["classifier_accuracy_on_originals"] is None
    assert "chamfer_ratio" not in figures


def test_eval_compares_no_set_of_one_cloud(runs: Path, tmp_path: Path) -> None:
    words = ["--tokenizer", str(runs / "tokenizer"), "--prior", str(runs / "prior"), "--compared", "1"]
    assert main(["eval", "solids_smoke", *words, "--steps", "2", "--samples", "2", "--out", str(tmp_path / "out")]) == 0
    figures = json.loads((tmp_path / "out/report.json").read_text())["figures"]
    assert figures["samples"] == 2
    assert figures["coverage"] is None
    assert figures["coverage_of_training_clouds"] is None


def test_folders_of_another_kind_are_refused_in_one_line(runs: Path, tmp_path: Path, capsys) -> None:
    tokenizer = str(runs / "tokenizer")
    for words, said in (
        (["train", "prior", "scenes_smoke", "--tokens", str(runs / "tokens")],
         "holds tokens of clouds, and scenes_smoke is a recipe of images; give one of solids_laptop"),
        (["train", "tokenizer", "solids_smoke", "--data.source", "/none"], "or 'solids' for the built-in clouds"),
        (["sample", "scenes_smoke", "--prior", str(runs / "ar"), "--tokenizer", tokenizer],
         "is a tokenizer of clouds, not a tokenizer of images"),
        (["sample", "--prior", str(runs / "ar"), "--tokenizer", tokenizer, "--points", "0"],
         "--points must be at least 1"),
        (["eval", "fsdd_smoke", "--tokenizer", tokenizer], "is a tokenizer of clouds, not a tokenizer of sounds"),
    ):  # fmt: skip
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_the_recipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    name = "solids_laptop"
    assert main(["train", "tokenizer", name, "--dry-run"]) == 0
    assert "tokens of 1,000 codes" in capsys.readouterr().out
    assert main(["train", "prior", name, "--dry-run"]) == 0
    assert "classes      5" in capsys.readouterr().out


def test_the_order_of_points_changes_no_token_and_no_bit() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(SMALL, PointsDomain(20)).eval()
    clouds = torch.rand(3, 40, 3) - 0.5
    clouds[:, 20:] = clouds[:, :20]  # every point twice
    clouds[0, :, 0] = 0.25  # and a plane, whose order is decided by y and z
    mixed = clouds[:, torch.randperm(40)]
    assert torch.equal(sorted_points(clouds), sorted_points(mixed))
    assert torch.equal(tokenizer.latents(clouds), tokenizer.latents(mixed))
    indices = tokenizer.encode(clouds)
    assert indices.shape == (3, 1, 6)
    assert torch.equal(indices, tokenizer.encode(mixed))
    assert tokenizer.decode(indices).shape == (3, 20, 3)
    tokenizer.domain.points = 33
    more = tokenizer.decode(indices)
    tokenizer.domain.points = 20
    torch.testing.assert_close(more[:, :20], tokenizer.decode(indices))  # the first points stay where they are


def test_places_fill_a_chart_evenly() -> None:
    places = template(4 * 256, 4)
    own = places[places[:, 0] == 3][:, 1:]
    assert own.shape == (256, 2)
    counts = torch.histogramdd(own, [4, 4], range=[-1.0, 1.0, -1.0, 1.0]).hist
    assert counts.min() >= 13  # 16 on average
    assert counts.max() <= 19
    assert places[:, 1:].abs().max() <= 1


def test_a_tokenizer_learns_to_put_points_where_the_cloud_is() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(SMALL, PointsDomain(30))
    objective = PointsObjective(PointsLossConfig(fidelity=2.0))
    corner = 0.2 * torch.rand(8, 30, 3) + 0.5
    batch = PointsBatch(corner, labels=torch.zeros(8), keys=("",) * 8)
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=1e-2)
    losses = []
    for step in range(25):
        loss = objective.terms(tokenizer(*objective.inputs(batch, step)).outputs, (corner,), step)["chamfer"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_the_classifier_tells_a_ball_from_a_line() -> None:
    draws = torch.Generator().manual_seed(0)
    points = torch.rand(40, 30, 3, generator=draws) - 0.5
    points[1::2, :, 1:] = 0
    labels = torch.arange(40) % 2
    batches = [PointsBatch(points[:32], labels=labels[:32], keys=("",) * 32)] * 30
    trained = train_recogniser(RecogniserConfig(2, width=16, steps=30), iter(batches))
    assert (recognised(trained, points[32:]) == labels[32:]).float().mean() == 1
    unlabelled = replace(batches[0], labels=torch.full((32,), -1))
    with pytest.raises(GridcodeError, match="learns from clouds with classes"):
        train_recogniser(RecogniserConfig(2, steps=2), iter([unlabelled]))


@pytest.mark.parametrize(("clouds", "said"), [
    (torch.zeros(1, 64), r"takes clouds \(B, N, 3\) of at least one point, got shape \(1, 64\)"),
    (torch.zeros(1, 64, 2), r"got shape \(1, 64, 2\)"),
    (torch.zeros(1, 0, 3), r"got shape \(1, 0, 3\)"),
    (torch.zeros(1, 4, 3, dtype=torch.int16), "must be floats"),
    (torch.full((1, 4, 3), 2.0), r"must be in \[-1, 1\], got 2 to 2; set data.normalise=True"),
    (torch.full((1, 4, 3), torch.nan), "mend NaN"),
])  # fmt: skip
def test_clouds_that_do_not_fit_are_refused(clouds: torch.Tensor, said: str) -> None:
    tokenizer = Tokenizer(SMALL, PointsDomain(8))
    with pytest.raises(GridcodeError, match=said):
        tokenizer.encode(clouds)
    with pytest.raises(GridcodeError, match=r"decodes indices \(B, 1, 6\)"):
        tokenizer.decode(torch.zeros(1, 1, 5, dtype=torch.int64))


@pytest.mark.parametrize("make", [
    lambda: PointsConfig(source=""), lambda: PointsConfig(fewer="x"), lambda: PointsConfig(rotation="x"),
    lambda: PointsConfig(on_error="x"), lambda: PointsConfig(val_fraction=1.0), lambda: PointsConfig(points=0),
    lambda: PointsConfig(scale=(0.5, 0.8)), lambda: PointsConfig(scale=(0.5,)), lambda: PointsConfig(focal=0.0),
    lambda: CloudConfig(tokens=0), lambda: CloudConfig(width=30), lambda: CloudConfig(frequencies=-1),
    lambda: PointsLossConfig(chamfer=0.0), lambda: PointsTokenizerRun(quantizer_dropout=2.0),
    lambda: PointsEvaluationConfig(distance=0.0), lambda: PointsEvaluationConfig(compared=0),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(make) -> None:
    with pytest.raises(GridcodeError, match=r"must|is empty"):
        make()
