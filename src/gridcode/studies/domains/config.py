"""Which kinds of data and quantizers are compared, and how long cells train, as frozen values; no torch here.

kind      recipe                     examples
image     fashion_mnist_laptop       Fashion-MNIST, 28 px
audio     fsdd_laptop                spoken digits, 8 kHz
text      tinyshakespeare_laptop     Shakespeare's plays, windows of 64 bytes
points    solids_laptop              built-in solids, 512 points
video     video_laptop               built-in moving scenes, 17 frames

Networks, batches and learning rates are the recipes'; codes, steps and counts are the same for all, and every prior
has one softmax over the codes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, Literal, TypeAlias, get_args

from gridcode.errors import check_choices, check_numbers
from gridcode.quantize.config import FSQConfig, QuantizerConfig, VQConfig
from gridcode.recipes import ClassRecipe, recipe
from gridcode.studies.config import PRESETS, Family, Size, check_chosen

KindName: TypeAlias = Literal["image", "audio", "text", "points", "video"]

RECIPES_OF: Final[dict[KindName, str]] = {
    "image": "fashion_mnist_laptop",
    "audio": "fsdd_laptop",
    "text": "tinyshakespeare_laptop",
    "points": "solids_laptop",
    "video": "video_laptop",
}
SMOKE_OF: Final[dict[KindName, str]] = {
    "image": "scenes_smoke",
    "audio": "fsdd_smoke",
    "text": "tinyshakespeare_smoke",
    "points": "solids_smoke",
    "video": "video_smoke",
}
LEVELS: Final = (8, 5, 5, 5)
"""The paper's levels for 2^10 codes; every VQ has as many codes."""


@dataclass(frozen=True)
class DomainsConfig:
    """Which kinds of data, which quantizers, and how long."""

    kinds: tuple[KindName, ...] = get_args(KindName)
    """Kinds of data."""
    families: tuple[Family, ...] = ("fsq", "vq", "vq_splitting")
    """Quantizers: FSQ, VQ without any help, and VQ at full strength, with UViM's splitting of codes."""
    image: str = "fashion_mnist"
    """Images of 28 px with classes: a path."""
    audio: str = "fsdd"
    """Sounds with classes: a path."""
    text: str = "tinyshakespeare.txt"
    """Texts: a path."""
    size: Size = "laptop"
    """Networks, steps and counts: smoke, laptop or gpu."""
    steps: int = 400
    """Steps of each stage at laptop size."""
    seeds: int = 3
    """Runs of each setting, seeds 0, 1, …"""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_numbers(self, "", counts=("steps", "seeds"))
        check_chosen(kinds=self.kinds, families=self.families)
        check_choices(self, "", kinds=get_args(KindName), families=get_args(Family), size=get_args(Size))

    @property
    def counts(self) -> tuple[int, int]:
        """Training examples whose tokens the prior learns, and validation examples, at most."""
        return {"smoke": (24, 12), "laptop": (2000, 300), "gpu": (100_000, 2000)}[self.size]

    @property
    def all_steps(self) -> int:
        """Steps of each stage."""
        return {"smoke": 4, "laptop": self.steps, "gpu": 20_000}[self.size]

    def quantizer(self, family: str) -> QuantizerConfig:
        """A family's, with the study's number of codes.

        >>> DomainsConfig().quantizer("vq").size
        1000
        """
        if family == "fsq":
            return FSQConfig(levels=LEVELS)
        return VQConfig(PRESETS[family], size=prod(LEVELS))  # type: ignore[arg-type]

    def recipe(self, kind: KindName, family: str, seed: int) -> ClassRecipe:
        """Both stages of a cell."""
        found: Any = recipe((SMOKE_OF if self.size == "smoke" else RECIPES_OF)[kind])
        run = found.tokenizer
        data = replace(run.data, source=getattr(self, kind)) if hasattr(self, kind) else run.data
        if hasattr(data, "workers"):
            data = replace(data, workers=0)
        model = replace(run.model, quantizer=self.quantizer(family))
        prior = replace(found.prior.model, head="joint")  # a VQ's codes have no digits
        cell: ClassRecipe = replace(
            found,
            tokenizer=replace(run, data=data, model=model, loop=self._loop(run.loop, seed)),
            prior=replace(found.prior, model=prior, loop=self._loop(found.prior.loop, seed)),
        )
        return cell

    def _loop(self, loop: Any, seed: int) -> Any:
        steps = self.all_steps
        return replace(
            loop,
            steps=steps,
            seed=seed,
            log_every=max(2, steps // 20),
            val_every=max(2, steps // 2),
            val_count=min(loop.val_count, 100),
            checkpoint_every=max(2, steps // 4),
        )
