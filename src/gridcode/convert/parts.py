"""Which of a file's tensors are the VQGAN's: out of what trainers wrap, and from under what they put before names.

    {"state_dict": …}, {"model": …}, {"ema": …}              the inner dictionary; of several the one listed first
    first_stage_model.encoder.…, module.…, model.…, ema.…    whatever comes before encoder.conv_in.weight is taken off;
                                                             names without it are other models'
    encoder._orig_mod.…                                      what torch.compile puts in is taken out
    model_ema.encoderconv_inweight                           running means of LDM's training: left out
    loss.…, quantize.embedding.cluster_size, …               needed by training alone: left out
    quantize.used                                            numbers of the codes in use, by which LDM may renumber
                                                             tokens: left out, tokens keep the codebook's numbers

Where two sets of names could be meant, no one is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gridcode.errors import GridcodeError

WRAPPERS = ("ema", "state_dict", "model_state_dict", "model", "module")
"""Keys under which trainers save a state dict, the preferred first: an average of the weights before the last ones."""
TRAINING_ONLY = (
    "loss.",
    "model_ema.",
    "quantize.embedding.cluster_size",
    "quantize.embedding.embed_avg",
    "quantize.cluster_size",
    "quantize.embed_avg",
    "quantize.used",
)
"""How names begin that a VQGAN does not need to encode and to decode."""
_FIRST = "encoder.conv_in.weight"
_FIRST_WITHOUT_DOTS = f"model_ema.{_FIRST.replace('.', '')}"


@dataclass(frozen=True)
class Part:
    """The VQGAN among a file's tensors.

    Attributes:
        tensors: By name, without what stood before it.
        prefix: What stood before every name: the keys of dictionaries and the names of modules, joined by dots.
        set_aside: Names that only its training needs.
        others: How many tensors and values belong to something else.
    """

    tensors: dict[str, Any]
    prefix: str
    set_aside: tuple[str, ...]
    others: int


def find_part(found: Mapping[Any, Any], path: Path) -> Part:
    """The VQGAN in what a file holds.

    Args:
        found: Tensors by name, perhaps inside other dictionaries.
        path: The file, named in errors.

    Raises:
        GridcodeError: There are two, or only its running means.

    >>> import torch
    >>> names = ("first_stage_model.encoder.conv_in.weight", "first_stage_model.loss.a", "betas")
    >>> part = find_part({"state_dict": dict.fromkeys(names, torch.zeros(1))}, Path("last.ckpt"))
    >>> part.prefix, list(part.tensors), part.set_aside, part.others
    ('state_dict.first_stage_model.', ['encoder.conv_in.weight'], ('loss.a',), 1)
    """
    keys: list[str] = []
    while (key := next((key for key in WRAPPERS if _is_state(found.get(key))), None)) is not None:
        keys.append(f"{key}.")
        found = found[key]
    named = {re.sub(r"(^|\.)_orig_mod\.", r"\1", str(name)): value for name, value in found.items()}
    before = sorted(name.removesuffix(_FIRST) for name in named if f".{name}".endswith(f".{_FIRST}"))
    if len(before) > 1:
        shown = " and ".join(repr(prefix) for prefix in before)
        raise GridcodeError(
            f"{path} holds {len(before)} VQGANs, their names beginning with {shown}; save the tensors of one alone"
        )
    if not before and (means := next((str(n) for n in named if str(n).endswith(_FIRST_WITHOUT_DOTS)), None)):
        raise GridcodeError(
            f"{path} holds only the running means of a VQGAN, under {means.removesuffix(_FIRST.replace('.', ''))} and "
            "with names that lack their dots; save the model's own state_dict"
        )
    prefix = before[0] if before else ""
    own = {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
    aside = tuple(name for name in own if name.startswith(TRAINING_ONLY))
    kept = {name: value for name, value in own.items() if name not in aside}
    return Part(kept, "".join(keys) + prefix, aside, len(named) - len(own))


def _is_state(value: object) -> bool:
    """Whether it is a dictionary that holds tensors by name, perhaps one level further in."""
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(one, Tensor) or (key in WRAPPERS and _is_state(one)) for key, one in value.items())
