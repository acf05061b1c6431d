"""Whatever is wrong with a command line, one line says so, and nothing is written."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from gridcode.cli import train
from gridcode.cli.main import VERBS, main
from gridcode.errors import GridcodeError

TRAIN = ("train", "tokenizer", "scenes_smoke")

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown verb": (("paint",), "there is no verb 'paint'; choose one of demo, train,"),
    "unknown stage": (("train", "codec"), "train takes 'tokenizer' or 'prior', got 'codec'"),
    "no recipe": (("train", "prior"), "train prior needs a recipe first: one of scenes_demo,"),
    "unknown recipe": (
        ("train", "tokenizer", "nope", "--out", "OUT"),
        "no recipe 'nope'; choose one of scenes_demo,",
    ),
    "unknown option": ((*TRAIN, "--out", "OUT", "--loop.stepz", "3"), "Unrecognized options: --loop.stepz"),
    "surplus word": ((*TRAIN, "--out", "OUT", "surplus"), "Unrecognized options: surplus"),
    "missing option": (("tokenize", "--out", "OUT"), "--tokenizer"),
    "missing value": ((*TRAIN, "--out", "OUT", "--loop.steps"), "--loop.steps"),
    "reference without a network": (
        ("eval", "reference", "--out", "OUT.npz"),
        "give the --protocol whose network measures",
    ),
    "reference of another name": (
        ("eval", "reference", "--protocol", "fd-lite0", "--out", "OUT"),
        "reference statistics are a .npz file; give its name",
    ),
    "reference images and a network": (
        ("eval", "reference", "--layout", "adm", "--protocol", "fd-lite0", "--out", "OUT.npz"),
        "--layout adm keeps images, which no network has measured; leave --protocol out",
    ),
    "reference without Inception": (
        ("eval", "reference", "--protocol", "fid-adm", "--out", "OUT.npz"),
        "--protocol fid-adm needs --inception",
    ),
    "reference of one image": (
        ("eval", "reference", "--layout", "adm", "--count", "1", "--out", "OUT.npz"),
        "--count must be at least 2, got 1",
    ),
    "missing folder for a run": (TRAIN, "--out DIR"),
    "wrong type": ((*TRAIN, "--out", "OUT", "--loop.steps", "many"), "--loop.steps: invalid literal for int()"),
    "wrong choice": ((*TRAIN, "--out", "OUT", "--loop.precision", "fp8"), "'auto', 'fp32', 'bf16'"),
    "value out of range": ((*TRAIN, "--out", "OUT", "--loop.steps", "0"), "loop.steps must be at least 1, got 0"),
    "levels that make no codebook": ((*TRAIN, "--out", "OUT", "--model.quantizer.levels", "1"), "levels: entry 0 is 1"),
    "unknown quantizer": (
        (*TRAIN, "--out", "OUT", "--quantizer", "rvq"),
        "invalid choice 'rvq' for argument '--quantizer'. Expected one of ('fsq', 'residual', 'grouped', 'lfq',",
    ),
    "another quantizer's setting": (
        (*TRAIN, "--out", "OUT", "--quantizer", "lfq", "--model.quantizer.levels", "8"),
        "Unrecognized options: --model.quantizer.levels",
    ),
    "quantizer's setting out of range": (
        (*TRAIN, "--out", "OUT", "--quantizer", "lfq", "--model.quantizer.bits", "64"),
        "quantizer lfq: bits is 64; it must be a whole number from 1 to 63",
    ),
    "quantizer without a name": ((*TRAIN, "--out", "OUT", "--quantizer"), "--quantizer"),
    "quantizer dropout out of range": (
        (*TRAIN, "--out", "OUT", "--quantizer-dropout", "1.5"),
        "quantizer_dropout must be in [0, 1], got 1.5",
    ),
    "levels of no size": (("levels", "--bits", "64"), "bits is 64; it must be from 1 to 63"),
    "levels that there are none of": (("levels", "--bits", "2"), "no levels from 5 to 16 make a codebook"),
    "parts that do not fit": ((*TRAIN, "--out", "OUT", "--data.size", "30"), "multiples of 4"),
    "resume and force": ((*TRAIN, "--out", "OUT", "--resume", "--force"), "leave out --force"),
    "resume of nothing": ((*TRAIN, "--out", "OUT", "--resume"), "there is no file"),
    "missing images": ((*TRAIN, "--out", "OUT", "--data.source", "MISSING"), "no such file or folder"),
    "codec of a study": (("study", "codec", "--out", "OUT", "--model", "MISSING"), "it is no hub id"),
    "sounds of a study": (
        ("study", "domains", "--out", "OUT", "--image", "scenes", "--audio", "MISSING"),
        "no such file",
    ),
    "tokenizer of a study": (
        ("study", "speech", "--out", "OUT", "--data.source", ".", "--tokenizer", "MISSING"),
        "it is no hub id",
    ),
    "study of missing images": (
        ("study", "tradeoff", "--out", "OUT", "--data.source", "MISSING"),
        "no such file or folder",
    ),
    "missing tokens": (
        ("train", "prior", "scenes_smoke", "--tokens", "MISSING", "--out", "OUT"),
        "missing; check the path",
    ),
    "missing tokenizer": (("tokenize", "--tokenizer", "MISSING", "--out", "OUT"), "check the path"),
    "missing prior": (("sample", "--prior", "MISSING", "--tokenizer", "MISSING", "--out", "OUT"), "check the path"),
    "missing model to start from": ((*TRAIN, "--out", "OUT", "--init-from", "MISSING"), "check the path"),
    "missing device": (
        ("tokenize", "--tokenizer", "some/model", "--out", "OUT", "--device", "abacus"),
        "--device abacus cannot be used here",
    ),
    "nothing to tell of": (("info", "MISSING"), "there is no folder"),
}


@pytest.mark.parametrize("what", WRONG)
def test_one_line_says_what_is_wrong(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = WRONG[what]
    places = {"OUT": str(tmp_path / "out"), "MISSING": str(tmp_path / "missing")}
    assert main([places.get(word, word) for word in words]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith(f"gridcode {words[0]}: ")
    assert message in seen.err
    assert seen.err.count("\n") == 1
    assert not {"Traceback", "│", "╭"} & set(seen.err.split())
    written = [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "run.json"]
    assert written == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_mistyped_option_is_told_with_the_one_that_was_meant(
    encoding: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # tyro draws a frame or none, after what it takes the terminal to be.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    main([*TRAIN, "--loop.stepz", "3"])
    assert capsys.readouterr().err == (
        "gridcode train: Unrecognized options: --loop.stepz, 3; perhaps --loop.steps was meant; see gridcode train "
        "tokenizer scenes_smoke --help\n"
    )


NEEDED = {
    "demo": [],
    "train": ["tokenizer", "scenes_smoke"],
    "tokenize": ["--tokenizer", "a", "--out", "b"],
    "sample": ["--prior", "a", "--tokenizer", "b", "--out", "c"],
    "reconstruct": ["--tokenizer", "a", "--out", "b"],
    "edit": ["--prior", "a", "--tokenizer", "b", "--input", "c", "--box", "0", "0", "8", "8", "--out", "d"],
    "eval": ["--tokenizer", "a", "--out", "b"],
    "predict": ["--run", "a", "--input", "b", "--out", "c"],
    "dense": ["train"],
    "study": ["uvim", "--out", "a"],
    "convert": ["a", "--out", "b"],
    "levels": ["--bits", "8"],
    "compress": ["a", "--model", "b"],
    "decompress": ["a", "--model", "b"],
    "info": ["a"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_an_unknown_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, *NEEDED[verb], "--no-such-option"]) == 2
    err = capsys.readouterr().err
    assert "Unrecognized options: --no-such-option" in err
    assert err.count("\n") == 1


def test_a_failed_start_is_in_nobodys_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TRAIN, "--out", str(tmp_path / "out"), "--data.source"]
    assert main([*words, str(tmp_path / "mistyped")]) == 2
    assert main([*words, str(tmp_path / "again")]) == 2
    assert "again: no such file or folder" in capsys.readouterr().err


def test_debug_shows_the_whole_traceback() -> None:
    with pytest.raises(GridcodeError, match="there is no verb"):
        main(["paint", "--debug"])
    command = [sys.executable, "-m", "gridcode", "--debug", "train", "tokenizer", "nope"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "Traceback" in found.stderr
    assert "GridcodeError: there is no recipe 'nope'" in found.stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "gridcode train: interrupted\n"),
        (
            OSError(28, "No space left on device"),
            2,
            "gridcode train: OSError: [Errno 28] No space left on device; --debug shows where\n",
        ),
        (MemoryError(), 2, "gridcode train: MemoryError: MemoryError; --debug shows where\n"),
        (RuntimeError("first\nsecond"), 2, "gridcode train: RuntimeError: first; --debug shows where\n"),
    ],
)
def test_what_the_machine_refuses_is_one_line_too(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(train, "run", run)
    assert main(["train"]) == code
    assert capsys.readouterr().err == line


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: list[str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(train, "run", run)
    with pytest.raises(ZeroDivisionError):
        main(["train"])
