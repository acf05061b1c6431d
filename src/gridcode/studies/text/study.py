"""Does text gain by tokens? Windows that come back whole by size of the codebook, bits per character of the path.

    setting        what is trained
    fsq-10         a tokenizer with 2^10 codes, and an autoregressive prior on its tokens
    bytes          an autoregressive prior on the bytes themselves, of about as many weights as both together
    compressors    nothing: gzip, xz and zstd at their best level

    bits per character of the path = bits of the tokens under the prior + bits of the bytes under the decoder

Every model sees one window at a time and nothing of the text before it; compressors see all of the text up to a byte.
The zeros that fill up a text's last window cost nothing as bytes; as tokens they count.
Stages are trained for equally many steps of equally many windows.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Final

import torch

from gridcode.domains.text.config import VALUES, TextConfig, TextEvaluationConfig
from gridcode.domains.text.data import TextSource, eval_batches, open_texts
from gridcode.domains.text.evaluate import compressed_bits, evaluate_text
from gridcode.domains.text.report import text_findings
from gridcode.evaluation.images import save_png
from gridcode.evaluation.subject import Subject
from gridcode.prior.base import Prior
from gridcode.prior.config import PriorRun
from gridcode.prior.train import train_prior
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.studies.curves import Curve, Curves, curve_panels, curve_table, curves_of, lines_by_size, size_text
from gridcode.studies.images import continued, tidy_stages
from gridcode.studies.intervals import answered, difference, percent
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.summary import Column, Spread, StudyTable, Summary, Verdict, by_setting
from gridcode.studies.text.config import TextStudyConfig
from gridcode.studies.timing import seconds_of_steps, short_loop, working_time
from gridcode.tasks.generate import Generator
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer

BYTES: Final = "bytes"
COMPRESSORS: Final = "compressors"
PATH: Final = "bits_per_character"
WHOLE: Final = "whole_windows"
ENTROPY: Final = "token_entropy_per_character"

IMAGES_NOTE: Final = (
    "Images: held-out windows, each with its reconstruction to the right, wrong characters in red; ¶ is a line's end."
)
SEEN: Final = "The networks see one window at a time, the compressors all of the text before."
MEASURES: Final = (
    Column(WHOLE, "windows that come back whole", 1, percent=True),
    Column("byte_accuracy", "bytes right", 2, percent=True),
    Column("decoder_bits_per_character", "decoder, given the tokens (bits)", 3),
    Column("token_bits_per_character", "prior, of the tokens (bits)", 3),
    Column(ENTROPY, "entropy of single tokens (bits)", 3),
    Column(PATH, "whole path (bits)", 3),
    Column("usage_of_ceiling", "usage, of what so many tokens can show", 1, percent=True),
    Column("perplexity", "perplexity", 0),
)
"""What a cell of tokens is measured by."""


@dataclass(frozen=True)
class TextStudy(Study):
    """See the module."""

    name: ClassVar[str] = "text"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "bits")
    config: TextStudyConfig = field(default_factory=TextStudyConfig)

    def cells(self) -> list[Cell]:
        """See :class:`Study`; all of the first seed come first, and of them every other size, for an early curve."""
        sizes = (*self.config.bits[::2], *self.config.bits[1::2])
        tokens = [f"fsq-{2**bits}" for bits in sizes]
        trained = [Cell(setting, seed) for seed in range(self.config.seeds) for setting in (BYTES, *tokens)]
        return [Cell(COMPRESSORS, 0), *trained]

    def kind(self, cell: Cell) -> str:
        """Tokens of any codebook, bytes, or compressors."""
        return "tokens" if cell.setting.startswith("fsq-") else cell.setting

    def steps(self) -> str:
        """See :class:`Study`."""
        return f"{self.config.loop.steps} steps of {self.config.loop.batch_size} windows for each stage"

    def headline(self, values: Values) -> str:
        """See :class:`Study`."""
        whole = f", {values[WHOLE]:.1%} of windows whole" if WHOLE in values else ""
        return f"{values.get(PATH, values.get('xz', 0.0)):.3f} bits per character{whole}"

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`."""
        if cell.setting == COMPRESSORS:
            return 1.0
        config = self.config
        with tempfile.TemporaryDirectory(prefix="gridcode-") as name:
            folder, start = Path(name), working_time()
            if cell.setting == BYTES:
                run = config.byte_prior(0)
                train_on_bytes(config, replace(run, loop=short_loop(run.loop)), folder)
                return working_time() - start + seconds_of_steps(folder / "prior", run.loop)
            train_both(config, self.bits(cell), 0, folder, short=True)
            loops = [seconds_of_steps(folder / stage, config.loop) for stage in ("tokenizer", "prior")]
            return working_time() - start + sum(loops)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """See :class:`Study`."""
        config, folder = self.config, cell_folder(out, cell)
        if cell.setting == COMPRESSORS:
            return dict(compressed_bits(*(source.content() for source in vars(texts(config.data)).values())))
        if cell.setting == BYTES:
            prior = train_on_bytes(config, config.byte_prior(cell.seed), folder)
            return {PATH: bits_of_bytes(prior, texts(config.data).val), "parameters": prior.parameter_count}
        generator = train_both(config, self.bits(cell), cell.seed, folder)
        sources = texts(config.data)
        subject = Subject(generator.tokenizer, generator, config.data, sources.train, sources.val)
        evaluation = TextEvaluationConfig(count=len(sources.val), seed=cell.seed)
        found = evaluate_text(subject, evaluation)
        assert found.path_bits is not None
        save_png(text_findings(found, subject, evaluation).overview, folder / "overview.png")
        return dict(found.figures()) | {
            "token_bits_per_character": found.path_bits - found.scores.decoder_bits,
            "parameters": generator.tokenizer.parameter_count + generator.prior.parameter_count,
        }

    @staticmethod
    def bits(cell: Cell) -> int:
        """The size of a cell's codebook, log2."""
        return int(cell.setting.removeprefix("fsq-")).bit_length() - 1

    def tidy(self, cell: Cell, out: Path) -> None:
        """See :class:`Study`."""
        tidy_stages(cell_folder(out, cell))

    def save_images(self, out: Path) -> None:
        """Leave the texts of the smallest, of the middle and of the largest codebook."""
        sizes = sorted(self.config.bits)
        for bits in dict.fromkeys((sizes[0], sizes[len(sizes) // 2], sizes[-1])):
            file = out / "cells" / Cell(f"fsq-{2**bits}", 0).folder / "overview.png"
            if file.is_file():
                shutil.copyfile(file, out / f"codes-2^{bits}.png")

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        stride = self.config.recipe.tokenizer.model.stride
        entropies = {
            cell: {ENTROPY: math.log2(values["perplexity"]) / stride} if "perplexity" in values else {}
            for cell, values in results.items()
        }
        results = {cell: dict(values) | entropies[cell] for cell, values in results.items()}
        curves = curves_of(results, lines_by_size(["fsq"], sorted(self.config.bits)), MEASURES)
        title = "By size of the codebook, bits per character"
        table = curve_table(curves, "fsq", title=title, x="codes", label=size_text, measures=MEASURES)
        panels = curve_panels(
            curves,
            {"fsq": "FSQ"},
            x="codes",
            log_x=True,
            measures=MEASURES,
            plotted=(WHOLE, PATH, "decoder_bits_per_character", "token_bits_per_character"),
        )
        rows = compared(results, curves)
        return Summary(
            f"Text through tokens, {self.config.data.dataset}",
            verdicts(curves, by_setting(results, PATH).get(BYTES, [])),
            [found for found in (rows, table) if found.rows],
            panels,
            notes(curves[PATH]["fsq"]),
        )


def compared(results: Mapping[Cell, Values], curves: Mapping[str, Curves]) -> StudyTable:
    """Bits per character of every way, the least first."""
    path, parameters = curves[PATH]["fsq"], by_setting(results, "parameters")
    seconds = by_setting(results, "seconds")
    rows: list[tuple[float, list[str]]] = []
    for size, values in path.items():
        rows.append(
            (fmean(values), _row(f"tokens of {size_text(size)} codes", values, f"fsq-{size:.0f}", parameters, seconds))
        )
    if of_bytes := by_setting(results, PATH).get(BYTES):
        rows.append((fmean(of_bytes), _row("bytes, autoregressive transformer", of_bytes, BYTES, parameters, seconds)))
    for cell, found in results.items():
        if cell.setting == COMPRESSORS:
            names = [name for name in found if name != "seconds"]
            rows += [(found[name], [name.replace("_", " "), "", f"{found[name]:.3f}", "", ""]) for name in names]
    head = ("method", "seeds", "bits per character", "weights", "CPU seconds")
    return StudyTable("Bits per character of the held-out text", head, [row for _, row in sorted(rows)])


def _row(
    way: str,
    bits: Sequence[float],
    setting: str,
    parameters: Mapping[str, list[float]],
    seconds: Mapping[str, list[float]],
) -> list[str]:
    weights = f"{fmean(parameters[setting]) / 1e6:.2f}M" if setting in parameters else ""
    taken = f"{fmean(seconds[setting]):.0f}" if setting in seconds else ""
    return [way, str(len(bits)), Spread.of(bits).text(3), weights, taken]


def with_most_seeds(curve: Curve) -> Curve:
    """The places that have as many seeds as any; of a study under way, verdicts rest on these.

    >>> with_most_seeds({256.0: [1.0, 2.0], 1024.0: [3.0]})
    {256.0: [1.0, 2.0]}
    """
    most = max(map(len, curve.values()), default=0)
    return {place: values for place, values in curve.items() if len(values) == most}


def notes(path: Curve) -> list[str]:
    """What images show, and which codebooks verdicts leave out because others have more seeds."""
    most = with_most_seeds(path)
    fewer = ", ".join(size_text(size) for size in path if size not in most)
    left_out = [f"The answers leave out the codebooks with fewer seeds than others: {fewer} codes."] if fewer else []
    return [IMAGES_NOTE, SEEN, *left_out] if path else []


def verdicts(curves: Mapping[str, Curves], of_bytes: list[float]) -> list[Verdict]:
    """Whether windows come back whole, and whether tokens make text cheaper than bytes are.

    Codebooks with fewer seeds than others are left out.

    Args:
        curves: By measure and line.
        of_bytes: Bits per character of the transformer over bytes, over seeds.
    """
    whole, path = (with_most_seeds(curves[measure]["fsq"]) for measure in (WHOLE, PATH))
    found = list[Verdict]()
    if len(whole) > 1:
        first, last = min(whole), max(whole)
        change = difference(whole[last], whole[first], whole.values())
        figures = (
            f"from {percent(fmean(whole[first]), 1)} at {size_text(first)} codes to "
            f"{percent(fmean(whole[last]), 1)} at {size_text(last)}: {change.text(1, scale=100, unit=' points')}"
        )
        found.append(Verdict("more windows come back whole with more codes", answered(change, expected=1), figures))
    if path and of_bytes:
        best = min(path, key=lambda size: fmean(path[size]))
        change = difference(path[best], of_bytes, path.values(), comparisons=len(path))
        figures = (
            f"the best codebook, {size_text(best)}, takes {fmean(path[best]):.3f} bits per character, bytes "
            f"{fmean(of_bytes):.3f}: {change.text(3, unit=' bits')}"
        )
        claim = "a text costs fewer bits through tokens than an autoregressive transformer over its bytes takes"
        found.append(Verdict(claim, answered(change, expected=-1), figures))
    return found


@lru_cache(maxsize=1)
def texts(data: TextConfig) -> Sources:
    """The texts of a study, read once a process."""
    return Sources(open_texts(data, "train"), open_texts(data, "val"))


def train_both(config: TextStudyConfig, bits: int, seed: int, folder: Path, *, short: bool = False) -> Generator:
    """Train a cell's tokenizer and its prior, or go on with them; with ``short`` a few steps of each."""
    run, second = config.tokenizer(bits, seed), config.prior(seed)
    if short:
        run, second = replace(run, loop=short_loop(run.loop)), replace(second, loop=short_loop(second.loop))
    sources = texts(config.data)
    tokenizer: Tokenizer = train_tokenizer(run, continued(folder / "tokenizer"), sources=sources).eval()
    store = folder / "tokens"
    if not (store / "manifest.json").is_file():
        tokenize(tokenizer, vars(sources), config.data, StoreOptions(store, batch_size=256, force=True))
    opened = TokenStore.open(store, tokenizer=tokenizer.weights_hash())
    return Generator(train_prior(second, opened, continued(folder / "prior")).eval(), tokenizer)


def train_on_bytes(config: TextStudyConfig, run: PriorRun, folder: Path) -> Prior:
    """Train a prior on the bytes of windows, each a token of 256, or go on with it."""
    store = folder / "tokens"
    if not (store / "manifest.json").is_file():
        write_bytes_as_tokens(vars(texts(config.data)), store, config.data)
    return train_prior(run, TokenStore.open(store), continued(folder / "prior")).eval()


@torch.inference_mode()
def bits_of_bytes(prior: Prior, source: TextSource) -> float:
    """Bits per character of texts under an autoregressive prior on their bytes, without the zeros that fill a window.

    Args:
        prior: In evaluation mode, on windows of the source's length.
        source: The texts.
    """
    nats, size = 0.0, 0
    for batch in eval_batches(source, batch_size=100):
        labels = torch.full((len(batch.keys),), -1, device=prior.device)
        found = prior.log_probs(batch.text.to(prior.device).long(), labels, steps=1).cpu().double()
        nats -= float(found[batch.own].sum())
        size += int(batch.lengths.sum())
    return nats / math.log(2) / size


def write_bytes_as_tokens(splits: Mapping[str, TextSource], folder: Path, data: TextConfig) -> None:
    """Write a token store whose tokens are the bytes of windows."""
    with StoreWriter(
        folder,
        quantizer={"name": "bytes"},
        codebook_size=VALUES,
        grid=(1, data.window),
        tokenizer="bytes",
        data=asdict(data),
        classes=(),
        overwrite=True,
    ) as writer:
        for split, source in splits.items():
            for batch in eval_batches(source, batch_size=1024):
                labels = torch.full((len(batch.keys),), -1)
                writer.write(split, batch.text.long()[:, None], labels, batch.keys)
