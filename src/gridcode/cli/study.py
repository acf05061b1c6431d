"""``gridcode study NAME --out DIR``: an experiment of the paper as a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from gridcode.cli.shared.folders import check_folder, check_source
from gridcode.cli.shared.models import CodecModel
from gridcode.cli.shared.options import FLAT
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError
from gridcode.studies.capacity.config import CapacityConfig
from gridcode.studies.checkpoints.config import GuidanceConfig, LongConfig, SamplersConfig, SemanticsConfig
from gridcode.studies.codebooks.config import DimsConfig, FormsConfig, LevelsConfig, ScalingConfig, TradeoffConfig
from gridcode.studies.codec.config import CodecStudyConfig
from gridcode.studies.domains.config import DomainsConfig
from gridcode.studies.perceptual.config import PerceptualStudyConfig
from gridcode.studies.speech.config import SpeechConfig
from gridcode.studies.text.config import TextStudyConfig
from gridcode.studies.uvim.config import UvimConfig

USAGE = """usage: gridcode study NAME --out DIR [options]      gridcode study NAME --help

studies:
"""


@dataclass(frozen=True)
class Arguments:
    """What every study takes; its own settings are in ``study``."""

    out: Path
    """The study's folder; finished cells in it are kept, and a killed study goes on."""
    workers: int = 1
    """Processes, of one thread each."""
    only_time: bool = False
    """Say how many hours it would take, and exit."""
    finished: Path | None = None
    """The study.json of an earlier run with the same settings: its cells are not run again."""
    kind: ClassVar[str] = "image"
    """The kind of its data."""

    def check(self) -> None:
        """Refuse paths at which there is nothing, or something else, before libraries are imported.

        Raises:
            GridcodeError: One is.
        """
        data = getattr(vars(self)["study"], "data", None)
        for place in () if data is None else (data.source, data.val_source):
            check_source(place, self.kind)


@dataclass(frozen=True)
class Uvim(Arguments):
    """Table 2: FSQ beside VQ with and without splitting, with and without context, on depth, panoptic and colour."""

    study: Annotated[UvimConfig, FLAT] = field(default_factory=UvimConfig)


@dataclass(frozen=True)
class Tradeoff(Arguments):
    """Figure 3: FSQ and VQ by size of the codebook: reconstruction, usage, samples, compression cost."""

    study: Annotated[TradeoffConfig, FLAT] = field(default_factory=TradeoffConfig)


@dataclass(frozen=True)
class Samplers(Arguments):
    """Every sampler at the same checkpoint, by number of steps, each at its own best temperature."""

    study: Annotated[SamplersConfig, FLAT] = field(default_factory=SamplersConfig)


@dataclass(frozen=True)
class Guidance(Arguments):
    """Figure 4: precision against recall by the scale of guidance, FSQ and VQ."""

    study: Annotated[GuidanceConfig, FLAT] = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class Semantics(Arguments):
    """Figures 8 and 9: what single codes, constant grids and stitched halves decode to, FSQ and VQ."""

    study: Annotated[SemanticsConfig, FLAT] = field(default_factory=SemanticsConfig)


@dataclass(frozen=True)
class Long(Arguments):
    """FSQ and VQ trained five times as long: usage, quality and bits over time."""

    study: Annotated[LongConfig, FLAT] = field(default_factory=LongConfig)


@dataclass(frozen=True)
class Capacity(Arguments):
    """Section 3.3: do layers at the bottleneck replace a codebook? On images, and on points that no grid suits."""

    study: Annotated[CapacityConfig, FLAT] = field(default_factory=CapacityConfig)


@dataclass(frozen=True)
class Levels(Arguments):
    """Figure 10: level sets of about equal size by their smallest level, in both stages."""

    study: Annotated[LevelsConfig, FLAT] = field(default_factory=LevelsConfig)


@dataclass(frozen=True)
class Forms(Arguments):
    """The five published forms of FSQ, in both stages."""

    study: Annotated[FormsConfig, FLAT] = field(default_factory=FormsConfig)


@dataclass(frozen=True)
class Scaling(Arguments):
    """Codebooks from 2^10 to 2^20: where the grid stops paying, digits beside one softmax, VQ beside FSQ."""

    study: Annotated[ScalingConfig, FLAT] = field(default_factory=ScalingConfig)


@dataclass(frozen=True)
class Dims(Arguments):
    """Channels by levels: reconstruction, usage and stability of Stage I as heat maps."""

    study: Annotated[DimsConfig, FLAT] = field(default_factory=DimsConfig)


@dataclass(frozen=True)
class Perceptual(Arguments):
    """Stage I's loss: pixels alone, a self-made network, EfficientNet-lite0; graded by networks that took no part."""

    study: Annotated[PerceptualStudyConfig, FLAT] = field(default_factory=PerceptualStudyConfig)


@dataclass(frozen=True)
class Text(Arguments):
    """Text through tokens: windows that come back whole, bits per character of the whole path, beside bytes, gzip."""

    study: Annotated[TextStudyConfig, FLAT] = field(default_factory=TextStudyConfig)
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class CodecRates(Arguments):
    """Small files: rate against quality of gridcode compress, beside JPEG, WebP, AVIF and JPEG XL."""

    study: Annotated[CodecStudyConfig, FLAT] = field(default_factory=CodecStudyConfig)

    def check(self) -> None:
        """Its model too."""
        super().check()
        if CodecModel(self.study.model).kind() != "image":
            raise GridcodeError(f"--model {self.study.model} is of sounds, and this study is about images")


@dataclass(frozen=True)
class Domains(Arguments):
    """FSQ and VQ on images, sounds, texts, clouds and clips, at equal steps and codes: does usage stay full?"""

    study: Annotated[DomainsConfig, FLAT] = field(default_factory=DomainsConfig)

    def check(self) -> None:
        """The data of its kinds."""
        for kind in self.study.kinds:
            check_source(getattr(self.study, kind, None), kind)


@dataclass(frozen=True)
class SpeechAtLowRates(Arguments):
    """Speech at low rates: a tokenizer of sounds beside Opus and Codec 2, by digits recognised, STOI, PESQ and more."""

    study: Annotated[SpeechConfig, FLAT] = field(default_factory=SpeechConfig)
    kind: ClassVar[str] = "audio"

    def check(self) -> None:
        """Its tokenizer too."""
        super().check()
        check_folder("--tokenizer", self.study.tokenizer, "audio tokenizer")


STUDIES: dict[str, type[Arguments]] = {
    "uvim": Uvim,
    "tradeoff": Tradeoff,
    "levels": Levels,
    "forms": Forms,
    "scaling": Scaling,
    "dims": Dims,
    "samplers": Samplers,
    "guidance": Guidance,
    "semantics": Semantics,
    "long": Long,
    "capacity": Capacity,
    "perceptual": Perceptual,
    "text": Text,
    "codec": CodecRates,
    "domains": Domains,
    "speech": SpeechAtLowRates,
}
"""The studies by name."""


def run(arguments: list[str]) -> None:
    """Run a study.

    Raises:
        GridcodeError: The command line is wrong, or a cell cannot be trained.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, STUDIES))
        print(USAGE + "\n".join(f"  {name:<{width}}  {kind.__doc__}" for name, kind in STUDIES.items()))
        return
    name = arguments[0]
    if name not in STUDIES:
        raise GridcodeError(f"study takes one of {', '.join(map(repr, STUDIES))}, got {name!r}")
    kind: Any = STUDIES[name]
    parsed: Any = parse(kind, arguments[1:], prog=f"gridcode study {name}")
    parsed.check()
    from gridcode.cli.shared.advice import narrator
    from gridcode.studies.engine import run_study
    from gridcode.studies.registry import make_study

    run_study(
        make_study(name, parsed.study),
        parsed.out,
        workers=parsed.workers,
        say=narrator(),
        only_time=parsed.only_time,
        finished=parsed.finished,
    )
    if not parsed.only_time:
        print((parsed.out / "table.md").read_text(encoding="utf-8"))
        print(f"table.md, study.json and images in {parsed.out}")
