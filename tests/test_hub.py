from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from gridcode.errors import GridcodeError
from gridcode.hub import find_model, load_model, push_model, save_model, weights_hash


def save(folder: Path, value: float = 1.0) -> Path:
    tensors = {"w": torch.full((2, 3), value), "levels": torch.tensor([8, 5])}
    save_model(folder, tensors=tensors, config={"kind": "toy", "width": 3}, card="# A toy")
    return folder


class TestSaveAndLoad:
    def test_a_model_comes_back(self, tmp_path: Path) -> None:
        loaded = load_model(save(tmp_path / "model"), kind="toy")
        assert loaded.path == tmp_path / "model"
        assert loaded.config == {"kind": "toy", "format_version": 1, "width": 3}
        assert torch.equal(loaded.tensors["w"], torch.ones(2, 3))
        assert loaded.tensors["levels"].dtype == torch.int64
        assert sorted(path.name for path in loaded.path.iterdir()) == [
            "README.md",
            "config.json",
            "model.safetensors",
        ]
        assert (loaded.path / "README.md").read_text() == "# A toy"

    def test_every_layout_and_dtype_is_kept(self, tmp_path: Path) -> None:
        shared = torch.randn(4, 4)
        tensors = {
            "transposed": torch.randn(2, 3).T,
            "channels_last": torch.randn(1, 3, 4, 4).to(memory_format=torch.channels_last),
            "part": torch.randn(10)[2:5],
            "tied": shared,
            "tied_too": shared,
            "half": torch.randn(3).bfloat16(),
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 4),
            "learned": torch.nn.Parameter(torch.randn(2)),
        }
        save_model(tmp_path / "m", tensors=tensors, config={"kind": "toy"}, card="")
        loaded = load_model(tmp_path / "m", kind="toy").tensors
        assert loaded.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert loaded[name].dtype == tensor.dtype
            assert torch.equal(loaded[name], tensor)
        assert weights_hash(loaded) == weights_hash(tensors)

    def test_an_earlier_model_is_replaced(self, tmp_path: Path) -> None:
        save(tmp_path / "model", 1.0)
        save(tmp_path / "model", 2.0)
        assert load_model(tmp_path / "model", kind="toy").tensors["w"][0, 0] == 2
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    def test_a_folder_with_other_files_is_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(GridcodeError, match=r"also holds thesis.tex .*choose a folder of its own"):
            save(tmp_path)
        assert (tmp_path / "thesis.tex").read_text() == "years of work"

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_text("")
        with pytest.raises(GridcodeError, match="is a file; choose another"):
            save(tmp_path / "m")

    def test_a_failed_save_leaves_the_earlier_model(self, tmp_path: Path) -> None:
        save(tmp_path / "model", 1.0)
        with pytest.raises(GridcodeError, match=r"cannot be written as JSON .*not JSON serializable"):
            save_model(tmp_path / "model", tensors={}, config={"kind": "toy", "what": object()}, card="")
        assert load_model(tmp_path / "model", kind="toy").tensors["w"][0, 0] == 1
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    @pytest.mark.parametrize("config", [{}, {"kind": None}, {"kind": 3}])
    def test_a_model_must_say_what_it_is(self, tmp_path: Path, config: dict[str, Any]) -> None:
        with pytest.raises(GridcodeError, match="name what the model is"):
            save_model(tmp_path / "m", tensors={}, config=config, card="")


class TestRunFolders:
    def test_best_comes_before_last(self, tmp_path: Path) -> None:
        save(tmp_path / "last", 1.0)
        assert find_model(tmp_path) == tmp_path / "last"
        save(tmp_path / "best", 2.0)
        (tmp_path / "log.jsonl").write_text("")
        assert load_model(tmp_path, kind="toy").tensors["w"][0, 0] == 2

    def test_the_folders_own_model_comes_first(self, tmp_path: Path) -> None:
        save(tmp_path / "m", 1.0)
        save(tmp_path / "m" / "best", 2.0)
        assert load_model(str(tmp_path / "m"), kind="toy").tensors["w"][0, 0] == 1


class TestRefusals:
    def test_another_kind_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(GridcodeError, match="holds a 'toy', not a 'tokenizer'"):
            load_model(save(tmp_path / "m"), kind="tokenizer")

    def test_an_empty_folder_says_what_was_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(GridcodeError, match=r"no model.safetensors in .*, nor in its best/ or last/"):
            load_model(tmp_path, kind="toy")

    @pytest.mark.parametrize("source", ["nowhere", "a/b/c", "./runs/tokenizer", "/no/where", "~/no-such-folder-here"])
    def test_no_folder_and_no_hub_id(self, source: str) -> None:
        with pytest.raises(GridcodeError, match=r"no folder .* it is no hub id"):
            load_model(source, kind="toy")

    def test_a_path_never_goes_to_the_hub(self) -> None:
        with pytest.raises(GridcodeError, match="it is no hub id"):
            load_model(Path("org/name"), kind="toy")

    @pytest.mark.parametrize("keep", [0, 4, 60, -1])
    def test_truncated_weights(self, tmp_path: Path, keep: int) -> None:
        weights = save(tmp_path / "m") / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:keep])
        with pytest.raises(GridcodeError, match=r"model.safetensors cannot be read .*damaged or incomplete"):
            load_model(tmp_path / "m", kind="toy")

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (None, "the config of model .*there is no file"),
            ("{", "is not valid JSON"),
            ("[]", "not an object"),
            ('{"format_version": 1}', "holds a None, not a 'toy'"),
            ('{"kind": "toy"}', "format_version None"),
            (
                '{"kind": "toy", "format_version": 2}',
                "format_version 2, this gridcode reads up to 1; upgrade",
            ),
        ],
    )
    def test_a_missing_or_wrong_config(self, tmp_path: Path, config: str | None, message: str) -> None:
        path = save(tmp_path / "m") / "config.json"
        path.unlink()
        if config is not None:
            path.write_text(config)
        with pytest.raises(GridcodeError, match=message) as caught:
            load_model(tmp_path / "m", kind="toy")
        assert "\n" not in str(caught.value)


class TestHub:
    def test_an_id_is_downloaded_without_other_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: dict[str, Any] = {}

        def download(repo_id: str, **options: Any) -> str:
            asked.update(options, repo_id=repo_id)
            return str(save(tmp_path / "cache"))

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        monkeypatch.chdir(tmp_path)
        assert load_model("some-org/a.model_1", kind="toy").path == tmp_path / "cache"
        assert asked["repo_id"] == "some-org/a.model_1"
        assert asked["allow_patterns"] == ["model.safetensors", "config.json", "README.md"]

    def test_a_local_folder_comes_before_the_hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
        monkeypatch.chdir(tmp_path)
        save(tmp_path / "runs" / "tokenizer")
        assert load_model("runs/tokenizer", kind="toy").config["width"] == 3

    def test_an_unreachable_hub_names_both_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> str:
            raise LocalEntryNotFoundError("no\nconnection")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        monkeypatch.chdir(tmp_path)
        message = r"no folder runs/tokenizer here, and the hub gave no model runs/tokenizer \(no connection\)"
        with pytest.raises(GridcodeError, match=message):
            load_model("runs/tokenizer", kind="toy")

    def test_a_hub_model_of_another_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
        with pytest.raises(GridcodeError, match=r"has no model.safetensors; it is not a model of gridcode"):
            load_model("org/other", kind="toy")

    def test_pushing_sends_the_three_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: dict[str, Any] = {}

        class Api:
            def create_repo(self, repo_id: str, **options: Any) -> str:
                sent.update(options, repo_id=repo_id)
                return f"https://hub/{repo_id}"

            def upload_folder(self, **options: Any) -> None:
                sent.update(options)

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        save(tmp_path / "best")
        assert push_model(tmp_path, "org/name") == "https://hub/org/name"
        assert sent["folder_path"] == tmp_path / "best"
        assert sent["private"] is True
        assert sent["allow_patterns"] == ["model.safetensors", "config.json", "README.md"]

    def test_a_refused_push_says_how_to_log_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Api:
            def create_repo(self, repo_id: str, **options: Any) -> str:
                raise OSError("401 Unauthorized")

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        with pytest.raises(GridcodeError, match=r"\(401 Unauthorized\); log in with `hf auth login`"):
            push_model(save(tmp_path / "m"), "org/name")

    def test_an_incomplete_folder_is_not_pushed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: pytest.fail("asked the hub"))
        with pytest.raises(GridcodeError, match="push_model: there is no folder"):
            push_model(tmp_path / "none", "org/name")
        (save(tmp_path / "m") / "README.md").unlink()
        with pytest.raises(GridcodeError, match=r"has no README.md; write the model card first"):
            push_model(tmp_path / "m", "org/name")


TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}


class TestWeightsHash:
    def test_golden_value(self) -> None:
        """Manifests name tokenizers by this hash, so it may never change."""
        assert weights_hash(TENSORS) == "76fb1c5babed9eea"

    def test_order_layout_and_gradients_do_not_matter(self) -> None:
        a = TENSORS["a"].T.contiguous().T.requires_grad_()
        assert weights_hash({"b": TENSORS["b"], "a": a}) == weights_hash(TENSORS)

    @pytest.mark.parametrize(
        "other",
        [
            {"a": TENSORS["a"]},
            {**TENSORS, "c": torch.zeros(0)},
            {"A": TENSORS["a"], "b": TENSORS["b"]},
            {**TENSORS, "a": TENSORS["a"].view(3, 2)},
            {**TENSORS, "a": TENSORS["a"].double()},
            {**TENSORS, "b": torch.tensor([2, 1])},
            {**TENSORS, "a": TENSORS["a"].clone().add_(torch.tensor([[0.0, 0, 0], [0, 0, 1e-6]]))},
        ],
    )
    def test_any_change_shows(self, other: dict[str, torch.Tensor]) -> None:
        assert weights_hash(other) != weights_hash(TENSORS)


def test_a_saved_config_is_readable_json(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    assert list(json.loads((folder / "config.json").read_text())) == ["kind", "format_version", "width"]
    shutil.copytree(folder, tmp_path / "copy")
    load_model(tmp_path / "copy", kind="toy")
