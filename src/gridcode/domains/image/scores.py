"""Scores by named protocols of what ``gridcode eval`` decodes and draws.

    original, reconstruction --extractor--> features ──> reference; scores of reconstructions
    samples                  --extractor--> features ──────────┴──> scores of samples

Originals are the reference, unless a file of statistics is given; a reconstruction and its original are a pair then. A
tokenizer that was trained against a network's features is graded by another one too: fd-lite2 stands beside fd-lite0.
Distances of pairs (LPIPS, lite0, lite2) stand beside the scores of reconstructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor

from gridcode.domains.image.config import EvaluationConfig
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.evaluation.distance import pair_distance
from gridcode.evaluation.protocol import ProtocolName, Score
from gridcode.evaluation.reference import PixelHash, Reference, load_reference, reference_of
from gridcode.evaluation.score import NEIGHBOURS, Measured, few_images, protocol_extractor, score_features
from gridcode.features.classifier import Classifier
from gridcode.features.efficientnet import Variant, weights_file
from gridcode.features.extractor import Extractor, Features, classifier_extractor
from gridcode.features.lpips import LEAST_SIDE


def with_second_grader(config: EvaluationConfig, stage_one: Mapping[str, Any]) -> EvaluationConfig:
    """The settings with lite2 beside lite0 where the tokenizer was trained against lite0's features.

    Args:
        config: What was asked for.
        stage_one: The settings of the tokenizer's training, as its ``run.json`` has them; empty where unknown.

    >>> config = EvaluationConfig(protocol=("fd-lite0",))
    >>> with_second_grader(config, {"loss": {"perceptual": {"kind": "lite0"}}}).protocol
    ('fd-lite0', 'fd-lite2')
    """
    if _teacher(stage_one) != "lite0":
        return config
    if set(config.protocol) == {"fd-lite0"} and config.reference is None:
        config = replace(config, protocol=("fd-lite0", "fd-lite2"))
    return replace(config, distance=("lite0", "lite2")) if set(config.distance) == {"lite0"} else config


def graded_by_its_teacher(config: EvaluationConfig, stage_one: Mapping[str, Any]) -> list[str]:
    """Warnings where only the network grades a tokenizer that was in its loss, or may have been.

    Args:
        config: What is measured.
        stage_one: As for :func:`with_second_grader`.

    >>> [warning.partition(";")[0] for warning in graded_by_its_teacher(EvaluationConfig(protocol=("fd-lite0",)), {})]
    ['fd-lite0: how the tokenizer was trained is not in its folder, and lite0 may have been in its loss']
    """
    own = ", with a reference of its own" if config.reference is not None else ""
    alone = (
        ("fd-lite0", "lite0", set(config.protocol) == {"fd-lite0"}, f"fd-lite2 too{own}"),
        ("distance lite0", "lite0", set(config.distance) == {"lite0"}, "distance lite2 too"),
        ("distance lpips", "lpips", set(config.distance) == {"lpips"}, "distance lite2 too"),
    )
    found = []
    for grader, network, is_alone, other in alone:
        if not is_alone or (stage_one and _teacher(stage_one) != network):
            continue
        known = f"{network} was in the tokenizer's loss, and flatters it"
        if not stage_one:
            known = f"how the tokenizer was trained is not in its folder, and {network} may have been in its loss"
        found.append(f"{grader}: {known}; measure by {other}")
    return found


def _teacher(stage_one: Mapping[str, Any]) -> str | None:
    """The network in the tokenizer's loss."""
    return ((stage_one.get("loss") or {}).get("perceptual") or {}).get("kind")


def check_graders(config: EvaluationConfig, *, size: int) -> None:
    """Refuse networks whose weights, or a reference whose file, are not there, or that want other images.

    So that it is said before work that takes long.

    Args:
        config: The settings.
        size: Side of the images.

    Raises:
        GridcodeError: A package is not installed, there is no such file, precision has no more images than
            neighbours, or the images are too small for LPIPS.
    """
    if "lpips" in config.distance and size < LEAST_SIDE:
        raise GridcodeError(f"evaluation distance lpips takes images from {LEAST_SIDE} px per side, these have {size}")
    for setting in ("count", "samples"):
        if config.protocol and getattr(config, setting) <= NEIGHBOURS:
            raise GridcodeError(
                f"evaluation {setting} must be more than {NEIGHBOURS} for a protocol's precision and recall, got "
                f"{getattr(config, setting)}"
            )
    variants: tuple[Variant, ...] = ("lite0", "lite2")
    for variant in variants:
        if f"fd-{variant}" in config.protocol or variant in config.distance:
            weights_file(variant)
    files = {
        "evaluation inception": config.inception,
        "evaluation reference": config.reference,
        "evaluation vgg": config.vgg,
        "evaluation heads": config.heads,
    }
    for setting, file in files.items():
        if file is not None and not Path(file).expanduser().is_file():
            raise MissingFileError(f"{setting} is {file}, but there is no such file; check the path")


@dataclass
class _Pass:
    """One protocol's features of the validation images so far."""

    name: ProtocolName
    extractor: Extractor
    originals: list[Tensor]
    reconstructions: list[Features]
    reference: Reference | None
    from_file: bool
    """Whether the reference is a file's, and not the originals."""


@final
class ProtocolScores:
    """Scores by every protocol that the settings name, batch by batch.

    Args:
        config: The settings.
        source: The validation images' name.
        size: Their side in pixels.
        classifier: What was trained on the data, for classifier-fd.
        device: Where networks run.

    Raises:
        GridcodeError: Weights or statistics are missing or cannot be read, or classifier-fd has no classifier.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        source: str,
        *,
        size: int,
        classifier: Classifier | None,
        device: torch.device | str,
    ) -> None:
        self._source, self._crop, self._seed = source, f"center {size}", config.seed
        self._passes, self._pixels = list[_Pass](), PixelHash()
        for name in config.protocol:
            if name == "classifier-fd":
                if classifier is None:
                    raise GridcodeError("protocol classifier-fd needs images with labels; choose fd-lite0")
                extractor = classifier_extractor(classifier)
            else:
                weights = config.inception if name in ("fid-adm", "fid-clean") else None
                extractor = protocol_extractor(name, weights=weights, device=device)
            reference = None if config.reference is None else load_reference(config.reference, extractor)
            if reference is not None and reference.crop not in (None, self._crop):
                raise GridcodeError(
                    f"{config.reference} has images of {reference.crop}, these are of {self._crop}; measure a "
                    "reference with the same crop and size"
                )
            self._passes.append(_Pass(name, extractor, [], [], reference, reference is not None))
        self._distances = [
            pair_distance(name, vgg=config.vgg, heads=config.heads, device=device) for name in config.distance
        ]

    def update(self, originals: Tensor, reconstructions: Tensor) -> None:
        """Add validation images and what became of them, (B, C, H, W) in [-1, 1] both."""
        if self._passes or self._distances:
            self._pixels.update(originals)
        for distance in self._distances:
            distance.update(originals, reconstructions)
        for part in self._passes:
            if not part.from_file:
                part.originals.append(part.extractor(originals).vectors)
            part.reconstructions.append(part.extractor(reconstructions))

    def of_reconstructions(self) -> list[Score]:
        """Of everything that was added, those of pairs last."""
        of_sets = [
            score
            for part in self._passes
            for score in self._scores(part, Features.joined(part.reconstructions), "reconstructions")
        ]
        pairs = {"data": self._source, "split": "val", "crop": self._crop, "pixels": self._pixels.value}
        return [*of_sets, *(distance.score(**pairs) for distance in self._distances)]

    def warnings(self, samples: int | None = None) -> list[str]:
        """What must be known before believing a Fréchet distance of no more images than features.

        Args:
            samples: How many will be drawn; None of Stage I alone.
        """
        found = []
        for part in self._passes:
            counts = {
                "images": sum(len(features.vectors) for features in part.reconstructions),
                "samples": samples,
                "images in the reference": part.reference.count if part.from_file and part.reference else None,
            }
            warning = few_images(part.name, part.extractor, counts)
            found += [warning] if warning else []
        return found

    def of_samples(self, images: Tensor, *, batch_size: int) -> list[Score]:
        """Of samples (n, C, H, W) in [-1, 1], against the same reference."""
        return [
            score
            for part in self._passes
            for score in self._scores(
                part, Features.joined(map(part.extractor, torch.split(images, batch_size))), "samples"
            )
        ]

    def _scores(self, part: _Pass, found: Features, what: Literal["reconstructions", "samples"]) -> Sequence[Score]:
        reference = part.reference
        if reference is None:
            reference = part.reference = reference_of(
                part.originals, part.extractor, source=self._source, pixels=self._pixels, split="val", crop=self._crop
            )
        split = "val" if what == "reconstructions" else reference.split or "val"
        paired = what == "reconstructions" and not part.from_file
        measured = Measured(what, self._source, split, self._crop, self._seed)
        return score_features(found, reference, measured, name=part.name, extractor=part.extractor, paired=paired)
