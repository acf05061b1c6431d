"""What the study of texts compares, and how long it trains, as frozen values; no torch here.

size      tokenizer and prior                     byte-level prior    steps of each    windows per step
smoke     width 16                                width 16            4                4
laptop    recipe tinyshakespeare_laptop: 1.0M     1.0M, 4 layers      300              32
gpu       the same                                the same            20,000           256
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from gridcode.domains.text.config import TextConfig, TextTokenizerRun
from gridcode.domains.text.recipes import TextRecipe, laptop, smoke
from gridcode.prior.config import AutoregressiveConfig, PriorRun
from gridcode.quantize.config import FSQConfig
from gridcode.quantize.fsq.levels import recommended_levels
from gridcode.studies.config import Size, check_chosen, check_seeds
from gridcode.training.config import LoopConfig

LARGE: Final = {18: (8, 8, 8, 8, 8, 8), 20: (8, 8, 8, 8, 8, 6, 5)}
"""Levels of codebooks beyond those that the paper recommends any for."""

AnyRun = TypeVar("AnyRun", TextTokenizerRun, PriorRun)


@dataclass(frozen=True)
class TextStudyConfig:
    """The texts, the sizes of the codebook, and how large the networks are."""

    data: TextConfig = field(default_factory=TextConfig)
    """The texts."""
    bits: tuple[int, ...] = (8, 10, 12, 14, 16, 18, 20)
    """Sizes of the codebook, log2."""
    size: Size = "laptop"
    """Networks and steps: smoke, laptop or gpu."""
    seeds: int = 2
    """Runs of each setting, seeds 0, 1, …"""

    def __post_init__(self) -> None:
        """Refuse a study of nothing, or of one thing twice."""
        check_seeds(self)
        check_chosen(8, 20, bits=self.bits)
        for bits in self.bits:
            levels_of(bits)

    @property
    def recipe(self) -> TextRecipe:
        """Both stages, before a cell changes them."""
        return smoke() if self.size == "smoke" else laptop()

    def tokenizer(self, bits: int, seed: int) -> TextTokenizerRun:
        """Stage I of a cell."""
        run = self.recipe.tokenizer
        model = replace(run.model, quantizer=FSQConfig(levels=levels_of(bits)))
        return self._timed(replace(run, data=self.data, model=model), seed)

    def prior(self, seed: int) -> PriorRun:
        """Stage II of a cell."""
        return self._timed(self.recipe.prior, seed)

    def byte_prior(self, seed: int) -> PriorRun:
        """The autoregressive transformer over bytes, of about as many weights as tokenizer and prior together."""
        run, width = self.recipe.prior, 16 if self.size == "smoke" else 144
        model = AutoregressiveConfig(
            head="joint", width=width, depth=run.model.depth + 1, heads=run.model.heads, mlp=4 * width, dropout=0.0
        )
        return self._timed(replace(run, model=model), seed)

    @property
    def loop(self) -> LoopConfig:
        """Steps and batch of every stage."""
        steps, batch = {"smoke": (4, 4), "laptop": (300, 32), "gpu": (20_000, 256)}[self.size]
        return LoopConfig(
            steps=steps,
            batch_size=batch,
            log_every=max(2, steps // 20),
            val_every=max(2, steps // 2),
            val_count=500 if steps > 100 else 8,
            checkpoint_every=max(2, steps // 4),
        )

    def _timed(self, run: AnyRun, seed: int) -> AnyRun:
        return replace(run, loop=replace(self.loop, seed=seed))


def levels_of(bits: int) -> tuple[int, ...]:
    """The levels of a codebook of about ``2**bits`` codes.

    Raises:
        GridcodeError: There are none for this size.

    >>> levels_of(8), levels_of(18)
    ((8, 6, 5), (8, 8, 8, 8, 8, 8))
    """
    return LARGE.get(bits) or recommended_levels(bits)
