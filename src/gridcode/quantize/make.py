"""From a quantizer's settings to the quantizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, assert_never

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantizer
from gridcode.quantize.config import (
    BSQConfig,
    FSQConfig,
    GroupedFSQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualFSQConfig,
    VQConfig,
)


def make_quantizer(config: QuantizerConfig, *, channel_dim: int = -1) -> Quantizer:
    """Build the quantizer of a config; what a kind needs is imported only for it.

    Args:
        config: Its kind and settings.
        channel_dim: The dimension of the latents that holds the d channels; 1 for images (B, d, h, w).

    Raises:
        GridcodeError: The settings make no valid quantizer.

    >>> make_quantizer(FSQConfig(levels=(8, 6, 5))).codebook_size
    240
    """
    from gridcode.quantize.binary.bsq import BSQ
    from gridcode.quantize.binary.lfq import LFQ
    from gridcode.quantize.fsq.grouped import GroupedFSQ
    from gridcode.quantize.fsq.quantizer import FSQ
    from gridcode.quantize.fsq.residual import ResidualFSQ
    from gridcode.quantize.vq import VQ

    if isinstance(config, VQConfig):
        sizes: dict[str, Any] = {"size": config.size, "channels": config.channels, "channel_dim": channel_dim}
        match config.preset:
            case "uvim" | "uvim_unsplit":
                return VQ.uvim(splitting=config.preset == "uvim", **sizes)
            case "maskgit":
                return VQ.maskgit(**sizes)
            case "plain":
                return VQ.plain(**sizes)
            case _:
                assert_never(config.preset)
    kinds: dict[type, Callable[..., Quantizer]] = {
        FSQConfig: FSQ,
        ResidualFSQConfig: ResidualFSQ,
        GroupedFSQConfig: GroupedFSQ,
        LFQConfig: LFQ,
        BSQConfig: BSQ,
    }
    settings = {each.name: getattr(config, each.name) for each in fields(config) if each.init}
    return kinds[type(config)](**settings, channel_dim=channel_dim)


def check_spec(quantizer: Quantizer, recorded: Any, *, where: Path) -> None:
    """Refuse a saved model whose quantizer this version would build otherwise: its indices would mean other codes.

    Args:
        quantizer: As it was built.
        recorded: The spec that was saved with the model.
        where: The file that says so.

    Raises:
        GridcodeError: They differ.
    """
    if recorded != quantizer.spec():
        raise GridcodeError(
            f"{where} names the quantizer {recorded}, this gridcode makes {quantizer.spec()}; load it with the version "
            "that saved it"
        )
