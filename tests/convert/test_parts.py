"""A VQGAN under prefixes, in wrappers, beside other models and in half precision: taken over, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gridcode.cli.main import main
from gridcode.convert import convert_tokenizer
from gridcode.convert.names import source_names
from gridcode.domains.image.config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig
from gridcode.tokenizer.model import Tokenizer

State = dict[str, Any]
CONFIG = VQGANConfig(quantizer=VQConfig(preset="plain", size=40, channels=5), widths=(32, 64), latents=6)
IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def state(seed: int = 0) -> dict[str, Tensor]:
    """A tokenizer of ours under taming's names."""
    torch.manual_seed(seed)
    own = Tokenizer(CONFIG).state_dict()
    return {theirs: own[ours].contiguous() for ours, theirs in source_names(own, "taming", levels=2).items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def saved(folder: Path, held: State, suffix: str = ".ckpt") -> Path:
    path = folder / f"vqgan{suffix}"
    save_file(held, path) if suffix == ".safetensors" else torch.save(held, path)
    return path


def without_dots(name: str) -> str:
    return f"model_ema.{name.replace('.', '')}"


PLAIN = state()
UNET = {"model.diffusion_model.input_blocks.0.weight": torch.ones(2), "betas": torch.zeros(3)}
EMA = {without_dots(name): tensor + 1 for name, tensor in PLAIN.items()}
EMA |= {"model_ema.decay": torch.tensor(0.999), "model_ema.num_updates": torch.tensor(7)}

TAKEN: dict[str, tuple[State, str, int, int]] = {
    "first stage of a latent diffusion model": (
        {"state_dict": under("first_stage_model.", PLAIN) | UNET, "epoch": 3},
        "state_dict.first_stage_model.",
        0,
        2,
    ),
    "several GPUs": (under("module.", PLAIN), "module.", 0, 0),
    "inside another module": (under("model.", PLAIN), "model.", 0, 0),
    "compiled": (under("_orig_mod.", PLAIN), "", 0, 0),
    "compiled on several GPUs": (under("module._orig_mod.", PLAIN), "module.", 0, 0),
    "parts compiled": (
        {name.replace("encoder.", "encoder._orig_mod."): tensor for name, tensor in PLAIN.items()},
        "",
        0,
        0,
    ),
    "wrapped as model": ({"model": PLAIN, "optimizer": {"state": {}}}, "model.", 0, 0),
    "wrapped twice": ({"model": {"state_dict": under("module.", PLAIN)}}, "model.state_dict.module.", 0, 0),
    "an average before the last weights": ({"model": state(1), "ema": PLAIN}, "ema.", 0, 0),
    "running means of latent diffusion beside it": (PLAIN | EMA, "", len(EMA), 0),
    "its training's": (
        PLAIN
        | {"loss.logvar": torch.zeros(1), "quantize.cluster_size": torch.ones(40)}
        | {"quantize.embed_avg": torch.ones(40, 5), "quantize.embedding.cluster_size": torch.ones(40)},
        "",
        4,
        0,
    ),
    "codes in use": (PLAIN | {"quantize.used": torch.arange(30)}, "", 1, 0),
}


@pytest.mark.parametrize("what", TAKEN)
def test_it_is_found_where_trainers_leave_it(what: str, tmp_path: Path) -> None:
    held, prefix, aside, others = TAKEN[what]
    expected = convert_tokenizer(saved(tmp_path, PLAIN, ".safetensors")).tokenizer
    found = convert_tokenizer(saved(tmp_path, held), allow_pickle=True)
    assert (found.prefix, len(found.set_aside), found.others) == (prefix, aside, others)
    assert (found.used, found.rounded) == (len(PLAIN), ())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.tokenizer.state_dict()[name], tensor), name


def test_prefixes_are_taken_off_without_a_pickle_too(tmp_path: Path) -> None:
    path = saved(tmp_path, under("first_stage_model.", PLAIN), ".safetensors")
    assert convert_tokenizer(path).prefix == "first_stage_model."


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_are_said(
    dtype: torch.dtype, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounded = {name: tensor.to(dtype) for name, tensor in PLAIN.items()}
    path = saved(tmp_path, rounded, ".safetensors")
    found = convert_tokenizer(path)
    word = str(dtype).removeprefix("torch.")
    assert found.rounded == (word,)
    assert torch.equal(found.tokenizer.state_dict()["quantizer.codebook"], rounded["quantize.embedding.weight"].float())
    assert {p.dtype for p in found.tokenizer.parameters()} == {torch.float32}
    assert found.tokenizer.encode(IMAGES).shape == (2, 8, 8)
    assert main(["convert", str(path), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith(f"taming: {len(PLAIN)} tensors, each used once; {word} made float32\n")


def test_what_was_found_and_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = under("first_stage_model.", PLAIN | {"quantize.used": torch.arange(30), "loss.a": torch.zeros(1)}) | UNET
    path = saved(tmp_path, {"state_dict": held})
    assert main(["convert", str(path), "--allow-pickle", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"taming: {len(PLAIN)} tensors, each used once; found under state_dict.first_stage_model.; 2 of its training "
        "left out; quantize.used left out, tokens have the codebook's own numbers; 2 of other models left out"
    )


REFUSED: dict[str, tuple[State, str]] = {
    "two": (
        under("model.", PLAIN) | under("ema.", PLAIN),
        r"holds 2 VQGANs, their names beginning with 'ema\.' and 'model\.'; save the tensors of one alone$",
    ),
    "one bare and one not": (PLAIN | under("teacher.", PLAIN), r"beginning with '' and 'teacher\.'; save"),
    "running means alone": (
        EMA,
        r"only the running means of a VQGAN, under model_ema\. and with names that lack their",
    ),
    "running means of a first stage alone": (
        under("first_stage_model.", EMA),
        r"under first_stage_model\.model_ema\. and with names",
    ),
    "whole numbers for weights": (
        PLAIN | {"encoder.conv_in.weight": torch.zeros(32, 3, 3, 3, dtype=torch.int8)},
        r"encoder\.conv_in\.weight holds int8, not floats; give weights that were not quantized",
    ),
    "a buffer that nobody knows": (
        PLAIN | {"quantize.codebook_used": torch.zeros(8)},
        r"1 unknown, 0 of another shape \(the first: quantize\.codebook_used\)",
    ),
    "an unknown wrapper": ({"generator": PLAIN}, r"no tensors by name \('generator' is a dict\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_could_be_meant_in_two_ways_is_refused_by_name(what: str, tmp_path: Path) -> None:
    held, message = REFUSED[what]
    with pytest.raises(GridcodeError, match=message) as found:
        convert_tokenizer(saved(tmp_path, held), allow_pickle=True)
    assert "\n" not in str(found.value)
