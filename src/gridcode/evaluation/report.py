"""A report as one HTML file: figures, images, curves, and how they were made.

The file holds everything it shows (styles, images as PNG, charts as SVG) and asks no host for anything; its
content security policy forbids it to. It runs no scripts. Whatever a report leaves empty does not appear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridcode.errors import GridcodeError
from gridcode.evaluation.charts import Chart, CodeUsage, draw_chart, draw_digits, rank_chart, readable
from gridcode.evaluation.images import ImageArray, check_image_array, data_uri, magnification
from gridcode.evaluation.passages import Passages
from gridcode.files import to_json, write_text


@dataclass(frozen=True)
class Figure:
    """A measured figure.

    >>> Figure("PSNR", 24.31, unit="dB", explanation="mean over images").value
    24.31
    """

    name: str
    value: float | int | str
    unit: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Table:
    """Figures under one heading."""

    title: str
    rows: Sequence[Figure]


@dataclass(frozen=True)
class AlarmMark:
    """An alarm that training raised, once or more often.

    Attributes:
        stage: Whose training.
        name: The alarm's name.
        text: What was wrong the last time, and what to try.
        steps: When it was raised, first to last; at least once.

    >>> AlarmMark("Stage I", "usage low", "only 3 of the 8 codes are in use; …", steps=(500, 1000)).when
    'steps 500 to 1,000, 2 times'
    """

    stage: str
    name: str
    text: str
    steps: tuple[int, ...]

    @property
    def when(self) -> str:
        """Its steps in words."""
        first, last = self.steps[0], self.steps[-1]
        return f"step {first:,}" if first == last else f"steps {first:,} to {last:,}, {len(self.steps)} times"


@dataclass(frozen=True)
class ImageGroup:
    """Images shown together, each a stack of one or more.

    Args:
        name: Heading, such as a class; may be empty.
        stacks: One array for each storey from top to bottom, all uint8 (n, H, W, C) of one n.
        captions: A line under each stack, n of them, or none.
        players: What is played below each image, as data URIs of media files: for each storey n of them, or none.
        moving: What is shown in place of each image, as data URIs of animations: likewise.

    Raises:
        GridcodeError: An array is not made of images, or the counts differ.
    """

    name: str
    stacks: Sequence[ImageArray]
    captions: Sequence[str] = ()
    players: Sequence[Sequence[str]] = ()
    moving: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        what = f"images of {self.name or 'a report'}"
        for images in self.stacks:
            check_image_array(images, what=what)
        counts = {len(storey) for storeys in (self.stacks, self.players, self.moving) for storey in storeys}
        if self.captions:
            counts.add(len(self.captions))
        if len(counts) != 1:
            raise GridcodeError(f"{what}: stacks and captions must be of one length, got {sorted(counts)}")

    @property
    def width(self) -> int:
        """Width of an image on the page, in pixels of the page: a whole multiple of its own."""
        side = self.stacks[0].shape[2]
        return int(side * magnification(side))

    def columns(self) -> Iterator[tuple[list[tuple[str, str]], str]]:
        """For each stack its images as data URIs, top first, each with its player's or "", and its caption."""
        for place in range(len(self.stacks[0])):
            caption = self.captions[place] if self.captions else ""
            players = [storey[place] for storey in self.players] or [""] * len(self.stacks)
            images = [storey[place] for storey in self.moving] or [data_uri(storey[place]) for storey in self.stacks]
            yield list(zip(images, players, strict=True)), caption


@dataclass(frozen=True)
class Gallery:
    """A section of images.

    Args:
        title: Heading.
        storeys: What is in each stack, from top to bottom.
        groups: The images.
        explanation: A sentence for the reader.
    """

    title: str
    storeys: Sequence[str]
    groups: Sequence[ImageGroup]
    explanation: str = ""


def reconstruction_gallery(
    originals: ImageArray, reconstructions: ImageArray, *, captions: Sequence[str] = ()
) -> Gallery:
    """Originals with their reconstructions right below; uint8 (n, H, W, C) both."""
    return Gallery(
        "Reconstructions",
        ("original", "reconstruction"),
        [ImageGroup("", [originals, reconstructions], captions)],
        "Validation images, encoded to tokens and decoded again. Pixels are magnified, not smoothed.",
    )


def sample_gallery(classes: Sequence[tuple[str, ImageArray, ImageArray | None]]) -> Gallery:
    """Samples by class, each with the training image it is nearest to, where that is given.

    Args:
        classes: (class name, samples uint8 (n, H, W, C), nearest training images of that shape or None).
            Unlabelled samples are one class with an empty name. A class without samples is left out; nearest
            images are shown if every class has them.
    """
    nearest = all(images is not None for _, _, images in classes)
    explanation = "Generated token by token and decoded."
    if nearest:
        explanation += " Below each, the training image closest to it: were they alike, the model would copy."
    groups = [
        ImageGroup(name, [samples, images] if nearest and images is not None else [samples])
        for name, samples, images in classes
        if len(samples)
    ]
    storeys = ("sample", "nearest training image") if nearest else ("sample",)
    return Gallery("Samples", storeys, groups, explanation)


@dataclass(frozen=True)
class Report:
    """All that a report shows; empty parts do not appear.

    Attributes:
        title: Heading of the page.
        command: The command line that made it.
        created: Time in ISO 8601.
        key_figures: The few figures at the top.
        warnings: What the reader must know before believing a figure.
        alarms: What training warned of.
        galleries: Images.
        passages: Texts.
        charts: Training curves.
        usage: How often each code was used.
        tables: All figures.
        machine: (name, value) lines: versions, processor, times.
        config: Nested settings, JSON values.
    """

    title: str
    command: str = ""
    created: str = ""
    key_figures: Sequence[Figure] = ()
    warnings: Sequence[str] = ()
    alarms: Sequence[AlarmMark] = ()
    galleries: Sequence[Gallery] = ()
    passages: Sequence[Passages] = ()
    charts: Sequence[Chart] = ()
    usage: CodeUsage | None = None
    tables: Sequence[Table] = ()
    machine: Sequence[tuple[str, str]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


def write_report(report: Report, path: Path) -> None:
    """Write a report as one self-contained HTML file, atomically.

    Args:
        report: What to show.
        path: The file to write, usually ``report.html``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "report.html"
    >>> write_report(Report("A <small> run"), path)
    >>> "<h1>A &lt;small&gt; run</h1>" in path.read_text(encoding="utf-8")
    True
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gridcode.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = readable
    page = environment.get_template("report.html.j2").render(
        report=report,
        galleries=[gallery for gallery in report.galleries if gallery.groups],
        passages=[section for section in report.passages if section.rows],
        charts=_drawn((chart.title, draw_chart(chart)) for chart in report.charts),
        usage_charts=_usage_charts(report.usage) if report.usage is not None else [],
        tables=[table for table in report.tables if table.rows],
        settings=list(_flatten(report.config)),
    )
    write_text(path, page)


def _usage_charts(usage: CodeUsage) -> list[tuple[str, str]]:
    charts = (("Codes by rank", draw_chart(rank_chart(usage))), ("Digits of the code", draw_digits(usage)))
    return _drawn(charts)


def _drawn(charts: Iterable[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """Titles and elements, without the charts that have nothing to show."""
    return [(title, svg) for title, svg in charts if svg is not None]


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, JSON value) lines."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", to_json(value)
