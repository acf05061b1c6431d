"""Layers in place of a codebook: cells, verdicts, points in the plane, and one run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.networks.make import make_networks
from gridcode.errors import GridcodeError
from gridcode.studies.capacity.config import CapacityConfig
from gridcode.studies.capacity.points import CODES, NOISE, TURNS, draw_points, train_points
from gridcode.studies.capacity.study import Capacity, dense_verdict, point_verdicts
from gridcode.studies.engine import run_cell, write_study
from gridcode.studies.results import read_study
from gridcode.studies.study import Cell


def test_cells_are_images_and_points() -> None:
    study = Capacity(CapacityConfig(seeds=1, dense=(0, 2), targets=("ring",), depths=(0, 1)))
    names = [cell.setting for cell in study.cells()]
    assert names[:3] == ["images-fsq-0", "images-fsq-2", "images-vq-0"]
    assert names[3:] == ["ring-fsq-0", "ring-fsq-1", "ring-vq-0", "ring-vq-1"]
    models = [study.run(cell).model for cell in study.cells()[:3]]
    assert [getattr(model, "dense", None) for model in models] == [0, 2, 0]
    for settings in ({"depths": ()}, {"dense": (0, -1)}, {"seeds": 0}):
        with pytest.raises(GridcodeError):
            CapacityConfig(**settings)  # type: ignore[arg-type]


def test_dense_layers_stand_on_both_sides_and_see_one_place_each() -> None:
    def count(dense: int) -> list[int]:
        networks = make_networks(TokenizerConfig(widths=(8, 16), dense=dense), 4)
        return [sum(parameter.numel() for parameter in network.parameters()) for network in networks]

    layer = 16 * 16 + 16 + 2 * 16
    assert [after - before for before, after in zip(count(0), count(3), strict=True)] == [3 * layer, 3 * layer]
    with pytest.raises(GridcodeError, match="tokenizer dense must be"):
        TokenizerConfig(dense=-1)


def test_points_lie_on_their_figures() -> None:
    draw = torch.Generator().manual_seed(0)
    ring = draw_points("ring", 2000, draw)
    angles = torch.atan2(ring[:, 1], ring[:, 0]) * CODES / (2 * math.pi)
    assert (angles - angles.round()).abs().max() < 5 * NOISE * CODES / (2 * math.pi)
    assert (ring.norm(dim=1) - 1).abs().max() < 5 * NOISE
    spirals = draw_points("spirals", 2000, draw).double()
    radius = spirals.norm(dim=1)
    # One arm is the other turned by half a circle: at its radius a point has one of two angles.
    twice = 2 * (torch.atan2(spirals[:, 1], spirals[:, 0]) - radius * 2 * math.pi * TURNS)
    far = radius > 0.5
    assert (1 - twice[far].cos()).max() < 0.5
    assert float(twice[far].cos().mean()) > 0.97


def test_vq_goes_where_the_points_are_and_a_grid_cannot() -> None:
    vq = train_points("ring", "vq", 0, steps=120, seed=0)
    fsq = train_points("ring", "fsq", 0, steps=120, seed=0)
    assert vq.snr_db > fsq.snr_db + 5
    assert vq.usage > fsq.usage
    assert vq == train_points("ring", "vq", 0, steps=120, seed=0)


def two(*values: float) -> list[list[float]]:
    return [[value, value + 0.01] for value in values]


def test_verdicts() -> None:
    def dense(*values: float) -> dict[float, list[float]]:
        return dict(zip((0.0, 4.0), two(*values), strict=True))

    found = [dense_verdict(dense(25.0, last)) for last in (24.9, 25.2, 27.0)]
    assert [verdict.answer for verdict in found if verdict is not None] == ["seen", "open", "not seen"]
    assert dense_verdict({0.0: [1.0]}) is None

    def points(fsq: tuple[float, float], vq: tuple[float, float]) -> list[str]:
        curves = {"fsq": dense(*fsq), "vq": dense(*vq)}
        return [verdict.answer for verdict in point_verdicts(curves, "a ring")]

    assert points((10, 20), (20, 20)) == ["seen", "seen", "seen"]
    assert points((20, 10), (10, 20)) == ["opposite"], "VQ had no lead that could be lost"
    assert point_verdicts({"fsq": {0.0: [1.0]}, "vq": {0.0: [2.0]}}, "a ring")[0].answer == "open"
    assert point_verdicts({"fsq": {}, "vq": {}}, "a ring") == []


def test_a_study_of_capacity(tmp_path: Path) -> None:
    data = DataConfig(size=16, train_count=24, val_count=12, workers=0)
    config = CapacityConfig(
        data=data, size="smoke", seeds=1, accelerator="cpu", dense=(0, 2), targets=("ring",), depths=(0, 1)
    )
    study = Capacity(config)
    study.prepare(tmp_path)
    write_study(study, {cell: run_cell(study, cell, tmp_path) for cell in study.cells()}, tmp_path)
    _, results = read_study(tmp_path / "study.json")
    assert results[Cell("images-fsq-2", 0)]["parameters"] > results[Cell("images-fsq-0", 0)]["parameters"]
    table = (tmp_path / "table.md").read_text()
    assert "**64 clusters on a circle**" in table
    assert "**Open**: VQ is ahead of FSQ with a linear encoder: 64 clusters on a circle." in table
    assert (tmp_path / "plot.svg").is_file()
