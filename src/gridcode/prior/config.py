"""What a prior is and how it is trained, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from gridcode.errors import GridcodeError
from gridcode.training.config import LoopConfig, OptimConfig

Style = Literal["maskgit", "modern"]
Head = Literal["joint", "independent", "chain"]


@dataclass(frozen=True)
class MaskGITConfig:
    """The shape of MaskGIT's transformer; the defaults are laptop size; :meth:`maskgit` is the paper's."""

    style: Style = "modern"
    """Layers: today's (pre-norm, rotary positions, SwiGLU, QK-norm), better at equal size, or BERT's, the paper's."""
    head: Head = "joint"
    """Tokens as one softmax over the codebook, as in the paper, or by digits: independent ones, or a chain of them."""
    width: int = 256
    """Features per token."""
    depth: int = 6
    """Layers."""
    heads: int = 4
    """Attention heads; they divide the width."""
    mlp: int = 1024
    """Width of the MLP's hidden layer."""
    dropout: float = 0.1
    """Dropout on embeddings, attention and branches."""

    @classmethod
    def maskgit(cls) -> MaskGITConfig:
        """The paper's: 172.46M parameters with 1024 codes, 256 tokens and 1000 classes.

        >>> MaskGITConfig.maskgit().style
        'maskgit'
        """
        return cls(style="maskgit", width=768, depth=24, heads=16, mlp=3072, dropout=0.1)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        _check_shape(self, rotary=self.style == "modern")


@dataclass(frozen=True)
class AutoregressiveConfig:
    """The shape of the autoregressive prior's transformer, of the modern style; laptop size."""

    head: Head = "joint"
    """Tokens as one softmax over the codebook, or by digits: independent ones, or a chain of them."""
    width: int = 256
    """Features per token."""
    depth: int = 6
    """Layers."""
    heads: int = 4
    """Attention heads; they divide the width, into parts that are multiples of 4."""
    mlp: int = 1024
    """Width of the two-layer MLP whose number of weights each layer's SwiGLU has."""
    dropout: float = 0.1
    """Dropout on embeddings, attention and branches."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        _check_shape(self, rotary=True)


PriorConfig = MaskGITConfig | AutoregressiveConfig
"""What a prior can be."""


@dataclass(frozen=True)
class MaskingConfig:
    """What Stage II's loss asks for."""

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

    model: PriorConfig = field(default_factory=MaskGITConfig)
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


def _check_shape(config: PriorConfig, *, rotary: bool) -> None:
    """Refuse widths that heads or rotary positions do not divide."""
    width, heads = config.width, config.heads
    if min(width, config.depth, heads, config.mlp) < 1 or width % heads:
        raise GridcodeError(f"prior width must be a positive multiple of heads, got {width} and {heads}")
    if rotary and width // heads % 4:
        raise GridcodeError(
            f"rotary positions turn 4 features together: give heads of a width that is a multiple of 4, not "
            f"{width} / {heads} = {width // heads}"
        )
    if not 0 <= config.dropout < 1:
        raise GridcodeError(f"prior dropout must be in [0, 1), got {config.dropout}")
