"""Where training is in a stream: a few numbers a lane, which a checkpoint keeps and a resumed run goes on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class LaneState(NamedTuple):
    """Where a lane (:mod:`gridcode.data.shards.lanes`) is.

    Attributes:
        epoch: How often it has been through its shards.
        shard: The place, among the lane's shards of this epoch, of the one in which its block begins.
        offset: Images of that shard before the block.
        block: The block's number in the epoch.
        used: Images of the block that were given.
    """

    epoch: int = 0
    shard: int = 0
    offset: int = 0
    block: int = 0
    used: int = 0


class StreamPosition:
    """The states of all lanes after a step.

    Attributes:
        step: Steps taken.
        lanes: By the lane's number.
        count: Lanes of all processes.
        mine: Those of this process.
    """

    def __init__(self) -> None:
        self.step = self.count = 0
        self.mine = range(0)
        self.lanes: dict[int, LaneState] = {}

    def at(self, step: int, lane: int) -> LaneState:
        """The state of a lane at a step.

        Raises:
            GridcodeError: It is not known, because no checkpoint of a stream was written then.
        """
        if step == 0:
            return LaneState()
        if step != self.step or lane not in self.lanes:
            raise GridcodeError(
                f"a stream cannot be entered at step {step}: the checkpoint does not say where that is; resume with "
                "the same data.stream, or set force=True to start again"
            )
        return self.lanes[lane]

    def gather(self, fabric: Fabric) -> None:
        """Take in the lanes of the other processes; every process calls it."""
        if fabric.world_size == 1:
            return
        table = torch.zeros(self.count, len(LaneState()), dtype=torch.int64, device=fabric.device)
        for lane in self.mine:
            table[lane] = torch.tensor(self.lanes[lane])
        everyone = fabric.all_reduce(table, reduce_op="sum")
        assert isinstance(everyone, torch.Tensor)
        self.lanes = {lane: LaneState(*state) for lane, state in enumerate(everyone.tolist())}

    def state_dict(self) -> dict[str, Any]:
        """Step and lanes, for a checkpoint."""
        return {"step": self.step, "lanes": {str(lane): list(state) for lane, state in sorted(self.lanes.items())}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step = int(state["step"])
        self.lanes = {int(lane): LaneState(*values) for lane, values in state["lanes"].items()}
