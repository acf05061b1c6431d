"""What a resumed run may change, and what it must find as it was: settings by name, examples by what they are.

Free is what has no part in the weights so far: how long the run still goes on, how often it tells, measures and saves,
where its files lie, on what it computes. Everything else decided what was learned, and another value is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from gridcode.errors import GridcodeError

EXAMPLES: Final = "examples"
"""The key under which a run's file says what its examples are."""

_FREE: Final = {
    "data.source",
    "data.val_source",
    "data.workers",
    "data.on_error",
    "data.max_pixels",
    "loop.steps",
    "loop.log_every",
    "loop.val_every",
    "loop.val_count",
    "loop.checkpoint_every",
    "loop.accelerator",
    "loop.devices",
    "loop.compile",
    "loop.recompute",
    "vit_weights",  # read before the first step only
}
"""Settings without a part in what was learned; the alarms' are free too. Examples are compared by what they are."""


def check_settings(
    out: Path, before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> None:
    """Refuse another value of a setting that decided what a run learned so far.

    Args:
        out: The run's folder, named in the error.
        before: The run's settings, as its file has them.
        now: Those of the command that resumes it, of the same form.
        defaults: What :func:`defaults_of` says: the values of settings that did not exist when the run began.

    Raises:
        GridcodeError: A setting differs.

    >>> check_settings(Path("run"), {"loop": {"steps": 5, "seed": 0}}, {"loop": {"steps": 9, "seed": 0}})
    >>> check_settings(Path("run"), {"loop": {"steps": 5}}, {"loop": {"steps": 5, "seed": 0}}, {"loop": {"seed": 0}})
    """
    then, values = _flat(defaults or {}) | _flat(before), _flat(now)
    for key, value in values.items():
        if key not in _FREE and not key.startswith("alarms.") and value != then.get(key):
            raise GridcodeError(
                f"{out} was trained with {key}={then.get(key)!r}, now {value!r}: resume with the same settings, or "
                "start another run in another folder"
            )


def defaults_of(config: Any) -> dict[str, Any]:
    """The default of every setting of a config, a dataclass with others in it; those that must be given are left out.

    A setting that is a dataclass of another kind than its default has that kind's own defaults.

    >>> from gridcode.training.config import LoopConfig
    >>> defaults_of(LoopConfig(steps=7, precision="fp16"))["precision"]
    'auto'
    """
    found: dict[str, Any] = {}
    for field in fields(config):
        value: Any = field.default_factory() if field.default_factory is not MISSING else field.default
        given = getattr(config, field.name)
        if is_dataclass(given):
            same = type(value) is type(given)
            found[field.name] = asdict(value) if same else defaults_of(given)
        elif value is not MISSING:
            found[field.name] = value
    return found


def check_examples(out: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Refuse other examples than a run has learned from, wherever they lie.

    Args:
        out: The run's folder, named in the error.
        before: What :func:`describe` said of them; None in a run that did not ask.
        now: What it says of those at hand.

    Raises:
        GridcodeError: Their number, their classes or their names differ.
    """
    for name, value in now.items():
        then = (before or {}).get(name, value)
        if then != value:
            what = "its examples have other names" if name == "keys" else f"{name}={then!r}, now {value!r}"
            raise GridcodeError(
                f"{out} was trained on other examples ({what}): resume with the same data, which may have moved, "
                "or start another run in another folder"
            )


def describe(count: int, classes: Iterable[str], keys: Iterable[str]) -> dict[str, Any]:
    """What makes examples the same ones: how many they are, their classes, and a digest of their names in order.

    >>> describe(2, ["cat"], ["a.png", "b.png"])
    {'count': 2, 'classes': ['cat'], 'keys': '4792eb8d759250f7'}
    """
    digest = hashlib.blake2b(digest_size=8)
    for key in keys:
        digest.update(key.encode("utf-8", "surrogateescape") + b"\0")
    return {"count": count, "classes": list(classes), "keys": digest.hexdigest()}


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``{"loop.steps": 2000, …}``, without what is said of the examples."""
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        if not prefix and key == EXAMPLES:
            continue
        flat |= _flat(entry, f"{prefix}{key}.") if isinstance(entry, dict) else {f"{prefix}{key}": entry}
    return flat
