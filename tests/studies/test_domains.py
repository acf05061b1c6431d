"""The study over every kind of data: cells of each kind run, and differ in the quantizer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from gridcode.errors import GridcodeError
from gridcode.studies.domains.config import DomainsConfig, KindName
from gridcode.studies.domains.study import DomainsStudy, alarm_steps, examples, first_alarms, kind_verdicts
from gridcode.studies.engine import run_cell, write_study
from gridcode.studies.registry import study_from_json
from gridcode.studies.results import read_study
from gridcode.studies.study import Cell, cell_folder
from gridcode.studies.summary import Column


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"seeds": 0}, "seeds must be"),
        ({"kinds": ()}, "kinds must name at least one"),
        ({"families": ("fsq", "fsq")}, "each once"),
        ({"families": ("vqq",)}, "families must be one of fsq, vq, vq_entropy, vq_splitting, not 'vqq'"),
        ({"size": "huge"}, "size must be one of smoke, laptop, gpu, not 'huge'"),
        ({"kinds": ("smell",)}, "kinds must be one of image, audio, text, points, video, not 'smell'"),
    ],
)
def test_studies_of_nothing_are_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(GridcodeError, match=error):
        DomainsConfig(**settings)


@pytest.mark.parametrize("size", ["smoke", "laptop", "gpu"])
@pytest.mark.parametrize("kind", get_args(KindName))
def test_cells_of_a_kind_differ_in_the_quantizer_alone(kind: Any, size: Any) -> None:
    config = DomainsConfig(size=size)
    cells = [config.recipe(kind, family, seed=1) for family in ("fsq", "vq", "vq_splitting")]
    for cell in cells:
        assert (cell.kind, cell.tokenizer.loop.seed, cell.prior.loop.seed) == (kind, 1, 1)
        assert cell.prior.model.head == "joint"
        assert cell.tokenizer.loop.steps == cell.prior.loop.steps == config.all_steps
    assert len({str(cell.prior) for cell in cells}) == len({str(cell.tokenizer.optim) for cell in cells}) == 1
    assert [cell.tokenizer.model.quantizer.name for cell in cells] == ["fsq", "vq", "vq"]


def digits(folder: Path) -> str:
    """Sounds of two classes."""
    for split, count in (("train", 12), ("test", 6)):
        for number in range(count):
            path = folder / split / "ab"[number % 2] / f"{number}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            wave = np.sin(np.arange(2400) * (0.05 + 0.1 * (number % 2) + 0.002 * number))
            soundfile.write(path, 0.5 * wave, 8000)
    return str(folder)


def test_a_cell_of_every_kind(tmp_path: Path) -> None:
    text = tmp_path / "plays.txt"
    text.write_text("To be, or not to be, that is the question. " * 60)
    config = DomainsConfig(
        image="scenes", audio=digits(tmp_path / "digits"), text=str(text), size="smoke", families=("vq",), seeds=1,
    )  # fmt: skip
    study, out = DomainsStudy(config), tmp_path / "out"
    results = {}
    for cell in study.cells():
        examples.cache_clear()
        results[cell] = run_cell(study, cell, out)
        assert 0 < results[cell]["usage"] <= 1
        assert 0 < results[cell]["perplexity_share"] <= 1
        assert 0 < results[cell]["bits_per_token"] < 20
        assert study.headline(results[cell]).endswith("bits per token")
        study.tidy(cell, out)
        assert not (cell_folder(out, cell) / "tokens").exists()
    assert study.time_cell(Cell("text-vq", 0)) > 0
    write_study(study, results, out)
    content, found = read_study(out / "study.json")
    page = study_from_json(content).summary(found)
    assert [table.title.split()[0] for table in page.tables] == ["Images", "Sounds", "Texts", "Clouds", "Clips"]
    assert all(len(table.rows) == 1 for table in page.tables)
    assert not page.verdicts  # on FSQ


def test_alarms_and_verdicts(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        "".join(f'{{"step": {step}, "alarm": "usage", "warning": "few codes"}}\n' for step in (4, 8))
    )
    assert alarm_steps(tmp_path) == {"usage": 4}
    results: dict[Cell, dict[str, Any]] = {
        Cell("text-vq", 0): {"alarms": {"usage": 40, "dead": 20}},
        Cell("text-vq", 1): {"alarms": {"usage": 10}},
        Cell("text-fsq", 0): {"alarms": {}},
    }
    assert first_alarms(results, "text-vq") == "usage 10, dead 20"
    assert first_alarms(results, "text-fsq") == "none"
    usage = {"fsq": [0.99, 0.9902], "vq": [0.2, 0.21], "vq_splitting": [0.9, 0.91]}
    quality = {"fsq": [20.0, 20.1], "vq": [15.0, 15.1], "vq_splitting": [19.0, 19.1]}
    found = kind_verdicts("texts", usage, quality, Column("psnr", "PSNR (dB)"))
    assert [verdict.answer for verdict in found] == ["seen", "seen", "seen"]
    assert found[0].figures.startswith("usage 99.0 % (95 % interval 98.9 to 99.1), 99.0 % at least")
    assert "VQ with splitting, the best VQ" in found[2].figures
    nearer = kind_verdicts("clouds", usage, quality, Column("chamfer", "Chamfer distance"))
    assert nearer[2].answer == "opposite"
    assert "VQ, the best VQ" in nearer[2].figures
    low = kind_verdicts("texts", {"fsq": [0.5, 0.96]}, {"fsq": [1.0, 1.0]}, Column("psnr", "PSNR (dB)"))
    assert [verdict.answer for verdict in low] == ["open"]
