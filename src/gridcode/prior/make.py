"""A prior from its config, or from its folder."""

from __future__ import annotations

from pathlib import Path

import torch

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, load_model
from gridcode.prior.ar import Autoregressive
from gridcode.prior.base import KIND, ClassPrior
from gridcode.prior.config import AutoregressiveConfig, PriorConfig
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.space import TokenSpace


def prior_class(config: PriorConfig) -> type[ClassPrior]:
    """What a config is the config of."""
    return Autoregressive if isinstance(config, AutoregressiveConfig) else MaskGIT


def make_prior(config: PriorConfig, space: TokenSpace) -> ClassPrior:
    """A prior with random weights.

    Args:
        config: Which, and its shape.
        space: What its tokens are.

    Raises:
        GridcodeError: The head does not fit the codebook.

    >>> space = TokenSpace(40, (2, 2), classes=(), tokenizer="", data={}, levels=(8, 5))
    >>> make_prior(AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32), space).name
    'ar'
    """
    return prior_class(config)(config, space)


def load_prior(source: str | Path, *, device: str | torch.device = "cpu") -> ClassPrior:
    """Load a prior of either kind, ready for inference.

    Args:
        source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
        device: Where its weights go.

    Raises:
        GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
    """
    folder = load_model(source, kind=KIND)
    name = folder.config.get("prior")
    if name not in (MaskGIT.name, Autoregressive.name):
        raise GridcodeError(
            f"{folder.path / CONFIG} is of a prior {name!r}, which this gridcode does not know; was it saved by "
            "another version?"
        )
    kind: type[ClassPrior] = MaskGIT if name == MaskGIT.name else Autoregressive
    return kind.restored(folder).to(device).eval()
