"""The order of a stream: shards in lanes, blocks in a lane, images in a block.

    batch    | lane 0 | lane 1 | lane 2 | lane 3 |          each lane gives an equal share of every batch
                  |
    lane 0   shard 7, shard 2, …                            every fourth shard of the epoch's permutation
             [ block 0 ][ block 1 ][ …                      as many images as the buffer holds, in random order

Epoch e orders the shards by permutation(seed, e); of L lanes, lane l reads the shards l, l + L, … of it, one after
another. So every shard is in one lane an epoch, and every image comes once. Block b of a lane is shuffled by
(seed, e, l, b). What a lane gives thus depends on (seed, l) and on nothing but the shards: not on processes and
workers, which share the lanes. A lane whose shards are larger takes longer for an epoch; lanes do not wait.

A state is where a block begins and how much of it was given: to resume, the block is read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from gridcode.data.shards.position import LaneState
from gridcode.data.shards.stream import Encoded, ImageStream
from gridcode.errors import GridcodeError

MOST_LANES: Final = 16
"""Shards that are open at the same time, over all processes, at most."""


def lane_count(shards: int, batch_size: int, world: int = 1) -> int:
    """Lanes of a run: as many as there are shards, at most 16, and a divisor of the batch.

    Args:
        shards: How many there are.
        batch_size: Images per step, over all processes.
        world: Processes; each has the same number of lanes.

    Raises:
        GridcodeError: The processes cannot share them.

    >>> lane_count(100, 256), lane_count(10, 64), lane_count(3, 64)
    (16, 8, 2)
    """
    lanes = next(lanes for lanes in range(min(shards, MOST_LANES), 0, -1) if batch_size % lanes == 0)
    if lanes % world:
        raise GridcodeError(
            f"{shards} shards make {lanes} lanes in batches of {batch_size}, which {world} processes cannot share; "
            f"write more shards, or change loop.batch_size: the number of lanes must be a multiple of {world}"
        )
    return lanes


def useful_lane_workers(lanes: int, workers: int) -> int:
    """Worker processes that share a process's lanes equally: the largest such number, at most ``workers``.

    >>> useful_lane_workers(8, 3), useful_lane_workers(8, 0)
    (2, 0)
    """
    return max((count for count in range(1, min(lanes, workers) + 1) if lanes % count == 0), default=0)


class Lane:
    """The images of one lane, without end.

    Args:
        stream: The shards.
        number: Which lane, in [0, lanes).
        lanes: How many there are.
        seed: Of the order.
        buffer: Images of a block, at least 1; 1 keeps the order within shards.
        state: Where to begin.
    """

    def __init__(
        self, stream: ImageStream, number: int, lanes: int, *, seed: int, buffer: int, state: LaneState
    ) -> None:
        self._stream, self._number, self._lanes = stream, number, lanes
        self._seed, self._buffer = seed, buffer
        self.state = state
        self._block: list[Encoded | GridcodeError] | None = None
        self._reader: Iterator[tuple[Encoded | GridcodeError, int, int]] | None = None
        self._next = state

    def __iter__(self) -> Iterator[Encoded | GridcodeError]:
        """Images, or errors in their place; ``state`` is then where the one after it is."""
        while True:
            if self._block is None:
                self._fill()
            assert self._block is not None
            while self.state.used < len(self._block):
                item = self._block[self.state.used]
                self.state = self.state._replace(used=self.state.used + 1)
                yield item
            self._block, self.state = None, self._next

    def _fill(self) -> None:
        """Read and shuffle the block that begins at the state, and find out where the next one begins."""
        epoch, shard, offset, block, _ = self.state
        if self._reader is None:
            self._reader = self._read(epoch, shard, offset)
        items: list[Encoded | GridcodeError] = []
        for item, shard, offset in self._reader:
            items.append(item)
            if len(items) == self._buffer:
                self._next = LaneState(epoch, shard, offset, block + 1)
                break
        else:
            if not items and not block:
                raise GridcodeError(f"{self._stream.name}: no images in the shards of a lane; check data.source")
            self._reader, self._next = None, LaneState(epoch + 1)
        order = np.random.default_rng((self._seed, epoch, self._number, block)).permutation(len(items))
        self._block = [items[place] for place in order]

    def _read(self, epoch: int, first: int, start: int) -> Iterator[tuple[Encoded | GridcodeError, int, int]]:
        """The lane's images of an epoch, each with the place after it: the shard's and the image's number."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._stream.shards))[
            self._number :: self._lanes
        ]
        for place in range(first, len(order)):
            skipped = start if place == first else 0
            for number, item in enumerate(self._stream.read(self._stream.shards[order[place]], skipped), skipped):
                yield item, place, number + 1
