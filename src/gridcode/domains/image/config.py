"""What an image tokenizer is and how it is trained, as frozen values. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig, ViTConfig
from gridcode.domains.image.loss_config import LossConfig
from gridcode.domains.image.vqgan_config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.quantize.config import quantizer_from_json
from gridcode.tokenizer.config import TokenizerSettings
from gridcode.training.alarms import AlarmConfig
from gridcode.training.config import LoopConfig, OptimConfig

ArchitectureConfig = TokenizerConfig | ViTConfig | VQGANConfig
"""Any tokenizer's shape."""

ARCHITECTURES: dict[str, type[ArchitectureConfig]] = {kind.name: kind for kind in get_args(ArchitectureConfig)}
"""The kinds by name, in the order they are listed to a person."""


def architecture_from_json(values: Mapping[str, Any]) -> ArchitectureConfig:
    """The shape that ``dataclasses.asdict`` made plain, read from JSON; without a name it is convolutional.

    Raises:
        GridcodeError: They name no kind, or the quantizer cannot be read.
        KeyError: There is no quantizer.
        TypeError: They are no object, or a setting is not the kind's.

    >>> architecture_from_json({"name": "vit", "quantizer": {"name": "fsq", "levels": [8, 5]}, "patch": 4}).patch
    4
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r} are no settings of a model")
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    name = settings.pop("name", "conv")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise GridcodeError(f"there is no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](**settings | {"quantizer": quantizer_from_json(values["quantizer"])})


@dataclass(frozen=True)
class TokenizerRun(TokenizerSettings):
    """Everything that determines the training of an image tokenizer: equal values give equal weights."""

    data: DataConfig = field(default_factory=DataConfig)
    """The pictures."""
    model: ArchitectureConfig = field(default_factory=TokenizerConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training pictures that pass the quantizer unrounded, each as a whole, in [0, 1]."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The loss."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """The optimiser."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, precision, and how often things happen."""
    alarms: AlarmConfig = field(default_factory=AlarmConfig)
    """When warnings are due."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.data.channels != self.model.channels:
            raise GridcodeError(
                f"data.channels={self.data.channels} but model.channels={self.model.channels}: set them equal"
            )
        self.model.grid(self.data.size, self.data.size)
        if not 0 <= self.quantizer_dropout <= 1:
            raise GridcodeError(f"quantizer_dropout must be in [0, 1], got {self.quantizer_dropout}")

    def check_files(self) -> None:
        """Refuse LPIPS without its weights."""
        self.loss.perceptual.check_weights()
