"""How far reconstructions are from clips: frame by frame, and in what changes from a frame to the next.

    PSNR              of each frame, the mean over frames and clips
    difference error  root mean square over a clip of (y_{k+1} - y_k) - (x_{k+1} - x_k), in grey levels of 255

A reconstruction that flickers, or stands still where the clip moves, has a large difference error at any PSNR. One that
stands still has exactly that of the clip's own differences, which is given beside it as *motion*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.domains.video.data.loader import VideoBatch
from gridcode.metrics.image import psnr
from gridcode.tokenizer.labelled import there_and_back
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter


@dataclass(frozen=True)
class VideoScores:
    """The mean figures over clips.

    Attributes:
        psnr: Decibels, of a frame.
        psnr_of_frame: The same of frame 0, 1, …, (T,).
        difference_error: In grey levels of 255; 0 for clips of one frame.
        motion: The same of a reconstruction that stands still.
        usage: Of the codes.
    """

    psnr: float
    psnr_of_frame: tuple[float, ...]
    difference_error: float
    motion: float
    usage: TokenUsage


def frame_psnr(clips: Tensor, others: Tensor) -> Tensor:
    """PSNR of each frame of clips (B, 3, T, H, W) and others, decibels (B, T)."""
    frames = (part.transpose(1, 2).flatten(0, 1) for part in (clips, others))
    return psnr(*frames).view(len(clips), -1)


def difference_error(clips: Tensor, others: Tensor) -> Tensor:
    """Root mean square error of the differences of frames that follow each other, grey levels of 255, (B,).

    Args:
        clips: (B, 3, T, H, W) in [-1, 1]; with T = 1 the error is 0.
        others: Of the same shape.

    >>> still, moving = torch.zeros(1, 3, 2, 4, 4), torch.tensor([0.0, 0.2]).view(1, 1, 2, 1, 1).expand(1, 3, 2, 4, 4)
    >>> difference_error(moving, still).item()
    25.5
    """
    if clips.shape[2] < 2:
        return clips.new_zeros(len(clips))
    error = others.diff(dim=2) - clips.diff(dim=2)
    return 127.5 * error.square().mean((1, 2, 3, 4)).sqrt()


class VideoMeter:
    """Adds up batches of clips and their reconstructions.

    Args:
        tokenizer: Whose codes are counted.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._codes = TokenUsageMeter(tokenizer.quantizer)
        self._frames, self._changes = list[Tensor](), list[Tensor]()

    def update(self, clips: Tensor, reconstructions: Tensor, indices: Tensor) -> None:
        """Add clips (B, 3, T, H, W), their reconstructions and their tokens."""
        self._codes.update(indices)
        clips = clips.to(reconstructions.device)
        self._frames.append(frame_psnr(clips, reconstructions).cpu())
        still = clips[:, :, :1].expand_as(clips)
        changes = [difference_error(clips, others) for others in (reconstructions, still)]
        self._changes.append(torch.stack(changes).cpu())

    def compute(self) -> VideoScores:
        """The means so far."""
        of_frame = torch.cat(self._frames).mean(0)
        error, motion = torch.cat(self._changes, 1).mean(1).tolist()
        return VideoScores(of_frame.mean().item(), tuple(of_frame.tolist()), error, motion, self._codes.compute())


def measure_reconstructions(tokenizer: Tokenizer, batches: Iterable[VideoBatch]) -> VideoScores:
    """Send clips through a tokenizer in evaluation mode and back, and measure."""
    meter = VideoMeter(tokenizer)
    there_and_back(tokenizer, batches, meter.update)
    return meter.compute()
