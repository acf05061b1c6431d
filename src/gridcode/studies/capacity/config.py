"""How many layers the study of capacity adds, and to what, as frozen values; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from gridcode.errors import GridcodeError
from gridcode.studies.config import ImageStudyConfig, check_chosen, check_seeds

Target: TypeAlias = Literal["spirals", "ring"]


@dataclass(frozen=True)
class CapacityConfig(ImageStudyConfig):
    """How many layers are added, and to what."""

    seeds: int = 3
    """Runs of each setting, seeds 0, 1, …"""
    dense: tuple[int, ...] = (0, 1, 2, 4)
    """Dense layers added on each side of the bottleneck of a tokenizer of images with FSQ."""
    targets: tuple[Target, ...] = get_args(Target)
    """Points in the plane that want codes where a grid has none."""
    depths: tuple[int, ...] = (0, 1, 2, 4)
    """Hidden layers of the points' encoder."""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(dense=self.dense, targets=self.targets, depths=self.depths)
        if min(*self.dense, *self.depths, 0) < 0:
            raise GridcodeError(f"dense and depths must be at least 0, got {self.dense} and {self.depths}")

    @property
    def point_steps(self) -> int:
        """Training steps on points."""
        return {"smoke": 10, "laptop": 3000, "gpu": 3000}[self.size]
