"""A network that measures, read from its folder: one way for the classifier and the observer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from gridcode.errors import GridcodeError
from gridcode.features.config import ClassifierConfig, ObserverConfig
from gridcode.hub import load_model
from gridcode.nn.module import load_weights

Config = TypeVar("Config", ClassifierConfig, ObserverConfig)
Network = TypeVar("Network", bound=nn.Module)


def load_network(
    source: str | Path, *, kind: str, config: type[Config], network: Callable[[Config], Network]
) -> Network:
    """Read a network from a local folder or a hub id, in eval mode, on the CPU.

    Args:
        source: The folder or id.
        kind: What ``config.json`` calls it; its settings stand under the same name.
        config: The class of its settings.
        network: Makes it of them.

    Raises:
        GridcodeError: There is none, its config is not of this kind, or its weights do not fit.
    """
    model = load_model(source, kind=kind)
    try:
        made = network(_read_config(model.config.get(kind), config, kind=kind, path=model.path))
    except GridcodeError:
        raise
    except (TypeError, ValueError) as error:
        raise GridcodeError(
            f"load_{kind}: the config.json in {model.path} is not of the {kind} kind ({error}); train it again"
        ) from None
    load_weights(made, model.tensors, origin=model.path)
    return made.eval()


def _read_config(value: Any, config: type[Config], *, kind: str, path: Path) -> Config:
    known = {field.name for field in fields(config)}
    needed = {field.name for field in fields(config) if field.default is MISSING}
    if not isinstance(value, dict) or not needed <= set(value) <= known:
        raise GridcodeError(f"load_{kind}: the config.json in {path} has no valid '{kind}'; train it again")
    return config(**{**value, "widths": tuple(value.get("widths", config.widths))})
