r"""Nearest neighbour in a book of any size, in bounded memory.

For a vector z and codewords e_k,

    argmin_k |z - e_k|²  =  argmin_k  ½ |e_k|² - z · e_k            (|z|² is the same for every k)

so one matrix product gives all the scores. They are made a block at a time: a block of at most ``SCORE_BYTES`` is
compared with the best so far and then forgotten, so that besides its arguments and its (N,) results the search needs
``SCORE_BYTES`` and (K,) floats, whatever N and K are. On ties the lowest index wins, within a block and between them.

The product rounds: of two codewords whose distances to z differ by less than about 1e-7 (|z| |e| + |e|²) either may be
taken, the same one every time. :func:`exact_match` has no such doubt about vectors which *are* codewords.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.quantize.radix import values_visible

SCORE_BYTES = 2**26
"""The scores that are held at a time: 64 MiB."""

_ROWS = 1024


def nearest(latents: Tensor, book: Tensor, *, limit: int = SCORE_BYTES) -> Tensor:
    """The index of each vector's nearest codeword by the Euclidean distance.

    Args:
        latents: Finite floats, (N, d); N may be 0.
        book: Codewords, (K, d), of the same dtype.
        limit: Bytes that the scores may take at a time; at least one score is always made.

    Returns:
        int64 indices in [0, K), (N,).

    >>> nearest(torch.tensor([[0.9, 0.0], [0.5, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    tensor([1, 0])
    """
    halves = book.square().sum(1) / 2
    rows, columns = _block(len(latents), len(book), max(1, limit // latents.element_size()))
    found = [_nearest_of_rows(part, book, halves, columns) for part in _cut(latents, rows)]
    return torch.cat(found) if len(found) > 1 else found[0]


def exact_match(codes: Tensor, book: Tensor, *, limit: int = SCORE_BYTES) -> Tensor:
    """The index of each vector's nearest codeword, without a doubt where the vector equals a codeword.

    The fast search is checked against the book; only vectors that do not equal what it found are compared with every
    codeword by their differences, whose sum of squares is 0 for an equal one and for no other. Vectors that are no
    codewords at all therefore cost N K d differences. Traced code, which cannot look at values, takes the fast search.

    Args:
        codes: Floats, (N, d).
        book: Codewords, (K, d), of the same dtype.
        limit: As for :func:`nearest`.

    Returns:
        int64 indices in [0, K), (N,).

    >>> book = torch.tensor([[1.0, 1.0], [1.0, 1.0001]])
    >>> exact_match(book, book)
    tensor([0, 1])
    """
    indices = nearest(codes, book, limit=limit)
    if not values_visible(codes):
        return indices
    missed = (book[indices] != codes).any(1).nonzero().squeeze(1)
    if len(missed):
        indices[missed] = _nearest_by_differences(codes[missed], book, max(1, limit // codes.element_size()))
    return indices


def _block(rows: int, columns: int, scores: int) -> tuple[int, int]:
    """Rows and columns of a block of at most that many scores: some rows first, then columns, then rows again."""
    taken = max(1, min(rows, _ROWS, scores))
    wide = max(1, min(columns, scores // taken))
    return (max(1, min(rows, scores // columns)), wide) if wide == columns else (taken, wide)


def _cut(values: Tensor, rows: int) -> tuple[Tensor, ...]:
    return torch.split(values, rows) if len(values) > rows else (values,)


def _nearest_of_rows(latents: Tensor, book: Tensor, halves: Tensor, columns: int) -> Tensor:
    best, index = _scores(latents, book[:columns], halves[:columns]).min(1)
    for start in range(columns, len(book), columns):
        part = slice(start, start + columns)
        value, place = _scores(latents, book[part], halves[part]).min(1)
        # Strictly less, so that an earlier codeword keeps a tie.
        index = torch.where(value < best, place + start, index)
        best = torch.minimum(value, best)
    return index


def _scores(latents: Tensor, book: Tensor, halves: Tensor) -> Tensor:
    # ½ |e|² - z · e, as one product that writes one matrix.
    return torch.addmm(halves, latents, book.t(), alpha=-1)


def _nearest_by_differences(codes: Tensor, book: Tensor, scores: int) -> Tensor:
    columns = max(1, min(len(book), scores // book.shape[1]))
    found = []
    for part in _cut(codes, max(1, scores // (columns * book.shape[1]))):
        best = part.new_full((len(part),), torch.inf)
        index = torch.zeros(len(part), dtype=torch.int64, device=part.device)
        for start in range(0, len(book), columns):
            distances = (part[:, None] - book[start : start + columns]).square().sum(2)
            value, place = distances.min(1)
            index = torch.where(value < best, place + start, index)
            best = torch.minimum(value, best)
        found.append(index)
    return torch.cat(found)
