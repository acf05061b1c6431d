"""Scores of a set of images by a named protocol.

    images --extractor--> features ──┐
    reference (real images) ─────────┴──> Score, Score, …, each with its protocol

| Inception's published weights | any other network | |
|---|---|---|
| FID | FD | Fréchet distance of the features |
| KID | KD | kernel distance: 100 subsets of 1000 vectors |
| Inception score | class score | exp of the information between image and class |
| precision, recall, density, coverage | the same | 3 nearest neighbours, at most 10,000 reference images |

A model that was trained against a network's features (``loss.perceptual.kind=lite0``) is graded by another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import EXTRACTORS, PROTOCOLS, Protocol, ProtocolName, Score
from gridcode.evaluation.reference import Reference
from gridcode.features.classifier import load_classifier
from gridcode.features.extractor import (
    FID_WEIGHTS,
    Extractor,
    Features,
    classifier_extractor,
    inception_extractor,
    lite_extractor,
)
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.metrics.inception_score import inception_score
from gridcode.metrics.kernel import kernel_distance
from gridcode.metrics.manifold import manifold_scores
from gridcode.training.seeding import generator

NEIGHBOURS = 3
"""k of precision, recall, density and coverage, as in ADM's suite."""
PART = 5000
"""Samples of a part of the Inception score, as in ADM's suite."""
_MANIFOLD = ("precision", "recall", "density", "coverage")


def protocol_extractor(
    name: ProtocolName, *, weights: str | Path | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """The network that a protocol measures with.

    Args:
        name: The protocol's.
        weights: Inception's file for ``fid-adm`` and ``fid-clean``, a classifier's folder for ``classifier-fd``; the
            others' are in packages.
        device: Where it runs.

    Raises:
        GridcodeError: There is no such protocol, weights are missing or not wanted, or cannot be read.
    """
    if name not in PROTOCOLS:
        raise GridcodeError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {name!r}")
    if name in ("fd-lite0", "fd-lite2"):
        if weights is not None:
            raise GridcodeError(f"protocol {name} has its weights in a package; leave weights out")
        return lite_extractor("lite0" if name == "fd-lite0" else "lite2", device=device)
    if weights is None:
        wanted = "a classifier's folder" if name == "classifier-fd" else "the file pt_inception-2015-12-05-6726825d.pth"
        raise GridcodeError(f"protocol {name} needs weights: give {wanted}")
    if name == "classifier-fd":
        return classifier_extractor(load_classifier(weights).to(device))
    return inception_extractor(weights, suite="adm" if name == "fid-adm" else "clean", device=device)


@dataclass(frozen=True)
class Measured:
    """Which images are measured.

    Attributes:
        what: Reconstructions or samples.
        data: The source of the images they are compared with.
        split: Its part, 'val' or 'train'.
        crop: How images were cropped, and to which side.
        seed: Of the samples, and of the subsets of KID.
    """

    what: Literal["reconstructions", "samples"]
    data: str
    split: str
    crop: str
    seed: int = 0


def score_images(
    batches: Iterable[Tensor],
    reference: Reference,
    measured: Measured,
    *,
    name: ProtocolName,
    extractor: Extractor,
    paired: bool = False,
) -> list[Score]:
    """All scores that a protocol gives of a set of images.

    Args:
        batches: Images in [-1, 1], (B, C, H, W) each.
        reference: Statistics of real images, by the same extractor.
        measured: What the images are.
        name: The protocol's.
        extractor: The protocol's; see :func:`protocol_extractor`.
        paired: Whether the images are reconstructions of the reference's images, in its order.

    Raises:
        GridcodeError: See :func:`score_features`; or the extractor does not take the images.
    """
    found = Features.joined(extractor(images) for images in batches)
    return score_features(found, reference, measured, name=name, extractor=extractor, paired=paired)


def score_features(
    found: Features,
    reference: Reference,
    measured: Measured,
    *,
    name: ProtocolName,
    extractor: Extractor,
    paired: bool = False,
) -> list[Score]:
    """All scores that a protocol gives of a set of images whose features are there.

    Args:
        found: Their features.
        reference: Statistics of real images, by the same extractor.
        measured: What the images are.
        name: The protocol's.
        extractor: The protocol's, which measured them.
        paired: Whether the images are reconstructions of the reference's, in its order.

    Returns:
        The Fréchet distance first; those on features only where the reference has them. Inception scores need no
        reference, but know only the classes of the extractor.

    Raises:
        GridcodeError: There are no more images than neighbours, a value is not finite, or the extractor is not the
            protocol's.
    """
    if extractor.name != EXTRACTORS.get(name):
        raise GridcodeError(f"protocol {name!r} does not measure with {extractor.name}; see protocol_extractor")
    fewest = min(len(part) for part in (found.vectors, reference.features) if part is not None)
    if fewest <= NEIGHBOURS:
        raise GridcodeError(f"precision and recall need more than {NEIGHBOURS} images on both sides, saw {fewest}")
    statistics = GaussianStatistics(extractor.dim)
    statistics.update(found.vectors)
    protocol = Protocol(
        name=name,
        measured=measured.what,
        data=measured.data,
        split=measured.split,
        count=statistics.count,
        crop=measured.crop,
        resize=extractor.resize,
        extractor=extractor.name,
        extractor_hash=extractor.hash,
        reference=reference.source,
        reference_hash=reference.hash,
        reference_count=reference.count,
        seeds=(measured.seed,),
    )
    titles = _titles(name, extractor)
    figures = {titles["frechet"]: frechet_distance(statistics, reference.statistics)}
    if reference.features is not None:
        pairs = paired and len(found.vectors) == len(reference.features)
        kernel = kernel_distance(found.vectors, reference.features, seed=measured.seed, paired=pairs)
        manifold = manifold_scores(found.vectors, reference.features, k=NEIGHBOURS)
        figures[titles["kernel"]] = kernel.mean
        figures |= {titles[part]: getattr(manifold, part) for part in _MANIFOLD}
    figures[titles["classes"]] = _mixed_inception_score(found.logits)
    return [Score(title, value, protocol) for title, value in figures.items()]


def few_images(name: ProtocolName, extractor: Extractor, counts: Mapping[str, int | None]) -> str | None:
    """A warning where a Fréchet distance is of no more images than features; None where there are enough.

    Args:
        name: The protocol's.
        extractor: The protocol's.
        counts: Of the images on both sides, by what they are; None where it is not known.
    """
    known = {what: count for what, count in counts.items() if count is not None}
    what = min(known, key=lambda key: known[key])
    if known[what] > extractor.dim:
        return None
    return (
        f"{name}: {known[what]:,} {what} are few for a Fréchet distance of {extractor.dim:,} features, which then "
        "compares with distances of as many images alone; the kernel distance has no such bias"
    )


def _mixed_inception_score(logits: Tensor) -> float:
    """Of samples in any order, in equal parts: folders are sorted by class, and a part of few has a lower score."""
    mixed = logits[torch.randperm(len(logits), generator=generator(0, "Inception score"))]
    return inception_score(mixed, part_size=ceil(len(mixed) / max(1, len(mixed) // PART)))


def _titles(name: ProtocolName, extractor: Extractor) -> dict[str, str]:
    """What each figure is called: by FID's names only if Inception has its published weights."""
    published = extractor.name.startswith("inception") and extractor.hash.startswith(FID_WEIGHTS)
    network = {"inception-adm": "Inception", "inception-clean": "Inception, clean"}.get(extractor.name, extractor.name)
    label = {"fid-adm": "", "fid-clean": " (clean)"}[name] if published else f" ({network})"
    names = {"frechet": "FID", "kernel": "KID", "classes": "Inception score"}
    if not published:
        names = {"frechet": "FD", "kernel": "KD", "classes": "class score"}
    return {part: names.get(part, part) + label for part in (*names, *_MANIFOLD)}
