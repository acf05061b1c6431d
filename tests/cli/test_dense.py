"""Dense prediction from the command line: every mistake is one line, a killed run goes on, files go in and come out."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridcode.cli.main import main

TRAIN = ("dense", "train")
TINY = (
    "--data.height 32 --data.width 32 --data.workers 0 --data.train-count 24 --data.val-count 6 --depth.bins 8 "
    "--model.width 16 --model.heads 2 --model.mlp 32 --model.encoder-depth 1 --model.decoder-depth 1 "
    "--model.codes 2 2 --loop.steps 6 --loop.batch-size 8 --loop.log-every 2 --loop.val-every 3 --loop.val-count 6 "
    "--loop.checkpoint-every 2 --prior.model.width 16 --prior.model.depth 1 --prior.model.heads 2 --prior.model.mlp 32 "
    "--prior.model.encoder.width 16 --prior.model.encoder.depth 1 --prior.model.encoder.heads 2 "
    "--prior.model.encoder.mlp 32 --prior.loop.steps 6 --prior.loop.batch-size 8 --prior.loop.log-every 2 "
    "--prior.loop.val-every 3 --prior.loop.val-count 6 --prior.loop.checkpoint-every 2 --loop.accelerator cpu "
    "--prior.loop.accelerator cpu"
).replace("--depth.bins", "--data.depth.bins")

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown part": (("dense", "paint"), "dense takes one of train, predict, eval, got 'paint'"),
    "unknown recipe": (
        (*TRAIN, "nope", "--out", "OUT"),
        "there is no recipe 'nope'; choose one of scenes_demo",
    ),
    "unknown task": ((*TRAIN, "--task", "normals", "--out", "OUT"), "'depth', 'panoptic', 'colour'"),
    "task of another recipe": (
        (*TRAIN, "scenes_depth_laptop", "--task", "colour", "--out", "OUT"),
        "is for the task depth, and the task is to be colour",
    ),
    "no folder": (TRAIN, "give the run a folder with --out DIR"),
    "unknown quantizer": ((*TRAIN, "--out", "OUT", "--quantizer", "rvq"), "invalid choice 'rvq'"),
    "size that no patch fits": (
        (*TRAIN, "--out", "OUT", "--data.height", "30"),
        "multiples of its patch, 8; got 30x64",
    ),
    "resume of nothing": ((*TRAIN, "--out", "OUT", "--resume"), "there is no run to resume in"),
    "resume and force": ((*TRAIN, "--out", "OUT", "--resume", "--force"), "give one of them"),
    "missing data": ((*TRAIN, "--out", "OUT", "--data.source", "MISSING"), "no such file or folder"),
    "tokens before their tokenizer": (
        (*TRAIN, "--out", "OUT", "--stage", "tokens", *TINY.split()),
        "no label tokenizer yet; train it first, with --stage tokenizer",
    ),
    "prior before its tokens": (
        (*TRAIN, "--out", "OUT", "--stage", "prior", *TINY.split()),
        "no tokens yet; write them first, with --stage tokens",
    ),
    "weights that are not there": (
        (*TRAIN, "--out", "OUT", "--prior.vit-weights", "MISSING", *TINY.split()),
        "--prior.vit-weights: there is no file",
    ),
    "size that Stage II's patch does not fit": (
        (*TRAIN, "--out", "OUT", "--data.height", "36", "--data.width", "36", "--model.patch", "4"),
        "or --prior.model.encoder.patch",
    ),
    "no models": (("dense", "eval", "--out", "OUT"), "give the models with --tokenizer and --prior, or --run RUN"),
    "folder of no run": (("dense", "eval", "--run", "MISSING", "--out", "OUT"), "missing; check the path"),
    "missing images": (("dense", "predict", "--run", "X", "--input", "MISSING", "--out", "OUT"), "check --input"),
    "unknown study": (("study", "gan"), "got 'gan'"),
    "study of nothing": (("study", "uvim", "--out", "OUT", "--seeds", "0"), "a study needs at least 1 seed, got 0"),
    "no workers": (("study", "uvim", "--out", "OUT", "--workers", "0"), "workers must be at least 1, got 0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_one_line_says_what_is_wrong(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = WRONG[what]
    places = {"OUT": str(tmp_path / "out"), "MISSING": str(tmp_path / "missing")}
    assert main([places.get(word, word) for word in words]) == 2
    seen = capsys.readouterr()
    assert seen.err.startswith(f"gridcode {words[0]}: ")
    assert message in seen.err
    assert seen.err.count("\n") == 1


def pictures(folder: Path, count: int = 3, size: tuple[int, int] = (40, 40)) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def coco(root: Path, category: int = 7, *, entry: bool = True) -> None:
    """Two images in COCO's layout, each one segment of class 7."""
    pictures(root / "val2017", 2)
    (root / "panoptic_val2017").mkdir()
    (root / "annotations").mkdir()
    ids = np.zeros((40, 40, 3), np.uint8)
    ids[:20, :, 0] = 5
    names = ["0.png", "1.png"]
    for name in names:
        Image.fromarray(ids).save(root / "panoptic_val2017" / name)
    segment = {"id": 5, "category_id": category, "iscrowd": 0, "area": 800, "bbox": [0, 0, 40, 20]}
    content = {
        "images": [{"id": n, "file_name": name, "height": 40, "width": 40} for n, name in enumerate(names)],
        "annotations": [
            {"image_id": n, "file_name": name, "segments_info": [segment]} for n, name in enumerate(names) if entry or n
        ],
        "categories": [{"id": 7, "name": "cup", "isthing": 1, "supercategory": ""}],
    }
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))


def no_depth(root: Path) -> None:
    pictures(root / "image")


def other_size(root: Path) -> None:
    pictures(root / "image")
    (root / "depth").mkdir()
    for number in range(3):
        Image.fromarray(np.full((30, 40), 2000, np.uint16)).save(root / "depth" / f"{number}.png")


DATA = {
    "folder layout": (
        "depth",
        no_depth,
        "depth: no such folder; a folder of labelled images holds image/ and depth/",
    ),
    "sizes": (
        "depth",
        other_size,
        "has 40x40; image and map must be of one size",
    ),
    "JSON entry": (
        "panoptic",
        lambda root: coco(root, entry=False),
        "(val2017): 1 image cannot be split; add images",
    ),
    "category": (
        "panoptic",
        lambda root: coco(root, 8),
        "category 8 of 0.png is not in 'categories'; add it or correct",
    ),
}


@pytest.mark.parametrize("what", DATA)
def test_one_line_says_what_is_wrong_with_the_data(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, make, message = DATA[what]
    make(tmp_path / "data")
    words = [*TRAIN, "--task", task, "--data.source", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*words, *TINY.split(), "--data.val-fraction", "0.4"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("gridcode dense: ")
    assert message in lines[-1]
    assert not any(line.startswith("Traceback") for line in lines)


KILLED = """
import signal
from gridcode.training import run

end = run.OpenRun.end_step

def killed(self, step, *, save):
    end(self, step, save=save)
    if self.out.name == {stage!r} and step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

run.OpenRun.end_step = killed
"""


COMMAND = [*TRAIN, "--task", "depth", *TINY.split(), "--quantizer", "vq", "--model.quantizer.preset", "uvim"]
COMMAND += ["--model.quantizer.size", "12", "--model.quantizer.channels", "8", "--out"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("dense") / "straight"
    assert main([*COMMAND, str(folder)]) == 0
    return folder


def test_a_run_killed_in_both_stages_ends_with_the_same_bytes(
    straight: Path, tmp_path: Path, start_gridcode: Callable[[list[str], Path, str], BaseProcess]
) -> None:
    run = tmp_path / "run"
    for stage in ("tokenizer", "prior"):
        again = [*COMMAND, str(run), *(["--resume"] if run.exists() else [])]
        killed = start_gridcode(again, tmp_path / "errors", KILLED.format(stage=stage))
        killed.join(timeout=120)
        assert killed.exitcode == -signal.SIGKILL, (tmp_path / "errors").read_text()
    assert main([*COMMAND, str(run), "--resume"]) == 0
    for file in ("tokenizer/last", "tokenizer/best", "prior/last", "prior/best"):
        weights = f"{file}/model.safetensors"
        assert (run / weights).read_bytes() == (straight / weights).read_bytes(), file


def test_training_tells_what_was_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other_size(tmp_path / "data")
    words = [*TRAIN, "--task", "depth", "--data.source", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*words, *TINY.split(), "--data.val-fraction", "0.4"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["train", "val", "depth", "orientation"]
    assert lines[0] == f"train: 2 images of {tmp_path}/data (train)"


def test_predict_refuses_a_whole_coco_folder(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco(tmp_path / "coco")
    words = ["dense", "predict", "--run", str(straight), "--out", str(tmp_path / "out"), "--input"]
    assert main([*words, str(tmp_path / "coco")]) == 2
    assert "give the folder of a split's images, such as val2017/, as --input" in capsys.readouterr().err


def test_predict_takes_a_folder_or_an_image(straight: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "in", size=(30, 44))
    odd = tmp_path / "in" / os.fsdecode(b"caf\xe9.png")
    shutil.copy(tmp_path / "in/1.png", odd)
    shutil.copy(odd, odd.with_name("d" * 251 + ".png"))
    words = ["dense", "predict", "--run", str(straight), "--input"]
    assert main([*words, str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--depth-format", "npy"]) == 0
    assert np.load(tmp_path / "out/depth/2.npy").shape == (30, 44)
    assert main([*words, str(tmp_path / "in/1.png"), "--out", str(tmp_path / "one")]) == 0
    written = sorted(str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.png"))
    assert written == ["depth/1.png", "overlay/1.png"]
    assert main([*words, str(odd), "--out", str(tmp_path / "odd")]) == 0
    assert (tmp_path / "odd/depth/caf-xe9.png").is_file()


def test_patches_that_fit_the_size_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    size = "--data.height 48 --data.width 48 --model.patch 12 --prior.model.encoder.patch 12 --dry-run"
    assert main([*TRAIN, "--task", "depth", *size.split()]) == 0
    assert "parameters" in capsys.readouterr().out


def test_info_describes_the_parts(straight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(straight)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["tokenizer/", "tokens/", "prior/"]
    assert any("token store: 24 train, 6 val" in line for line in lines)


def test_tokens_have_the_labels_that_the_tokenizer_learned(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(straight / "tokenizer", tmp_path / "tokenizer")
    assert main([*TRAIN, "--out", str(tmp_path), "--stage", "tokens", *TINY.split(), "--data.depth.far", "40"]) == 2
    assert "was trained with data.depth=" in capsys.readouterr().err
    assert main([*TRAIN, "--out", str(tmp_path), "--stage", "tokens", *TINY.split()]) == 0
    assert "next: the same command with --stage prior" in capsys.readouterr().out


def test_eval_prints_every_row(straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dense", "eval", "--run", str(straight), "--out", str(tmp_path / "report")]) == 0
    assert "| both stages |" in capsys.readouterr().out
    rows = json.loads((tmp_path / "report/report.json").read_text())["rows"]
    stage_one = ["Stage I (oracle)", "another image's codes", "no codes"]
    assert list(rows) == [*stage_one, "both stages", "one draw", "mean of draws", "mean depth per pixel"]
    assert main(["dense", "eval", "--run", str(straight), "--task", "colour", "--out", str(tmp_path / "x")]) == 2
    assert "is for the task depth, not colour; leave out --task" in capsys.readouterr().err


STAGE_ONE = TINY.split("--prior.")[0].split()
STAGE_TWO = " ".join(
    f"--{part.removeprefix('prior.')}" for part in TINY.split("--")[1:] if part.startswith("prior.")
).split()


def test_the_verbs_of_every_kind_of_data_train_what_dense_train_does(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer, tokens, prior = (tmp_path / name for name in ("tokenizer", "tokens", "prior"))
    book = COMMAND[COMMAND.index("--quantizer") : -1]
    cpu = ["--loop.accelerator", "cpu"]
    words = ["train", "tokenizer", "scenes_depth_laptop", *STAGE_ONE, *cpu, *book, "--out", str(tokenizer)]
    assert main(words) == 0
    assert f"next: gridcode tokenize --tokenizer {tokenizer}" in capsys.readouterr().out
    assert main(["tokenize", "--tokenizer", str(tokenizer), "--out", str(tokens)]) == 0
    assert "24 train, 6 val in" in capsys.readouterr().out
    words = ["train", "prior", "scenes_depth_laptop", "--tokens", str(tokens), *STAGE_TWO, "--out", str(prior)]
    assert main(words) == 0
    assert f"next: gridcode predict --prior {prior} --tokenizer TOKENIZER" in capsys.readouterr().out
    for file in ("tokenizer/last", "tokenizer/best", "prior/last", "prior/best"):
        weights = f"{file}/model.safetensors"
        assert (tmp_path / weights).read_bytes() == (straight / weights).read_bytes(), file
    pictures(tmp_path / "in", 1)
    models = ["--tokenizer", str(tokenizer), "--prior", str(prior)]
    assert main(["predict", *models, "--input", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/depth/0.png").is_file()
    assert main(["eval", "scenes_depth_laptop", *models, "--out", str(tmp_path / "report"), "--count", "4"]) == 0
    assert "| both stages |" in capsys.readouterr().out
    command = json.loads((tmp_path / "report/report.json").read_text())["command"]
    assert command.startswith("gridcode eval scenes_depth_laptop --tokenizer ")


def test_a_dry_run_of_each_stage_counts_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("tokenizer", "prior"):
        assert main(["train", stage, "scenes_depth_laptop", "--dry-run"]) == 0
        assert "  all " in capsys.readouterr().out


def test_a_tokenizer_of_examples_predicts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "in", 1)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"kind": "tokenizer"}')
    words = ["predict", "--tokenizer", str(tmp_path / "model"), "--prior", "x", "--input", str(tmp_path / "in")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert (
        "is a tokenizer of images, not a tokenizer of label maps; gridcode reconstruct, tokenize, eval"
        in capsys.readouterr().err
    )
