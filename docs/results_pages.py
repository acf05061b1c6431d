"""Write the pages of the studies from their committed figures: ``docs/results/studies``.

    NAME-DATA.json     a study's study.json, committed          NAME.md            verdicts, plot, tables, images
    NAME-DATA*.png     its images, where it has some            NAME-DATA.svg      the plot
                                                                index.md           what there is

``python docs/results_pages.py`` (``make results``) writes all pages anew. ``python docs/results_pages.py FOLDER …``
takes in the finished study of each folder first. No figure on these pages is typed by hand, and a test compares pages
and JSON.

This is also a hook of MkDocs, which puts the pages into the navigation.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "results" / "studies"


def take_in(study: Path, pages: Path = PAGES) -> Path:
    """Copy a finished study's figures and images beside the pages; of its data only the name stays, no path.

    Args:
        study: The study's folder.
        pages: Where the pages are.

    Returns:
        The JSON beside the pages.
    """
    from gridcode.files import write_json
    from gridcode.studies.registry import STUDIES
    from gridcode.studies.results import read_study, without_paths

    content, _ = read_study(study / "study.json")
    study_type = STUDIES[content["study"]]
    content["settings"] = without_paths(study_type, content["settings"])
    data = content["settings"].get("data")
    name = data["source"] if data is not None else "all" if study_type.paths else "scenes"
    name = f"halved-{name}" if content["settings"].get("halve") else name
    file = pages / f"{content['study']}-{name}.json"
    write_json(file, content)
    for old in _pictures(file):
        old.unlink()
    for picture in sorted(study.glob("*.png")):
        shutil.copyfile(picture, pages / f"{file.stem}-{picture.name}")
    return file


def write_pages(pages: Path = PAGES) -> None:
    """Write every page and plot from the JSON files of a folder, and remove pages that have none."""
    from gridcode.files import write_text
    from gridcode.studies.plot import save_plot
    from gridcode.studies.registry import study_from_json
    from gridcode.studies.results import read_study

    texts = page_texts(pages)
    for old in pages.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        write_text(pages / name, text)
    for file in sorted(pages.glob("*.json")):
        content, results = read_study(file)
        summary = study_from_json(content).summary(results)
        if summary.panels:
            save_plot(summary.panels, file.with_suffix(".svg"))


def page_texts(pages: Path = PAGES) -> dict[str, str]:
    """The text of every page by its file's name, from the JSON files of a folder."""
    from gridcode.studies.registry import STUDIES

    found = {name: sorted(pages.glob(f"{name}-*.json")) for name in STUDIES}
    texts = {
        f"{name}.md": "\n".join([f"# Study: {name}", "", _about(name), "", *map(_section, files)])
        for name, files in found.items()
        if files
    }
    return {"index.md": _index(found), **texts}


def command_of(name: str, config: Any) -> str:
    """The command that runs a study: every setting that is not the default as its flag."""
    words = [word for flag, value in _changed(config, type(config)()) for word in _flag(flag, value)]
    return " ".join(["gridcode study", name, *words, "--out", "O"])


def _section(file: Path) -> str:
    """Verdicts, plot, tables and images of a study on one data set; then how it was measured, in one line."""
    from gridcode.studies.registry import study_from_json
    from gridcode.studies.results import read_study
    from gridcode.studies.summary import summarised

    content, results = read_study(file)
    study = study_from_json(content)
    summary = summarised(study, results)
    parts = [f"## {summary.title}", *summary.verdict_lines()]
    if summary.panels:
        parts.append(f"![{summary.title}]({file.stem}.svg)")
    parts += [table.markdown() for table in summary.tables]
    parts += [f"![{picture.stem.removeprefix(file.stem + '-')}]({picture.name})" for picture in _pictures(file)]
    command = command_of(study.name, study.config)  # type: ignore[attr-defined]
    hours = content["hours"]
    work = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    cells = f"{len(results)} of {len(study.cells())} cells, {work} of work of one process"
    machines = [_machine(machine) for machine in (content["machine"], *content.get("earlier_machines", []))]
    facts = [f"`{command}`", *filter(None, [study.steps()]), cells, " and ".join(dict.fromkeys(machines))]
    notes = [*summary.notes, f"{'; '.join(facts)}. Figures: [{file.name}]({file.name})."]
    parts += [f"<small>{note}</small>" for note in notes]
    return "\n\n".join(parts) + "\n"


def _pictures(file: Path) -> list[Path]:
    """The images of a study's JSON: those of its name, but of none that is longer and begins with it."""
    others = [path.stem for path in file.parent.glob(f"{file.stem}-*.json")]
    found = sorted(file.parent.glob(f"{file.stem}-*.png"))
    return [path for path in found if not any(path.name.startswith(f"{other}-") for other in others)]


def _index(found: Mapping[str, Sequence[Path]]) -> str:
    """What there is."""
    from gridcode.studies.registry import study_from_json
    from gridcode.studies.results import read_study

    lines = [
        "# Studies",
        "",
        "The paper's experiments are programs; `gridcode study` lists them. A study trains and measures its cells, "
        "each a setting with a seed, and answers each claim: *seen*, *not seen*, *opposite*, or *open* where the "
        "figures leave it open. Answers rest on 95 % intervals over seeds (`metrics/interval.py` says how they are "
        "made); those of the codecs and of speech on means over the same images or sounds.",
        "These pages are written from the figures alone (`make results`). A study writes `study.json` and `table.md` "
        "after each cell. `--finished study.json` goes on from the figures of an earlier run, with more seeds or sizes "
        "say, and does not run its cells again.",
        "",
    ]
    lines += ["| command | what it is about | results | hours |", "|---|---|---|---|"]
    total = 0.0
    for name, files in found.items():
        results, hours = [], []
        for file in files:
            content, cells = read_study(file)
            counted = study_from_json(content).summary(cells).found()
            results.append(f"[{file.stem.removeprefix(f'{name}-')}]({name}.md): {counted or 'no claims'}")
            hours.append(f"{content['hours']:.1f}")
            total += content["hours"]
        shown = f"{'; '.join(results) or 'none yet'} | {'; '.join(hours)}"
        lines.append(f"| `gridcode study {name} --out O` | {_about(name)} | {shown} |")
    hours_note = f"Hours: of work of one process, {total:.1f} together; `--workers 2` takes about half."
    lines += ["", f"<small>{hours_note}</small>"]
    return "\n".join(lines) + "\n"


def _about(name: str) -> str:
    """The first line of the study's module."""
    from gridcode.studies.registry import STUDIES

    return (sys.modules[STUDIES[name].__module__].__doc__ or "").splitlines()[0]


def _machine(machine: Mapping[str, str]) -> str:
    shown = (machine.get(name) for name in ("device", "processors", "system"))
    return ", ".join([*filter(None, shown), f"torch {machine['torch']}"])


def _changed(config: Any, default: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings that are not the default's, by their flags' names."""
    for field in fields(config):
        value, usual = getattr(config, field.name), getattr(default, field.name)
        name = prefix + field.name.replace("_", "-")
        if is_dataclass(value):
            yield from _changed(value, usual, f"{name}.")
        elif value != usual:
            yield name, value


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        group, _, last = name.rpartition(".")
        flag = last if value else f"no-{last}"
        return [f"--{group}.{flag}" if group else f"--{flag}"]
    if name in ("data.source", "data.val-source") and value != "scenes":
        return [f"--{name}", f"$DATA/{value}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *(shlex.quote(str(one)) for one in values)]


def on_config(config: Any) -> Any:
    """Put the pages into the site's navigation."""
    results = next(part["Results"] for part in config["nav"] if "Results" in part)
    names = [path.stem for path in sorted(PAGES.glob("*.md")) if path.stem != "index"]
    pages = [{"All studies": "results/studies/index.md"}, *({name: f"results/studies/{name}.md"} for name in names)]
    results.append({"Studies": pages})
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the pages of the studies from their committed figures.")
    parser.add_argument("studies", nargs="*", type=Path, metavar="FOLDER", help="a finished study to take in first")
    for folder in parser.parse_args().studies:
        print(f"took in {take_in(folder)}")
    write_pages()
