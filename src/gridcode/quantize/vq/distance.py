r"""What near means, and the search for the nearest codeword.

Latents and codewords are first taken to where their Euclidean distance counts:

    index = argmin_k | relax(z) - codewords(e)_k |²

- :class:`Euclidean` leaves both as they are: the VQ-VAE's and MaskGIT's.
- :class:`UnitNorm` takes a codeword's direction, e / |e|. The nearest is then the one with the largest cosine,
  whatever the latent's length, since |z - ê|² = |z|² - 2 z · ê + 1. For the latents there are two customs:
  ``"unit"``, z / |z|, which bounds the losses (ViT-VQGAN); and ``"standardised"``, (z - mean) / sqrt(variance + 1e-5)
  over the channels, which gives them the length sqrt(d) (UViM).

The codes that come out are ``codewords(e)``.

:func:`nearest` searches a codebook of any size in bounded memory. As |z|² is the same for every k,

    argmin_k |z - e_k|²  =  argmin_k  ½ |e_k|² - z · e_k

so one matrix product gives all the scores. They are made a block at a time: a block of at most ``SCORE_BYTES`` is
compared with the best so far and then forgotten, so that besides its arguments and its (N,) results the search needs
``SCORE_BYTES`` and the squares of the codebook, whatever N is. On ties the lowest index wins, within a block and
between them.

The product rounds: of two codewords whose distances to z differ by less than about 1e-7 (|z| |e| + |e|²) either may be
taken, the same one every time. :func:`exact_match` has no such doubt about vectors which *are* codewords.

Reference: Yu et al. 2021 (arXiv 2110.04627), section 3.2 for ``"unit"``; Kolesnikov et al. 2022 (arXiv 2205.10337) and
its code for ``"standardised"``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.quantize.radix import values_visible

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


SCORE_BYTES = {"cpu": 2**22, "other": 2**26}
"""The scores that are held at a time, by device: 4 MiB, which caches hold, or 64 MiB."""

_ROWS = 1024


def nearest(latents: Tensor, codewords: Tensor, *, limit: int | None = None) -> Tensor:
    """The index of each vector's nearest codeword by the Euclidean distance.

    Args:
        latents: Finite floats, (N, d); N may be 0.
        codewords: (K, d), of the same dtype.
        limit: Bytes that the scores may take at a time, None for what suits the device; at least one score is made.

    Returns:
        int64 indices in [0, K), (N,).

    >>> nearest(torch.tensor([[0.9, 0.0], [0.5, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    tensor([1, 0])
    """
    halves = codewords.square().sum(1) / 2
    rows, columns = _block(len(latents), len(codewords), _scores_at_once(latents, limit))
    found = [_nearest_of_rows(part, codewords, halves, columns) for part in _cut(latents, rows)]
    return torch.cat(found) if len(found) > 1 else found[0]


def exact_match(codes: Tensor, codewords: Tensor, *, limit: int | None = None) -> Tensor:
    """The index of each vector's nearest codeword, without a doubt where the vector equals a codeword.

    The fast search is checked against the codebook; only vectors that do not equal what it found are compared with
    every codeword by their differences, whose sum of squares is 0 for an equal one and for no other. Vectors that are
    no codewords at all therefore cost N K d differences. Traced code, which cannot read values, takes the fast
    search.

    Args:
        codes: Floats, (N, d).
        codewords: (K, d), of the same dtype.
        limit: As for :func:`nearest`.

    Returns:
        int64 indices in [0, K), (N,).

    >>> codebook = torch.tensor([[1.0, 1.0], [1.0, 1.0001]])
    >>> exact_match(codebook, codebook)
    tensor([0, 1])
    """
    indices = nearest(codes, codewords, limit=limit)
    if not values_visible(codes):
        return indices
    missed = (codewords[indices] != codes).any(1).nonzero().squeeze(1)
    if len(missed):
        indices[missed] = _nearest_by_differences(codes[missed], codewords, _scores_at_once(codes, limit))
    return indices


def _scores_at_once(vectors: Tensor, limit: int | None) -> int:
    if limit is None:
        limit = SCORE_BYTES.get(vectors.device.type, SCORE_BYTES["other"])
    return max(1, limit // vectors.element_size())


def _block(rows: int, columns: int, scores: int) -> tuple[int, int]:
    """Rows and columns of a block of at most that many scores: some rows first, then columns, then rows again."""
    taken = max(1, min(rows, _ROWS, scores))
    wide = max(1, min(columns, scores // taken))
    return (max(1, min(rows, scores // columns)), wide) if wide == columns else (taken, wide)


def _cut(values: Tensor, rows: int) -> tuple[Tensor, ...]:
    return torch.split(values, rows) if len(values) > rows else (values,)


def _nearest_of_rows(latents: Tensor, codewords: Tensor, halves: Tensor, columns: int) -> Tensor:
    best, index = _scores(latents, codewords[:columns], halves[:columns]).min(1)
    for start in range(columns, len(codewords), columns):
        part = slice(start, start + columns)
        value, place = _scores(latents, codewords[part], halves[part]).min(1)
        # Strictly less, so that an earlier codeword keeps a tie.
        index = torch.where(value < best, place + start, index)
        best = torch.minimum(value, best)
    return index


def _scores(latents: Tensor, codewords: Tensor, halves: Tensor) -> Tensor:
    # ½ |e|² - z · e, as one product that writes one matrix.
    return torch.addmm(halves, latents, codewords.t(), alpha=-1)


def _nearest_by_differences(codes: Tensor, codewords: Tensor, scores: int) -> Tensor:
    columns = max(1, min(len(codewords), scores // codewords.shape[1]))
    found = []
    for part in _cut(codes, max(1, scores // (columns * codewords.shape[1]))):
        best = part.new_full((len(part),), torch.inf)
        index = torch.zeros(len(part), dtype=torch.int64, device=part.device)
        for start in range(0, len(codewords), columns):
            distances = (part[:, None] - codewords[start : start + columns]).square().sum(2)
            value, place = distances.min(1)
            index = torch.where(value < best, place + start, index)
            best = torch.minimum(value, best)
        found.append(index)
    return torch.cat(found)
