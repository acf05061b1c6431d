"""What was measured of kinds of data with classes, and what every report tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.report import Figure, Table
from gridcode.quantize.usage import Usage


@dataclass(frozen=True)
class ClassSamples:
    """Stage II's figures.

    Attributes:
        bits_per_token: What validation tokens cost under the prior.
        accuracy: Share of samples recognised as what was asked for; None without classes.
        count: Samples drawn.
        shown: By class name, (n, …).
    """

    bits_per_token: float
    accuracy: float | None
    count: int
    shown: dict[str, Tensor]

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        return {
            "bits_per_token": self.bits_per_token,
            "samples": self.count,
            "classifier_accuracy_on_samples": self.accuracy,
        }

    def bits_table(self) -> Table:
        """What validation tokens cost."""
        return Table("Generation", [Figure("bits per token", self.bits_per_token, "bits", "of validation tokens")])


SamplesT = TypeVar("SamplesT", bound=ClassSamples)


@dataclass(frozen=True, kw_only=True)
class ClassEvaluation(Generic[SamplesT]):
    """Everything that was measured; a kind's own adds its scores and the examples that are shown.

    Attributes:
        codes: How often every code and digit is used.
        originals_accuracy: Share of validation examples that the classifier recognises; None without classes.
        reconstructions_accuracy: The same of their reconstructions.
        samples: Stage II; None without a prior.
        reconstructions: Of the examples that are shown.
    """

    codes: CodeUsage
    originals_accuracy: float | None
    reconstructions_accuracy: float | None
    samples: SamplesT | None
    reconstructions: Tensor

    def recognition(self) -> dict[str, float | None]:
        """The classifier's shares by name, as ``report.json`` holds them."""
        return {
            "classifier_accuracy_on_originals": self.originals_accuracy,
            "classifier_accuracy_on_reconstructions": self.reconstructions_accuracy,
        }

    def asked_for(self) -> list[Figure]:
        """The key figure of samples; none without a prior or without classes."""
        if self.samples is None or self.samples.accuracy is None:
            return []
        note = f"of {self.samples.count:,} samples are what was asked for, by a classifier trained on this data"
        return [Figure("class accuracy", f"{self.samples.accuracy:.1%}", "", note)]

    def recognised_tables(self, by: str, more: Mapping[str, float] | None = None) -> list[Table]:
        """The table of what the classifier recognises; none without classes.

        Args:
            by: Which classifier, in words.
            more: Shares beside those of originals, reconstructions and samples.
        """
        shares = {"originals": self.originals_accuracy, "reconstructions": self.reconstructions_accuracy}
        if self.samples is not None:
            shares["samples"] = self.samples.accuracy
        known = [Figure(name, share) for name, share in (shares | dict(more or {})).items() if share is not None]
        return [Table(f"Recognised by {by}", known)] if known else []


def usage_figure(usage: Usage) -> Figure:
    """The key figure of the codebook."""
    return Figure("codebook usage", f"{usage.usage:.1%}", "", f"of {usage.codebook_size:,} codes")


def usage_rows(usage: Usage) -> list[Figure]:
    """The rows of the codebook in the table of reconstructions."""
    used = Figure("codes used", usage.used, "", f"of {usage.codebook_size:,}")
    return [used, Figure("perplexity", usage.perplexity, "codes", "2 to the entropy")]
