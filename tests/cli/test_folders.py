"""Every verb, given every sort of folder: one line says what a wrong one is, and which verb takes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from gridcode.cli.main import main
from gridcode.cli.shared.folders import Sort, check_source, sort_of
from gridcode.errors import GridcodeError

OLD = Path(__file__).parents[1] / "old_folders"

SORTS: dict[str, Sort] = {
    "tokenizer": "image tokenizer",
    "run": "image tokenizer",
    "label-tokenizer": "dense tokenizer",
    "prior": "class prior",
    "ar": "class prior",
    "conditional-prior": "image prior",
    "new-prior": "image prior",
    "classifier": "features",
    "damaged": "image tokenizer",
    "tokens": "tokens",
    "parts": "parts",
    "dense-parts": "parts",
    "images": "other",
    "empty": "other",
}
"""Folders, and what they are."""

IS: dict[str, str] = {
    "tokenizer": "is a tokenizer of images, not ",
    "run": "is a tokenizer of images, not ",
    "label-tokenizer": "is a tokenizer of label maps, not ",
    "prior": "is a prior of images, not ",
    "ar": "is a prior of images, not ",
    "conditional-prior": "is a prior of label maps, not ",
    "new-prior": "is a prior of label maps, not ",
    "classifier": "is a network that measures, not ",
    "tokens": "is a token store, not ",
    "parts": "is a folder that holds tokenizer/ and prior/",
    "dense-parts": "is a folder that holds tokenizer/ and prior/",
    "images": "is no folder of gridcode's, not ",
    "empty": "is no folder of gridcode's, not ",
    "file": "is a file",
    "missing": "no folder missing",
}
"""What is said of each where it is not what an option takes."""

DOES: dict[str, str] = {
    "tokenizer": "gridcode reconstruct, tokenize, eval, sample and edit take it as --tokenizer",
    "label-tokenizer": "gridcode tokenize, predict and eval take it as --tokenizer",
    "prior": "gridcode sample and gridcode edit make images with it",
    "conditional-prior": "gridcode predict makes label maps with it",
    "tokens": "gridcode train prior RECIPE --tokens tokens --out DIR learns from it",
}
"""Which verb is said to take it."""

PICTURES, LABELS = {"tokenizer", "run"}, {"label-tokenizer"}
BOX = "--input images/0.png --box 0 0 8 8"

VERBS: dict[str, set[str]] = {
    "tokenize --tokenizer X": PICTURES | LABELS,
    "reconstruct --tokenizer X": PICTURES,
    "eval --tokenizer X": PICTURES | LABELS,
    "eval --tokenizer tokenizer --prior X": {"prior", "ar"},
    "eval --tokenizer label-tokenizer --prior X": {"conditional-prior", "new-prior"},
    "eval --run X": {"dense-parts", "parts"},
    "predict --input images --tokenizer X --prior conditional-prior": LABELS,
    "predict --input images --tokenizer label-tokenizer --prior X": {"conditional-prior", "new-prior"},
    "predict --input images --run X": {"dense-parts", "parts"},
    "sample --prior X --tokenizer tokenizer": {"prior", "ar"},
    "sample --prior prior --tokenizer X": PICTURES,
    f"edit {BOX} --prior X --tokenizer tokenizer": {"prior", "ar"},
    f"edit {BOX} --prior prior --tokenizer X": PICTURES,
    "train tokenizer scenes_smoke --init-from X": PICTURES,
    "train tokenizer scenes_depth_laptop --init-from X": LABELS,
    "train prior scenes_smoke --tokens X": {"tokens"},
    "train prior scenes_smoke --tokens tokens --init-from X": {"prior", "ar"},
    "train prior scenes_depth_laptop --tokens X": {"tokens"},
}
"""Commands with a place X for a folder, and what may stand there."""

READERS = (
    "train tokenizer scenes_smoke --data.source X",
    "train tokenizer scenes_depth_laptop --data.source X",
    "tokenize --tokenizer tokenizer --data.source X",
    "reconstruct --tokenizer tokenizer --input X",
    "eval --tokenizer label-tokenizer --data.source X",
    "predict --run dense-parts --input X",
)
"""Commands that read images from X."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of each sort; the models are those that an older version wrote."""
    root = tmp_path_factory.mktemp("folders")
    for name in ("tokenizer", "label-tokenizer", "prior", "ar", "conditional-prior", "tokens"):
        shutil.copytree(OLD / name, root / name)
    shutil.copytree(OLD / "tokenizer", root / "run/best")
    for part in ("tokenizer", "tokens", "prior"):
        shutil.copytree(OLD / part, root / "parts" / part)
    shutil.copytree(OLD / "label-tokenizer", root / "dense-parts/tokenizer")
    shutil.copytree(OLD / "conditional-prior", root / "dense-parts/prior")
    configs = {
        "classifier": {"kind": "classifier"},
        "new-prior": {"kind": "prior", "example_shape": [3, 8, 8]},
        "damaged": {"kind": "tokenizer", "domain": []},
    }
    for name, config in configs.items():
        (root / name).mkdir()
        (root / name / "config.json").write_text(json.dumps(config))
    (root / "empty").mkdir()
    (root / "images/prior").mkdir(parents=True)  # a class of images may be called so
    for place in ("images/0.png", "images/prior/1.png"):
        Image.new("RGB", (8, 8)).save(root / place)
    (root / "file").write_text("x")
    return root


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with; nothing is written."""
    assert main([*words, "--out", "out"]) == 2
    seen = capsys.readouterr()
    assert seen.err.count("\n") == 1, seen.err
    assert seen.out == ""
    assert not Path("out").exists()
    return seen.err


def test_a_folder_is_what_its_files_say(folders: Path) -> None:
    assert {name: sort_of(folders / name) for name in SORTS} == SORTS


@pytest.mark.parametrize("command", VERBS)
def test_a_verb_says_what_a_wrong_folder_is_and_who_takes_it(
    command: str, folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folders)
    for name in IS.keys() - VERBS[command]:
        line = refused([name if word == "X" else word for word in command.split()], capsys)
        assert line.startswith(f"gridcode {command.split()[0]}: ")
        assert (IS[name] if name == "missing" else f"{name} {IS[name]}") in line, line
        assert DOES.get(name, "") in line, line


def test_of_several_parts_the_right_one_is_named(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folders)
    wanted = {
        "tokenize --tokenizer parts": "give --tokenizer parts/tokenizer",
        "sample --tokenizer tokenizer --prior parts": "give --prior parts/prior",
        "train prior scenes_smoke --tokens parts": "give --tokens parts/tokens",
        "sample --tokenizer tokenizer --prior dense-parts": "gridcode predict and gridcode eval take it as --run",
        "predict --input images --run parts": "--tokenizer parts/tokenizer is a tokenizer of images",
        "eval scenes_laptop --run dense-parts": "--run is for dense prediction; give --tokenizer and --prior",
        "train prior scenes_depth_laptop --tokens tokens": "holds tokens of images, and this is a recipe of label",
        "convert tokenizer": "is a tokenizer of images of gridcode's own",
        "edit --prior prior --tokenizer tokenizer --box 0 0 8 8 --input images": "--input images is no file",
    }
    for command, message in wanted.items():
        assert message in refused(command.split(), capsys), command


@pytest.mark.parametrize("command", READERS)
def test_what_gridcode_wrote_is_no_folder_of_images(
    command: str, folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folders)
    for name in ("tokenizer", "run", "prior", "conditional-prior", "tokens", "parts"):
        line = refused([name if word == "X" else word for word in command.split()], capsys)
        assert f"{name} {IS[name].partition(',')[0]}, not images; " in line, line
        assert DOES.get(name, "") in line, line


def test_images_of_any_kind_may_be_a_pattern_and_other_files_may_not(tmp_path: Path) -> None:
    (tmp_path / "0.tar").touch()
    for kind in ("image", "dense"):
        check_source(str(tmp_path / "*.tar"), kind)
        check_source("https://host/{0..1}.tar", kind)  # what is made of them says whether it reads streams
    with pytest.raises(GridcodeError, match="give the path of a data set of sounds"):
        check_source(str(tmp_path / "*.tar"), "audio")
