"""Grouped FSQ: equal codebooks side by side, each over channels of its own.

The d = groups · len(levels) channels of a vector are cut into groups, the first one first, and each is quantized by the
same FSQ, in one call. A vector then has an index for each group; so a codebook beyond 2^63 codes is several within it.
Gradient: FSQ's, channel by channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer, check_record, make_record
from gridcode.quantize.fsq.forms import FormName
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.latents import check_place, check_vectors
from gridcode.quantize.ranges import check_whole


@final
class GroupedFSQ(Quantizer):
    """Several FSQ of the same levels, side by side; indices have one entry for each group.

    Args:
        levels: [L_1 …], the values of each channel of a group.
        groups: How many groups, 1 or more.
        form: As in :class:`FSQ`.
        eps: As in :class:`FSQ`.
        channel_dim: The dimension of the latents that holds the d = groups · len(levels) channels.
        nan: What a NaN latent is: ``"error"``, or ``"zero"`` to count it as 0.

    Raises:
        GridcodeError: The settings lie outside their ranges.

    >>> quantizer = GroupedFSQ([8, 5], groups=2)
    >>> out = quantizer(torch.tensor([[0.3, -2.0, 0.1, 0.9]]))
    >>> out.indices, torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    (tensor([[ 5, 28]]), True)
    """

    def __init__(
        self,
        levels: Sequence[int],
        *,
        groups: int = 2,
        form: FormName = "paper",
        eps: float | None = None,
        channel_dim: int = -1,
        nan: Literal["error", "zero"] = "error",
    ) -> None:
        super().__init__()
        check_whole("GroupedFSQ", "groups", groups, least=1)
        # (…, d, …) is seen as (…, groups, channels of a group, …): no channel moves, whatever their dimension.
        inner = channel_dim if channel_dim < 0 else channel_dim + 1
        self.fsq = FSQ(levels, form=form, eps=eps, channel_dim=inner, nan=nan)
        self.groups, self.channel_dim = groups, channel_dim

    @property
    def channels(self) -> int:
        """d, the channels of all groups."""
        return self.groups * self.fsq.channels

    @property
    def levels(self) -> tuple[int, ...]:
        """The digits of one group's index."""
        return self.fsq.levels

    @property
    def index_shape(self) -> tuple[int, ...]:
        """(groups,): an index for each group."""
        return (self.groups,)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents of any rank with d channels in ``channel_dim``; indices (…, groups), loss 0.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is NaN.
        """
        place, grouped = self._grouped(latents, "latents")
        out: Quantized = self.fsq(grouped)
        return Quantized(
            codes=out.codes.flatten(place, place + 1), indices=out.indices.movedim(place, -1), loss=out.loss
        )

    def relax(self, latents: Tensor) -> Tensor:
        """The bounded latents on the scale of the codes, before rounding; differentiable."""
        place, grouped = self._grouped(latents, "latents")
        return self.fsq.relax(grouped).flatten(place, place + 1)

    def indices_to_codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The codes of indices (…, groups), each in [0, K).

        Raises:
            GridcodeError: They are not such integers.
        """
        if indices.ndim == 0 or indices.shape[-1] != self.groups:
            raise GridcodeError(
                f"GroupedFSQ: indices of shape {tuple(indices.shape)} do not end in {self.groups} groups"
            )
        what = f"codes for indices of shape {tuple(indices.shape)}"
        place = check_place("GroupedFSQ", indices.ndim, self.channel_dim, what)
        return self.fsq.indices_to_codes(indices.movedim(-1, place), dtype=dtype).flatten(place, place + 1)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """The int64 indices (…, groups) of codes.

        Raises:
            GridcodeError: They are not floats, the channels are not d, or one is no code.
        """
        place, grouped = self._grouped(codes, "codes")
        return self.fsq.codes_to_indices(grouped).movedim(place, -1)

    def spec(self) -> dict[str, Any]:
        """Name, groups and what one group is, as manifests and configs record them."""
        return self.fsq.spec() | {"name": "grouped", "groups": self.groups}

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"groups={self.groups}, channel_dim={self.channel_dim}"

    def get_extra_state(self) -> Tensor:
        """What the state dict records beside FSQ's own record: the groups."""
        return make_record({"name": "grouped", "groups": self.groups})

    def set_extra_state(self, state: Any) -> None:
        """Refuse a state dict of another number of groups."""
        check_record("GroupedFSQ", {"name": "grouped", "groups": self.groups}, state)

    def _grouped(self, values: Tensor, what: str) -> tuple[int, Tensor]:
        """The channels' place, and the values with groups there and the channels of a group after them."""
        place = check_vectors("GroupedFSQ", values, what, channels=self.channels, channel_dim=self.channel_dim)
        return place, torch.unflatten(values, place, (self.groups, self.fsq.channels))
