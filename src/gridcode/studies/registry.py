"""All studies by name, and the way back from a ``study.json`` to the study that wrote it.

    study.json ─> study_from_json ─> Study ─> summary(results) ─> verdicts, tables, plot

So a page of results is made from the figures alone, without training anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar, get_type_hints

from gridcode.errors import GridcodeError
from gridcode.studies.capacity.study import Capacity
from gridcode.studies.checkpoints.guidance import Guidance
from gridcode.studies.checkpoints.long import Long
from gridcode.studies.checkpoints.samplers import Samplers
from gridcode.studies.checkpoints.semantics import Semantics
from gridcode.studies.codebooks.dims import Dims
from gridcode.studies.codebooks.forms import Forms
from gridcode.studies.codebooks.levels import Levels
from gridcode.studies.codebooks.scaling import Scaling
from gridcode.studies.codebooks.tradeoff import Tradeoff
from gridcode.studies.codec.study import CodecStudy
from gridcode.studies.domains.study import DomainsStudy
from gridcode.studies.perceptual.study import Perceptual
from gridcode.studies.speech.study import Speech
from gridcode.studies.study import Study
from gridcode.studies.text.study import TextStudy
from gridcode.studies.uvim.study import UvimStudy

T = TypeVar("T")

STUDIES: Final[dict[str, type[Study]]] = {
    kind.name: kind
    for kind in (
        UvimStudy,
        Tradeoff,
        Levels,
        Forms,
        Scaling,
        Dims,
        Samplers,
        Guidance,
        Semantics,
        Long,
        Capacity,
        Perceptual,
        TextStudy,
        CodecStudy,
        DomainsStudy,
        Speech,
    )
}
"""The studies by name."""


def study_from_json(content: Mapping[str, Any]) -> Study:
    """The study behind a ``study.json``.

    Args:
        content: What :func:`gridcode.studies.engine.read_study` returns first.

    Raises:
        GridcodeError: There is no study of that name, or its settings are another version's.

    >>> study_from_json({"study": "tradeoff", "settings": {"bits": [4, 8], "data": {"size": 16}}}).config.bits
    (4, 8)
    """
    name, settings = content.get("study"), content.get("settings")
    if name not in STUDIES or not isinstance(settings, Mapping):
        raise GridcodeError(f"there is no study {name!r} with settings; the studies are {', '.join(STUDIES)}")
    return make_study(name, settings_from_json(get_type_hints(STUDIES[name])["config"], settings))


def make_study(name: str, config: Any) -> Study:
    """The study of a name with its settings."""
    kind: Any = STUDIES[name]
    study: Study = kind(config)
    return study


def settings_from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """A frozen dataclass of settings from what JSON holds: lists become tuples, objects nested settings.

    Args:
        kind: The dataclass.
        values: Its fields by name; one that is missing has its default.

    Raises:
        GridcodeError: There is no such setting, or a value is out of range.

    >>> from gridcode.data.config import DataConfig
    >>> settings_from_json(DataConfig, {"size": 28, "crop": {"flip": False}}).crop.name
    'random-0.8/center'
    """
    assert is_dataclass(kind)
    known = {field.name for field in fields(kind) if field.init}
    unknown = sorted(set(values) - known)
    if unknown:
        raise GridcodeError(f"{kind.__name__} has no setting {unknown[0]!r}; it was written by another version")
    hints, found = get_type_hints(kind), dict[str, Any]()
    for name, value in values.items():
        nested = is_dataclass(hints[name]) and isinstance(value, Mapping)
        found[name] = settings_from_json(hints[name], value) if nested else _tuples(value)
    return kind(**found)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
