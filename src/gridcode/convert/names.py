"""What a tensor of ours is called in other people's files.

    ours                                 taming-transformers                diffusers
    encoder.levels.0.blocks.1.conv1.*    encoder.down.0.block.1.conv1.*     encoder.down_blocks.0.resnets.1.conv1.*
    encoder.levels.0.resample.conv.*     encoder.down.0.downsample.conv.*   encoder.down_blocks.0.downsamplers.0.conv.*
    encoder.middle.1.q.*                 encoder.mid.attn_1.q.*             encoder.mid_block.attentions.0.to_q.*
    encoder.to_codes.*                   quant_conv.*                       quant_conv.*
    decoder.levels.0.blocks.0.norm1.*    decoder.up.{last}.block.0.norm1.*  decoder.up_blocks.0.resnets.0.norm1.*
    quantizer.codebook                   quantize.embedding.weight          quantize.embedding.weight

taming-transformers numbers the decoder's levels from the finest, diffusers and gridcode in the order they run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Project = Literal["diffusers", "taming"]

OWN = ("quantizer.seed", "quantizer.steps")
"""Tensors of ours that nobody else has: where the codebook's training stands."""

_BOTH = {
    r"^encoder\.to_codes\.": "quant_conv.",
    r"^decoder\.from_codes\.": "post_quant_conv.",
    r"^quantizer\.codebook$": "quantize.embedding.weight",
}

_TAMING = _BOTH | {
    r"(\.attentions\.\d+|\.middle\.1)\.out\.": r"\1.proj_out.",
    r"^encoder\.levels\.(\d+)\.resample\.": r"encoder.levels.\1.downsample.",
    r"^decoder\.levels\.(\d+)\.resample\.": r"decoder.levels.\1.upsample.",
    r"^encoder\.levels\.": "encoder.down.",
    r"^decoder\.levels\.": "decoder.up.",
    r"\.blocks\.": ".block.",
    r"\.attentions\.": ".attn.",
    r"\.shortcut\.": ".nin_shortcut.",
    r"\.middle\.0\.": ".mid.block_1.",
    r"\.middle\.1\.": ".mid.attn_1.",
    r"\.middle\.2\.": ".mid.block_2.",
}

_DIFFUSERS = _BOTH | {
    r"(\.attentions\.\d+|\.middle\.1)\.norm\.": r"\1.group_norm.",
    r"(\.attentions\.\d+|\.middle\.1)\.(q|k|v)\.": r"\1.to_\2.",
    r"(\.attentions\.\d+|\.middle\.1)\.out\.": r"\1.to_out.0.",
    r"^encoder\.levels\.(\d+)\.resample\.": r"encoder.levels.\1.downsamplers.0.",
    r"^decoder\.levels\.(\d+)\.resample\.": r"decoder.levels.\1.upsamplers.0.",
    r"^encoder\.levels\.": "encoder.down_blocks.",
    r"^decoder\.levels\.": "decoder.up_blocks.",
    r"\.blocks\.": ".resnets.",
    r"\.shortcut\.": ".conv_shortcut.",
    r"\.middle\.0\.": ".mid_block.resnets.0.",
    r"\.middle\.1\.": ".mid_block.attentions.0.",
    r"\.middle\.2\.": ".mid_block.resnets.1.",
    r"\.norm_out\.": ".conv_norm_out.",
}

_BEFORE = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def source_name(ours: str, project: Project, *, levels: int) -> str:
    """The name of one of our tensors in a project's files.

    Args:
        ours: A name from the state dict of a ``Tokenizer`` with VQ-GAN's layers, none of ``OWN``.
        project: Whose name.
        levels: How many resolutions it has.

    >>> source_name("decoder.levels.0.blocks.1.shortcut.bias", "taming", levels=5)
    'decoder.up.4.block.1.nin_shortcut.bias'
    >>> source_name("encoder.middle.1.out.weight", "diffusers", levels=5)
    'encoder.mid_block.attentions.0.to_out.0.weight'
    """
    if project == "taming":
        ours = re.sub(r"^decoder\.levels\.(\d+)", lambda found: f"decoder.levels.{levels - 1 - int(found[1])}", ours)
    for pattern, name in (_TAMING if project == "taming" else _DIFFUSERS).items():
        ours = re.sub(pattern, name, ours)
    return ours


def source_names(ours: Iterable[str], project: Project, *, levels: int) -> dict[str, str]:
    """Theirs by ours, for every tensor that they have too.

    >>> source_names(["quantizer.codebook", "quantizer.seed"], "diffusers", levels=3)
    {'quantizer.codebook': 'quantize.embedding.weight'}
    """
    return {name: source_name(name, project, levels=levels) for name in ours if name not in OWN}


def todays_name(name: str) -> str:
    """A diffusers name as today's diffusers says it: until 0.17 its attention used other words.

    >>> todays_name("decoder.mid_block.attentions.0.proj_attn.weight")
    'decoder.mid_block.attentions.0.to_out.0.weight'
    """
    return re.sub(
        r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.", lambda found: f"{found[1]}.{_BEFORE[found[2]]}.", name
    )
