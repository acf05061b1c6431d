"""FSQ beside VQ on every kind of data, at equal steps and codes: does near-full usage without help hold everywhere?

    setting              what is trained
    audio-fsq            the recipe of sounds with FSQ, both stages
    audio-vq             the same with a VQ that is learned by its loss alone
    audio-vq_splitting   the same with a VQ at full strength: UViM's splitting of codes

    examples ─> tokenizer ─> the kind's own measure, usage, perplexity
                    └─> tokens ─> prior ─> bits per token, of validation examples

Measured is what training validates by, and so nothing here knows a kind of data but its recipe and the names of its
measures.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Final, Literal

import torch

from gridcode.prior.bits import measure_bits
from gridcode.prior.train import train_prior
from gridcode.recipes import ClassRecipe
from gridcode.store.reader import TokenStore
from gridcode.studies.codebooks.tradeoff import NAMES
from gridcode.studies.curves import cell_text
from gridcode.studies.domains.config import RECIPES_OF, DomainsConfig, KindName
from gridcode.studies.images import continued, tidy_stages
from gridcode.studies.intervals import above, answered, average, difference, percent
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.summary import Bars, Column, StudyTable, Summary, Verdict, by_setting
from gridcode.studies.timing import STEPS, seconds_of_steps, short_loop
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.domain import Sources, domain_of
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.log import read_log

NOUNS: Final[dict[str, str]] = {
    "image": "images",
    "audio": "sounds",
    "text": "texts",
    "points": "clouds",
    "video": "clips",
}
MEASURE_OF: Final[dict[str, Column]] = {
    "image": Column("psnr", "PSNR (dB)", 2),
    "audio": Column("mel_distance", "mel distance (nats)", 3),
    "text": Column("byte_accuracy", "bytes right", 1, percent=True),
    "points": Column("chamfer", "Chamfer distance", 4),
    "video": Column("psnr", "PSNR (dB)", 2),
}
"""What a reconstruction is measured by, of each kind."""
BITS: Final = "bits_per_token"
MEASURES: Final = (
    Column("usage", "codebook usage", 1, percent=True),
    Column("perplexity_share", "perplexity / codes", 1, percent=True),
    Column(BITS, "bits per token", 2),
    Column("seconds_a_step", "seconds per step", 2),
)
DISTANCES: Final = frozenset({"mel_distance", "chamfer"})
"""Measures of which less is better."""
FULL: Final = 0.95
"""Usage that counts as near-full."""


@dataclass(frozen=True)
class DomainsStudy(Study):
    """See the module."""

    name: ClassVar[str] = "domains"
    paths: ClassVar[tuple[str, ...]] = ("image", "audio", "text")
    choices: ClassVar[tuple[str, ...]] = ("seeds", "kinds", "families")
    config: DomainsConfig = field(default_factory=DomainsConfig)

    def cells(self) -> list[Cell]:
        """Every quantizer on every kind; all of the first seed come first."""
        settings = [f"{kind}-{family}" for kind in self.config.kinds for family in self.config.families]
        return [Cell(setting, seed) for seed in range(self.config.seeds) for setting in settings]

    def kind(self, cell: Cell) -> str:
        """The kind of data."""
        return cell.setting.partition("-")[0]

    def steps(self) -> str:
        """See :class:`Study`."""
        sizes = {self._recipe(Cell(f"{kind}-fsq", 0)).tokenizer.loop.batch_size for kind in self.config.kinds}
        return f"{self.config.all_steps} steps of each stage, of {min(sizes)} to {max(sizes)} examples in the first"

    def _recipe(self, cell: Cell) -> ClassRecipe:
        kind, _, family = cell.setting.partition("-")
        return self.config.recipe(kind, family, cell.seed)  # type: ignore[arg-type]

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`."""
        recipe: Any = self._recipe(cell)
        start = time.perf_counter()
        short = replace(
            recipe,
            tokenizer=replace(recipe.tokenizer, loop=short_loop(recipe.tokenizer.loop)),
            prior=replace(recipe.prior, loop=short_loop(recipe.prior.loop)),
        )
        with tempfile.TemporaryDirectory(prefix="gridcode-") as name:
            folder = Path(name)
            train_and_measure(self.config, short, folder)
            once = time.perf_counter() - start
            loops = {"tokenizer": recipe.tokenizer.loop, "prior": recipe.prior.loop}
            seconds: float = sum(
                seconds_of_steps(folder / stage, loop) * (1 - STEPS / loop.steps) for stage, loop in loops.items()
            )
        return float(once + max(0.0, seconds))

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Train and measure both stages, or go on with them."""
        return train_and_measure(self.config, self._recipe(cell), cell_folder(out, cell))

    def tidy(self, cell: Cell, out: Path) -> None:
        """See :class:`Study`."""
        tidy_stages(cell_folder(out, cell))

    def headline(self, values: Values) -> str:
        """See :class:`Study`."""
        return f"usage {values['usage']:.0%}, {values[BITS]:.2f} bits per token"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        verdicts, tables = [], []
        used: dict[str, dict[str, list[float]]] = {}
        for kind in self.config.kinds:
            found = {measure.key: by_setting(results, measure.key) for measure in (MEASURE_OF[kind], *MEASURES)}
            families = {
                family: f"{kind}-{family}" for family in self.config.families if found["usage"].get(f"{kind}-{family}")
            }
            if families:
                columns = (MEASURE_OF[kind], *MEASURES)
                rows = [
                    [
                        NAMES[family],
                        *(cell_text(found[column.key].get(setting), column) for column in columns),
                        first_alarms(results, setting),
                    ]
                    for family, setting in families.items()
                ]
                head = ("", *(column.title for column in columns), "alarms, first at step")
                tables.append(StudyTable(f"{NOUNS[kind].capitalize()} ({RECIPES_OF[kind]})", head, rows))
                usage, quality = (
                    {str(family): found[key][setting] for family, setting in families.items()}
                    for key in ("usage", MEASURE_OF[kind].key)
                )
                for family, setting in families.items():
                    used.setdefault(NAMES[family], {})[NOUNS[kind]] = found["usage"][setting]
                verdicts += kind_verdicts(NOUNS[kind], usage, quality, MEASURE_OF[kind])
        note = (
            "Bits per token are those of validation tokens under a prior that was trained for as many steps, given "
            "their class. Usage is that over all validation tokens. Seconds per step are by the clock: where they "
            "spread between seeds, other work ran beside."
        )
        panels = [Bars("codebook usage", used, percent=True)] if used else []
        return Summary("FSQ and VQ on every kind of data", verdicts, tables, panels, notes=(note,))


@lru_cache(maxsize=1)
def examples(config: DomainsConfig, kind: KindName) -> Sources:
    """A kind's examples, opened once a process; those for validation are few."""
    run: Any = config.recipe(kind, "fsq", 0).tokenizer
    domain = domain_of(run)
    train, val = (domain.open(run.data, split) for split in ("train", "val"))
    return Sources(train, domain.part(val, config.counts[1]))


def train_and_measure(config: DomainsConfig, recipe: ClassRecipe, folder: Path) -> Values:
    """Train and measure both stages of a cell, or go on with them.

    Returns:
        The measure that training validates by, usage, the perplexity as a share of the
        codes, bits per token, seconds per step of Stage I by the clock, and the step of each alarm's first time.
    """
    run: Any = recipe.tokenizer
    kind: KindName = recipe.kind  # type: ignore[assignment]
    sources = examples(config, kind)
    tokenizer: Tokenizer = train_tokenizer(run, continued(folder / "tokenizer"), sources=sources).eval()
    domain, store = tokenizer.domain, folder / "tokens"
    with torch.inference_mode():
        found = domain.measure(tokenizer, domain.eval_batches(sources.val, run.data, batch_size=run.loop.batch_size))
    if not (store / "manifest.json").is_file():
        splits = {"train": domain.part(sources.train, config.counts[0]), "val": sources.val}
        tokenize(tokenizer, splits, run.data, StoreOptions(store, batch_size=run.loop.batch_size, force=True))
    opened = TokenStore.open(store, tokenizer=tokenizer.weights_hash())
    prior = train_prior(recipe.prior, opened, continued(folder / "prior")).eval()
    bits = measure_bits(prior, opened.load("val"), batch_size=recipe.prior.loop.batch_size)
    return {
        MEASURE_OF[kind].key: found.scores[MEASURE_OF[kind].key],
        "usage": found.scores["usage"],
        "perplexity_share": found.scores["perplexity"] / tokenizer.codebook_size,
        BITS: bits.per_token,
        "seconds_a_step": seconds_of_steps(folder / "tokenizer", run.loop) / run.loop.steps,
        "alarms": alarm_steps(folder / "tokenizer"),
    }


def alarm_steps(run: Path) -> dict[str, int]:
    """The step at which each of a run's alarms rang first, by the alarm's name."""
    found: dict[str, int] = {}
    for line in read_log(run):
        if "alarm" in line:
            found.setdefault(line["alarm"], int(line["step"]))
    return found


def first_alarms(results: Mapping[Cell, Values], setting: str) -> str:
    """The alarms of a setting's seeds, each with the earliest step at which it rang."""
    earliest: dict[str, int] = {}
    for cell, values in results.items():
        if cell.setting == setting:
            for name, step in values["alarms"].items():
                earliest[name] = min(step, earliest.get(name, step))
    return ", ".join(f"{name} {step}" for name, step in sorted(earliest.items(), key=lambda item: item[1])) or "none"


def kind_verdicts(
    nouns: str, usage: Mapping[str, Sequence[float]], quality: Mapping[str, Sequence[float]], measure: Column
) -> list[Verdict]:
    """What a kind's figures say.

    Args:
        nouns: What its examples are called.
        usage: Over seeds by family.
        quality: Likewise, of reconstructions.
        measure: What that is.
    """
    found = []
    if "fsq" in usage:
        used = average(usage["fsq"])
        figures = f"usage {used.share_text()}, {percent(min(usage['fsq']), 1)} at least"
        found.append(Verdict(f"FSQ uses at least {percent(FULL)} of its codes on {nouns}", above(used, FULL), figures))
    if "fsq" in usage and "vq" in usage:
        change = difference(usage["vq"], usage["fsq"], usage.values())
        figures = (
            f"{percent(fmean(usage['vq']), 1)} against {percent(fmean(usage['fsq']), 1)}: "
            f"{change.text(1, scale=100, unit=' points')}"
        )
        found.append(
            Verdict(
                f"VQ without splitting uses fewer codes than FSQ on {nouns}", answered(change, expected=-1), figures
            )
        )
    vqs = {family: values for family, values in quality.items() if family != "fsq"}
    better: Literal[1, -1] = -1 if measure.key in DISTANCES else 1
    if "fsq" in quality and vqs:
        best = max(vqs, key=lambda family: better * fmean(vqs[family]))
        change = difference(quality["fsq"], vqs[best], quality.values(), comparisons=len(vqs))
        text = change.text(1, scale=100, unit=" points") if measure.percent else change.text(measure.digits)
        figures = f"{measure.title} {text} beside {NAMES[best]}, the best VQ"
        claim = f"FSQ reconstructs {nouns} better than the best VQ"
        found.append(Verdict(claim, answered(change, expected=better), figures))
    return found
