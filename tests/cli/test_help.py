"""Help and mistakes come at once: nobody waits for torch to read them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gridcode.cli.main import VERBS, main
from gridcode.quantize.config import QUANTIZERS
from gridcode.recipes import RECIPES

PROGRAM = """
import sys
from gridcode.cli.main import main

for words in (["--help"], ["--version"], ["train", "--help"], ["paint"], ["train", "tokenizer", "nope"],
              ["train", "tokenizer", "scenes_smoke", "--nope"], ["sample", "--nope"], ["eval"], ["demo", "--nope"]):
    main(words)
for words in ("tokenize --tokenizer /none --out x", "sample --prior /none --tokenizer /none --out x",
              "eval --tokenizer /none --out x", "reconstruct --tokenizer /none --out x",
              "edit --prior /none --tokenizer /none --input x --box 0 0 8 8 --out x", "info /none",
              "dense predict --run /none --input /none --out x", "dense eval --run /none --out x",
              "train tokenizer scenes_smoke --data.source /none --out x",
              "train prior scenes_smoke --tokens /none --out x"):
    assert main(words.split()) == 2, words
PARTS = {"train": ["tokenizer scenes_laptop", "tokenizer scenes_laptop --architecture vit", "prior scenes_demo",
                   "prior scenes_smoke"], "dense": ["train", "predict", "eval"], "study": ["uvim"],
         "eval": ["reference"]}
for verb in sys.argv[1:]:
    for part in ["", *PARTS.get(verb, [])]:
        try:
            main([verb, *part.split(), "--help"])
        except SystemExit as end:
            assert end.code == 0
HEAVY = {"torch", "lightning_fabric", "torchmetrics", "pyarrow", "numpy", "PIL", "rich", "asyncio", "typeguard"}
print("LOADED", *(HEAVY & set(sys.modules)))
"""


def test_help_and_mistakes_do_not_wait_for_torch() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM, *VERBS], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "LOADED"
    assert found.stdout.count("usage: gridcode") >= len(VERBS)


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    seen = capsys.readouterr()
    assert all(f"  {verb} " in seen.out for verb in VERBS)
    assert seen.err == ""


def test_train_help_lists_every_recipe_and_quantizer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 0
    assert set(RECIPES) | set(QUANTIZERS) <= set(capsys.readouterr().out.split())


def test_a_recipes_help_shows_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "tokenizer", "scenes_smoke", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for setting in (
        "--loop.steps",
        "--data.crop.train",
        "--model.quantizer.levels",
        "--optim.lr",
        "--init-from",
        "--dry-run",
    ):
        assert setting in text
    assert "default: 8 6 5" in text
    assert "quantizer.name" not in text


SETTINGS = {
    "fsq": ("levels", "form", "eps"),
    "residual": ("levels", "stages", "stage-dropout"),
    "grouped": ("levels", "groups", "form", "eps"),
    "lfq": ("bits", "entropy", "diversity", "commitment", "temperature", "group"),
    "bsq": ("bits", "entropy", "diversity", "commitment", "temperature", "group"),
    "vq": ("preset", "size", "channels"),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_quantizers_help_shows_its_settings_and_no_others(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "tokenizer", "scenes_smoke", "--quantizer", name, "--help"])
    assert end.value.code == 0
    shown = re.findall(r"--model\.quantizer\.([a-z-]+) ", capsys.readouterr().out)
    assert shown == [*SETTINGS[name]]


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gridcode {version('gridcode')}\n"
