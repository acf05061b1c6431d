"""A bar for batches of images that are read and measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from gridcode.training.log import ProgressBar


def with_bar(title: str, batches: Iterable[Tensor], total: int) -> Iterator[Tensor]:
    """Pass batches on, and show how many of ``total`` images have been taken.

    >>> import torch
    >>> [len(batch) for batch in with_bar("images", torch.zeros(5, 3, 8, 8).split(2), 5)]
    [2, 2, 1]
    """
    done = 0
    with ProgressBar(title, total=total) as bar:
        for batch in batches:
            yield batch
            done += len(batch)
            bar.advance(done)
