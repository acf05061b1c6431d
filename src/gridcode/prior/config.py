"""What a prior's tokens are, what a prior is and how it is trained, as frozen values. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import prod
from typing import Any, Literal

from gridcode.errors import GridcodeError
from gridcode.training.config import LoopConfig, OptimConfig

Style = Literal["maskgit", "modern"]
Head = Literal["joint", "independent", "chain"]
Decoding = Literal["ar", "maskgit"]


@dataclass(frozen=True)
class TokenSpace:
    """What the tokens of a prior are; copied from the token store it learned from.

    Attributes:
        codebook_size: Different tokens, K.
        grid: Shape of one example's tokens: (h, w), or (h, w, q) where each place has q of them; (t, h, w) with 3 axes.
        classes: Names of the classes; empty for data without labels.
        tokenizer: The hash of the tokenizer that made the tokens.
        data: The store's record of its data.
        levels: [L_1 … L_d] of product K, what the digits of a token can be; empty for a codebook that has none.
        axes: Sides of the grid that are places, 2 or 3.

    >>> TokenSpace(40, (4, 4), classes=("cat", "dog"), tokenizer="", data={}, levels=(8, 5)).length
    16
    """

    codebook_size: int
    grid: tuple[int, ...]
    classes: tuple[str, ...]
    tokenizer: str
    data: dict[str, Any]
    levels: tuple[int, ...] = ()
    axes: int = 2

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TokenSpace:
        """The space that ``dataclasses.asdict`` and JSON made these values of.

        Raises:
            KeyError: A field is missing.
            TypeError: There is one too many, or it is of another type.

        >>> space = TokenSpace(40, (4, 4), ("cat",), tokenizer="", data={}, levels=(8, 5))
        >>> TokenSpace.from_json({**vars(space), "grid": [4, 4], "classes": ["cat"], "levels": [8, 5]}) == space
        True
        """
        tuples = {name: tuple(values[name]) for name in ("grid", "classes", "levels")}
        numbers = (values["codebook_size"], *tuples["grid"], *tuples["levels"])
        if not all(isinstance(number, int) for number in numbers):
            raise TypeError(f"{numbers} are no whole numbers")
        if (axes := values.get("axes", cls.axes)) != cls.axes and (axes != 3 or len(tuples["grid"]) < 3):
            raise TypeError(f"a grid {tuples['grid']} has not {axes} axes")
        return cls(**{**values, **tuples})

    @property
    def length(self) -> int:
        """Tokens per example, N."""
        return prod(self.grid)


@dataclass(frozen=True)
class TransformerConfig:
    """The size of a prior's transformer, and its head; the defaults are laptop size."""

    head: Head = "joint"
    """Tokens as one softmax over the codebook, as in the paper, or by digits: independent ones, or a chain of them."""
    width: int = 256
    """Features per token."""
    depth: int = 6
    """Layers."""
    heads: int = 4
    """Attention heads; they divide the width, with rotary positions into parts that are multiples of 4."""
    mlp: int = 1024
    """Width of the MLP's hidden layer; a SwiGLU has as many weights as a two-layer MLP of this width."""
    dropout: float = 0.1
    """Dropout on embeddings, attention and branches."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        _check_sizes("prior", self.width, self.depth, self.heads, self.mlp)
        if not 0 <= self.dropout < 1:
            raise GridcodeError(f"prior dropout must be in [0, 1), got {self.dropout}")


@dataclass(frozen=True)
class MaskGITConfig(TransformerConfig):
    """The shape of MaskGIT's transformer; the defaults are laptop size; :meth:`maskgit` is the paper's."""

    style: Style = "modern"
    """Layers: today's (pre-norm, rotary positions, SwiGLU, QK-norm), better at equal size, or BERT's, the paper's."""

    @classmethod
    def maskgit(cls) -> MaskGITConfig:
        """The paper's: 172.46M parameters with 1024 codes, 256 tokens and 1000 classes.

        >>> MaskGITConfig.maskgit().style
        'maskgit'
        """
        return cls(style="maskgit", width=768, depth=24, heads=16, mlp=3072, dropout=0.1)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        super().__post_init__()
        if self.style == "modern":
            _check_rotary(self)


@dataclass(frozen=True)
class AutoregressiveConfig(TransformerConfig):
    """The shape of the autoregressive prior's transformer, of the modern style; laptop size."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        super().__post_init__()
        _check_rotary(self)


@dataclass(frozen=True)
class FeatureEncoderConfig:
    """The shape of the vision transformer that gives another example's features; laptop size."""

    patch: int = 8
    """Pixels per patch, a side."""
    width: int = 128
    """Features per patch; a multiple of ``heads``."""
    depth: int = 2
    """Layers."""
    heads: int = 4
    """Attention heads."""
    mlp: int = 512
    """Width of the MLP's hidden layer."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        _check_sizes("encoder", self.width, self.depth, self.heads, self.mlp)
        if self.patch < 1:
            raise GridcodeError(f"encoder patch must be at least 1, got {self.patch}")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of an example.

        Raises:
            GridcodeError: A side is not a multiple of the patch.

        >>> FeatureEncoderConfig().grid(64, 96)
        (8, 12)
        """
        P = self.patch
        if height < 1 or width < 1 or height % P or width % P:
            raise GridcodeError(
                f"the encoder takes sides that are multiples of its patch, {P}; got {height}x{width}: set "
                "another size or model.encoder.patch"
            )
        return height // P, width // P


@dataclass(frozen=True)
class CrossAttentionConfig(TransformerConfig):
    """A prior, autoregressive or masked, that attends to another example's features; laptop size."""

    width: int = 128
    """Features per token."""
    depth: int = 2
    """Layers."""
    mlp: int = 512
    """Width of the MLP's hidden layer."""
    encoder: FeatureEncoderConfig = field(default_factory=FeatureEncoderConfig)
    """Where the other example's features come from."""

    @classmethod
    def paper(cls) -> CrossAttentionConfig:
        """The paper's (UViM's): ViT-L/16, and a decoder of its size."""
        large = FeatureEncoderConfig(patch=16, width=1024, depth=24, heads=16, mlp=4096)
        return cls(encoder=large, width=1024, depth=24, heads=16, mlp=4096)

    @classmethod
    def gpu(cls) -> CrossAttentionConfig:
        """For one GPU and examples of 128 pixels per side."""
        encoder = FeatureEncoderConfig(patch=8, width=384, depth=8, heads=6, mlp=1536)
        return cls(encoder=encoder, width=384, depth=6, heads=6, mlp=1536)


PriorConfig = MaskGITConfig | AutoregressiveConfig | CrossAttentionConfig
"""What a prior can be."""


@dataclass(frozen=True)
class MaskingConfig:
    """The task of Stage II."""

    min_masked: float = 0.45
    """Smallest share of masked tokens in an example; without a floor the loss is unstable (paper, A.4.2). An
    autoregressive prior hides none."""
    label_dropout: float = 0.1
    """Share of examples whose class is hidden, for classifier-free guidance (paper, 4.3)."""
    label_smoothing: float = 0.1
    """Share of the target spread evenly over the vocabulary; autoregressive priors usually take 0."""

    def __post_init__(self) -> None:
        """Refuse shares outside [0, 1)."""
        for name in ("min_masked", "label_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise GridcodeError(f"masking.{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class PriorRun:
    """Everything but the token store that determines a Stage II run."""

    model: MaskGITConfig | AutoregressiveConfig = field(default_factory=MaskGITConfig)
    """The prior: a masked transformer, or an autoregressive one."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """The task it is trained on."""
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=1e-3, betas=(0.9, 0.96), weight_decay=0.045, warmup=200)
    )
    """The optimiser; betas and weight decay are MaskGIT's."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, precision, and how often things happen."""


def autoregressive(run: PriorRun) -> PriorRun:
    """The same run with an autoregressive prior of the same shape, trained by plain cross-entropy.

    >>> autoregressive(PriorRun(model=MaskGITConfig(width=64, depth=2))).model
    AutoregressiveConfig(head='joint', width=64, depth=2, heads=4, mlp=1024, dropout=0.1)
    """
    shape = {one.name: getattr(run.model, one.name) for one in fields(AutoregressiveConfig)}
    masking = replace(run.masking, label_smoothing=0.0)
    return replace(run, model=AutoregressiveConfig(**shape), masking=masking)


def masked(run: PriorRun) -> PriorRun:
    """The same run with a masked prior of the same shape, and its usual label smoothing.

    >>> masked(PriorRun(model=AutoregressiveConfig(width=64, depth=2))).model.style
    'modern'
    """
    shape = {one.name: getattr(run.model, one.name) for one in fields(AutoregressiveConfig)}
    masking = replace(run.masking, label_smoothing=MaskingConfig().label_smoothing)
    return replace(run, model=MaskGITConfig(**shape), masking=masking)


def laptop_prior(loop: LoopConfig) -> PriorRun:
    """A masked prior of short rows of tokens that a laptop trains: width 128, four layers.

    >>> laptop_prior(LoopConfig(steps=2000)).model.width
    128
    """
    return PriorRun(
        model=MaskGITConfig(width=128, depth=4, heads=4, mlp=512, dropout=0.1),
        masking=MaskingConfig(min_masked=0.0),
        optim=OptimConfig(lr=1e-3, betas=(0.9, 0.96), weight_decay=0.045, warmup=200),
        loop=loop,
    )


def smoke_prior(run: PriorRun, loop: LoopConfig) -> PriorRun:
    """The same run with a tiny masked prior: every part runs, nothing is learned."""
    return replace(run, model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32), loop=loop)


def _check_sizes(what: str, width: int, depth: int, heads: int, mlp: int) -> None:
    """Refuse sizes below 1, and widths that the heads do not divide."""
    if min(width, depth, heads, mlp) < 1 or width % heads:
        raise GridcodeError(
            f"{what} sizes must be positive and the width a multiple of heads, got width={width}, depth={depth}, "
            f"heads={heads} and mlp={mlp}"
        )


def _check_rotary(config: TransformerConfig) -> None:
    """Refuse heads of a width that rotary positions do not divide."""
    if config.width // config.heads % 4:
        raise GridcodeError(
            f"rotary positions turn 4 features together: give heads of a width that is a multiple of 4, not "
            f"{config.width} / {config.heads} = {config.width // config.heads}"
        )
