"""Figure 3 as a study: settings are quantizers, verdicts answer the paper's claims, and a cell goes both stages."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gridcode.cli.main import main
from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.studies.codebooks.config import TradeoffConfig
from gridcode.studies.codebooks.tradeoff import Tradeoff, quantizer_of, verdicts
from gridcode.studies.curves import RECONSTRUCTION, SAMPLES
from gridcode.studies.results import read_study
from gridcode.studies.study import Cell

SIZES = [2.0**bits for bits in (4, 8, 12, 16)]


def test_settings_are_quantizers_of_about_their_size() -> None:
    study = Tradeoff(TradeoffConfig(seeds=1))
    for cell in study.cells():
        quantizer, size = quantizer_of(cell.setting), int(cell.setting.split("-")[1])
        if isinstance(quantizer, FSQConfig):
            assert abs(math.log2(math.prod(quantizer.levels) / size)) < 0.2, cell
        else:
            assert isinstance(quantizer, VQConfig)
            assert quantizer.size == size
    assert len(study.cells()) == 4 * 7


@pytest.mark.parametrize("settings", [{"seeds": 0}, {"bits": ()}, {"bits": (10, 10)}, {"bits": (3,)}, {"families": ()}])
def test_studies_of_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(GridcodeError):
        TradeoffConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "grid", "steps"), [
    (32, (8, 8), "400 and 400 steps of 64 images"),
    (128, (16, 16), "600 steps of 16 images and 400 of 64"),
])  # fmt: skip
def test_at_laptop_size_large_images_have_larger_tokens(side: int, grid: tuple[int, int], steps: str) -> None:
    config = TradeoffConfig(data=DataConfig(size=side))
    assert config.tokenizer(FSQConfig(), 0).model.grid(side, side) == grid
    assert config.steps() == steps


def curves(**measures: dict[str, list[float]]) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Values of two seeds, 0.01 apart, by measure, family and size."""
    empty: dict[str, dict[str, dict[float, list[float]]]] = {
        key: {} for key in (RECONSTRUCTION, SAMPLES, "usage", "bits_per_token")
    }
    for key, families in measures.items():
        empty[key] = {
            family: {size: [value, value + 0.01] for size, value in zip(SIZES, values, strict=True)}
            for family, values in families.items()
        }
    return empty


def answers(**measures: dict[str, list[float]]) -> dict[str, str]:
    return {verdict.claim: verdict.answer for verdict in verdicts(curves(**measures))}  # type: ignore[arg-type]


def test_the_papers_findings_are_seen() -> None:
    found = answers(
        usage={"fsq": [0.99, 0.99, 0.98, 0.9], "vq": [0.99, 0.9, 0.3, 0.05]},
        **{
            RECONSTRUCTION: {"fsq": [9, 5, 3, 2], "vq": [8, 5, 4, 6]},
            SAMPLES: {"fsq": [20, 9, 8.9, 8.8], "vq": [19, 9, 9, 12]},
        },
        bits_per_token={"fsq": [4, 7, 9, 12], "vq": [4, 7, 8, 8]},
    )
    assert set(found.values()) == {"seen"}
    assert len(found) == 7


def test_what_the_paper_did_not_find_is_not_seen_or_the_opposite() -> None:
    found = answers(
        usage={"fsq": [0.99, 0.9, 0.6, 0.3], "vq": [0.9, 0.9, 0.9, 0.9]},
        **{
            RECONSTRUCTION: {"fsq": [2, 3, 4, 5], "vq": [8, 7, 6, 5]},
            SAMPLES: {"fsq": [20, 16, 12, 8]},
        },
        bits_per_token={"fsq": [4, 7, 8, 8], "vq": [4, 7, 9, 12]},
    )
    assert found == {
        "usage of VQ is under 50 % at 2^16": "not seen",
        "usage of FSQ stays above 50 % at every size": "not seen",
        "FSQ reconstructs better with 2^16 codes than with 2^8": "opposite",
        "VQ has a best size, beyond which it reconstructs worse": "opposite",
        "VQ reconstructs better than FSQ with 2^4 codes": "opposite",
        "the distance of FSQ's samples saturates": "not seen",
        "FSQ's tokens cost more bits than VQ's with 2^16 codes": "opposite",
    }


def test_usage_is_said_beside_what_the_sample_can_show() -> None:
    found = curves(usage={"fsq": [0.99, 0.9, 0.6, 0.3], "vq": [0.9, 0.9, 0.9, 0.1]})
    texts = [verdict.figures for verdict in verdicts(found, {2.0**12: [1.0], 2.0**16: [0.78, 0.78]})]  # type: ignore[arg-type]
    assert [text.endswith("; codes used evenly would show 78 % in this sample") for text in texts] == [True, True]
    assert not any("evenly" in verdict.figures for verdict in verdicts(found))  # type: ignore[arg-type]


def test_samples_that_only_get_worse_do_not_saturate() -> None:
    assert list(answers(**{SAMPLES: {"fsq": [8, 9, 10, 11]}}).values()) == ["not seen"]


def test_samples_that_get_worse_beyond_a_size_do_not_saturate() -> None:
    [verdict] = verdicts(curves(**{SAMPLES: {"fsq": [20, 5, 6, 9]}}))  # type: ignore[arg-type]
    assert verdict.answer == "not seen"
    assert "5.00 at 2^8" in verdict.figures
    assert "the distance at 2^16 minus that at 2^8: +4.00" in verdict.figures
    assert list(answers(**{SAMPLES: {"fsq": [20, 5, 5.1, 5.1]}}).values()) == ["seen"]


def test_at_a_size_the_best_vq_of_that_size_is_compared() -> None:
    distance = {"fsq": [5, 3, 2, 1], "vq": [4, 4, 4, 4], "vq_splitting": [6, 5, 3, 2]}
    bits = {"fsq": [4, 7, 9, 12], "vq": [4, 7, 8, 8], "vq_splitting": [4, 7, 8, 9]}
    found = {v.claim: v for v in verdicts(curves(**{RECONSTRUCTION: distance}, bits_per_token=bits))}  # type: ignore[arg-type]
    small = found["VQ reconstructs better than FSQ with 2^4 codes"]
    assert small.answer == "seen"
    assert small.figures.startswith("FSQ's distance minus that of VQ, the best VQ of that size: +1.000")
    large = found["FSQ's tokens cost more bits than VQ's with 2^16 codes"]
    assert large.figures.startswith("bits per token minus those of VQ with splitting, which reconstructs best: +3.00")


def test_usage_stays_only_where_it_does_at_every_size() -> None:
    wide = {"usage": {"fsq": {16.0: [0.99, 0.99], 64.0: [0.99, 0.2]}}}
    found = verdicts({**curves(), **wide})  # type: ignore[arg-type]
    assert [verdict.answer for verdict in found] == ["open"]
    assert found[0].figures.startswith("lowest at 2^6, 59.5 %")


def test_three_sizes_are_enough_to_saturate() -> None:
    sizes = dict(zip((16.0, 64.0, 256.0), ([9, 9.1], [5, 5.1], [4.9, 5.0]), strict=True))
    found = curves()
    found[SAMPLES]["fsq"] = sizes  # type: ignore[assignment]
    assert [verdict.answer for verdict in verdicts(found)] == ["not seen"]  # type: ignore[arg-type]


def test_families_without_a_common_size_are_not_compared() -> None:
    found = curves(**{RECONSTRUCTION: {"fsq": [9, 5, 3, 2], "vq": [8, 5, 4, 6]}}, bits_per_token={"fsq": [4, 7, 8, 8]})
    found[RECONSTRUCTION]["vq"] = {2.0**10: [1.0, 1.1], 2.0**11: [1.0, 1.1]}
    assert not any("with 2^4 codes" in verdict.claim for verdict in verdicts(found))  # type: ignore[arg-type]


def test_one_seed_leaves_a_difference_open() -> None:
    only = {key: {family: {size: values[:1] for size, values in points.items()} for family, points in families.items()}
            for key, families in curves(**{RECONSTRUCTION: {"fsq": [9, 5, 3, 2]}}).items()}  # fmt: skip
    assert [verdict.answer for verdict in verdicts(only)] == ["open"]  # type: ignore[arg-type]


@pytest.mark.usefixtures("threads")
def test_a_study_goes_both_stages_and_is_the_same_where_it_was_killed(tmp_path: Path) -> None:
    words = ["study", "tradeoff", "--size", "smoke", "--seeds", "1", "--families", "fsq", "--bits", "4"]
    words += ["--data.size", "16", "--data.train-count", "24", "--data.val-count", "12", "--data.workers", "0"]
    assert main([*words, "--accelerator", "cpu", "--out", str(tmp_path / "study")]) == 0
    _, results = read_study(tmp_path / "study/study.json")
    values = results[Cell("fsq-16", 0)]
    assert values["codebook_size"] == 15
    assert values["bits_per_token"] > 0
    assert (tmp_path / "study/plot.svg").is_file()
    assert "FSQ" in (tmp_path / "study/table.md").read_text()
    folder = tmp_path / "study/cells/fsq-16-0"
    assert (folder / "overview.png").is_file()
    assert not list(folder.glob("*/state"))
    # A cell that died before a checkpoint, or between its stages, ends with the same figures.
    data = DataConfig(size=16, train_count=24, val_count=12, workers=0)
    study = Tradeoff(TradeoffConfig(data=data, size="smoke", seeds=1, families=("fsq",), bits=(4,), accelerator="cpu"))
    study.prepare(tmp_path / "again")
    begun = tmp_path / "again/cells/fsq-16-0/tokenizer"
    begun.mkdir(parents=True)
    (begun / "run.json").write_text("{}")
    (begun / "log.jsonl").write_text('{"step": 1}\n')
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("gridcode.studies.images.train_prior", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            study.run_cell(Cell("fsq-16", 0), tmp_path / "again")
    again = study.run_cell(Cell("fsq-16", 0), tmp_path / "again")
    assert values["measured_by"] == study.measured_by(tmp_path / "study") == study.measured_by(tmp_path / "again")
    assert again == {key: value for key, value in values.items() if key not in ("seconds", "measured_by")}
