"""From measurements to a person: ``report.html`` and ``overview.png`` to look at, ``report.json`` to compute with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import log2
from pathlib import Path
from typing import Any

import torch

from gridcode.evaluation.charts import Chart, Curve, Mark
from gridcode.evaluation.config import EvaluationConfig
from gridcode.evaluation.evaluate import Evaluation, Subject
from gridcode.evaluation.pictures import Pictures, contact_sheet, save_png, to_uint8
from gridcode.evaluation.report import (
    AlarmMark,
    Figure,
    Gallery,
    Report,
    Table,
    reconstruction_gallery,
    sample_gallery,
    write_report,
)
from gridcode.files import read_json, write_json
from gridcode.prior.bits import TokenBits
from gridcode.training.log import read_log


@dataclass(frozen=True)
class Runs:
    """The training runs behind a measurement, for their curves and warnings; None or a folder without a log gives none.

    Attributes:
        tokenizer: Stage I's folder.
        prior: Stage II's folder.
    """

    tokenizer: Path | None = None
    prior: Path | None = None

    def present(self) -> list[tuple[str, Path]]:
        """The stages that have a log, with their names."""
        stages = (("Stage I", self.tokenizer), ("Stage II", self.prior))
        return [(name, path) for name, path in stages if path is not None and (path / "log.jsonl").exists()]

    def settings(self) -> dict[str, Any]:
        """The full settings of each stage's training, where its ``run.json`` is there."""
        return {
            name: read_json(path / "run.json", "training run")
            for name, path in self.present()
            if (path / "run.json").exists()
        }


def publish(
    evaluation: Evaluation,
    subject: Subject,
    config: EvaluationConfig,
    runs: Runs,
    *,
    out: Path,
    command: str,
    seconds: Mapping[str, float] | None = None,
) -> Path:
    """Write ``report.html``, ``report.json`` and ``overview.png`` into a folder.

    Args:
        evaluation: What was measured.
        subject: What it was measured on.
        config: How it was measured.
        runs: Where the curves are.
        out: The folder.
        command: The command line that made it.
        seconds: How long each part of it took, by name.

    Returns:
        The path of the HTML file.
    """
    created = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    settings, machine = settings_of(subject, config) | runs.settings(), machine_lines()
    alarms = alarms_of(runs)
    write_json(
        out / "report.json",
        {
            "created": created,
            "command": command,
            "figures": evaluation.figures(),
            "alarms": [asdict(alarm) for alarm in alarms],
            "machine": dict(machine),
            "seconds": dict(seconds or {}),
            "settings": settings,
        },
    )
    report = Report(
        title=f"gridcode on {subject.data.dataset}",
        command=command,
        created=created,
        key_figures=_key_figures(evaluation),
        warnings=_warnings(runs),
        alarms=alarms,
        galleries=_galleries(evaluation),
        charts=_charts(runs, alarms),
        usage=evaluation.reconstruction.codes,
        tables=[*_tables(evaluation), *_times(seconds or {})],
        machine=machine,
        config=settings,
    )
    write_report(report, out / "report.html")
    save_png(overview(evaluation), out / "overview.png")
    return out / "report.html"


def overview(evaluation: Evaluation, *, columns: int = 12) -> Pictures:
    """One picture of it all: originals, their reconstructions below, then samples, classes one after another.

    Args:
        evaluation: What was measured.
        columns: Pictures in a row.

    Returns:
        uint8, (H, W, C).
    """
    first, second = evaluation.reconstruction, evaluation.samples
    rows = [first.originals[:columns], first.reconstructions[:columns]]
    if second is not None:
        samples = torch.cat([drawn for drawn, _ in second.gallery.values()])
        shown = min(len(samples), 2 * columns)
        rows.append(samples[torch.arange(shown) * len(samples) // shown])
    return contact_sheet(to_uint8(torch.cat(rows)), columns=columns)


def settings_of(subject: Subject, config: EvaluationConfig) -> dict[str, Any]:
    """Everything the figures depend on."""
    settings: dict[str, Any] = {
        "data": asdict(subject.data),
        "tokenizer": asdict(subject.tokenizer.config) | {"hash": subject.tokenizer.weights_hash()},
        "evaluation": asdict(config),
    }
    if subject.generator is not None:
        settings["prior"] = asdict(subject.generator.prior.config)
    return settings


def machine_lines() -> list[tuple[str, str]]:
    """What it ran on."""
    lines = [(name, version(name)) for name in ("gridcode", "torch")]
    lines += [
        ("python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processors", f"{os.cpu_count()}, {torch.get_num_threads()} threads used"),
    ]
    if torch.cuda.is_available():
        lines.append(("device", torch.cuda.get_device_name()))
    return lines


def _key_figures(evaluation: Evaluation) -> list[Figure]:
    first, second = evaluation.reconstruction, evaluation.samples
    figures = [
        Figure("PSNR", round(first.psnr, 2), "dB", "reconstructions of validation pictures"),
        Figure("codebook usage", f"{first.usage.usage:.1%}", "", f"of {first.usage.codebook_size:,} codes"),
        Figure("perplexity", round(first.usage.perplexity), "", f"{first.usage.entropy_bits:.2f} bits a token"),
    ]
    if second is not None and second.class_accuracy is not None:
        note = f"of {second.count:,} samples are what was asked for, by a classifier trained on this data"
        figures.append(Figure("class accuracy", f"{second.class_accuracy:.1%}", "", note))
    if second is not None and second.frechet is not None:
        note = "samples to real pictures, on features of a classifier trained on this data; this is not FID"
        figures.append(Figure("Fréchet distance", round(second.frechet, 3), "", note))
    return figures


def _tables(evaluation: Evaluation) -> list[Table]:
    first, second = evaluation.reconstruction, evaluation.samples
    rows = [
        Figure("PSNR", first.psnr, "dB", "mean over pictures, range [0, 1]"),
        Figure("SSIM", first.ssim, "", "mean over pictures"),
        Figure("codes used", first.usage.used, "", f"of {first.usage.codebook_size:,}"),
        Figure(
            "usage over ceiling",
            first.usage.usage_of_ceiling,
            "",
            f"of what {first.usage.count:,} tokens can use",
        ),
        Figure("perplexity", first.usage.perplexity, "codes", "2 to the entropy"),
        Figure("entropy", first.usage.entropy_bits, "bits", "of the token histogram"),
    ]
    if len(first.tokens.books) > 1:
        rows += [
            Figure(f"usage of book {number}", usage.usage, "", f"perplexity {usage.perplexity:.4g}")
            for number, usage in enumerate(first.tokens.books, 1)
        ]
    if first.frechet is not None:
        note = "reconstructions to originals, on features of a classifier trained on this data; not FID"
        rows.append(Figure("Fréchet distance", first.frechet, "", note))
    tables = [Table("Reconstruction", rows)]
    if second is not None:
        rows = [
            Figure("token loss", second.loss, "nats", "validation tokens asked for, unsmoothed, whole vocabulary"),
            Figure("token accuracy", second.accuracy, "", "most probable guess"),
            Figure("bits per token", second.bits.per_token, "bits", _bits_note(second.bits, first.usage.codebook_size)),
            Figure("code usage of samples", second.usage.usage, "", f"{second.usage.count:,} sampled tokens"),
        ]
        if second.class_accuracy is not None:
            rows.append(Figure("class accuracy", second.class_accuracy, "", "samples classified as asked"))
        if second.frechet is not None:
            rows.append(Figure("Fréchet distance", second.frechet, "", "samples to validation pictures; not FID"))
        tables.append(Table("Generation", rows))
    if evaluation.classifier_accuracy is not None:
        note = "on real validation pictures; it measures the samples"
        tables.append(Table("The measuring classifier", [Figure("accuracy", evaluation.classifier_accuracy, "", note)]))
    return tables


def _times(seconds: Mapping[str, float]) -> list[Table]:
    """How long each part took, and all of them."""
    if not seconds:
        return []
    rows = [Figure(name, round(taken, 1), "s") for name, taken in seconds.items()]
    return [Table("Time", [*rows, Figure("in all", round(sum(seconds.values()), 1), "s")])]


def _bits_note(bits: TokenBits, codebook_size: int) -> str:
    steps = f"uncovered in {len(bits.groups)} steps, codes only, unsmoothed"
    return f"{steps}; uniform {log2(codebook_size):.2f}; first step {bits.by_step[0]:.2f}, last {bits.by_step[-1]:.2f}"


def _galleries(evaluation: Evaluation) -> list[Gallery]:
    first, second = evaluation.reconstruction, evaluation.samples
    galleries = [reconstruction_gallery(to_uint8(first.originals), to_uint8(first.reconstructions))]
    if second is not None:
        classes = [(name, to_uint8(drawn), to_uint8(near)) for name, (drawn, near) in second.gallery.items()]
        galleries.append(sample_gallery(classes))
    return galleries


def alarms_of(runs: Runs) -> list[AlarmMark]:
    """The alarms in the runs' logs, each once with all its steps, in the order they were first raised."""
    found: dict[tuple[str, str], AlarmMark] = {}
    for stage, path in runs.present():
        for line in read_log(path):
            if "alarm" not in line:
                continue
            key = stage, line["alarm"]
            before = found[key].steps if key in found else ()
            found[key] = AlarmMark(*key, text=line["warning"], steps=(*before, line["step"]))
    return list(found.values())


def _charts(runs: Runs, alarms: Iterable[AlarmMark]) -> list[Chart]:
    units = {
        "loss": "loss",
        "psnr": "PSNR (dB)",
        "usage": "share of codes",
        "perplexity": "codes",
        "accuracy": "share of masked tokens",
    }
    charts = []
    for stage, path in runs.present():
        lines = read_log(path)
        marks = [Mark(alarm.steps[0], alarm.name) for alarm in alarms if alarm.stage == stage]
        for name, unit in units.items():
            curves = [Curve(split, log_points(lines, f"{split}/{name}")) for split in ("train", "val")]
            curves = [curve for curve in curves if curve.points]
            if curves:
                charts.append(Chart(f"{stage}: {name}", curves, y=unit, marks=marks))
    return charts


def log_points(lines: Iterable[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """A curve of a log; where a value was not finite it has no point."""
    return [(float(line["step"]), float(line[key])) for line in lines if line.get(key) is not None]


def _warnings(runs: Runs) -> list[str]:
    return [
        f"{stage}, step {line['step']}: {line['warning']}"
        for stage, path in runs.present()
        for line in read_log(path)
        if "warning" in line and "alarm" not in line
    ]
