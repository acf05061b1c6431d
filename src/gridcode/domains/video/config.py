"""What a tokenizer of clips is, what it reads and learns, how results are measured, as frozen values. No torch here.

clip (3, 1 + T, H, W) --causal convolutions--> latents (d, 1 + T/2^n, H/f, W/f) --quantizer--> tokens (t, h, w)

bits per clip = t · h · w · tokens per place · log2 |C|
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, ClassVar, Final, Literal

from tyro.conf import arg

from gridcode.data.config import SourceSettings
from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.config import Architecture, TokenizerSettings

MOTION: Final = "motion"
"""The word for the built-in clips."""


@dataclass(frozen=True)
class VideoConfig(SourceSettings):
    """Which clips to read, their shape in a batch, and which of them to hold out.

    >>> VideoConfig(source="/home/me/videos").dataset
    'videos'
    """

    source: str = MOTION
    """'motion' for the built-in moving scenes, a folder of videos (GIF, animated WebP or PNG; MP4, MOV, MKV, WebM, AVI
    with the extra video), or one video."""
    frames: int = 17
    """Frames of a clip: 1, or 1 more than a multiple of the tokenizer's factor of time."""
    crop: int | None = None
    """Frames of a training clip, at a random place of those of a clip; all of them if None, or if they are fewer. More
    and shorter clips per step are more scenes at the same cost, and a causal tokenizer then takes longer clips too."""
    stride: int = 1
    """Every so many frames of a video one is taken."""
    fps: float | None = None
    """Frames per second that a video is brought to first, by leaving out frames or repeating them; its own if None.
    Moving scenes are drawn at as many; at 8 if None."""
    size: int = 32
    """Side of the square frames, in pixels: the centre of a frame is cut out."""
    fewer: Literal["repeat", "refuse"] = "repeat"
    """A video of fewer frames, as one image is: its last frame is repeated, or it cannot be read (refuse)."""
    train_count: int = 2000
    """Moving scenes to learn from. Only for 'motion'."""
    val_count: int = 200
    """Moving scenes held out. Only for 'motion'."""
    objects: int = 2
    """Most objects in a scene, 1 to 3. Only for 'motion'."""
    val_source: str | None = None
    """Where the validation videos are, if not beside or among those of 'source'."""
    val_fraction: float = 0.05
    """Share of the videos held out for validation where the source has no split of its own, in (0, 1)."""
    seed: int = 0
    """Seed of the moving scenes, and of the choice of held-out videos."""
    workers: int = 0
    """Processes that read videos, at most one a core; 0 reads in the main process."""
    on_error: Literal["stop", "skip"] = "stop"
    """At a video that cannot be read: stop with an error, or skip it and say so."""

    def __post_init__(self) -> None:
        """Refuse what no clip can be read with."""
        self.check_source("the path of a folder or file of videos, or 'motion'")
        check_choices(self, "data.", fewer=("repeat", "refuse"))
        if self.fps is not None and not 0 < self.fps < inf:
            raise GridcodeError(f"data.fps must be above 0 and finite, not {self.fps}")
        if not 1 <= self.objects <= 3:
            raise GridcodeError(f"data.objects must be 1, 2 or 3, not {self.objects}")
        if self.crop is not None and self.crop < 1:
            raise GridcodeError(f"data.crop must be at least 1, got {self.crop}")
        counts = ("frames", "stride", "size", "train_count", "val_count")
        check_numbers(self, "data.", counts=counts, not_negative=("seed", "workers"))

    @property
    def train_frames(self) -> int:
        """Frames of a training clip."""
        return min(self.crop or self.frames, self.frames)


@dataclass(frozen=True)
class VideoTokenizerConfig(Architecture):
    """Causal convolutions in two factors, within frames and over them (:mod:`gridcode.domains.video.networks`).

    >>> VideoTokenizerConfig(patch=4, widths=(64, 128), halvings=2).grid(17, 32, 32)
    (5, 4, 4)
    """

    domain: ClassVar[str] = "video"

    quantizer: QuantizerConfig = field(default_factory=lambda: FSQConfig(levels=(7, 5, 5, 5, 5)))
    """What turns latents into tokens."""
    patch: int = 4
    """Side of the square of pixels that enters as one place."""
    widths: tuple[int, ...] = (64, 128)
    """Channels of each level; from one to the next height and width are halved."""
    halvings: int = 2
    """How often time is halved, where the last levels begin: 1 + T frames have 1 + T / 2^halvings places."""
    encoder_blocks: int = 1
    """Blocks of each level of the encoder."""
    decoder_blocks: int = 1
    """Blocks of each level of the decoder."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        check_numbers(self, "model.", counts=("patch", "encoder_blocks", "decoder_blocks"), not_negative=("halvings",))
        if not self.widths or min(self.widths) < 1:
            raise GridcodeError(f"model.widths must be positive, one a level, got {self.widths}")
        if self.halvings > len(self.widths):
            raise GridcodeError(
                f"model.halvings {self.halvings} needs as many levels, and model.widths {self.widths} are "
                f"{len(self.widths)}"
            )

    @property
    def downsampling(self) -> int:
        """Pixels per side of a place, f."""
        return self.patch << (len(self.widths) - 1)

    @property
    def time_factor(self) -> int:
        """Frames that a place after the first stands for."""
        return 1 << self.halvings

    def halves_time(self, level: int) -> bool:
        """Whether time is halved where a level begins."""
        return level >= len(self.widths) - self.halvings

    @property
    def grid_names(self) -> tuple[str, ...]:
        """Time, rows, columns."""
        return "t", "h", "w"

    def grid(self, *shape: int) -> tuple[int, ...]:
        """(t, h, w) of frames, height and width.

        Raises:
            GridcodeError: There is no such grid.
        """
        frames, height, width = shape
        if frames < 1 or (frames - 1) % self.time_factor:
            raise GridcodeError(
                f"the tokenizer takes clips of one frame more than a multiple of {self.time_factor}, got {frames}; set "
                f"data.frames={1 + max(1, round((frames - 1) / self.time_factor)) * self.time_factor}"
            )
        f = self.downsampling
        if min(height, width) < f or height % f or width % f:
            raise GridcodeError(
                f"the tokenizer takes frames whose sides are multiples of {f}, got {height}x{width}; set "
                f"data.size={max(1, round(min(height, width) / f)) * f}"
            )
        return 1 + (frames - 1) // self.time_factor, height // f, width // f


@dataclass(frozen=True)
class VideoLossConfig:
    """Stage I's loss: errors of pixels, and of what changes from a frame to the next."""

    l2: float = 1.0
    """Weight of the mean squared error of pixels, in [-1, 1]."""
    difference: float = 0.0
    """Weight of the mean squared error of the differences of frames that follow each other."""

    def __post_init__(self) -> None:
        """Refuse a loss of nothing."""
        check_numbers(self, "loss.", positive=("l2",), not_negative=("difference",))


@dataclass(frozen=True)
class VideoTokenizerRun(TokenizerSettings):
    """Everything that determines the training of a tokenizer of clips: equal values give equal weights."""

    data: VideoConfig = field(default_factory=VideoConfig)
    """The clips."""
    model: VideoTokenizerConfig = field(default_factory=VideoTokenizerConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training clips that pass the quantizer unrounded, each as a whole, in [0, 1]."""
    loss: VideoLossConfig = field(default_factory=VideoLossConfig)
    """The loss."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        data, factor = self.data, self.model.time_factor
        self.model.grid(data.frames, data.size, data.size)
        if (data.train_frames - 1) % factor:
            raise GridcodeError(f"data.crop must be one frame more than a multiple of {factor}, got {data.crop}")
        super().__post_init__()


@dataclass(frozen=True)
class VideoEvaluationConfig:
    """What ``gridcode eval`` does with clips."""

    count: int = 200
    """Validation clips, at most."""
    samples: int = 80
    """Clips to generate."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 20
    """Clips at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    given: int = 5
    """First frames of validation clips that are given, where the rest is predicted."""
    continued: int = 40
    """Validation clips that are continued, at most."""
    classifier_steps: int = 300
    """Training steps of the small classifier that recognises clips, where they have classes."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        counts = ("count", "samples", "batch_size", "given", "continued", "classifier_steps")
        check_numbers(self, "evaluation ", counts=counts, not_negative=("guidance", "seed"))
