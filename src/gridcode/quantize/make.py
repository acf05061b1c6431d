"""From a quantizer's settings to the quantizer."""

from __future__ import annotations

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
    match config:
        case FSQConfig():
            from gridcode.quantize.fsq.quantizer import FSQ

            return FSQ(config.levels, form=config.form, eps=config.eps, channel_dim=channel_dim)
        case ResidualFSQConfig():
            from gridcode.quantize.fsq.residual import ResidualFSQ

            return ResidualFSQ(
                config.levels, stages=config.stages, stage_dropout=config.stage_dropout, channel_dim=channel_dim
            )
        case GroupedFSQConfig():
            from gridcode.quantize.fsq.grouped import GroupedFSQ

            return GroupedFSQ(
                config.levels, groups=config.groups, form=config.form, eps=config.eps, channel_dim=channel_dim
            )
        case LFQConfig():
            from gridcode.quantize.binary.lfq import LFQ

            return LFQ(
                config.bits,
                entropy=config.entropy,
                diversity=config.diversity,
                commitment=config.commitment,
                temperature=config.temperature,
                group=config.group,
                channel_dim=channel_dim,
            )
        case BSQConfig():
            from gridcode.quantize.binary.bsq import BSQ

            return BSQ(
                config.bits,
                entropy=config.entropy,
                diversity=config.diversity,
                commitment=config.commitment,
                temperature=config.temperature,
                group=config.group,
                channel_dim=channel_dim,
            )
        case VQConfig():
            from gridcode.quantize.vq import VQ

            if config.preset in ("uvim", "uvim_unsplit"):
                splits = config.preset == "uvim"
                return VQ.uvim(config.size, config.channels, splitting=splits, channel_dim=channel_dim)
            preset = {"maskgit": VQ.maskgit, "plain": VQ.plain}[config.preset]
            return preset(config.size, config.channels, channel_dim=channel_dim)
        case _:
            assert_never(config)


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
