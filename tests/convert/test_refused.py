"""State dicts that are almost a VQGAN's: one line names the first tensor that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gridcode.convert import convert_tokenizer
from gridcode.convert.names import source_names
from gridcode.domains.image.config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig
from gridcode.tokenizer.model import Tokenizer

State = dict[str, Tensor]
CONFIG = VQGANConfig(quantizer=VQConfig(preset="plain", size=40, channels=5), widths=(32, 64), latents=6)


def _state() -> State:
    """A tokenizer of ours under taming's names."""
    own = Tokenizer(CONFIG).state_dict()
    return {theirs: own[ours] for ours, theirs in source_names(own, "taming", levels=2).items()}


def _without(name: str) -> State:
    state = _state()
    del state[name]
    return state


REFUSED: dict[str, tuple[State, str]] = {
    "missing inside": (
        _without("decoder.mid.attn_1.k.bias"),
        r"1 tensors missing, 0 unknown, 0 of another shape \(the first: decoder\.mid\.attn_1\.k\.bias\)",
    ),
    "missing where the shape is read": (_without("quantize.embedding.weight"), "no quantize.embedding.weight"),
    "unknown": (
        _state() | {"encoder.extra.weight": torch.zeros(3)},
        r"0 tensors missing, 1 unknown, 0 of another shape \(the first: encoder\.extra\.weight\)",
    ),
    "of another shape": (
        _state() | {"post_quant_conv.weight": torch.zeros(6, 4, 1, 1)},
        r"1 of another shape \(the first: post_quant_conv\.weight \(6, 4, 1, 1\) for \(6, 5, 1, 1\)\)",
    ),
    "two channels": (
        _state() | {"encoder.conv_in.weight": torch.zeros(32, 2, 3, 3)},
        "1 or 3 channels, got channels=2",
    ),
    "a first level of another width than the layer before it": (
        _state() | {"encoder.conv_in.weight": torch.zeros(64, 3, 3, 3), "encoder.conv_in.bias": torch.zeros(64)},
        r"0 unknown, 2 of another shape \(the first: encoder\.conv_in\.weight \(64, 3, 3, 3\) for \(32, 3, 3, 3\)\)",
    ),
    "widths that no norm of 32 groups takes": (
        {name: tensor[:24] if tensor.ndim else tensor for name, tensor in _state().items()},
        "positive multiples of 32",
    ),
    "a Gumbel codebook": (
        _without("quantize.embedding.weight") | {"quantize.embed.weight": torch.zeros(4, 4)},
        "Gumbel softmax, which gridcode has not",
    ),
    "another model": ({"conv1.weight": torch.zeros(3)}, "give the state dict of a taming VQGAN"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_every_tensor_is_used_once_or_one_line_names_the_first_that_is_not(what: str, tmp_path: Path) -> None:
    state, message = REFUSED[what]
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "vqgan.safetensors")
    with pytest.raises(GridcodeError, match=message) as found:
        convert_tokenizer(tmp_path / "vqgan.safetensors")
    assert "\n" not in str(found.value)
