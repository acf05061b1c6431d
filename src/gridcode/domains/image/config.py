"""What an image tokenizer is, what its loss is made of, and how results are measured, as frozen values. No torch here.

    loss = l2 · L2 + l1 · L1 + perceptual.weight · distance of features + adversarial.weight · L_G + the quantizer's own

MaskGIT's tokenizer, and with it the paper's, has L2 with weight 1, a perceptual and an adversarial term with 0.1 each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from tyro.conf import arg

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig, ViTConfig
from gridcode.domains.image.vqgan_config import VQGANConfig
from gridcode.errors import GridcodeError, check_numbers
from gridcode.evaluation.protocol import DISTANCES, PROTOCOLS, DistanceName, ProtocolName
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.tokenizer.config import AdversarialSettings, TokenizerSettings, architecture_of


@dataclass(frozen=True)
class PerceptualConfig:
    """Which network's features reconstructions are compared on.

    >>> PerceptualConfig(kind="self").active
    True
    """

    kind: Literal["none", "lpips", "lite0", "self"] = "none"
    """lpips: VGG-16 with LPIPS's heads, from files; lite0: EfficientNet-lite0 trained on ImageNet, from a package
    (extra pretrained); self: a small network trained on the run's images first."""
    weight: float = 0.1
    """Weight of the distance in the loss."""
    shift: int = 0
    """Pixels, at most, by which image and reconstruction are shifted together, at random in each step, before they
    are compared. Without a shift the network's strides leave a fine pattern that it does not see; 7 suits lite0."""
    vgg: str | None = None
    """Weights of VGG-16 with torchvision's names (.safetensors or .pth); only for lpips."""
    heads: str | None = None
    """LPIPS's five heads for VGG-16 with its authors' names (.safetensors or .pth); only for lpips."""
    download: bool = False
    """Fetch those files from their authors where they are not given (about 530 MB, kept in PyTorch's hub folder)."""
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of the self-made network at each resolution, finest first; each is compared."""
    steps: int = 300
    """Steps that the self-made network is trained for."""
    batch_size: int = 64
    """Images per step of its training."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be built, and files that would not be read."""
        if self.kind not in ("none", "lpips", "lite0", "self"):
            raise GridcodeError(f"loss.perceptual.kind must be 'none', 'lpips', 'lite0' or 'self', got {self.kind!r}")
        if not self.weight > 0:
            raise GridcodeError(
                f"loss.perceptual.weight must be > 0, got {self.weight}; set loss.perceptual.kind=none to leave it out"
            )
        check_numbers(self, "loss.perceptual.", not_negative=("shift",))
        if self.kind != "lpips" and (self.vgg or self.heads or self.download):
            raise GridcodeError(
                f"loss.perceptual.vgg, .heads and .download are for kind='lpips', got kind={self.kind!r}"
            )
        if not self.widths or min(self.widths) < 8 or any(width % 8 for width in self.widths):
            raise GridcodeError(f"loss.perceptual.widths must be positive multiples of 8, got {self.widths}")
        if self.steps < 1 or self.batch_size < 2:
            raise GridcodeError(
                "loss.perceptual.steps must be at least 1 and .batch_size at least 2, got "
                f"{self.steps} and {self.batch_size}"
            )

    @property
    def active(self) -> bool:
        """Whether there is such a term."""
        return self.kind != "none"

    def check_weights(self) -> None:
        """Refuse LPIPS without its files: a run does so as it starts, and a dry run does without them.

        Raises:
            GridcodeError: They are neither given nor may they be fetched.
        """
        if self.kind == "lpips" and not self.download and not (self.vgg and self.heads):
            raise GridcodeError(
                "loss.perceptual.kind='lpips' needs its weights: give loss.perceptual.vgg and "
                "loss.perceptual.heads, or set loss.perceptual.download=True"
            )


@dataclass(frozen=True)
class AdversarialConfig(AdversarialSettings):
    """The discriminator of images, and how it learns.

    The defaults, with ``kind="non-saturating"``, are MaskGIT's numbers; its pixels are in [0, 1], where the same
    discriminator has four times the penalty ``r1`` that it has on pixels in [-1, 1]. A smaller ``width`` and a
    ``patch`` of 2 bring its cost down to a laptop's; ``r1_every`` and ``clip`` are not MaskGIT's and off.
    """

    width: int = 512
    """Channels at 32 pixels and below; every doubling above halves them (512: MaskGIT's)."""
    patch: int = 1
    """Side of the squares that enter the discriminator's first layer as channels: 2 makes it 4x cheaper."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train.

        Raises:
            GridcodeError: One is out of its range.
        """
        super().__post_init__()
        check_numbers(self, "loss.adversarial.", counts=("patch",))
        if self.width < 8 or self.width % 8:
            raise GridcodeError(f"loss.adversarial.width must be a positive multiple of 8, got {self.width}")


@dataclass(frozen=True)
class LossConfig:
    """Stage I's loss: the weights of its terms on pixels, and the terms that take networks.

    >>> LossConfig(l1=0.5).l2
    1.0
    """

    l2: float = 1.0
    """Weight of the mean squared error, on pixels in [-1, 1]."""
    l1: float = 0.0
    """Weight of the mean absolute error, on pixels in [-1, 1]."""
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    """Distance of features."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """A discriminator's opinion."""

    def __post_init__(self) -> None:
        """Refuse a loss that no pixel enters."""
        if not (self.l2 >= 0 and self.l1 >= 0 and self.l2 + self.l1 > 0):
            raise GridcodeError(f"loss weights must be >= 0 and not all 0, got l2={self.l2}, l1={self.l1}")


ArchitectureConfig = TokenizerConfig | ViTConfig | VQGANConfig
"""Any tokenizer's shape."""

ARCHITECTURES: dict[str, type[ArchitectureConfig]] = {kind.name: kind for kind in get_args(ArchitectureConfig)}
"""The kinds by name, in the order they are listed to a person."""


def architecture_from_json(values: Mapping[str, Any]) -> ArchitectureConfig:
    """The shape that ``dataclasses.asdict`` made plain, read from JSON: see :func:`architecture_of`.

    >>> architecture_from_json({"name": "vit", "quantizer": {"name": "fsq", "levels": [8, 5]}, "patch": 4}).patch
    4
    """
    return architecture_of(ARCHITECTURES, values)


@dataclass(frozen=True)
class TokenizerRun(TokenizerSettings):
    """Everything that determines the training of an image tokenizer: equal values give equal weights."""

    data: DataConfig = field(default_factory=DataConfig)
    """The images."""
    model: ArchitectureConfig = field(default_factory=TokenizerConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training images that pass the quantizer unrounded, each as a whole, in [0, 1]."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The loss."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.data.channels != self.model.channels:
            raise GridcodeError(
                f"data.channels={self.data.channels} but model.channels={self.model.channels}: set them equal"
            )
        self.model.grid(self.data.size, self.data.size)
        if 2 * self.loss.perceptual.shift > self.data.size:
            raise GridcodeError(
                f"loss.perceptual.shift={self.loss.perceptual.shift} leaves less than half of an image of "
                f"{self.data.size} pixels; set a smaller one"
            )
        super().__post_init__()

    def check_files(self) -> None:
        """Refuse LPIPS without its weights."""
        self.loss.perceptual.check_weights()


@dataclass(frozen=True)
class EvaluationConfig:
    """What ``gridcode eval`` does."""

    count: int = 10_000
    """Validation images, at most."""
    samples: int = 1000
    """Images to generate."""
    neighbours: int = 1_000_000
    """Training images, at most, among which the nearest to each shown sample is looked for."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 100
    """Images at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    classifier_steps: int = 400
    """Training steps of the small classifier, on the data's own labels, that measures samples."""
    classifier: str | None = None
    """The measuring classifier's folder: read from there, or trained and kept there, so that reports share it."""
    protocol: tuple[ProtocolName, ...] = ()
    """Protocols that score reconstructions and samples too; fd-lite0 and fd-lite2 need the extra pretrained."""
    inception: str | None = None
    """Inception's weights for fid-adm and fid-clean: the file pt_inception-2015-12-05-6726825d.pth."""
    reference: str | None = None
    """A .npz file of reference statistics for one protocol; the validation images' own where not given."""
    distance: tuple[DistanceName, ...] = ()
    """Networks by which each reconstruction is compared with its original: lpips, from two files; lite0 and lite2 need
    the extra pretrained."""
    vgg: str | None = None
    """Weights of VGG-16 with torchvision's names (.safetensors or .pth); for lpips."""
    heads: str | None = None
    """LPIPS's five heads for VGG-16 with its authors' names (.safetensors or .pth); for lpips."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        counts = ("count", "samples", "neighbours", "batch_size", "classifier_steps")
        check_numbers(self, "evaluation ", counts=counts, not_negative=("guidance",))
        _check_names("protocol", self.protocol, PROTOCOLS)
        _check_names("distance", self.distance, DISTANCES)
        if "lpips" in self.distance and not (self.vgg and self.heads):
            raise GridcodeError(
                "evaluation distance lpips needs evaluation vgg and evaluation heads: the files of VGG-16 and of LPIPS"
            )
        if "lpips" not in self.distance and (self.vgg or self.heads):
            raise GridcodeError("evaluation vgg and evaluation heads are for lpips; name it in evaluation distance")
        if self.reference is not None and len(self.protocol) != 1:
            raise GridcodeError(
                f"evaluation reference holds one network's statistics, but there are {len(self.protocol)} protocols; "
                "give exactly one"
            )
        if self.inception is None and not {"fid-adm", "fid-clean"}.isdisjoint(self.protocol):
            raise GridcodeError(
                "evaluation protocol fid-adm and fid-clean need evaluation inception: the file "
                "pt_inception-2015-12-05-6726825d.pth"
            )


def _check_names(setting: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a name that is none, or one that stands there twice."""
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise GridcodeError(f"evaluation {setting} must be of {', '.join(known)}, got {unknown[0]!r}")
    if len(set(chosen)) != len(chosen):
        raise GridcodeError(f"evaluation {setting} must name each once, got {' '.join(chosen)}")


def rate_folders(folder: Path) -> list[Path]:
    """The folders of a codec's rates: itself if it holds ``tokenizer/``, else those in it that do."""
    if (folder / "tokenizer").is_dir():
        return [folder]
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if (child / "tokenizer").is_dir())
