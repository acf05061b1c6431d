"""How a prior of dense prediction is trained, as a frozen value. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.errors import GridcodeError
from gridcode.prior.config import CrossAttentionConfig, Decoding, MaskingConfig
from gridcode.training.config import LoopConfig, OptimConfig


@dataclass(frozen=True)
class DensePriorRun:
    """Everything but the token store that determines a run."""

    data: DenseConfig = field(default_factory=DenseConfig)
    """The images; task and size are the token store's."""
    prior: Decoding = "ar"
    """One token after another (ar), as in the paper, or masked ones in a dozen steps (maskgit)."""
    model: CrossAttentionConfig = field(default_factory=CrossAttentionConfig)
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
        """The task of training; the image is never hidden."""
        return MaskingConfig(self.min_masked, label_dropout=0.0, label_smoothing=self.label_smoothing)

    @property
    def channels(self) -> int:
        """Channels of the image that the encoder sees: 1 for colour, whose input is grey, else 3."""
        return 1 if self.data.task == "colour" else 3
