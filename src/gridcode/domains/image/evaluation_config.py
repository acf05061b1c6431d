"""How a tokenizer and a prior are measured, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import PROTOCOLS, ProtocolName
from gridcode.prior.samplers.config import SamplerConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """What ``gridcode eval`` does."""

    count: int = 10_000
    """Validation pictures, at most."""
    samples: int = 1000
    """Pictures to generate."""
    neighbours: int = 1_000_000
    """Training pictures, at most, among which the nearest to each shown sample is looked for."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 100
    """Pictures at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    classifier_steps: int = 400
    """Training steps of the small classifier, on the data's own labels, that measures samples."""
    classifier: str | None = None
    """The measuring classifier's folder: read from there, or trained and kept there, so that reports share it."""
    protocol: tuple[ProtocolName, ...] = ()
    """Protocols that score reconstructions and samples too; fd-lite0 and fd-lite2 need the extra ``pretrained``."""
    inception: str | None = None
    """Inception's weights for fid-adm and fid-clean: the file pt_inception-2015-12-05-6726825d.pth."""
    reference: str | None = None
    """A .npz file of reference statistics for one protocol; the validation pictures' own where not given."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        for name in ("count", "samples", "neighbours", "batch_size", "classifier_steps"):
            if getattr(self, name) < 1:
                raise GridcodeError(f"evaluation {name} must be at least 1, got {getattr(self, name)}")
        if not self.guidance >= 0:
            raise GridcodeError(f"evaluation guidance must be >= 0, got {self.guidance}")
        unknown = [name for name in self.protocol if name not in PROTOCOLS]
        if unknown:
            raise GridcodeError(f"evaluation protocol must be of {', '.join(PROTOCOLS)}, got {unknown[0]!r}")
        if self.reference is not None and len(self.protocol) != 1:
            raise GridcodeError(
                f"evaluation reference holds one network's statistics, but there are {len(self.protocol)} protocols; "
                "give exactly one"
            )
        if self.inception is None and not {"fid-adm", "fid-clean"}.isdisjoint(self.protocol):
            raise GridcodeError(
                "evaluation protocol fid-adm and fid-clean need evaluation inception: the file "
                "pt_inception-2015-12-05-6726825d.pth"
            )
