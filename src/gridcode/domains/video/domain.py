"""Clips as a kind of data: how they are read, tokenized, measured and shown.

clips (B, 3, T, H, W) in [-1, 1] --Encoder--> latents (B, d, t, h, w);   codes (B, d, t, h, w) --Decoder--> clips
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, final

import torch
from torch import Tensor, nn

from gridcode.domains.video.config import (
    VideoConfig,
    VideoTokenizerConfig,
    VideoTokenizerRun,
)
from gridcode.domains.video.data.loader import VideoBatch, eval_batches, train_batches
from gridcode.domains.video.data.moving import FPS
from gridcode.domains.video.data.source import ClipSource, frame_rate, open_clips
from gridcode.domains.video.loss import VideoObjective
from gridcode.domains.video.measure import measure_reconstructions
from gridcode.domains.video.networks import Block, Decoder, Encoder
from gridcode.domains.video.show import save_sheet
from gridcode.errors import GridcodeError
from gridcode.tokenizer.domain import Measurement, Outline, Sources
from gridcode.tokenizer.labelled import LabelledDomain, recorded_data
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.range import seen_range, within_range
from gridcode.training.run import RunOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SHOWN = 4
"""Clips of the images that training leaves, at most."""


@final
@dataclass(eq=False)
class VideoDomain(LabelledDomain):
    """Colour clips of any size and number of frames that the tokenizer's factors fit.

    Attributes:
        fps: Frames per second at which they are shown.
    """

    name: ClassVar[str] = "video"
    fps: float = FPS

    open = staticmethod(open_clips)
    train_batches = staticmethod(train_batches)
    eval_batches = staticmethod(eval_batches)
    architecture = VideoTokenizerConfig.from_json

    @classmethod
    def of(cls, data: VideoConfig, source: ClipSource) -> Self:
        """The rate is that of the first video, where the settings do not say it."""
        return cls(frame_rate(data, source))

    @classmethod
    def of_settings(cls, data: VideoConfig) -> Self:
        """See :class:`Domain`."""
        return cls((data.fps or FPS) / data.stride)

    def shape(self, data: VideoConfig) -> tuple[int, int, int]:
        """Frames, height and width."""
        return data.frames, data.size, data.size

    def make_networks(self, config: VideoTokenizerConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        """See :mod:`gridcode.domains.video.networks`."""
        return Encoder(config, latents), Decoder(config, latents)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The blocks."""
        assert isinstance(network, Encoder | Decoder)
        return [layer for layer in network if isinstance(layer, Block)]

    def encoder_inputs(self, config: VideoTokenizerConfig, examples: Tensor, context: Tensor | None) -> tuple[Tensor]:
        """The clips, (B, 3, T, H, W).

        Raises:
            GridcodeError: They have another rank, or sides that the tokenizer's factors do not fit, or there is a
                context.
        """
        if context is not None:
            raise GridcodeError("a tokenizer of clips sees clips alone; give no context")
        if examples.ndim != 5 or examples.shape[1] != 3:
            raise GridcodeError(f"the tokenizer takes clips (B, 3, T, H, W), got shape {tuple(examples.shape)}")
        config.grid(*examples.shape[2:])
        return (examples,)

    def check_range(
        self, config: VideoTokenizerConfig, examples: Tensor, context: Tensor | None, *, check_values: bool
    ) -> None:
        """Refuse integers, and values outside [-1, 1]."""
        if not examples.is_floating_point():
            raise GridcodeError(f"clips must be floats in [-1, 1], got {examples.dtype}; give clips / 127.5 - 1")
        if check_values and (seen := seen_range(examples)) is not None and not within_range(*seen):
            raise GridcodeError(
                f"clips must be in [-1, 1], got {seen[0]:.4g} to {seen[1]:.4g}; scale them, and mend NaN"
            )

    def decoded(self, config: VideoTokenizerConfig, outputs: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) in [-1, 1], float32."""
        return outputs.float().clamp(-1, 1)

    def bits(self, tokenizer: Tokenizer, *shape: int) -> float:
        """Bits of the tokens of a clip of frames, height and width, each of log2 K."""
        return prod(tokenizer.token_grid(*shape)) * log2(tokenizer.codebook_size)

    def outline(self, tokenizer: Tokenizer, run: VideoTokenizerRun, *, bytes_per_value: int) -> Outline:
        """See :class:`Domain`; with the bits of a clip."""
        plain = super().outline(tokenizer, run, bytes_per_value=bytes_per_value)
        shape = self.shape(run.data)
        clip = f"{shape[0]} frames of {shape[1]}x{shape[2]} in {self.bits(tokenizer, *shape):,.0f} bits"
        return replace(plain, facts={"clip": clip})

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """See :class:`Domain`."""
        config, data = tokenizer.config, tokenizer.info.get("data", {})
        f, time = config.downsampling, config.time_factor
        sides = "".join(f", {count}" for count in tokenizer.quantizer.index_shape)
        return {
            "networks": "causal convolutions within frames and over them",
            "clips": f"colour, {self.fps:g} frames per second",
            "downsampling": f"{f} pixels per side; 1 + T frames have 1 + T/{time} places",
            "data": f"{tokenizer.info.get('dataset', 'unknown')}, {data.get('frames', '?')} frames of "
            f"{data.get('size', '?')} pixels per side",
            "example": f"indices = tokenizer.encode(clips)   # (B, 3, 1 + T, H, W) in [-1, 1] -> (B, 1 + T/{time}, "
            f"H/{f}, W/{f}{sides})\nclips = tokenizer.decode(indices)",
        }

    def encode_inputs(self, batch: VideoBatch) -> tuple[Tensor]:
        """The clips."""
        return (batch.clips,)

    def mirrored(self, batch: VideoBatch) -> tuple[Tensor]:
        """See :class:`Domain`."""
        return (batch.clips.flip(4),)

    def make_objective(
        self, run: VideoTokenizerRun, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> VideoObjective:
        """See :class:`gridcode.domains.video.loss.VideoObjective`."""
        return VideoObjective(run.loss)

    def measure(self, tokenizer: Tokenizer, batches: Iterable[VideoBatch]) -> Measurement:
        """``psnr``, ``difference_error``, ``usage``, ``perplexity``."""
        found = measure_reconstructions(tokenizer, batches)
        scores = {"psnr": found.psnr, "difference_error": found.difference_error}
        return Measurement.of(scores, found.usage, score=found.psnr)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: VideoBatch) -> None:
        """Film strips, that of each reconstruction below its clip's."""
        clips = batch.clips[:SHOWN]
        with torch.inference_mode():
            save_sheet(path, clips, tokenizer.decode(tokenizer.encode(clips.to(tokenizer.device))))


def data_of(tokenizer: Tokenizer) -> VideoConfig:
    """The :class:`VideoConfig` in the tokenizer's own record.

    Raises:
        GridcodeError: It has none, or one that this version cannot read.
    """
    return recorded_data(tokenizer.info, VideoConfig, nouns="clips")


DOMAIN = VideoDomain
