"""Point clouds as a kind of data: how they are read, tokenized, measured and shown.

clouds (B, N, 3) in the unit ball --Encoder--> latents (B, d, 1, M);   codes (B, d, 1, M) --Decoder--> clouds (B, N, 3)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor, nn

from gridcode.domains.points.config import (
    CloudConfig,
    PointsConfig,
    PointsTokenizerRun,
)
from gridcode.domains.points.data.loader import PointsBatch, eval_batches, train_batches
from gridcode.domains.points.data.source import open_clouds
from gridcode.domains.points.loss import PointsObjective
from gridcode.domains.points.measure import NEAR, measure_reconstructions
from gridcode.domains.points.networks import Decoder, Encoder, template
from gridcode.domains.points.show import save_sheet
from gridcode.errors import GridcodeError
from gridcode.tokenizer.domain import Measurement, Outline, Sources
from gridcode.tokenizer.labelled import LabelledDomain, recorded_data
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.range import seen_range, within_range
from gridcode.training.run import RunOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@final
@dataclass(eq=False)
class PointsDomain(LabelledDomain):
    """Clouds of any number of points, that come back with a number that can be chosen.

    Attributes:
        points: How many points tokens are decoded to; it may be changed at any time.
    """

    name: ClassVar[str] = "points"
    points: int = PointsConfig.points

    open = staticmethod(open_clouds)
    train_batches = staticmethod(train_batches)
    eval_batches = staticmethod(eval_batches)
    architecture = CloudConfig.from_json

    def shape(self, data: PointsConfig) -> tuple[int]:
        """Points."""
        return (data.points,)

    def make_networks(self, config: CloudConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        """See :mod:`gridcode.domains.points.networks`."""
        return Encoder(config, latents), Decoder(config, latents)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The layers."""
        assert isinstance(network, Encoder | Decoder)
        return list(network.blocks)

    def encoder_inputs(self, config: CloudConfig, examples: Tensor, context: Tensor | None) -> tuple[Tensor]:
        """The clouds, (B, N, 3).

        Raises:
            GridcodeError: They have another shape or no points, or there is a context.
        """
        if context is not None:
            raise GridcodeError("a tokenizer of clouds sees clouds alone; give no context")
        if examples.ndim != 3 or examples.shape[2] != 3 or not examples.shape[1]:
            raise GridcodeError(
                f"the tokenizer takes clouds (B, N, 3) of at least one point, got shape {tuple(examples.shape)}"
            )
        return (examples,)

    def check_range(self, config: CloudConfig, examples: Tensor, context: Tensor | None, *, check_values: bool) -> None:
        """Refuse integers, and coordinates outside [-1, 1]."""
        if not examples.is_floating_point():
            raise GridcodeError(f"clouds must be floats in [-1, 1], got {examples.dtype}; move and scale them")
        if check_values and (seen := seen_range(examples)) is not None and not within_range(*seen):
            raise GridcodeError(
                f"coordinates must be in [-1, 1], got {seen[0]:.4g} to {seen[1]:.4g}; set data.normalise=True, or move "
                "and scale the clouds and mend NaN"
            )

    def decoder_inputs(
        self, config: CloudConfig, count: int, context: Tensor | None, dropped: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """The places of the points on the charts."""
        super().decoder_inputs(config, count, context, dropped)
        return (template(self.points, config.charts),)

    def decoded(self, config: CloudConfig, outputs: Tensor) -> Tensor:
        """Clouds (B, N, 3), float32."""
        return outputs.float()

    def bits(self, tokenizer: Tokenizer) -> float:
        """Bits of a cloud's tokens, each of log2 K."""
        return prod(tokenizer.token_grid(self.points)) * log2(tokenizer.codebook_size)

    def outline(self, tokenizer: Tokenizer, run: PointsTokenizerRun, *, bytes_per_value: int) -> Outline:
        """See :class:`Domain`; with the bits of a cloud."""
        plain = super().outline(tokenizer, run, bytes_per_value=bytes_per_value)
        return replace(plain, facts={"cloud": f"{run.data.points} points in {self.bits(tokenizer):,.0f} bits"})

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """See :class:`Domain`."""
        sides = "".join(f", {count}" for count in tokenizer.quantizer.index_shape)
        return {
            "networks": "attention from learned queries to points, and from points on charts to tokens",
            "clouds": f"{self.points} points of the unit ball, in any order",
            "size": f"{self.bits(tokenizer):,.0f} bits per cloud",
            "data": f"{tokenizer.info.get('dataset', 'unknown')}",
            "example": "indices = tokenizer.encode(clouds)   # (B, N, 3) in the unit ball -> "
            f"(B, 1, {tokenizer.config.tokens}{sides})\nclouds = tokenizer.decode(indices)",
        }

    def encode_inputs(self, batch: PointsBatch) -> tuple[Tensor]:
        """The clouds."""
        return (batch.points,)

    def make_objective(
        self, run: PointsTokenizerRun, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> PointsObjective:
        """See :class:`gridcode.domains.points.loss.PointsObjective`."""
        return PointsObjective(run.loss)

    def measure(self, tokenizer: Tokenizer, batches: Iterable[PointsBatch]) -> Measurement:
        """``chamfer``, ``distance``, ``f_score_0.05``, ``usage``, ``perplexity``."""
        found = measure_reconstructions(tokenizer, batches)
        scores = {
            "chamfer": found.chamfer,
            "distance": found.distance,
            f"f_score_{NEAR}": found.f_score,
        }
        return Measurement.of(scores, found.usage, score=-found.chamfer)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: PointsBatch) -> None:
        """Scatter plots in a row, those of the reconstructions below."""
        clouds = batch.points
        with torch.inference_mode():
            save_sheet(path, clouds, tokenizer.decode(tokenizer.encode(clouds.to(tokenizer.device))))


def data_of(tokenizer: Tokenizer) -> PointsConfig:
    """The :class:`PointsConfig` in the tokenizer's own record.

    Raises:
        GridcodeError: It has none, or one that this version cannot read.
    """
    return recorded_data(tokenizer.info, PointsConfig, nouns="clouds")


DOMAIN = PointsDomain
