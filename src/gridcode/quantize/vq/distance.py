r"""What near means: what becomes of latents and of codewords before their Euclidean distance is taken.

    index = argmin_k | relax(z) - codewords(e)_k |²

- :class:`Euclidean` leaves both as they are: the VQ-VAE's and MaskGIT's.
- :class:`UnitNorm` takes a codeword's direction, e / |e|. The nearest is then the one with the largest cosine,
  whatever the latent's length, since |z - ê|² = |z|² - 2 z · ê + 1. For the latents there are two customs:
  ``"unit"``, z / |z|, which bounds the losses (ViT-VQGAN); and ``"standardised"``, (z - mean) / sqrt(variance + 1e-5)
  over the channels, which gives them the length sqrt(d) (UViM).

The codes that come out are ``codewords(e)``.

Reference: Yu et al. 2021 (arXiv 2110.04627), section 3.2 for ``"unit"``; Kolesnikov et al. 2022 (arXiv 2205.10337) and
its code for ``"standardised"``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final, get_args

from torch import Tensor
from torch.nn import functional as F

from gridcode.errors import GridcodeError

_VARIANCE_EPS = 1e-5
_NORM_EPS = 1e-12


class Distance(ABC):
    """Takes latents and raw codewords to where their Euclidean distance counts."""

    @abstractmethod
    def relax(self, latents: Tensor) -> Tensor:
        """Latents (N, d) as they are compared, (N, d); differentiable."""

    @abstractmethod
    def codewords(self, raw: Tensor) -> Tensor:
        """Raw codewords (K, d) as they are compared, and as they come out as codes, (K, d); differentiable."""


@final
@dataclass(frozen=True)
class Euclidean(Distance):
    """|z - e|², nothing changed."""

    def relax(self, latents: Tensor) -> Tensor:
        """The latents."""
        return latents

    def codewords(self, raw: Tensor) -> Tensor:
        """The raw codewords."""
        return raw


@final
@dataclass(frozen=True)
class UnitNorm(Distance):
    """Codewords of length 1.

    Differs from UViM: a codeword of length 0 stays 0, where dividing by it would give NaN.

    Args:
        latents: ``"unit"`` gives latents the length 1; ``"standardised"`` the mean 0 and variance 1 over channels.

    Raises:
        GridcodeError: ``latents`` is neither.

    >>> import torch
    >>> UnitNorm().codewords(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    latents: Literal["unit", "standardised"] = "unit"

    def __post_init__(self) -> None:
        """Refuse another word."""
        if self.latents not in get_args(Literal["unit", "standardised"]):
            raise GridcodeError(f'UnitNorm: latents is {self.latents!r}; choose "unit" or "standardised"')

    def relax(self, latents: Tensor) -> Tensor:
        """The latents with length 1, or standardised over their channels."""
        if self.latents == "unit":
            return F.normalize(latents, dim=-1, eps=_NORM_EPS)
        return F.layer_norm(latents, latents.shape[-1:], eps=_VARIANCE_EPS)

    def codewords(self, raw: Tensor) -> Tensor:
        """The codewords' directions."""
        return F.normalize(raw, dim=-1, eps=_NORM_EPS)
