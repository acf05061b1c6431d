"""A prior from its config, or from its folder."""

from __future__ import annotations

from pathlib import Path

import torch

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, load_model
from gridcode.prior.ar import Autoregressive
from gridcode.prior.base import KINDS, Prior
from gridcode.prior.config import AutoregressiveConfig, Decoding, PriorConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT


def prior_class(config: PriorConfig, decoding: Decoding = "maskgit") -> type[Prior]:
    """What a config is the config of; ``decoding`` counts where the config is of either."""
    return Autoregressive if isinstance(config, AutoregressiveConfig) or decoding == "ar" else MaskGIT


def make_prior(
    config: PriorConfig,
    space: TokenSpace,
    example_shape: tuple[int, int, int] | None = None,
    *,
    decoding: Decoding = "maskgit",
) -> Prior:
    """A prior with random weights.

    Args:
        config: Which, and its shape.
        space: What its tokens are.
        example_shape: Channels, height and width of the other examples that a prior with a
            :class:`~gridcode.prior.config.CrossAttentionConfig` attends to.
        decoding: Which prior such a config is for.

    Raises:
        GridcodeError: The head does not fit the codebook, or a side is no multiple of the encoder's patch.

    >>> space = TokenSpace(40, (2, 2), classes=(), tokenizer="", data={}, levels=(8, 5))
    >>> make_prior(AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32), space).name
    'ar'

    The paper's of dense prediction, 512 px, for the FSQ codebook; weightless, to count its parameters:

    >>> from gridcode.prior.config import CrossAttentionConfig
    >>> space = TokenSpace(4375, (16, 16), classes=(), tokenizer="", data={}, levels=(7, 5, 5, 5, 5))
    >>> with torch.device("meta"):
    ...     make_prior(CrossAttentionConfig.paper(), space, (3, 512, 512), decoding="ar").parameter_count
    712017176
    """
    return prior_class(config, decoding)(config, space, example_shape)


def prior_in(folder: Path) -> Path | None:
    """The prior beside a tokenizer, in a folder that holds ``tokenizer/`` and perhaps ``prior/``; None without one."""
    place = folder / "prior"
    return place if any((place / part / CONFIG).is_file() for part in ("", "best", "last")) else None


def load_prior(source: str | Path, *, device: str | torch.device = "cpu") -> Prior:
    """Load a prior of any kind, ready for inference.

    Args:
        source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
        device: Where its weights go.

    Raises:
        GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
    """
    folder = load_model(source, kind=KINDS)
    name = folder.config.get("prior")
    for known in (MaskGIT, Autoregressive):
        if name == known.name:
            return known.restored(folder).to(device).eval()
    raise GridcodeError(
        f"{folder.path / CONFIG} is of a prior {name!r}, which this gridcode does not know; was it saved by another "
        "version?"
    )
