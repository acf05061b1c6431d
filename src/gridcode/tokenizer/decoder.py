"""Codes to picture: the encoder's mirror, convolutions at rising resolution.

codes -> 3x3 conv -> 2 blocks -> [blocks, double] x (stages - 1) -> blocks
      -> norm, SiLU, 3x3 conv -> shuffle(patch) -> image
"""

from __future__ import annotations

from torch import Tensor, nn

from gridcode.nn.conv import Conv2d, MaskGITBlock, Norm, ResidualBlock, Upsample
from gridcode.tokenizer.config import TokenizerConfig


class Decoder(nn.Sequential):
    """Codes (B, d, h, w) -> (B, C, h * downsampling, w * downsampling), in [-1, 1] once trained.

    Args:
        config: The tokenizer's shape.
        latents: Channels of the codes, d.
    """

    def __init__(self, config: TokenizerConfig, latents: int) -> None:
        widths = config.widths[::-1]
        before = widths[0]
        block = MaskGITBlock if config.style == "maskgit" else ResidualBlock
        stages: list[nn.Module] = [Conv2d(latents, before, 3, padding=1)]
        stages += [block(before, before), block(before, before)]
        for stage, width in enumerate(widths):
            for _ in range(config.decoder_blocks):
                stages.append(block(before, width))
                before = width
            if stage < len(widths) - 1:
                stages.append(Upsample(width))
        stages += [
            Norm(before),
            nn.SiLU(),
            Conv2d(before, config.channels * config.patch**2, 3, padding=1),
            nn.PixelShuffle(config.patch) if config.patch > 1 else nn.Identity(),
        ]
        super().__init__(*stages)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, h, w) -> (B, C, H, W)."""
        out: Tensor = super().forward(codes)  # type: ignore[no-untyped-call]
        return out
