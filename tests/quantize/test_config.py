"""A quantizer's settings: checked as they are made, the same after JSON, and those that the quantizer gets."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.binary.bsq import BSQ
from gridcode.quantize.binary.lfq import LFQ
from gridcode.quantize.config import (
    QUANTIZERS,
    BSQConfig,
    FSQConfig,
    GroupedFSQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualFSQConfig,
    VQConfig,
    quantizer_from_json,
    quantizer_kind,
    quantizer_to_json,
)
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.fsq.residual import ResidualFSQ
from gridcode.quantize.make import make_quantizer
from gridcode.quantize.vq import VQ

LEVELS = st.lists(st.integers(2, 9), min_size=1, max_size=6).map(tuple)
WEIGHT = st.floats(0, 10)
FORM_AND_EPS = st.one_of(
    st.tuples(st.sampled_from(["symmetric", "ifsq", "dithered"]), st.none()),
    st.tuples(st.sampled_from(["paper", "atanh"]), st.none() | st.floats(1e-3, 0.1)),
)


def binary(kind: type[LFQConfig] | type[BSQConfig]) -> st.SearchStrategy[QuantizerConfig]:
    return st.builds(
        kind,
        bits=st.integers(1, 63),
        entropy=WEIGHT,
        diversity=WEIGHT,
        commitment=WEIGHT,
        temperature=st.floats(1e-3, 10),
        group=st.integers(1, 20),
    )


CONFIGS: st.SearchStrategy[QuantizerConfig] = st.one_of(
    st.builds(lambda levels, form: FSQConfig(levels, *form), LEVELS, FORM_AND_EPS),
    st.builds(ResidualFSQConfig, levels=LEVELS, stages=st.integers(1, 6), stage_dropout=st.floats(0, 1)),
    st.builds(
        lambda levels, groups, form: GroupedFSQConfig(levels, groups, *form), LEVELS, st.integers(1, 9), FORM_AND_EPS
    ),
    binary(LFQConfig),
    binary(BSQConfig),
    st.builds(
        VQConfig,
        preset=st.sampled_from(["maskgit", "uvim", "uvim_unsplit", "plain"]),
        size=st.integers(2, 300),
        channels=st.integers(1, 9),
    ),
)


@settings(max_examples=80, deadline=None)
@given(config=CONFIGS)
def test_settings_come_back_from_json_as_they_were(config: QuantizerConfig) -> None:
    back = quantizer_from_json(json.loads(json.dumps(quantizer_to_json(config))))
    assert back == config
    assert type(back) is type(config)
    assert json.loads(json.dumps(dataclasses.asdict(config)))["name"] == config.name


@settings(max_examples=40, deadline=None)
@given(config=CONFIGS, channel_dim=st.sampled_from([1, -1]))
def test_the_quantizer_has_its_settings(config: QuantizerConfig, channel_dim: int) -> None:
    quantizer = make_quantizer(config, channel_dim=channel_dim).eval()
    spec = quantizer.spec()
    for name, value in quantizer_to_json(config).items():
        if name in spec and not (name == "eps" and value is None):
            assert spec[name] == value
    assert set(quantizer_to_json(config)) - set(spec) <= {"preset"}
    latents = torch.randn((2, quantizer.channels, 3) if channel_dim == 1 else (2, 3, quantizer.channels))
    out = quantizer(latents)
    assert out.codes.shape == latents.shape
    assert out.indices.shape == (2, 3, *quantizer.index_shape)


def test_every_kind_can_be_named() -> None:
    assert list(QUANTIZERS) == ["fsq", "residual", "grouped", "lfq", "bsq", "vq"]
    for name, kind in QUANTIZERS.items():
        assert kind.name == kind().name == name == make_quantizer(kind()).spec()["name"]
        assert quantizer_kind(name) is kind
        with pytest.raises(TypeError, match="name"):
            kind(name="other")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("config", "quantizer"),
    [
        (FSQConfig, FSQ),
        (ResidualFSQConfig, ResidualFSQ),
        (GroupedFSQConfig, GroupedFSQ),
        (LFQConfig, LFQ),
        (BSQConfig, BSQ),
    ],
)
def test_defaults_are_the_quantizers_own(config: type[QuantizerConfig], quantizer: type[Any]) -> None:
    theirs = {name: entry.default for name, entry in inspect.signature(quantizer).parameters.items()}
    ours = {entry.name: entry.default for entry in dataclasses.fields(config) if entry.init}
    assert set(ours) == set(theirs) - {"channel_dim", "nan", "dither"}
    for name in set(ours) - {"levels", "bits"}:
        assert ours[name] == theirs[name], name


@pytest.mark.parametrize("preset", ["maskgit", "uvim", "plain"])
def test_a_preset_is_the_quantizers_own(preset: Any) -> None:
    made = make_quantizer(VQConfig(preset, size=16, channels=4))
    assert made.spec() == getattr(VQ, preset)(16, 4).spec()


def test_uvims_preset_without_splitting_differs_in_nothing_else() -> None:
    split, unsplit = (make_quantizer(VQConfig(name, size=16, channels=4)).spec() for name in ("uvim", "uvim_unsplit"))
    assert unsplit == split | {"revival": {"name": "Nothing"}}


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        ("fsq", {"levels": ()}, "the sequence is empty"),
        ("fsq", {"levels": (8, 1)}, "entry 1 is 1"),
        ("fsq", {"form": "round"}, "form is 'round'; choose one of paper,"),
        ("fsq", {"form": "symmetric", "eps": 0.1}, "form 'symmetric' has no eps"),
        ("fsq", {"levels": (2000,)}, "loses both end values of a level of 2000"),
        ("residual", {"levels": (0,)}, "entry 0 is 0"),
        ("residual", {"stages": 0}, "quantizer residual: stages is 0; it must be a whole number from 1"),
        ("residual", {"levels": (5, 8), "stages": 7}, "7 stages of level 8 tell 8^7 values apart, more than float32"),
        ("residual", {"stages": 2**31 - 1}, "more than float32"),
        ("residual", {"stage_dropout": 1.5}, "quantizer residual: stage_dropout is 1.5; it must be in [0, 1]"),
        ("residual", {"stage_dropout": float("nan")}, "stage_dropout is nan"),
        ("grouped", {"groups": True}, "quantizer grouped: groups is True"),
        ("grouped", {"levels": (1,)}, "entry 0 is 1"),
        ("lfq", {"bits": 64}, "quantizer lfq: bits is 64; it must be a whole number from 1 to 63"),
        ("lfq", {"bits": 0}, "bits is 0"),
        ("lfq", {"entropy": -1.0}, "quantizer lfq: entropy is -1.0; a loss's weight must be 0 or more"),
        ("bsq", {"commitment": float("inf")}, "quantizer bsq: commitment is inf"),
        ("bsq", {"temperature": 0.0}, "quantizer bsq: temperature is 0.0; it must be above 0"),
        ("bsq", {"group": 21}, "quantizer bsq: group is 21; it must be a whole number from 1 to 20"),
        ("vq", {"preset": "best"}, "quantizer vq: preset is 'best'; choose one of maskgit, uvim, uvim_unsplit, plain"),
        ("vq", {"size": 1}, "quantizer vq: size is 1; it must be a whole number from 2"),
        ("vq", {"channels": 2.5}, "quantizer vq: channels is 2.5"),
    ],
)
def test_what_makes_no_quantizer_is_refused(kind: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(GridcodeError, match=re.escape(message)) as caught:
        quantizer_kind(kind)(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "rvq"}, "there is no quantizer 'rvq'; choose one of fsq, residual, grouped, lfq, bsq, vq"),
        ({"levels": [8, 5]}, "an object with its name"),
        ([8, 5], "an object with its name"),
        ({"name": ["fsq"]}, "an object with its name"),
        ({"name": "fsq", "stages": 2}, "quantizer fsq: its settings cannot be read"),
        ({"name": "fsq", "eps": "tiny"}, "quantizer fsq: its settings cannot be read"),
        ({"name": "lfq", "bits": "10"}, "quantizer lfq: bits is '10'"),
        ({"name": "fsq", "levels": [8, 5.5]}, "entry 1 is 5.5"),
    ],
)
def test_what_json_cannot_mean_is_refused(values: Any, message: str) -> None:
    with pytest.raises(GridcodeError, match=re.escape(message)) as caught:
        quantizer_from_json(values)
    assert "\n" not in str(caught.value)


def test_settings_do_not_wait_for_torch() -> None:
    code = (
        "import sys, gridcode.quantize.config as config; [kind() for kind in config.QUANTIZERS.values()]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
