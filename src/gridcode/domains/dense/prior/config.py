"""What a picture-conditioned prior is and how it is trained, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.errors import GridcodeError
from gridcode.prior.config import Head, MaskingConfig
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.training.config import LoopConfig, OptimConfig

Decoding = Literal["ar", "maskgit"]

NEAR_GREEDY: Final = SamplerConfig(steps=12, temperature=1e-7, choice_temperature=0.0)
"""The most probable tokens, as the paper predicts (T = 1e-7); a masked prior keeps the surest, without noise."""

AS_PROBABLE: Final = SamplerConfig(steps=12)
"""Each token as often as the prior says (T = 1): draws differ where a picture leaves open what its labels are."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """The shape of the vision transformer that looks at the picture; laptop size."""

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
        _check_shape("encoder", self.width, self.depth, self.heads, self.mlp)
        if self.patch < 1:
            raise GridcodeError(f"encoder patch must be at least 1, got {self.patch}")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of a picture.

        Raises:
            GridcodeError: A side is not a multiple of the patch.

        >>> ImageEncoderConfig().grid(64, 96)
        (8, 12)
        """
        P = self.patch
        if height < 1 or width < 1 or height % P or width % P:
            raise GridcodeError(
                f"the image encoder takes sides that are multiples of its patch, {P}; got {height}x{width}: set "
                "another size or model.encoder.patch"
            )
        return height // P, width // P


@dataclass(frozen=True)
class ConditionalConfig:
    """The shape of a picture-conditioned prior, autoregressive or masked; laptop size."""

    encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    """What looks at the picture."""
    head: Head = "joint"
    """Tokens as one softmax over the codebook, as in the paper, or by digits: independent ones, or a chain of them."""
    width: int = 128
    """Features per token of the decoder; a multiple of ``heads``."""
    depth: int = 2
    """Layers of the decoder."""
    heads: int = 4
    """Attention heads."""
    mlp: int = 512
    """Width of the MLP's hidden layer."""
    dropout: float = 0.1
    """Dropout on the decoder's embeddings and branches."""

    @classmethod
    def paper(cls) -> ConditionalConfig:
        """The paper's (UViM's): ViT-L/16, and a decoder of its size."""
        large = ImageEncoderConfig(patch=16, width=1024, depth=24, heads=16, mlp=4096)
        return cls(encoder=large, width=1024, depth=24, heads=16, mlp=4096)

    @classmethod
    def gpu(cls) -> ConditionalConfig:
        """For one GPU and pictures of 128 pixels."""
        encoder = ImageEncoderConfig(patch=8, width=384, depth=8, heads=6, mlp=1536)
        return cls(encoder=encoder, width=384, depth=6, heads=6, mlp=1536)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        _check_shape("decoder", self.width, self.depth, self.heads, self.mlp)
        if not 0 <= self.dropout < 1:
            raise GridcodeError(f"decoder dropout must be in [0, 1), got {self.dropout}")


@dataclass(frozen=True)
class ConditionalRun:
    """Everything but the token store that determines a run."""

    data: DenseConfig = field(default_factory=DenseConfig)
    """The pictures; task and size are the token store's."""
    prior: Decoding = "ar"
    """One token after another (ar), as in the paper, or masked ones in a dozen steps (maskgit)."""
    model: ConditionalConfig = field(default_factory=ConditionalConfig)
    """The shape of encoder and decoder."""
    vit_weights: str | None = None
    """A .safetensors file of a vision transformer, with timm's names, that the encoder starts from."""
    encoder_lr: float = 1.0
    """Learning rate of the encoder, as a share of the decoder's; 0.1 for one that starts from trained weights."""
    min_masked: float = 0.45
    """Smallest share of masked tokens in an example; only for maskgit."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over the vocabulary."""
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=1e-3, weight_decay=1e-3, warmup=100))
    """The optimiser."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, precision, and how often things happen."""

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        for name in ("min_masked", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise GridcodeError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not self.encoder_lr >= 0:
            raise GridcodeError(f"encoder_lr must be >= 0, got {self.encoder_lr}; 0 leaves the encoder as it is")

    @property
    def masking(self) -> MaskingConfig:
        """The task of training; the picture is never hidden."""
        return MaskingConfig(self.min_masked, label_dropout=0.0, label_smoothing=self.label_smoothing)

    @property
    def channels(self) -> int:
        """Channels of the picture that the encoder sees: 1 for colour, whose input is grey, else 3."""
        return 1 if self.data.task == "colour" else 3


def _check_shape(what: str, width: int, depth: int, heads: int, mlp: int) -> None:
    if min(width, depth, heads, mlp) < 1 or width % heads:
        raise GridcodeError(
            f"{what}: width, depth, heads and mlp must be positive and width a multiple of heads, got {width}, "
            f"{depth}, {heads} and {mlp}"
        )
