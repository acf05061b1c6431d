"""From the measurements of clouds to a report: figures, and scatter plots from two views."""

from __future__ import annotations

import torch

from gridcode.domains.points.config import PointsEvaluationConfig
from gridcode.domains.points.evaluate import PointsEvaluation, PointsSamples, PointsSubject
from gridcode.domains.points.show import scatter_plots
from gridcode.evaluation.by_class import usage_figure, usage_rows
from gridcode.evaluation.images import contact_sheet
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Gallery, ImageGroup, Table


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
    scores = found.scores
    beside = "" if found.second is None else f"; two drawings from the same surface: {found.second.chamfer:.4f}"
    figures = [
        Figure("Chamfer distance", f"{scores.chamfer:.4f}", "", f"of reconstructions, squared{beside}"),
        Figure("F-score", f"{scores.f_score:.1%}", "", f"at a distance of {config.distance:g}"),
        Figure("size", round(found.bits), "bits", "of a cloud's tokens"),
        usage_figure(found.scores.usage.pooled),
    ]
    return [*figures, *found.asked_for()]


def _tables(found: PointsEvaluation, config: PointsEvaluationConfig) -> list[Table]:
    scores, of_class = found.scores, dict[str, float]()
    rows = [
        Figure("Chamfer distance", scores.chamfer, "", "mean squared distance to the nearest point, both ways added"),
        Figure("distance to the nearest point", scores.distance, "", "mean of both ways"),
        Figure("earth mover's distance", found.emd, "", f"exact, over {config.matched} clouds at most"),
        Figure("F-score", scores.f_score, "", f"at a distance of {config.distance:g}"),
        *usage_rows(scores.usage.pooled),
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
    if found.samples is not None:
        tables += _sample_tables(found.samples)
        of_class = {f"samples of {name}": share for name, share in found.samples.by_class.items()}
    return [*tables, *found.recognised_tables("a classifier of clouds", of_class)]


def _sample_tables(found: PointsSamples) -> list[Table]:
    tables = [found.bits_table()]
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
    seen = ImageGroup("", [scatter_plots(found.clouds), scatter_plots(found.reconstructions)])
    galleries = [Gallery("Reconstructions", ("original", "reconstruction"), [seen], explanation)]
    if found.samples is not None:
        shown = {name: clouds for name, clouds in found.samples.shown.items() if len(clouds)}
        groups = [ImageGroup(name, [scatter_plots(clouds)]) for name, clouds in shown.items()]
        galleries.append(Gallery("Samples", ("sample",), groups, "Generated token by token and decoded."))
    return galleries
