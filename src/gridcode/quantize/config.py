"""Every quantizer as a frozen value: its kind and its settings, checked as they are made. No torch here.

``gridcode train tokenizer --quantizer NAME`` chooses a kind; its settings become the flags. ``make.py`` turns a value
into the quantizer. Each class says its ``name`` once, as a field that cannot be set, so that ``dataclasses.asdict``,
run files and configs in JSON carry the kind along with the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, get_args

from tyro.conf import Suppress

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.forms import FormName, code_grid
from gridcode.quantize.fsq.levels import MAX_LEVEL, check_levels
from gridcode.quantize.ranges import check_positive, check_probability, check_weight, check_whole

MAX_BITS = 63
"""The last index of 63 bits, 2^63 - 1, is the largest int64."""

MAX_GROUP = 20
"""The most bits whose joint distribution is laid out, 2^20 numbers."""

Preset = Literal["maskgit", "uvim", "uvim_unsplit", "plain"]


@dataclass(frozen=True)
class FSQConfig:
    """Finite scalar quantization: each channel rounded to one of L values.

    >>> FSQConfig(levels=(8, 6, 5))
    FSQConfig(name='fsq', levels=(8, 6, 5), form='paper', eps=None)
    """

    name: Annotated[Literal["fsq"], Suppress] = field(default="fsq", init=False)
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Values of each channel; their product is the codebook size (paper, Table 1; see gridcode levels)."""
    form: FormName = "paper"
    """The curve that bounds a channel, and its grid."""
    eps: float | None = None
    """Margin at the end levels of the forms paper and atanh; 1e-3 where it is not given."""

    def __post_init__(self) -> None:
        """Refuse levels, form and eps that do not go together."""
        code_grid(self.levels, self.form, self.eps)


@dataclass(frozen=True)
class ResidualFSQConfig:
    """Residual FSQ: each stage quantizes what the stages before it left."""

    name: Annotated[Literal["residual"], Suppress] = field(default="residual", init=False)
    levels: tuple[int, ...] = (5, 5, 5, 5)
    """Values of each channel, at every stage."""
    stages: int = 2
    """Stages; a place of the grid has as many tokens."""
    stage_dropout: float = 0.0
    """Probability, in training, that a sample is left with a random number of its first stages."""

    def __post_init__(self) -> None:
        """Refuse what makes no codebook."""
        largest = max(check_levels(self.levels))
        check_whole("quantizer residual", "stages", self.stages, least=1)
        if largest ** min(self.stages, MAX_LEVEL.bit_length()) > MAX_LEVEL:
            raise GridcodeError(
                f"quantizer residual: {self.stages} stages of level {largest} tell {largest}^{self.stages} values "
                f"apart, more than float32 can ({MAX_LEVEL}); use fewer stages or smaller levels"
            )
        check_probability("quantizer residual", "stage_dropout", self.stage_dropout)


@dataclass(frozen=True)
class GroupedFSQConfig:
    """Grouped FSQ: several codebooks side by side, each over channels of its own."""

    name: Annotated[Literal["grouped"], Suppress] = field(default="grouped", init=False)
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Values of each channel of a group."""
    groups: int = 2
    """Groups; a place of the grid has as many tokens."""
    form: FormName = "paper"
    """The curve that bounds a channel, and its grid."""
    eps: float | None = None
    """Margin at the end levels of the forms paper and atanh; 1e-3 where it is not given."""

    def __post_init__(self) -> None:
        """Refuse levels, form and eps that do not go together."""
        code_grid(self.levels, self.form, self.eps)
        check_whole("quantizer grouped", "groups", self.groups, least=1)


@dataclass(frozen=True)
class BinaryConfig:
    """What the binary quantizers have in common: the defaults are LFQ's."""

    name: Annotated[Literal["lfq", "bsq"], Suppress] = field(default="lfq", init=False)
    bits: int = 10
    """Channels; the codebook has 2^bits codes."""
    entropy: float = 0.1
    """Weight of the entropy loss."""
    diversity: float = 1.0
    """Weight, within the entropy loss, of the entropy of the average code."""
    commitment: float = 0.25
    """Weight of the commitment loss."""
    temperature: float = 0.01
    """Temperature of the soft codes in the entropy loss."""
    group: int = 9
    """Bits whose joint distribution the entropy of the average code has exactly, 1 to 20."""

    def __post_init__(self) -> None:
        """Refuse what makes no codebook, or no loss."""
        owner = f"quantizer {self.name}"
        check_whole(owner, "bits", self.bits, least=1, most=MAX_BITS)
        for setting in ("entropy", "diversity", "commitment"):
            check_weight(owner, setting, getattr(self, setting))
        check_positive(owner, "temperature", self.temperature)
        check_whole(owner, "group", self.group, least=1, most=MAX_GROUP)


@dataclass(frozen=True)
class LFQConfig(BinaryConfig):
    """Lookup-free quantization: each channel's sign is a bit; an entropy loss spreads the codes."""

    name: Annotated[Literal["lfq"], Suppress] = field(default="lfq", init=False)


@dataclass(frozen=True)
class BSQConfig(BinaryConfig):
    """Binary spherical quantization: the latent on the unit sphere, each channel's sign a bit."""

    name: Annotated[Literal["bsq"], Suppress] = field(default="bsq", init=False)
    commitment: float = 0.0
    """Weight of the commitment loss."""
    temperature: float = 1.0
    """Temperature of the soft codes in the entropy loss."""
    group: int = 1
    """Bits whose joint distribution the entropy of the average code has exactly, 1 to 20."""


@dataclass(frozen=True)
class VQConfig:
    """Vector quantization: the nearest of K learned vectors, the baseline."""

    name: Annotated[Literal["vq"], Suppress] = field(default="vq", init=False)
    preset: Preset = "maskgit"
    """How the codebook is learned and kept alive: as in MaskGIT, in UViM, in UViM without splitting, or in VQ-VAE."""
    size: int = 1024
    """Vectors in the codebook, K."""
    channels: int = 64
    """Channels of a vector."""

    def __post_init__(self) -> None:
        """Refuse what makes no codebook."""
        if self.preset not in get_args(Preset):
            raise GridcodeError(f"quantizer vq: preset is {self.preset!r}; choose one of {', '.join(get_args(Preset))}")
        check_whole("quantizer vq", "size", self.size, least=2)
        check_whole("quantizer vq", "channels", self.channels, least=1)


QuantizerConfig = FSQConfig | ResidualFSQConfig | GroupedFSQConfig | LFQConfig | BSQConfig | VQConfig
"""Any quantizer's settings."""

QUANTIZERS: dict[str, type[QuantizerConfig]] = {kind.name: kind for kind in get_args(QuantizerConfig)}
"""The kinds by name, in the order they are listed to a person."""


def quantizer_kind(name: str) -> type[QuantizerConfig]:
    """The settings' class of a kind.

    Raises:
        GridcodeError: There is no quantizer of that name.

    >>> quantizer_kind("vq")().size
    1024
    """
    if name not in QUANTIZERS:
        raise GridcodeError(f"there is no quantizer {name!r}; choose one of {', '.join(QUANTIZERS)}")
    return QUANTIZERS[name]


def quantizer_to_json(config: QuantizerConfig) -> dict[str, Any]:
    """Name and settings as JSON holds them.

    >>> quantizer_to_json(FSQConfig(levels=(8, 5)))
    {'name': 'fsq', 'levels': [8, 5], 'form': 'paper', 'eps': None}
    """
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings read from JSON, whose lists were tuples.

    >>> with_tuples({"levels": [8, 5], "eps": None})
    {'levels': (8, 5), 'eps': None}
    """
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def quantizer_from_json(values: Mapping[str, Any]) -> QuantizerConfig:
    """The settings that :func:`quantizer_to_json` wrote.

    Raises:
        GridcodeError: They name no quantizer, a setting that it has not, or a value out of its range.

    >>> quantizer_from_json({"name": "fsq", "levels": [8, 5], "form": "paper", "eps": None}).levels
    (8, 5)
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise GridcodeError(f"a quantizer's settings are an object with its name, got {values!r}")
    kind = quantizer_kind(values["name"])
    settings = with_tuples(values)
    del settings["name"]
    try:
        return kind(**settings)
    except GridcodeError:
        raise
    except (TypeError, ValueError) as error:
        raise GridcodeError(
            f"quantizer {kind.name}: its settings cannot be read ({error}); they were written by another version"
        ) from None
