"""Stage I of dense prediction at the smallest size: every task is learned, and a killed run ends as one left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from gridcode.domains.dense import loss as module
from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.data.loader import dense_eval_batches
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.loss import DepthLoss
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.log import read_log
from gridcode.training.run import OpenRun, RunOptions
from gridcode.training.state import checkpoints

TinyRun = Callable[[Task], LabelTokenizerRun]
WEIGHTS = "last/model.safetensors"


def quiet(out: Path, **settings: bool) -> RunOptions:
    return RunOptions(out, show=False, **settings)


def longer(run: LabelTokenizerRun, **loop: object) -> LabelTokenizerRun:
    return replace(run, loop=replace(run.loop, **loop))  # type: ignore[arg-type]


def losses(out: Path) -> list[float]:
    return [line["train/loss"] for line in read_log(out) if "train/loss" in line]


@pytest.mark.parametrize(("task", "figure"), [("depth", "rmse"), ("panoptic", "pq"), ("colour", "psnr")])
def test_every_task_is_learned_on_scenes(task: Task, figure: str, tiny_run: TinyRun, tmp_path: Path) -> None:
    run = longer(tiny_run(task), steps=40, batch_size=16, log_every=5, val_every=20, checkpoint_every=40)
    tokenizer = train_tokenizer(run, quiet(tmp_path))
    seen = losses(tmp_path)
    assert seen[-1] < 0.8 * seen[0]
    assert dense_domain(tokenizer).data == run.data
    assert tokenizer.info["dataset"] == "scenes"
    lines = [line for line in read_log(tmp_path) if f"val/{figure}" in line]
    assert [line["step"] for line in lines] == [20, 40]
    batches = dense_eval_batches(open_dense(run.data, "val"), run.data, batch_size=8)
    best = max if figure != "rmse" else min
    assert tokenizer.domain.measure(tokenizer, batches).scores[figure] == pytest.approx(
        best(line[f"val/{figure}"] for line in lines), rel=1e-5
    )
    with Image.open(tmp_path / "images" / "step-00000040.png") as strip:
        assert strip.size == (8 * 24, 3 * 16)


def test_codes_hold_what_the_image_does_not_tell(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = longer(tiny_run("colour"), steps=80, batch_size=16, log_every=80, val_every=80, checkpoint_every=80)
    run = replace(run, model=replace(run.model, context=False))
    tokenizer = train_tokenizer(run, quiet(tmp_path))
    batch = next(dense_eval_batches(open_dense(run.data, "val"), run.data, batch_size=8))
    indices = tokenizer.encode(batch.labels)
    assert len(indices.unique()) > 3

    def error(codes: torch.Tensor) -> float:
        return float((tokenizer.decode(codes).double() - batch.planes.double()).square().mean())

    assert error(indices) < 0.7 * error(indices.roll(1, 0))


def test_the_same_run_gives_the_same_bytes(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tiny_run("depth")
    for name, one in (("a", run), ("b", run), ("c", longer(run, seed=1)), ("d", replace(run, code_dropout=False))):
        train_tokenizer(one, quiet(tmp_path / name))
    a, b, c, d = ((tmp_path / name / WEIGHTS).read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_parts_and_recomputation_change_no_loss(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tiny_run("panoptic")
    for name, loop in (("plain", {}), ("parts", {"accumulate": 3}), ("again", {"recompute": True})):
        train_tokenizer(longer(run, log_every=1, **loop), quiet(tmp_path / name))  # type: ignore[arg-type]
    plain = losses(tmp_path / "plain")
    assert losses(tmp_path / "parts") == pytest.approx(plain, abs=1e-5)
    assert losses(tmp_path / "again") == pytest.approx(plain, abs=1e-6)


def test_bfloat16_trains_too_and_keeps_float32_weights(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = longer(tiny_run("panoptic"), precision="bf16", steps=2, val_every=2)
    tokenizer = train_tokenizer(run, quiet(tmp_path))
    assert {parameter.dtype for parameter in tokenizer.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    class Breaking:
        def __call__(self, *pair: object) -> dict[str, torch.Tensor]:
            calls.append(1)
            terms = DepthLoss(masked=0)(*pair)  # type: ignore[arg-type]
            return {"depth": terms["depth"] * float("nan")} if len(calls) == 4 else terms

    run = tiny_run("depth")
    monkeypatch.setattr(module, "make_label_loss", lambda *_: Breaking())
    with pytest.raises(GridcodeError, match=r"not finite at step 3; the checkpoint .*step-00000002 is kept"):
        train_tokenizer(run, quiet(tmp_path / "run"))
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["step-00000002"]
    monkeypatch.undo()
    train_tokenizer(run, quiet(tmp_path / "run", resume=True))
    train_tokenizer(run, quiet(tmp_path / "straight"))
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == (tmp_path / "straight" / WEIGHTS).read_bytes()


def test_a_book_that_collapses_is_warned_of(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tiny_run("depth")
    run = replace(run, model=replace(run.model, quantizer=VQConfig("plain", size=512, channels=4)))
    train_tokenizer(run, quiet(tmp_path))
    assert "usage low" in [line.get("alarm") for line in read_log(tmp_path)]


def test_given_sources_are_learned_and_recorded(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tiny_run("panoptic")
    few = DenseDomain.part(open_dense(run.data, "train"), 9)
    assert len(few) == 9
    assert len({few.key(place) for place in range(9)}) == 9
    tokenizer = train_tokenizer(run, quiet(tmp_path), sources=Sources(few, few))
    assert dense_domain(tokenizer).data == run.data
    assert tokenizer.info["data"]["source"] == few.name
    assert dense_domain(tokenizer).categories == few.categories


def test_a_run_that_died_and_is_resumed_ends_with_the_same_bytes(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process; the command line's test of dense prediction kills real ones."""
    run = longer(tiny_run("depth"), steps=20, log_every=1, val_every=10, checkpoint_every=5)
    # The quantizer with the most to remember: a codebook, counts and sums, and random numbers of its own.
    run = replace(run, model=replace(run.model, quantizer=VQConfig("uvim", size=12, channels=4)))
    out, end_step = tmp_path / "run", OpenRun.end_step

    def die(self: OpenRun, step: int, *, save: Callable[[Path], None]) -> None:
        end_step(self, step, save=save)
        if step == 7:  # two steps after the fifth's checkpoint are lost and taken again
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OpenRun, "end_step", die)
        with pytest.raises(KeyboardInterrupt):
            train_tokenizer(run, quiet(out))
    assert [path.name for path in checkpoints(out)] == ["step-00000005"]
    train_tokenizer(run, quiet(out, resume=True))
    train_tokenizer(run, quiet(tmp_path / "straight"))
    state = "state/step-00000020"
    for file in (WEIGHTS, "best/model.safetensors", f"{state}/state.safetensors", f"{state}/state.json", "done.json"):
        assert (out / file).read_bytes() == (tmp_path / "straight" / file).read_bytes(), file
    assert Tokenizer.from_pretrained(out).config == run.model
