"""Pages of studies say what their JSON says, and a command on them runs the study that was measured."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gridcode.cli.shared.parse import parse
from gridcode.cli.study import STUDIES as VERBS
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.errors import GridcodeError
from gridcode.studies.codebooks.config import TradeoffConfig
from gridcode.studies.codebooks.tradeoff import Tradeoff
from gridcode.studies.curves import MEASURES
from gridcode.studies.engine import run_cell, write_study
from gridcode.studies.registry import STUDIES, make_study, settings_from_json, study_from_json

ROOT = Path(__file__).parents[2]


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_pages", ROOT / "docs/results_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAM = program()


def test_committed_pages_are_what_their_figures_make() -> None:
    pages = ROOT / "docs/results/studies"
    texts = PROGRAM.page_texts(pages)
    assert {path.name for path in pages.glob("*.md")} == set(texts), "run `make results`"
    for name, text in texts.items():
        assert (pages / name).read_text(encoding="utf-8") == text, f"{name} is not its JSON's; run `make results`"


def study_folder(tmp_path: Path) -> Path:
    """A study of made-up figures."""
    data = DataConfig(source="/somewhere/of/mine/digits", size=16, channels=1, crop=CropPolicy(flip=False))
    study = Tradeoff(TradeoffConfig(data=data, size="smoke", families=("fsq", "vq"), bits=(4, 8)))
    results = {
        cell: {measure.key: 0.5 + number / 8 for measure in MEASURES} | {"seconds": 1800.0}
        for number, cell in enumerate(study.cells())
    }
    write_study(study, results, tmp_path)
    (tmp_path / "rows.png").write_bytes(b"png")
    return tmp_path


def test_a_page_has_verdicts_plot_tables_images_and_how_it_was_measured(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    folder = study_folder(tmp_path / "study")
    assert PROGRAM.take_in(folder, pages) == pages / "tradeoff-digits.json"
    assert "/somewhere" not in (pages / "tradeoff-digits.json").read_text()
    (pages / "gone.md").touch()
    PROGRAM.write_pages(pages)
    assert sorted(path.name for path in pages.iterdir()) == [
        "index.md", "tradeoff-digits-rows.png", "tradeoff-digits.json", "tradeoff-digits.svg", "tradeoff.md",
    ]  # fmt: skip
    page = (pages / "tradeoff.md").read_text()
    parts = ["# Study: tradeoff", "## FSQ and VQ by size", ": usage of VQ", "](tradeoff-digits.svg)", "**FSQ**"]
    parts += ["](tradeoff-digits-rows.png)", "<small>`gridcode study tradeoff ", "4 and 4 steps"]
    parts += ["8 of 8 cells, 4.0 hours", "torch 2", "(tradeoff-digits.json)"]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert "| [digits](tradeoff.md): " in (pages / "index.md").read_text()
    # A changed figure is a changed page.
    file = pages / "tradeoff-digits.json"
    file.write_text(file.read_text().replace("1.125", "3.125"))
    assert PROGRAM.page_texts(pages)["tradeoff.md"] != page


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_comes_back_from_its_settings(name: str) -> None:
    study = STUDIES[name]()
    assert study_from_json({"study": name, "settings": study.settings()}) == study
    arguments: Any = VERBS[name](Path("o"))
    assert make_study(name, arguments.study) == study


def test_the_command_on_a_page_runs_that_study() -> None:
    data = DataConfig(source="mine", size=16, channels=1, crop=CropPolicy(flip=False, min_scale=0.5), tiles=False)
    config = TradeoffConfig(data=data, size="smoke", families=("fsq", "vq"), bits=(4, 8), seeds=1)
    words = shlex.split(PROGRAM.command_of("tradeoff", config).replace("$DATA/", ""))
    parsed: Any = parse(VERBS["tradeoff"], words[3:], prog="study")
    assert parsed.study == config


def test_settings_of_another_version_are_refused() -> None:
    with pytest.raises(GridcodeError, match="DataConfig has no setting 'colour'; it was written by another version"):
        settings_from_json(TradeoffConfig, {"data": {"colour": 1}})
    with pytest.raises(GridcodeError, match="there is no study 'none' with settings; the studies are uvim, tradeoff"):
        study_from_json({"study": "none", "settings": {}})


def test_a_study_that_was_run_has_a_page(tmp_path: Path) -> None:
    data = DataConfig(size=16, train_count=24, val_count=12, workers=0)
    study = Tradeoff(TradeoffConfig(data=data, size="smoke", seeds=1, families=("fsq",), bits=(4,), accelerator="cpu"))
    study.prepare(tmp_path / "study")
    results = {cell: run_cell(study, cell, tmp_path / "study") for cell in study.cells()}
    write_study(study, results, tmp_path / "study")
    PROGRAM.take_in(tmp_path / "study", tmp_path / "pages")
    PROGRAM.write_pages(tmp_path / "pages")
    page = (tmp_path / "pages/tradeoff.md").read_text()
    assert (tmp_path / "study/table.md").read_text().splitlines()[0] in page
    assert "1 of 1 cells" in page
