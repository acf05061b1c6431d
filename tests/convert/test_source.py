"""Files of other projects: what is read, and that nothing in them runs."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.convert.names import source_name, source_names, todays_name
from gridcode.convert.source import read_source
from gridcode.domains.image.config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig
from gridcode.tokenizer.model import Tokenizer

WEIGHTS = {"a.weight": torch.arange(3.0), "b.bias": torch.zeros(2, 2)}


class Runs:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".safetensors", ""])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_not_opened_unless_that_is_said(suffix: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save({"weights": Runs(tmp_path / "ran")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(GridcodeError, match=r"is a pickle|cannot be read as weights"):
        read_source(path)
    with pytest.raises(GridcodeError, match="cannot be read as weights"):
        read_source(path, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_dict_is_read_bare_or_as_a_trainer_wraps_it(wrapped: bool, tmp_path: Path) -> None:
    state = OrderedDict(WEIGHTS)
    torch.save({"state_dict": state, "epoch": 7, "callbacks": {}} if wrapped else state, tmp_path / "last.ckpt")
    source = read_source(tmp_path / "last.ckpt", allow_pickle=True)
    assert (source.project, source.set_aside, {*source.tensors}) == ("taming", (), {*WEIGHTS})
    assert all(torch.equal(source.tensors[name], tensor) for name, tensor in WEIGHTS.items())


def _checkpoint_naming(module: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with a class of a module that is installed only while it is written."""
    made = types.ModuleType(module)
    made.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module})  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for place, letter in enumerate(module + "."):
            if letter == ".":  # the module and what it lies in
                patch.setitem(sys.modules, module[:place], made if place == len(module) else types.ModuleType("_"))
        torch.save({"state_dict": WEIGHTS, "callbacks": {made.ModelCheckpoint: {"best_model_score": 0.5}}}, path)


def test_classes_of_lightning_in_a_checkpoint_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _checkpoint_naming("pytorch_lightning.callbacks.model_checkpoint", tmp_path / "last.ckpt", monkeypatch)
    assert {*read_source(tmp_path / "last.ckpt", allow_pickle=True).tensors} == {*WEIGHTS}
    _checkpoint_naming("somebody_elses.callbacks", tmp_path / "other.ckpt", monkeypatch)
    with pytest.raises(GridcodeError, match=r"it needs somebody_elses\.callbacks\.ModelCheckpoint, which could run"):
        read_source(tmp_path / "other.ckpt", allow_pickle=True)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([torch.zeros(2)], "holds a list, no tensors by name"),
        ({}, r"no tensors by name \(it is empty\)"),
        ({"state_dict": {"a": torch.zeros(2), "steps": 3}}, r"\('steps' is a int\)"),
        ({"net": {"a": torch.zeros(2)}}, r"\('net' is a dict\)"),
    ],
)
def test_what_holds_no_tensors_by_name_is_refused(held: Any, message: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "model.pt")
    with pytest.raises(GridcodeError, match=message) as found:
        read_source(tmp_path / "model.pt", allow_pickle=True)
    assert "\n" not in str(found.value)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".ckpt", ".safetensors"]), cut=st.integers(0, 900))
def test_damaged_files_are_told_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    torch.save(WEIGHTS, folder / "whole.pt")
    for data in (content, (folder / "whole.pt").read_bytes()[:cut], pickle.dumps(content)):
        (folder / f"model{suffix}").write_bytes(data)
        with pytest.raises(GridcodeError, match="cannot be read as weights") as found:
            read_source(folder / f"model{suffix}", allow_pickle=True)
        assert "\n" not in str(found.value)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_of_ours_or_none(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "model.pt"
    torch.save(WEIGHTS, path)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with contextlib.suppress(GridcodeError):
        assert {*map(type, read_source(path, allow_pickle=True).tensors.values())} == {torch.Tensor}


@settings(max_examples=30, deadline=None)
@given(levels=st.integers(1, 3), blocks=st.integers(1, 2), attention=st.booleans(), middle=st.booleans())
def test_no_two_tensors_have_one_name(levels: int, blocks: int, attention: bool, middle: bool) -> None:
    attended = tuple(range(levels)) if attention else ()
    config = VQGANConfig(
        quantizer=VQConfig(preset="plain", size=3, channels=2),
        widths=(32, *(64,) * (levels - 1)),
        encoder_blocks=blocks,
        encoder_attention=attended,
        decoder_attention=attended,
        middle_attention=middle,
        latents=3,
    )
    with torch.device("meta"):
        own = [*Tokenizer(config).state_dict()]
    for project in ("diffusers", "taming"):
        names = source_names(own, project, levels=levels)
        assert len({*names.values()}) == len(names) == len(own) - 2
        assert not any(word in name for name in names.values() for word in ("levels", "middle", "codebook", "resample"))
        assert all(todays_name(name) == name for name in names.values())


def test_the_decoders_levels_are_counted_from_the_finest_by_taming_alone() -> None:
    ours = "decoder.levels.0.resample.conv.weight"
    assert source_name(ours, "taming", levels=5) == "decoder.up.4.upsample.conv.weight"
    assert source_name(ours, "diffusers", levels=5) == "decoder.up_blocks.0.upsamplers.0.conv.weight"
