"""Whatever an error advises, the verb that prints it can be told: every message against every verb's options."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import gridcode
from gridcode.cli.main import main
from gridcode.cli.shared import parse
from gridcode.cli.shared.advice import advise

ROOT = Path(gridcode.__file__).parent

VERBS = {
    "demo": "demo",
    "train tokenizer": "train tokenizer scenes_smoke",
    "train prior": "train prior scenes_smoke",
    "tokenize": "tokenize",
    "sample": "sample",
    "edit": "edit",
    "reconstruct": "reconstruct",
    "eval": "eval",
    "predict": "predict",
    "train tokenizer of label maps": "train tokenizer scenes_depth_laptop",
    "train prior of label maps": "train prior scenes_depth_laptop",
    "eval of label maps": "eval scenes_depth_laptop",
    "dense train": "dense train",
    "dense predict": "dense predict",
    "dense eval": "dense eval",
    "study uvim": "study uvim",
    "convert": "convert",
    "levels": "levels",
    "compress": "compress",
    "decompress": "decompress",
    "info": "info",
}


@cache
def options_of(verb: str) -> frozenset[str]:
    with pytest.raises(SystemExit):
        main([*VERBS[verb].split(), "--help"])
    return parse.options()


@cache
def messages() -> tuple[tuple[Path, str], ...]:
    """Where each GridcodeError is made, and its text, with 8 for what is filled in."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if name.endswith("Error") and isinstance(node, ast.Call) and node.args:
                (text, *_) = node.args
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                words = [str(part.value) if isinstance(part, ast.Constant) else "8" for part in parts]
                found.append((path.relative_to(ROOT), "".join(words)))
    return tuple(found)


def test_no_message_outside_the_command_line_names_a_flag() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "--" not in source or "cli" in path.relative_to(ROOT).parts:
            continue
        tree = ast.parse(source)
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
            names_a_flag = " " in str(text) and re.search(r"(?<![\w-])--[a-z]", str(text))  # a lone word is CSS's
            parts = node.values if isinstance(node, ast.JoinedStr) else ()
            names_a_flag = names_a_flag or any(
                isinstance(part, ast.Constant) and re.search(r"(?<![\w-])--$", str(part.value)) for part in parts[:-1]
            )
            if names_a_flag:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text}")
    assert not found


def unknown(advice: str, verb: str) -> list[str]:
    """Options that an advice names and the verb has not; after "gridcode VERB" that verb's."""
    missing = []
    for clause in re.split(r"[;,]", advice.partition("by hf download")[0]):
        other = re.search(r"gridcode ([a-z]+)( [a-z]+)?", clause)
        own, foreign = (clause[: other.start()], clause[other.end() :]) if other else (clause, "")
        named = f"{other[1]}{other[2] or ''}" if other else verb
        known = (
            options_of(named if named in VERBS else other[1])
            if other and (named in VERBS or other[1] in VERBS)
            else None
        )
        for text, options in ((own, options_of(verb)), (foreign, known)):
            if options is not None:
                missing += [word for word in re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", text) if word not in options]
    return missing


@pytest.mark.parametrize("verb", VERBS)
def test_every_advice_can_be_followed(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of(verb)
    assert len(messages()) > 300
    complaints: list[str] = []
    for path, message in messages():
        if path.parts[0] == "cli" and path.stem not in ("parse", "options", "folders", verb.replace(" ", "_")):
            continue  # another verb's own
        text = advise(message, options)
        advice = re.split(r"[;:] ", text, maxsplit=1)[1:]
        wrong = unknown(advice[0], verb) if advice else []
        complaints += [f"{path}: {text}"] if wrong else []
        assert not re.search(r"\b(data|loop|optim)\.[a-z]\w*_[a-z]+", advice[0] if advice else ""), text
        assert not re.search(r"[;,:]\s*$|[;:,]\s*[;:,]", text) or re.search(r"[;,:]\s*$|[;:,]\s*[;:,]", message), text
    assert not complaints


def test_settings_become_the_verbs_options() -> None:
    message = "a.png: not an image; remove it, or set data.on_error=skip"
    assert advise(message, options_of("tokenize")).endswith("remove it, or set --data.on-error skip")
    assert advise(message, options_of("eval")).endswith("remove it, or set --data.on-error skip")
    assert advise(message, options_of("edit")) == "a.png: not an image; remove it"
    assert advise("x: no rows; check data.source", options_of("reconstruct")) == "x: no rows; check --input"
    assert advise("x: no rows; check data.source", options_of("train tokenizer")) == "x: no rows; check --data.source"
    assert advise("other size; set data.a_b=3, or tokenize again", {"--out"}) == "other size; tokenize again"
    assert advise("not empty; set force=True, or resume=True", {"--force"}) == "not empty; set --force"
    assert advise("a store; set overwrite=True", options_of("tokenize")) == "a store; set --force"
    assert advise("4 images; set evaluation.draws=0", options_of("dense eval")) == "4 images; set --draws 0"
    assert advise("see data.csv; x.data.size is 3", {"--data.size"}) == "see data.csv; x.data.size is 3"


def test_a_run_that_stops_at_an_image_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cat.png").write_bytes(b"meow")
    words = ["train", "tokenizer", "scenes_smoke", "--data.source", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "--data.on-error skip" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["tokenize", "reconstruct", "eval", "sample", "edit"])
@pytest.mark.parametrize("way", ["--out=~/x", "--out ~/x"])
def test_home_is_found_in_every_path(
    verb: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    needed = {"sample": "--prior=~/p", "edit": "--prior ~/p --input ~/i --box 0 0 8 8"}.get(verb, "")
    words = f"{verb} --tokenizer=~/none {way} {needed}".split()
    assert main(words) == 2
    missing = "p" if verb in ("sample", "edit") else "none"
    assert f"no folder {tmp_path}/{missing}, and" in capsys.readouterr().err


def test_a_warning_names_flags_at_the_terminal_and_settings_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--data.train-count 8 --data.val-count 4 --data.workers 0 --loop.steps 1 --loop.batch-size 2"
    words = [
        "train",
        "tokenizer",
        "scenes_smoke",
        *small.split(),
        "--alarms.usage",
        "9",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    assert "a lower --optim.lr, more steps" in capsys.readouterr().err
    assert "a lower optim.lr, more steps" in (tmp_path / "out/log.jsonl").read_text()
    assert main(["info", str(tmp_path / "out")]) == 0
    assert "a lower --optim.lr, more steps" in capsys.readouterr().out
