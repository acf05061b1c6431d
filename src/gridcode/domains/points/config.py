"""What a tokenizer of point clouds is, what it reads and learns, how results are measured, as frozen values. No torch.

    cloud (N, 3) --attention of M queries to all points--> latents (d, 1, M) --quantizer--> (1, M) tokens
    bits per cloud = M · tokens per place · log2 |C|

A cloud's coordinates lie in the unit ball. Its points have no order, and their number N may differ from cloud to cloud:
the number of tokens does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal, get_args

from tyro.conf import arg

from gridcode.data.config import SourceSettings
from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.config import Architecture, TokenizerSettings

SOLIDS: Final = "solids"
"""The word for the built-in clouds."""
Rotation = Literal["none", "upright", "any"]


@dataclass(frozen=True)
class PointsConfig(SourceSettings):
    """Which clouds to read, how many points of each, and which of them to hold out.

    >>> PointsConfig(source="/home/me/chairs").dataset
    'chairs'
    """

    source: str = SOLIDS
    """'solids' for the built-in ones, or a folder of clouds (.npy, .npz, .ply), one such file, or Parquet files of
    depth maps (column 'depth'), whose patches are clouds."""
    points: int = 512
    """Points of a cloud. A larger one gives some of its points, in training other ones each time."""
    fewer: Literal["repeat", "refuse"] = "repeat"
    """A cloud of fewer points: some of them are drawn more than once (repeat), or it cannot be read (refuse)."""
    train_count: int = 20000
    """Solids to learn from; each time one is seen its points are new. Only for 'solids'."""
    val_count: int = 1000
    """Solids held out. Only for 'solids'."""
    rotation: Rotation = "any"
    """How solids are turned: not at all, about the vertical (upright), or anyhow. Only for 'solids'."""
    scale: tuple[float, float] = (0.45, 0.7)
    """Least and largest size of solids; at 0.72 the cube's corners leave the unit ball. Only for 'solids'."""
    normalise: bool = True
    """Whether a cloud of a file is moved and scaled: its mean to 0, its farthest point to distance 1. Solids lie in the
    unit ball as they are."""
    focal: float = 146.25
    """Focal length of depth maps, in pixels; 7-Scenes has 585 at a width of 640."""
    patch: int = 32
    """Side of the patches of depth maps, in pixels: 1,024 points at most."""
    val_source: str | None = None
    """Where the validation clouds are, if not beside or among those of 'source'."""
    val_fraction: float = 0.05
    """Share of the clouds held out for validation where the source has no split of its own, in (0, 1)."""
    seed: int = 0
    """Seed of the solids, of the points that evaluation takes, and of the choice of held-out clouds."""
    workers: int = 0
    """Processes that read clouds, at most one a core; 0 reads in the main process."""
    on_error: Literal["stop", "skip"] = "stop"
    """At a cloud that cannot be read: stop with an error, or skip it and say so."""

    def __post_init__(self) -> None:
        """Refuse what no cloud can be read with."""
        self.check_source("the path of a folder or file of clouds, or 'solids'")
        check_choices(self, "data.", fewer=("repeat", "refuse"), rotation=get_args(Rotation))
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 0.72:
            raise GridcodeError(f"data.scale must be two numbers with 0 < least <= largest <= 0.72, not {self.scale}")
        counts = ("points", "train_count", "val_count", "patch")
        check_numbers(self, "data.", counts=counts, positive=("focal",), not_negative=("seed", "workers"))


@dataclass(frozen=True)
class CloudConfig(Architecture):
    """Attention from M learned queries to the points, and from as many points as wanted to the M tokens.

    >>> CloudConfig(tokens=16).grid(512)
    (1, 16)
    """

    domain: ClassVar[str] = "points"

    quantizer: QuantizerConfig = field(default_factory=lambda: FSQConfig(levels=(8, 5, 5, 5)))
    """What turns latents into tokens."""
    tokens: int = 16
    """Tokens of a cloud, M."""
    width: int = 64
    """Features of a point and of a token inside the networks; a multiple of ``heads``."""
    heads: int = 4
    """Attention heads."""
    encoder_depth: int = 2
    """Layers in which the queries look at the points and at each other."""
    decoder_depth: int = 3
    """Layers in which the new points look at the tokens."""
    frequencies: int = 4
    """Octaves of sine and cosine by which coordinates are given to the networks."""
    charts: int = 8
    """Patches of surface that the decoder lays over a cloud: see :mod:`gridcode.domains.points.networks`."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        counts = ("tokens", "width", "heads", "encoder_depth", "decoder_depth", "charts")
        check_numbers(self, "model.", counts=counts, not_negative=("frequencies",))
        if self.width % self.heads:
            raise GridcodeError(f"model.width {self.width} must be a multiple of model.heads {self.heads}")

    @property
    def grid_names(self) -> tuple[str, ...]:
        """One row of M tokens."""
        return "1", str(self.tokens)

    def grid(self, *shape: int) -> tuple[int, ...]:
        """(1, M), of any number of points."""
        return 1, self.tokens


@dataclass(frozen=True)
class PointsLossConfig:
    """Stage I's loss: the Chamfer distance, as a weighted mean of its two directions."""

    chamfer: float = 10.0
    """Weight of the Chamfer distance: the squares of small numbers, so more than 1."""
    fidelity: float = 1.0
    """Weight of the way from new points to the cloud (none beside the surface), relative to the way back (no holes)."""

    def __post_init__(self) -> None:
        """Refuse a loss of nothing."""
        check_numbers(self, "loss.", positive=("chamfer", "fidelity"))


@dataclass(frozen=True)
class PointsTokenizerRun(TokenizerSettings):
    """Everything that determines the training of a tokenizer of clouds: equal values give equal weights."""

    data: PointsConfig = field(default_factory=PointsConfig)
    """The clouds."""
    model: CloudConfig = field(default_factory=CloudConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training clouds that pass the quantizer unrounded, each as a whole, in [0, 1]."""
    loss: PointsLossConfig = field(default_factory=PointsLossConfig)
    """The loss."""


@dataclass(frozen=True)
class PointsEvaluationConfig:
    """What ``gridcode eval`` does with clouds."""

    count: int = 500
    """Validation clouds, at most."""
    samples: int = 200
    """Clouds to generate."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 50
    """Clouds at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    distance: float = 0.05
    """A point of an F-score counts as found if one of the other cloud is nearer than this."""
    matched: int = 50
    """Clouds whose earth mover's distance is computed, at most: it takes 0.05 s per cloud of 512 points."""
    compared: int = 100
    """Generated and held-out clouds that coverage and 1-NN accuracy compare, at most, each with each."""
    compared_points: int = 256
    """Points of each of them."""
    classifier_steps: int = 400
    """Training steps of the small classifier that recognises clouds, where they have classes."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        counts = ("count", "samples", "batch_size", "matched", "compared", "compared_points", "classifier_steps")
        not_negative = ("guidance", "seed")
        check_numbers(self, "evaluation ", counts=counts, positive=("distance",), not_negative=not_negative)
