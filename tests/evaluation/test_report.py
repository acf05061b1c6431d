from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gridcode.errors import GridcodeError
from gridcode.evaluation import (
    AlarmMark,
    Chart,
    CodeUsage,
    Curve,
    Figure,
    ImageGroup,
    Mark,
    Report,
    Table,
    reconstruction_gallery,
    sample_gallery,
    write_report,
)
from gridcode.evaluation.passages import Passages
from gridcode.evaluation.publish import Runs

EVIL = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """What a browser would make of the file: tags, addresses and text."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def pictures(count: int, size: int = 8, channels: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def full(text: str) -> Report:
    figure = Figure(text, 0.5, unit=text, explanation=text)
    return Report(
        text,
        command=text,
        created=text,
        key_figures=[figure, Figure("words", text)],
        warnings=[text],
        galleries=[
            reconstruction_gallery(pictures(2), pictures(2), captions=[text, text]),
            sample_gallery([(text, pictures(3), pictures(3)), ("grey", pictures(1), pictures(1))]),
        ],
        alarms=[AlarmMark(text, text, text, steps=(5, 9))],
        charts=[Chart(text, [Curve(text, [(0, 1.0), (10, 0.5)])], x=text, y=text, marks=[Mark(5, text)])],
        usage=CodeUsage.from_indices([0, 1, 1, 5], (3, 2)),
        tables=[Table(text, [figure])],
        machine=[(text, text)],
        config={text: {text: [text]}},
    )


def written(report: Report, folder: Path) -> str:
    write_report(report, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_everything_is_escaped_and_every_tag_is_closed(tmp_path: Path) -> None:
    text = written(full(EVIL), tmp_path)
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert EVIL in page.text
    assert "<script" not in text


def test_it_loads_nothing_from_anywhere(tmp_path: Path) -> None:
    text = written(full("a run"), tmp_path)
    page = Page(text)
    assert len(page.addresses) == 2 * 2 + 3 * 2 + 1 * 2
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"link", "script", "iframe", "object", "form", "base"} & set(page.tags)
    for address in ("http:", "https:", "//", "@import", "url("):
        assert address not in text.replace("data:image/png;base64,", "").split("<body>")[0]
    assert "default-src 'none'" in text


def test_what_is_absent_does_not_appear(tmp_path: Path) -> None:
    present = written(full("a run"), tmp_path)
    empty = written(
        Report(
            "a run",
            galleries=[sample_gallery([])],
            charts=[Chart("unseen", [Curve("nan", [(0, float("nan"))])])],
            tables=[Table("unseen", [])],
        ),
        tmp_path,
    )
    for heading in ("Reconstructions", "Samples", "Training", "Codebook", "All figures", "How it was made"):
        assert f"<h2>{heading}</h2>" in present
        assert f"<h2>{heading}</h2>" not in empty
    for part in ('class="keys"', 'class="warnings"', 'class="alarm"', "<time", "unseen", "<section>"):
        assert part not in empty


def test_key_figures_come_before_anything_else(tmp_path: Path) -> None:
    text = written(full("a run"), tmp_path)
    assert text.index('class="keys"') < text.index('class="warnings"') < text.index("<section>")


def test_an_alarm_is_named_at_the_top_and_marked_in_the_charts_at_its_step(tmp_path: Path) -> None:
    chart = Chart("Loss", [Curve("train", [(100, 1.0), (200, 0.5)])], marks=[Mark(0, "few channels"), Mark(150, "<b>")])
    once, often = (AlarmMark("Stage I", name, "try more", steps) for name, steps in (("a", (7,)), ("b", (500, 9500))))
    text = written(Report("a", alarms=[once, often], charts=[chart]), tmp_path)
    words = " ".join(Page(text).text.split())
    assert "a Stage I, step 7: try more b Stage I, steps 500 to 9,500, 2 times: try more" in words
    assert text.index('class="alarm"') < text.index("<section>")
    assert text.count("stroke: var(--warn)") == 2
    assert "few channels at step 0" in text
    assert "&lt;b&gt; at step 150" in text


def test_each_reconstruction_stands_right_below_its_original(tmp_path: Path) -> None:
    originals, decoded = pictures(3), pictures(3) // 2
    from gridcode.evaluation.images import data_uri

    page = Page(written(Report("a", galleries=[reconstruction_gallery(originals, decoded)]), tmp_path))
    expected = [data_uri(p) for pair in zip(originals, decoded, strict=True) for p in pair]
    assert page.addresses == expected


def test_samples_without_nearest_images_or_of_no_class(tmp_path: Path) -> None:
    gallery = sample_gallery([("", pictures(2, channels=1), None), ("empty", pictures(2)[:0], None)])
    assert list(gallery.storeys) == ["sample"]
    text = written(Report("a", galleries=[gallery]), tmp_path)
    assert len(Page(text).addresses) == 2
    assert "nearest training image" not in text
    assert "empty" not in Page(text).text


def test_usage_without_digits_shows_the_ranks_alone(tmp_path: Path) -> None:
    text = written(Report("a", usage=CodeUsage(np.array([3, 1]), 8)), tmp_path)
    assert "2 of 8 codes were used at least once, by 4 tokens" in text
    assert "Digits of the code" not in text


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GridcodeError, match=r"one length, got \[2, 3\]"):
        ImageGroup("cat", [pictures(2), pictures(3)])
    with pytest.raises(GridcodeError, match=r"images of cat: needs uint8 .* got float64"):
        ImageGroup("cat", [np.zeros((2, 8, 8, 3))])  # type: ignore[list-item]


def test_passages_stand_side_by_side_with_what_differs_marked(tmp_path: Path) -> None:
    rows = [((("same ", False), (EVIL, True)), (("<b>", False),))]
    write_report(
        Report("texts", passages=[Passages("Plays", ("one", "other"), rows), Passages("None", (), [])]), tmp_path / "a"
    )
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert Page(text).tags.count("mark") == 1
    assert f"same {EVIL}" in Page(text).text
    assert "<td>&lt;b&gt;</td>" in text
    assert "<h2>None</h2>" not in text


def test_a_models_folder_in_a_run_leads_to_the_runs_log(tmp_path: Path) -> None:
    run = tmp_path / "tokenizer"
    (run / "best").mkdir(parents=True)
    for name, text in (("log.jsonl", ""), ("run.json", '{"loop": 1}')):
        (run / name).write_text(text, encoding="utf-8")
    for given in (run, run / "best"):
        assert Runs(given).settings() == {"Stage I": {"loop": 1}}
    (tmp_path / "elsewhere" / "best").mkdir(parents=True)
    assert Runs(tmp_path / "elsewhere" / "best", tmp_path).present() == []
