"""Scores by named protocols of what ``gridcode eval`` decodes and draws.

    original, reconstruction --extractor--> features ──> reference; scores of reconstructions
    samples                  --extractor--> features ──────────┴──> scores of samples

Originals are the reference, unless a file of statistics is given. A tokenizer that was trained against a network's
features is graded by another one too: fd-lite2 stands beside fd-lite0 then.
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
from gridcode.evaluation.protocol import ProtocolName, Score
from gridcode.evaluation.reference import Reference, load_reference, reference_of
from gridcode.evaluation.score import Measured, protocol_extractor, score_features
from gridcode.features.classifier import Classifier
from gridcode.features.efficientnet import weights_file
from gridcode.features.extractor import Extractor, Features, classifier_extractor


def with_second_grader(config: EvaluationConfig, stage_one: Mapping[str, Any]) -> EvaluationConfig:
    """The settings with fd-lite2 beside fd-lite0 where the tokenizer was trained against lite0's features.

    Args:
        config: What was asked for.
        stage_one: The settings of the tokenizer's training, as its ``run.json`` has them; empty where unknown.

    >>> config = EvaluationConfig(protocol=("fd-lite0",))
    >>> with_second_grader(config, {"loss": {"perceptual": {"kind": "lite0"}}}).protocol
    ('fd-lite0', 'fd-lite2')
    """
    perceptual = (stage_one.get("loss") or {}).get("perceptual") or {}
    if perceptual.get("kind") != "lite0" or set(config.protocol) != {"fd-lite0"} or config.reference is not None:
        return config
    return replace(config, protocol=("fd-lite0", "fd-lite2"))


def check_graders(config: EvaluationConfig) -> None:
    """Refuse protocols whose weights, or a reference whose file, are not there: before work that takes long.

    Args:
        config: The settings.

    Raises:
        GridcodeError: A package is not installed, or there is no such file.
    """
    for name in config.protocol:
        if name in ("fd-lite0", "fd-lite2"):
            weights_file("lite0" if name == "fd-lite0" else "lite2")
    files = {"evaluation inception": config.inception, "evaluation reference": config.reference}
    for setting, file in files.items():
        if file is not None and not Path(file).expanduser().is_file():
            raise MissingFileError(f"{setting} is {file}, but there is no such file; check the path")


@dataclass
class _Pass:
    """One protocol's features of the validation pictures so far."""

    name: ProtocolName
    extractor: Extractor
    originals: list[Tensor]
    reconstructions: list[Features]
    reference: Reference | None

    def compared_with(self, source: str) -> Reference:
        """The file's statistics, or the originals'."""
        if self.reference is None:
            self.reference = reference_of(self.originals, self.extractor, source=source)
        return self.reference


@final
class ProtocolScores:
    """Scores by every protocol that the settings name, batch by batch.

    Args:
        config: The settings.
        source: The validation pictures' name.
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
        self._source, self._size, self._seed = source, size, config.seed
        self._passes = []
        for name in config.protocol:
            if name == "classifier-fd":
                if classifier is None:
                    raise GridcodeError("protocol classifier-fd needs pictures with labels; choose fd-lite0")
                extractor = classifier_extractor(classifier)
            else:
                weights = config.inception if name in ("fid-adm", "fid-clean") else None
                extractor = protocol_extractor(name, weights=weights, device=device)
            reference = None if config.reference is None else load_reference(config.reference, extractor)
            self._passes.append(_Pass(name, extractor, [], [], reference))

    def update(self, originals: Tensor, reconstructions: Tensor) -> None:
        """Add validation pictures and what became of them, (B, C, H, W) in [-1, 1] both."""
        for part in self._passes:
            if part.reference is None:
                part.originals.append(part.extractor(originals).vectors)
            part.reconstructions.append(part.extractor(reconstructions))

    def of_reconstructions(self) -> list[Score]:
        """Of everything that was added."""
        return [
            score
            for part in self._passes
            for score in self._scores(part, Features.joined(part.reconstructions), "reconstructions")
        ]

    def warnings(self) -> list[str]:
        """What must be known before believing a Fréchet distance of no more pictures than features."""
        found = []
        for part in self._passes:
            count, dim = sum(len(features.vectors) for features in part.reconstructions), part.extractor.dim
            if count <= dim:
                found.append(
                    f"{part.name}: {count:,} pictures are few for a Fréchet distance of {dim:,} features, which then "
                    "compares with distances of as many pictures alone; the kernel distance has no such bias"
                )
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
        measured = Measured(what, self._source, "val", f"center {self._size}", self._seed)
        reference = part.compared_with(self._source)
        return score_features(found, reference, measured, name=part.name, extractor=part.extractor)
