"""A run's folder is never mixed up with another's; a run is done, stopped or diverged."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from gridcode.domains.image.config import TokenizerRun, ViTConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import LFQConfig
from gridcode.tokenizer.alarms import AlarmConfig
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.fabric import make_fabric, resolve_precision
from gridcode.training.log import read_log
from gridcode.training.optim import learning_rate, make_ema, make_optimizer
from gridcode.training.resume import defaults_of, describe
from gridcode.training.run import OpenRun, RunOptions, open_run, prepare_folder, same_examples
from gridcode.training.signals import Stopped
from gridcode.training.state import Trainee, checkpoints
from gridcode.training.step import tell_schedule

LOOP = LoopConfig(
    steps=6, log_every=2, val_every=3, checkpoint_every=2, batch_size=2, accelerator="cpu", precision="fp32"
)


@dataclass(frozen=True)
class Part:
    workers: int = 2
    sizes: tuple[int, ...] = (1, 2)
    source: str = "photos"


@dataclass(frozen=True)
class Config:
    data: Part = field(default_factory=Part)
    loop: LoopConfig = LOOP
    alarms: AlarmConfig = field(default_factory=AlarmConfig)


class TestFolder:
    def test_settings_are_written_as_json(self, tmp_path: Path) -> None:
        prepare_folder(RunOptions(tmp_path / "a" / "run"), Config(), {"tokens": {"rows": 3}})
        written = json.loads((tmp_path / "a" / "run" / "run.json").read_text())
        assert written["data"] == {"workers": 2, "sizes": [1, 2], "source": "photos"}
        assert written["loop"]["steps"] == 6
        assert written["tokens"] == {"rows": 3}

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("mine")
        for options in (RunOptions(tmp_path / "run"), RunOptions(tmp_path / "run", force=True)):
            with pytest.raises(GridcodeError, match="is a file; give a folder"):
                prepare_folder(options, Config())
        assert (tmp_path / "run").read_text() == "mine"

    def test_an_earlier_run_needs_a_flag(self, tmp_path: Path) -> None:
        prepare_folder(RunOptions(tmp_path), Config())
        (tmp_path / "log.jsonl").write_text("{}\n")
        with pytest.raises(GridcodeError, match=r"is not empty; set force=True .* or resume=True"):
            prepare_folder(RunOptions(tmp_path), Config())
        assert (tmp_path / "log.jsonl").exists()

    def test_force_replaces_a_run_and_spares_what_is_not_of_it(self, tmp_path: Path) -> None:
        prepare_folder(RunOptions(tmp_path), Config())
        for name in ("state/step-00000001", "best", "last", "tensorboard", "mine"):
            (tmp_path / name).mkdir(parents=True)
        for name in ("log.jsonl", "done.json"):
            (tmp_path / name).write_text("{}")
        prepare_folder(RunOptions(tmp_path, force=True), Config(loop=replace(LOOP, seed=1)))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "mine", "run.json"]
        assert json.loads((tmp_path / "run.json").read_text())["loop"]["seed"] == 1

    def test_force_does_not_touch_foreign_files(self, tmp_path: Path) -> None:
        (tmp_path / "best").mkdir()
        (tmp_path / "best" / "thesis.tex").write_text("mine")
        with pytest.raises(GridcodeError, match="not a gridcode run, and force=True will not delete them"):
            prepare_folder(RunOptions(tmp_path, force=True), Config())
        assert (tmp_path / "best" / "thesis.tex").read_text() == "mine"

    def test_a_run_that_never_began_is_in_nobodys_way(self, tmp_path: Path) -> None:
        prepare_folder(RunOptions(tmp_path), Config(data=Part(sizes=(9,))))
        prepare_folder(RunOptions(tmp_path), Config())
        assert json.loads((tmp_path / "run.json").read_text())["data"]["sizes"] == [1, 2]

    def test_resume_takes_the_same_settings(self, tmp_path: Path) -> None:
        prepare_folder(RunOptions(tmp_path), Config(), {"tokens": {"rows": 3}})
        before = (tmp_path / "run.json").read_text()
        prepare_folder(RunOptions(tmp_path, resume=True), Config(), {"tokens": {"rows": 3}})
        assert (tmp_path / "run.json").read_text() == before

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (Config(loop=replace(LOOP, seed=7)), "trained with loop.seed=0, now 7"),
            (Config(data=Part(sizes=(1, 3))), r"trained with data.sizes=\[1, 2\], now \[1, 3\]"),
        ],
    )
    def test_resume_names_the_setting_that_differs(self, tmp_path: Path, changed: Config, message: str) -> None:
        prepare_folder(RunOptions(tmp_path), Config())
        with pytest.raises(GridcodeError, match=message) as caught:
            prepare_folder(RunOptions(tmp_path, resume=True), changed)
        assert "\n" not in str(caught.value)

    def test_resume_names_other_tokens(self, tmp_path: Path) -> None:
        prepare_folder(RunOptions(tmp_path), Config(), {"tokens": {"tokenizer": "aa"}})
        with pytest.raises(GridcodeError, match=r"trained with tokens.tokenizer='aa', now 'bb'"):
            prepare_folder(RunOptions(tmp_path, resume=True), Config(), {"tokens": {"tokenizer": "bb"}})

    @pytest.mark.parametrize(
        "other",
        [
            Config(data=Part(workers=0)),
            Config(data=Part(source="/moved/photos")),
            Config(alarms=AlarmConfig(off=True, every=7)),
            *(
                Config(loop=replace(LOOP, **change))
                for change in (
                    {"steps": 60},
                    {"log_every": 5},
                    {"val_every": 4},
                    {"val_count": 7},
                    {"checkpoint_every": 1},
                    {"accelerator": "auto"},
                    {"recompute": True},
                )
            ),
        ],
    )
    def test_resume_may_change_what_no_weight_depends_on(self, tmp_path: Path, other: Config) -> None:
        prepare_folder(RunOptions(tmp_path), Config())
        same_examples(RunOptions(tmp_path), describe(1, ["a"], ["b"]))
        prepare_folder(RunOptions(tmp_path, resume=True), other)
        written = json.loads((tmp_path / "run.json").read_text())
        assert written.pop("examples")["count"] == 1
        assert written == json.loads(json.dumps(asdict(other))), "the file tells the settings that hold now"

    @pytest.mark.parametrize(
        "change",
        [
            {"batch_size": 4},
            {"seed": 7},
            {"precision": "bf16"},
            {"accumulate": 2},
        ],
    )
    def test_resume_names_each_setting_that_changes_learning(self, tmp_path: Path, change: dict[str, Any]) -> None:
        prepare_folder(RunOptions(tmp_path), Config())
        ((name, value),) = change.items()
        message = f"trained with loop.{name}={getattr(LOOP, name)!r}, now {value!r}"
        with pytest.raises(GridcodeError, match=message):
            prepare_folder(RunOptions(tmp_path, resume=True), Config(loop=replace(LOOP, **change)))
        assert json.loads((tmp_path / "run.json").read_text())["loop"][name] == getattr(LOOP, name)

    @pytest.mark.parametrize("missing", ["seed", "precision", "accumulate", "the loop", "the sizes", "the alarms"])
    def test_a_setting_that_is_newer_than_the_run_had_its_default(self, tmp_path: Path, missing: str) -> None:
        prepare_folder(RunOptions(tmp_path), Config())
        written = json.loads((tmp_path / "run.json").read_text())
        place = {"the loop": "loop", "the alarms": "alarms"}
        if missing in place:
            del written[place[missing]]
        else:
            del written["data" if missing == "the sizes" else "loop"][missing.removeprefix("the ")]
        (tmp_path / "run.json").write_text(json.dumps(written))
        again = RunOptions(tmp_path, resume=True)
        for other, seen in (
            (Config(loop=replace(LOOP, seed=7)), "loop.seed=0, now 7"),
            (Config(loop=replace(LOOP, precision="fp16")), "loop.precision='fp32', now 'fp16'"),
            (Config(loop=replace(LOOP, accumulate=2)), "loop.accumulate=1, now 2"),
            (Config(data=Part(sizes=(3,))), r"data.sizes=\[1, 2\], now \[3\]"),
        ):
            with pytest.raises(GridcodeError, match=f"trained with {seen}: resume"):
                prepare_folder(again, other)
        prepare_folder(again, Config())
        assert json.loads((tmp_path / "run.json").read_text()) == json.loads(json.dumps(asdict(Config())))

    def test_the_defaults_are_those_of_the_kind_that_was_chosen(self) -> None:
        run = TokenizerRun(model=ViTConfig(quantizer=LFQConfig(bits=9, group=3)))
        found = defaults_of(run)
        assert found["model"]["quantizer"] == asdict(LFQConfig()) | {"bits": LFQConfig().bits}
        assert found["model"]["patch"] == ViTConfig().patch
        assert found["loop"] == asdict(TokenizerRun().loop)

    @pytest.mark.parametrize(
        ("now", "message"),
        [
            (describe(2, ["x"], ["a", "b"]), r"count=3, now 2"),
            (describe(3, ["y"], ["a", "b", "c"]), r"classes=\['x'\], now \['y'\]"),
            (describe(3, ["x"], ["a", "b", "d"]), r"its examples have other names"),
        ],
    )
    def test_resume_refuses_other_examples_wherever_they_lie(
        self, tmp_path: Path, now: dict[str, Any], message: str
    ) -> None:
        then = describe(3, ["x"], ["a", "b", "c"])
        prepare_folder(RunOptions(tmp_path), Config())
        same_examples(RunOptions(tmp_path), then)
        again = RunOptions(tmp_path, resume=True)
        prepare_folder(again, Config())
        same_examples(again, then)
        with pytest.raises(GridcodeError, match=f"trained on other examples .*{message}"):
            same_examples(again, now)

    def test_resume_needs_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(GridcodeError, match=r"the run to resume: there is no file .*run\.json"):
            prepare_folder(RunOptions(tmp_path / "none", resume=True), Config())

    def test_resume_and_force_exclude_each_other(self, tmp_path: Path) -> None:
        with pytest.raises(GridcodeError, match="resume=True continues a run and force=True replaces it"):
            prepare_folder(RunOptions(tmp_path, resume=True, force=True), Config())


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return make_fabric(LOOP)


def trainee() -> Trainee:
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    return Trainee(model, make_ema(model, OptimConfig()), make_optimizer(model, OptimConfig()))


def save(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model").write_text("saved")


def drive(
    out: Path,
    fabric: Fabric,
    *,
    resume: bool = False,
    losses: dict[int, float] | None = None,
    norms: dict[int, float] | None = None,
    scores: dict[int, float] | None = None,
    stop_after: int | None = None,
    loop: LoopConfig = LOOP,
) -> list[int]:
    """A loop of the module's shape; losses, gradient norms and scores are given by step."""
    options = RunOptions(out, resume=resume, show=False)
    prepare_folder(options, Config(loop=loop))
    taken = []
    with open_run(options, loop, trainee(), fabric=fabric, title="toy") as run:
        for step in run.steps():
            taken.append(step)
            if step == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)
            loss, norm = (losses or {}).get(step, float(step)), (norms or {}).get(step, 1.0)
            run.log(step, {"loss": torch.tensor(loss), "gradient_norm": norm})
            if run.logs_at(step):
                run.write_line(step, {"usage": 0.5})
            if run.validates_at(step):
                score = (scores or {}).get(step, float(step))
                run.validated(step, {"psnr": score}, score=score, save=save)
            run.end_step(step, save=save)
    return taken


class TestLoop:
    def test_a_run_logs_means_validates_and_ends_done(self, tmp_path: Path, fabric: Fabric) -> None:
        assert drive(tmp_path, fabric) == [0, 1, 2, 3, 4, 5]
        log = read_log(tmp_path)
        assert [line["train/loss"] for line in log if "train/loss" in line] == [0.5, 2.5, 4.5]
        assert {line["train/usage"] for line in log if "train/usage" in line} == {0.5}
        assert [(line["step"], line["val/psnr"]) for line in log if "val/psnr" in line] == [
            (3, 2.0),
            (6, 5.0),
        ]
        assert json.loads((tmp_path / "done.json").read_text()) == {"steps": 6, "best": 5.0}
        assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000006"]
        assert (tmp_path / "last" / "model").exists()

    def test_best_is_kept_when_later_scores_are_worse_or_not_numbers(self, tmp_path: Path, fabric: Fabric) -> None:
        drive(tmp_path, fabric, scores={2: 9.0, 5: float("nan")})
        assert json.loads((tmp_path / "done.json").read_text())["best"] == 9.0
        assert (tmp_path / "best" / "model").exists()

    def test_a_finished_run_resumes_to_nothing_and_mends_done(self, tmp_path: Path, fabric: Fabric) -> None:
        drive(tmp_path, fabric)
        # A kill can fall between the last checkpoint and this file.
        (tmp_path / "done.json").unlink()
        assert drive(tmp_path, fabric, resume=True) == []
        assert json.loads((tmp_path / "done.json").read_text()) == {"steps": 6, "best": 5.0}

    def test_a_finished_run_goes_on_when_it_is_given_more_steps(self, tmp_path: Path, fabric: Fabric) -> None:
        drive(tmp_path, fabric)
        longer = replace(LOOP, steps=9)
        with pytest.raises(Stopped):
            drive(tmp_path, fabric, resume=True, loop=longer, stop_after=6)
        assert not (tmp_path / "done.json").exists(), "it is not done any more"
        assert drive(tmp_path, fabric, resume=True, loop=longer) == [7, 8]
        assert json.loads((tmp_path / "done.json").read_text())["steps"] == 9
        assert max(line["step"] for line in read_log(tmp_path)) == 9

    def test_fewer_steps_than_were_taken_are_refused(self, tmp_path: Path, fabric: Fabric) -> None:
        drive(tmp_path, fabric)
        with pytest.raises(GridcodeError, match=r"has taken 6 steps already, loop.steps is 4: give at least 6"):
            drive(tmp_path, fabric, resume=True, loop=replace(LOOP, steps=4))
        assert (tmp_path / "done.json").exists()

    @pytest.mark.parametrize(("steps", "kind"), [(12, "longer"), (5, "shorter"), (6, None)])
    def test_another_length_tells_what_the_learning_rate_does(
        self, tmp_path: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch, steps: int, kind: str | None
    ) -> None:
        with pytest.raises(Stopped):
            drive(tmp_path, fabric, stop_after=3)
        loop, optim, said = replace(LOOP, steps=steps), OptimConfig(lr=1.0, warmup=0, final_lr=0.1), list[str]()
        monkeypatch.setattr(OpenRun, "say", lambda self, text: said.append(text))
        with open_run(
            RunOptions(tmp_path, resume=True, show=False), loop, trainee(), fabric=fabric, title="toy"
        ) as run:
            tell_schedule(run, optim)
        before, after = (learning_rate(4, steps=count, config=optim) for count in (6, steps))
        expected = [
            f"the run takes {steps} steps instead of 6: from step 4 the learning rate is the {kind} schedule's, "
            f"{after:.3g} instead of {before:.3g}, and falls to 0.1 at step {steps}"
        ]
        assert said == (expected if kind else [])

    def test_a_signal_stops_after_the_step_with_a_checkpoint(self, tmp_path: Path, fabric: Fabric) -> None:
        with pytest.raises(Stopped, match=r"stopped by SIGTERM after step 3 of 6; .*resume=True") as caught:
            drive(tmp_path, fabric, stop_after=2)
        assert caught.value.number == signal.SIGTERM
        assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000003"]
        assert not (tmp_path / "done.json").exists()
        assert drive(tmp_path, fabric, resume=True) == [3, 4, 5]

    def test_processes_wait_for_the_checkpoint_before_they_stop(
        self, tmp_path: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found: list[list[str]] = []
        monkeypatch.setattr(fabric, "barrier", lambda: found.append([path.name for path in checkpoints(tmp_path)]))
        with pytest.raises(Stopped):
            drive(tmp_path, fabric, stop_after=2)
        assert found == [["step-00000003"]]

    def test_one_process_trains_in_a_folder(self, tmp_path: Path, fabric: Fabric) -> None:
        options = RunOptions(tmp_path, show=False)
        prepare_folder(options, Config())
        with open_run(options, LOOP, trainee(), fabric=fabric, title="toy"):
            for flags in ({"resume": True}, {"force": True}):
                with pytest.raises(GridcodeError, match=r"another process is training in .*; wait for it"):
                    prepare_folder(replace(options, **flags), Config())
            with (
                pytest.raises(GridcodeError, match="another process is training"),
                open_run(options, LOOP, trainee(), fabric=fabric, title="toy"),
            ):
                pass
        prepare_folder(replace(options, force=True), Config())

    def test_a_metric_that_joins_late_is_averaged_over_its_own_steps(self, tmp_path: Path, fabric: Fabric) -> None:
        """As the discriminator's are, which may start between two lines of the log."""
        options = RunOptions(tmp_path, show=False)
        prepare_folder(options, Config())
        with open_run(options, LOOP, trainee(), fabric=fabric, title="toy") as run:
            for step in run.steps():
                run.log(step, {"loss": 1.0} | ({"adversarial": 4.0 + step} if step >= 3 else {}))
                if run.logs_at(step):
                    run.write_line(step)
        log = read_log(tmp_path)
        assert [line["train/loss"] for line in log] == [1.0, 1.0, 1.0]
        assert [line.get("train/adversarial") for line in log] == [None, 7.0, 8.5]

    def test_a_signal_in_the_last_step_changes_nothing(self, tmp_path: Path, fabric: Fabric) -> None:
        assert drive(tmp_path, fabric, stop_after=5) == [0, 1, 2, 3, 4, 5]
        assert (tmp_path / "done.json").exists()

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("what", ["loss", "gradient norm"])
    def test_what_is_not_finite_stops_the_run_before_it_is_saved(
        self, tmp_path: Path, fabric: Fabric, what: str, value: float
    ) -> None:
        bad = {"losses": {3: value}} if what == "loss" else {"norms": {3: value}}
        message = rf"the {what} is not finite at step 3; the checkpoint .*step-00000002 is kept; try a lower"
        with pytest.raises(GridcodeError, match=message):
            drive(tmp_path, fabric, **bad)
        assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000002"]
        assert f"the {what} is not finite" in read_log(tmp_path)[-1]["warning"]

    def test_diverging_before_any_checkpoint_says_so(self, tmp_path: Path, fabric: Fabric) -> None:
        with pytest.raises(GridcodeError, match="at step 0; no checkpoint was written yet"):
            drive(tmp_path, fabric, losses={0: float("nan")})


class TestFabric:
    def test_a_device_that_is_not_there_is_one_line(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("this machine has one")
        with pytest.raises(GridcodeError, match=r"cannot use accelerator=cuda .*try loop.accelerator=cpu") as caught:
            make_fabric(replace(LOOP, accelerator="cuda"))
        assert "\n" not in str(caught.value)

    def test_precision_is_what_was_asked_for(self) -> None:
        assert resolve_precision(replace(LOOP, precision="fp32")) == "fp32"
        assert resolve_precision(replace(LOOP, precision="bf16")) == "bf16"
        assert resolve_precision(replace(LOOP, precision="auto")) in ("fp32", "bf16")

    def test_the_seed_is_the_configs(self) -> None:
        make_fabric(replace(LOOP, seed=5))
        first = torch.rand(3)
        make_fabric(replace(LOOP, seed=5))
        assert torch.equal(torch.rand(3), first)
