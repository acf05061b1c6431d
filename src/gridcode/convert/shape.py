"""The shape of a VQ-GAN: from diffusers' config.json, or from the names and shapes of taming's tensors.

taming-transformers keeps its settings in a YAML file beside the checkpoint, often lost; but every setting that shapes
a layer can be seen in the layers themselves, so that file is not needed. What cannot be seen there is the same in all
its models: 32 groups, SiLU, one attention head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gridcode.convert.source import Source
from gridcode.domains.image.vqgan_config import GROUPS, VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import VQConfig

_DOWN = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
_UP = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")
_GIVEN: dict[str, tuple[object, ...]] = {
    "act_fn": ("silu", "swish"),
    "norm_type": ("group",),
    "norm_num_groups": (GROUPS,),
}
"""Settings of diffusers' of which only these values have layers here; absent, they have the first."""


def shape_of(source: Source, *, unit_range: bool = False) -> VQGANConfig:
    """The tokenizer config of another project's model.

    Args:
        source: The model.
        unit_range: It was trained on pixels in [0, 1].

    Raises:
        GridcodeError: It has layers that gridcode has not, or is no VQ-GAN.
    """
    try:
        if source.project == "diffusers":
            return _by_config(source.config, unit_range=unit_range)
        return _by_tensors(source.tensors, unit_range=unit_range)
    except GridcodeError as error:
        raise GridcodeError(f"{source.path}: {error}") from None


def _by_config(config: Mapping[str, Any], *, unit_range: bool) -> VQGANConfig:
    for name, known in _GIVEN.items():
        if config.get(name, known[0]) not in known:
            raise GridcodeError(f"its config.json says {name} {config[name]!r}; only {known[0]!r} can be converted")
    try:
        widths = tuple(int(width) for width in config["block_out_channels"])
        down, up = (tuple(str(kind) for kind in config[f"{way}_block_types"]) for way in ("down", "up"))
        channels, blocks, latents, size = (
            int(config[name]) for name in ("in_channels", "layers_per_block", "latent_channels", "num_vq_embeddings")
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GridcodeError(f"its config.json is not a VQModel's ({error}); save the model again") from None
    if config.get("out_channels", channels) != channels:
        raise GridcodeError(
            f"it makes {config['out_channels']} channels of {channels}; only equal ones can be converted"
        )
    for kinds, known in ((down, _DOWN), (up, _UP)):
        if len(kinds) != len(widths) or not {*kinds} <= {*known}:
            raise GridcodeError(
                f"its config.json lists {', '.join(kinds)} for {len(widths)} levels; only "
                f"{' and '.join(known)} can be converted"
            )
    return VQGANConfig(
        quantizer=VQConfig(preset="plain", size=size, channels=config.get("vq_embed_dim") or latents),
        channels=channels,
        widths=widths,
        encoder_blocks=blocks,
        decoder_blocks=blocks + 1,
        encoder_attention=tuple(level for level, kind in enumerate(down) if kind == _DOWN[1]),
        decoder_attention=tuple(level for level, kind in enumerate(reversed(up)) if kind == _UP[1]),
        middle_attention=bool(config.get("mid_block_add_attention", True)),
        latents=latents,
        unit_range=unit_range,
    )


def _by_tensors(tensors: Mapping[str, Tensor], *, unit_range: bool) -> VQGANConfig:
    if "quantize.embed.weight" in tensors:
        raise GridcodeError(
            "it quantizes by Gumbel softmax, which gridcode has not; convert a model with a nearest-neighbour codebook"
        )

    def size(name: str, dimension: int) -> int:
        if name not in tensors or tensors[name].ndim <= dimension:
            raise GridcodeError(
                f"there is no {name} of a VQGAN's shape among its {len(tensors)} tensors (the first: {min(tensors)}); "
                "give the state dict of a taming VQGAN"
            )
        return int(tensors[name].shape[dimension])

    def count(pattern: str) -> int:
        return 1 + max((int(found[1]) for name in tensors if (found := re.match(pattern, name))), default=-1)

    def attended(part: str) -> tuple[int, ...]:
        return tuple(
            sorted({int(found[1]) for name in tensors if (found := re.match(rf"{part}\.(\d+)\.attn\.", name))})
        )

    levels = count(r"encoder\.down\.(\d+)\.")
    return VQGANConfig(
        quantizer=VQConfig(
            preset="plain",
            size=size("quantize.embedding.weight", 0),
            channels=size("quantize.embedding.weight", 1),
        ),
        channels=size("encoder.conv_in.weight", 1),
        widths=tuple(size(f"encoder.down.{level}.block.0.conv2.weight", 0) for level in range(levels)),
        encoder_blocks=count(r"encoder\.down\.0\.block\.(\d+)\."),
        decoder_blocks=count(r"decoder\.up\.0\.block\.(\d+)\."),
        encoder_attention=attended(r"encoder\.down"),
        decoder_attention=attended(r"decoder\.up"),
        middle_attention=any(name.startswith("encoder.mid.attn_1.") for name in tensors),
        latents=size("encoder.conv_out.weight", 0),
        unit_range=unit_range,
    )
