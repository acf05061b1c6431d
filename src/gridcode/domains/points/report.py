"""From the measurements of clouds to a report: figures, and scatter plots from two views."""

from __future__ import annotations

import torch

from gridcode.domains.points.config import PointsEvaluationConfig
from gridcode.domains.points.evaluate import PointsEvaluation, PointsSamples, PointsSubject
from gridcode.domains.points.show import scatter_plots
from gridcode.evaluation.pictures import contact_sheet
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Gallery, PictureGroup, Table


def points_findings(found: PointsEvaluation, subject: PointsSubject, config: PointsEvaluationConfig) -> Findings:
    """What :func:`gridcode.evaluation.publish.publish` writes of clouds.

    Args:
        found: What was measured.
        subject: What it was measured on.
        config: How it was measured.
    """
    rows = [found.clouds, found.reconstructions]
    if found.samples is not None:
        drawn = torch.cat([clouds[:2] for clouds in found.samples.shown.values()])
        rows.append(drawn[: len(found.clouds)])
    return Findings(
        title=f"gridcode on {subject.data.dataset}",
        figures=found.figures(),
        key_figures=_key_figures(found, config),
        tables=_tables(found, config),
        galleries=_galleries(found),
        codes=found.codes,
        overview=contact_sheet(scatter_plots(torch.cat(rows)), columns=len(found.clouds)),
        settings=subject.settings(config),
    )


def _key_figures(found: PointsEvaluation, config: PointsEvaluationConfig) -> list[Figure]:
    usage, scores = found.scores.usage.pooled, found.scores
    beside = "" if found.second is None else f"; two drawings from the same surface: {found.second.chamfer:.4f}"
    figures = [
        Figure("Chamfer distance", f"{scores.chamfer:.4f}", "", f"of reconstructions, squared{beside}"),
        Figure("F-score", f"{scores.f_score:.1%}", "", f"at a distance of {config.distance:g}"),
        Figure("size", round(found.bits), "bits", "of a cloud's tokens"),
        Figure("codebook usage", f"{usage.usage:.1%}", "", f"of {usage.codebook_size:,} codes"),
    ]
    if found.samples is not None and found.samples.accuracy is not None:
        note = f"of {found.samples.count:,} samples are what was asked for, by a classifier trained on this data"
        figures.append(Figure("class accuracy", f"{found.samples.accuracy:.1%}", "", note))
    return figures


def _tables(found: PointsEvaluation, config: PointsEvaluationConfig) -> list[Table]:
    scores, usage = found.scores, found.scores.usage.pooled
    rows = [
        Figure("Chamfer distance", scores.chamfer, "", "mean squared distance to the nearest point, both ways added"),
        Figure("distance to the nearest point", scores.distance, "", "mean of both ways"),
        Figure("earth mover's distance", found.emd, "", f"exact, over {config.matched} clouds at most"),
        Figure("F-score", scores.f_score, "", f"at a distance of {config.distance:g}"),
        Figure("codes used", usage.used, "", f"of {usage.codebook_size:,}"),
        Figure("perplexity", usage.perplexity, "codes", "2 to the entropy"),
    ]
    tables = [Table("Reconstruction", rows)]
    if found.second is not None:
        rows.insert(4, Figure("distance to the surface", found.second.surface, "", "mean over reconstructed points"))
        again = found.second
        tables.append(
            Table(
                "Two drawings of points from the same surface",
                [
                    Figure("Chamfer distance", again.chamfer),
                    Figure("distance to the nearest point", again.distance),
                    Figure("earth mover's distance", again.emd),
                    Figure("F-score", again.f_score),
                ],
            )
        )
    recognised = {"originals": found.originals_accuracy, "reconstructions": found.reconstructions_accuracy}
    if found.samples is not None:
        tables += _sample_tables(found.samples)
        recognised["samples"] = found.samples.accuracy
        recognised |= {f"samples of {name}": share for name, share in found.samples.by_class.items()}
    known = [Figure(name, share) for name, share in recognised.items() if share is not None]
    if known:
        tables.append(Table("Recognised by a classifier of clouds", known))
    return tables


def _sample_tables(found: PointsSamples) -> list[Table]:
    bits = Figure("bits per token", found.bits_per_token, "bits", "of validation tokens")
    tables = [Table("Generation", [bits])]
    for name, sets in (("Samples", found.sets), ("Training clouds", found.real_sets)):
        if sets is None:
            continue
        rows = [
            Figure("coverage", sets.coverage, "", "share of validation clouds that are nearest to one of these"),
            Figure("minimum matching distance", sets.matching, "", "from validation clouds to the nearest of these"),
            Figure("1-NN accuracy", sets.nearest_accuracy, "", "0.5 where they cannot be told apart"),
        ]
        tables.append(Table(f"{name} beside validation clouds", rows))
    return tables


def _galleries(found: PointsEvaluation) -> list[Gallery]:
    explanation = "Each cloud from two sides; near points are yellow, far ones violet."
    seen = PictureGroup("", [scatter_plots(found.clouds), scatter_plots(found.reconstructions)])
    galleries = [Gallery("Reconstructions", ("original", "reconstruction"), [seen], explanation)]
    if found.samples is not None:
        shown = {name: clouds for name, clouds in found.samples.shown.items() if len(clouds)}
        groups = [PictureGroup(name, [scatter_plots(clouds)]) for name, clouds in shown.items()]
        galleries.append(Gallery("Samples", ("sample",), groups, "Generated token by token and decoded."))
    return galleries
