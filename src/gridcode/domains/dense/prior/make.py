"""A picture-conditioned prior from its config, or from its folder."""

from __future__ import annotations

from pathlib import Path

import torch

from gridcode.domains.dense.prior.ar import ConditionalAR
from gridcode.domains.dense.prior.base import KIND, ConditionalPrior
from gridcode.domains.dense.prior.config import ConditionalConfig, Decoding
from gridcode.domains.dense.prior.maskgit import ConditionalMaskGIT
from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, load_model
from gridcode.prior.space import TokenSpace


def conditional_class(prior: Decoding) -> type[ConditionalPrior]:
    """The class that a name stands for."""
    return ConditionalAR if prior == "ar" else ConditionalMaskGIT


def make_conditional_prior(
    prior: Decoding, config: ConditionalConfig, space: TokenSpace, image: tuple[int, int, int]
) -> ConditionalPrior:
    """A prior with random weights.

    Args:
        prior: Which.
        config: Its shape.
        space: What its tokens are.
        image: Channels, height and width of the pictures.

    Raises:
        GridcodeError: The head does not fit the codebook, or a side is no multiple of the encoder's patch.

    The paper's, 512 px, for the FSQ codebook; weightless, to count its parameters:

    >>> space = TokenSpace(4375, (16, 16), classes=(), tokenizer="", data={}, levels=(7, 5, 5, 5, 5))
    >>> with torch.device("meta"):
    ...     make_conditional_prior("ar", ConditionalConfig.paper(), space, (3, 512, 512)).parameter_count
    712017176
    """
    return conditional_class(prior)(config, space, image)


def load_conditional_prior(source: str | Path, *, device: str | torch.device = "cpu") -> ConditionalPrior:
    """Load a picture-conditioned prior of either kind, ready for inference.

    Args:
        source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
        device: Where its weights go.

    Raises:
        GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
    """
    folder = load_model(source, kind=KIND)
    name = folder.config.get("prior")
    for known in (ConditionalAR, ConditionalMaskGIT):
        if name == known.name:
            return known.restored(folder).to(device).eval()
    raise GridcodeError(
        f"{folder.path / CONFIG} is of a prior {name!r}, which this gridcode does not know; was it saved by another "
        "version?"
    )
