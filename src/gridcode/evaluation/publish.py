"""From measurements to a person: ``report.html`` and ``overview.png`` to look at, ``report.json`` to compute with.

    a domain's measurements -> Findings ─┐
    training runs -> curves, alarms ─────┴-> publish -> report.html, report.json, overview.png

No kind of data is known here: a domain says in :class:`Findings` what it measured and what a reader is shown.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from gridcode.evaluation.charts import Chart, CodeUsage, Curve, Mark
from gridcode.evaluation.images import ImageArray, save_png
from gridcode.evaluation.passages import Passages
from gridcode.evaluation.report import AlarmMark, Figure, Gallery, Report, Table, write_report
from gridcode.files import read_json, write_json
from gridcode.training.log import read_log

_UNITS: Final = {
    "loss": "loss",
    "psnr": "PSNR (dB)",
    "usage": "share of codes",
    "perplexity": "codes",
    "accuracy": "share of tokens",
    "mse": "mean squared error",
    "rmse": "metres",
    "rmse_log": "nats",
    "si_log": "nats",
}
"""What the value axis of a logged figure says; of others it says the figure's name."""
_NOT_SHOWN: Final = ("images_per_s", "gradient_norm", "lr")


@dataclass(frozen=True)
class Runs:
    """The training runs behind a measurement, for their curves and warnings; None or a folder without a log gives none.

    Attributes:
        tokenizer: Stage I's folder, a run's or its ``best`` or ``last``.
        prior: Stage II's folder.
    """

    tokenizer: Path | None = None
    prior: Path | None = None

    def present(self) -> list[tuple[str, Path]]:
        """The stages that have a log, with their names."""
        stages = (("Stage I", self.tokenizer), ("Stage II", self.prior))
        runs = [(name, _run_of(path)) for name, path in stages if path is not None]
        return [(name, path) for name, path in runs if (path / "log.jsonl").exists()]

    def settings(self) -> dict[str, Any]:
        """The full settings of each stage's training, where its ``run.json`` is there."""
        return {
            name: read_json(path / "run.json", "training run")
            for name, path in self.present()
            if (path / "run.json").exists()
        }


def _run_of(model: Path) -> Path:
    """The run's folder that a model lies in, where it is one of a run's own; else the model's."""
    return model.parent if model.name in ("best", "last") and (model.parent / "run.json").exists() else model


@dataclass(frozen=True)
class Findings:
    """What was measured of one kind of data, and what of it a reader is shown.

    Attributes:
        title: Heading of the page.
        figures: All numbers by name, for programs.
        key_figures: The figures at the top of the page.
        tables: All figures, for the reader.
        galleries: Examples.
        codes: How often each code was used.
        overview: All of it on one sheet, uint8 (H, W, C).
        settings: Everything the figures depend on, JSON values.
        warnings: What the reader must know before believing a figure.
        more: What else ``report.json`` holds, by name.
        passages: Examples that are texts.
    """

    title: str
    figures: Mapping[str, float | int | None]
    key_figures: Sequence[Figure]
    tables: Sequence[Table]
    galleries: Sequence[Gallery]
    codes: CodeUsage
    overview: ImageArray
    settings: Mapping[str, Any]
    warnings: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    passages: Sequence[Passages] = ()


def publish(
    findings: Findings, runs: Runs, *, out: Path, command: str, seconds: Mapping[str, float] | None = None
) -> Path:
    """Write ``report.html``, ``report.json`` and ``overview.png`` into a folder.

    Args:
        findings: What was measured.
        runs: Where the curves, the alarms and the settings of training are.
        out: The folder.
        command: The command line that made it.
        seconds: How long each part of it took, by name.

    Returns:
        The path of the HTML file.
    """
    created = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    settings, machine = {**findings.settings, **runs.settings()}, machine_lines()
    alarms = alarms_of(runs)
    write_json(
        out / "report.json",
        {
            "created": created,
            "command": command,
            **findings.more,
            "figures": dict(findings.figures),
            "alarms": [asdict(alarm) for alarm in alarms],
            "machine": dict(machine),
            "seconds": dict(seconds or {}),
            "settings": settings,
        },
    )
    report = Report(
        title=findings.title,
        command=command,
        created=created,
        key_figures=findings.key_figures,
        warnings=[*findings.warnings, *_warnings(runs)],
        alarms=alarms,
        galleries=findings.galleries,
        passages=findings.passages,
        charts=_charts(runs, alarms),
        usage=findings.codes,
        tables=[*findings.tables, *_times(seconds or {})],
        machine=machine,
        config=settings,
    )
    write_report(report, out / "report.html")
    save_png(findings.overview, out / "overview.png")
    return out / "report.html"


def print_figures(figures: Mapping[str, float | int | None]) -> None:
    """Print figures, a line each; those that are None are left out."""
    for name, value in figures.items():
        if value is not None:
            print(f"{name:48} {value:.4g}" if isinstance(value, float) else f"{name:48} {value}")


def machine_lines() -> list[tuple[str, str]]:
    """What it ran on."""
    lines = [(name, version(name)) for name in ("gridcode", "torch")]
    lines += [
        ("python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processors", f"{os.cpu_count()} cores, PyTorch's threads: {torch.get_num_threads()}"),
    ]
    if torch.cuda.is_available():
        lines.append(("device", torch.cuda.get_device_name()))
    return lines


def _times(seconds: Mapping[str, float]) -> list[Table]:
    """How long each part took, and all of them."""
    if not seconds:
        return []
    rows = [Figure(name, round(taken, 1), "s") for name, taken in seconds.items()]
    return [Table("Time", [*rows, Figure("in all", round(sum(seconds.values()), 1), "s")])]


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
    """A chart for every figure that a stage's log holds, of training and validation."""
    charts = []
    for stage, path in runs.present():
        lines = read_log(path)
        marks = [Mark(alarm.steps[0], alarm.name) for alarm in alarms if alarm.stage == stage]
        for name in dict.fromkeys(key.split("/", 1)[1] for line in lines for key in line if "/" in key):
            if name.endswith(_NOT_SHOWN):
                continue
            curves = [Curve(split, log_points(lines, f"{split}/{name}")) for split in ("train", "val")]
            curves = [curve for curve in curves if curve.points]
            charts.append(Chart(f"{stage}: {name}", curves, y=_UNITS.get(name, name), marks=marks))
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
