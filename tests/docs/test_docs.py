"""Every command and Python block of README and docs: what is cheap runs at smoke size, the rest is parsed.

The commands of the page ``WALKED`` run through the real verbs, with the settings of ``SMALL`` behind their own. Any
other is read by its verb's own parser, which knows every flag, and ends there.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from PIL import Image

from gridcode.cli.main import main
from gridcode.evaluation.protocol import Protocol, Score

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

WALKED = "README.md"
"""The page whose commands are run for real, in their order."""
LOOP = "--loop.steps 2 --loop.batch-size 4 --loop.val-every 2 --loop.val-count 4 --loop.checkpoint-every 2"
SMALL = {
    "train tokenizer": f"{LOOP} --data.size 16 --data.workers 0 --data.val-fraction 0.5 --model.widths 8 8",
    "train prior": f"{LOOP} --model.width 16 --model.depth 1 --model.heads 2 --model.mlp 32",
    "tokenize": "--data.workers 0",
    "sample": "--count 1 --steps 2",
    "eval": "--classifier-steps 2 --samples 4 --count 4 --steps 2",
    "edit": "--count 1 --steps 2",
    "reconstruct": "",
}
"""What a verb is given in addition, so that it takes no time."""


PRINTS = re.compile(r"^```sh\ngridcode ([^\n]*)\n```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A command with what it prints below it."""

PLACEHOLDERS = {"RECIPE": "cifar10_laptop", "NAME": "fsq"}
"""Words of running text that stand for another."""


class Parsed(BaseException):
    """A verb has read its command line, and goes no further."""


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(text: str) -> list[list[str]]:
    """The words of every ``gridcode`` command of shell text, loops' bodies and launchers' programs included."""
    found = []
    quoted = re.findall(r"for Q in (.*?); do", text)
    choices = [words for line in quoted for words in shlex.split(line)] or [""]
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "$Q" in words:
            place = words.index("$Q")
            found += [[*words[:place], *choice.split(), *words[place + 1 :]] for choice in choices]
        else:
            found.append(words)
    return [words[words.index("gridcode") + 1 :] for words in found if "gridcode" in words]


def inline(page: Path) -> list[list[str]]:
    """Commands in running text that are whole: ``gridcode VERB …`` with at least one option."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [shlex.split(found)[1:] for found in re.findall(r"`(gridcode [^`…]* --[^`…]*)`", text)]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command lines are read by the real parsers, and nothing is run."""
    read = tyro.cli

    def stop(*arguments: object, **settings: object) -> object:
        read(*arguments, **settings)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", stop)


def check(words: list[str]) -> None:
    """Read a command line; its flags must exist and take the values given."""
    try:
        code: object = main([PLACEHOLDERS.get(word, word) for word in words])
    except Parsed:
        return
    except SystemExit as end:
        code = end.code or 0
    assert code == 0, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_can_be_read(page: Path, parsed: None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tokenizer", "converted"):  # else they would be looked for on the hub
        (tmp_path / "runs" / name).mkdir(parents=True)
    for words in [*(words for text in blocks(page, "sh") for words in commands(text)), *inline(page)]:
        check(words)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if PRINTS.search(page.read_text("utf-8"))], ids=lambda page: page.stem
)
def test_commands_print_what_the_pages_show(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in PRINTS.findall(page.read_text(encoding="utf-8")):
        assert main(shlex.split(words)) == 0
        printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        for line in shown.splitlines():
            assert line == "…" or line in printed, line


def pictures(folder: Path, side: int = 16, count: int = 12) -> None:
    """A folder of images of five classes, as many as the demo's scenes have."""
    for number in range(count):
        place = folder / f"class{number % 5}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the page's commands were run, with what they wrote."""
    folder = tmp_path_factory.mktemp("walked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pictures(folder / "path/to/images")
        Image.fromarray(np.full((80, 100, 3), 90, np.uint8)).save("photo.png")
        for words in (words for text in blocks(ROOT / WALKED, "sh") for words in commands(text)):
            verb = " ".join(words[: 2 if words[0] == "train" else 1])
            words = [word.replace("$DATA", "path/to/images") for word in words]
            assert main([*words, *SMALL[verb].split()]) == 0, words
    return folder


def test_the_commands_of_the_readme_run_one_after_another(walked: Path) -> None:
    for name in ("tokenizer/best", "tokens/manifest.json", "prior/best", "samples", "report/report.html", "edits"):
        assert (walked / "runs" / name).exists(), name


def small(settings):
    """A recipe of two steps."""
    from dataclasses import replace

    from gridcode.prior.config import MaskGITConfig

    loop = {"steps": 2, "batch_size": 2, "val_every": 2, "val_count": 2, "checkpoint_every": 2}
    tokenizer, prior = settings.tokenizer, settings.prior
    return replace(
        settings,
        tokenizer=replace(
            tokenizer,
            data=replace(tokenizer.data, size=16, workers=0, val_fraction=0.5),
            model=replace(tokenizer.model, widths=(8, 8)),
            loop=replace(tokenizer.loop, **loop),
        ),
        prior=replace(prior, model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32), loop=replace(prior.loop, **loop)),
    )


SUBSTITUTES = {'recipe("cifar10_laptop")': 'small(recipe("cifar10_laptop"))', "size=64": "size=16"}
"""What makes the programs of the pages small."""


def names_of(page: Path) -> dict[str, object]:
    """What a page's reader has at hand before its first block."""
    items = [(Image.new("RGB", (16, 16), (number, 9, 90)), number % 2) for number in range(8)]
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return {"my_train_set": items, "my_val_set": items, "image": picture, "small": small, "__name__": page.stem}


def folders_for(page: Path, walked: Path) -> None:
    """Put the folders that a page's blocks read into the working directory."""
    runs = walked / "runs"
    wanted = "".join(blocks(page, "python"))
    for name, place in (("demo", runs), ("runs", runs), ("path", walked / "path")):
        if f'"{name}/' in wanted:
            Path(name).symlink_to(place)
    if "vqvae/" in wanted:
        diffusers = pytest.importorskip("diffusers")
        torch.manual_seed(0)
        kinds = {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
        shape = {"block_out_channels": (32,), "layers_per_block": 1, "latent_channels": 8, "num_vq_embeddings": 16}
        diffusers.VQModel(**kinds, **shape).save_pretrained("vqvae")
    if "runs/depth" in wanted:
        Path("runs").unlink()
        assert main(["dense", "train", "--task", "depth", "--out", "runs/depth", *DENSE.split()]) == 0


NETWORK = "width 16|depth 1|heads 2|mlp 32"
DENSE = " ".join(
    [
        "--data.height 32 --data.width 32 --data.workers 0 --data.train-count 8 --data.val-count 4 --data.depth.bins 8",
        "--model.width 16 --model.heads 2 --model.mlp 32 --model.encoder-depth 1 --model.decoder-depth 1",
        "--model.codes 2 2",
        LOOP,
        LOOP.replace("--", "--prior."),
        *(f"--prior.model.{setting} --prior.model.encoder.{setting}" for setting in NETWORK.split("|")),
    ]
)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_every_python_block_runs(page: Path, walked: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders_for(page, walked)
    names = names_of(page)
    for text in blocks(page, "python"):
        for long, short in SUBSTITUTES.items():
            text = text.replace(long, short)
        exec(compile(text, str(page), "exec"), names)


def test_the_guides_table_of_reports_has_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [page] = [page for page in PAGES if page.stem == "evaluation"]
    [text] = [text for text in blocks(page, "python") if "def compare" in text]
    names = names_of(page)
    exec(compile(text, str(page), "exec"), names)
    models: dict[str, list[Path]] = {"FSQ": [], "VQ": []}
    for place, (model, reports) in enumerate(models.items()):
        for seed in range(3):
            protocols = [
                Protocol("fd-lite0", measured, "here", "val", 9, "center 8", *"abcde", 9, (seed,))  # type: ignore[arg-type]
                for measured in ("reconstructions", "samples")
            ]
            records = [Score("FD (lite0)", 10 * place + seed, protocol).record() for protocol in protocols]
            reports.append(tmp_path / f"{model}-{seed}.json")
            reports[-1].write_text(json.dumps({"scores": records}))
    names["compare"](models)  # type: ignore[operator]
    table = capsys.readouterr().out
    assert "| FSQ | 1 ± 2.484 | 1 ± 2.484 |" in table
    assert "another protocol" not in table
