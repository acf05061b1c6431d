"""What a folder is that a command line names, and the one line that says which verb takes it where this one does not.

Only JSON files are read, so that a wrong folder is told of before the libraries that read models are imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from gridcode.cli.shared.kinds import KINDS, KindOfData
from gridcode.cli.shared.options import Device
from gridcode.cli.shared.parse import option_value
from gridcode.data.shards.names import is_pattern, is_url, local_shards, shard_urls
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import read_json

Sort: TypeAlias = str
"""What a folder is to a command line: a key of :data:`NAMES`."""

PARTS: Final = ("tokenizer", "tokens", "prior")
"""Folders that gridcode demo and gridcode dense train make in one folder."""

NAMES: Final[Mapping[Sort, str]] = {
    **{f"{name} tokenizer": f"a tokenizer of {kind.nouns}" for name, kind in KINDS.items()},
    "class prior": "a prior of images",
    "image prior": "a prior of label maps",
    "features": "a network that measures",
    "tokens": "a token store",
    "parts": "a folder that holds tokenizer/ and prior/",
    "other": "no folder of gridcode's",
}
"""What a person calls it."""

USES: Final[Mapping[Sort, str]] = {
    **{f"{name} tokenizer": f"gridcode {kind.uses} take it as --tokenizer" for name, kind in KINDS.items()},
    "class prior": "gridcode sample and gridcode edit make images with it",
    "image prior": "gridcode predict makes label maps with it",
    "features": "gridcode eval takes a classifier as --classifier",
    "tokens": "gridcode train prior RECIPE --tokens {folder} --out DIR learns from it",
}
"""What it is good for."""

_OLD_KINDS: Final = {"label-tokenizer": ("tokenizer", "dense"), "conditional-prior": ("prior", "dense")}
"""Kinds of models in folders that do not name the kind of data: today's kind, and the data."""


def sort_of(folder: Path) -> Sort:
    """What a folder is: a model, a training run that holds one, a token store, several of these, or something else.

    Raises:
        GridcodeError: Its files cannot be read.
    """
    for candidate in (folder, folder / "best", folder / "last"):
        if (candidate / "config.json").is_file():
            found = _sort_of_model(read_json(candidate / "config.json", "model"))
            if found != "other":
                return found
    if (folder / "manifest.json").is_file():
        manifest = read_json(folder / "manifest.json", "token store")
        return "tokens" if manifest.get("format") == "gridcode-tokens" else "other"
    return "parts" if any(_is_part(folder / part) for part in PARTS) else "other"


def _is_part(folder: Path) -> bool:
    """Whether a training run or a token store was begun in a folder."""
    names = ("run.json", "manifest.json", "config.json", "best/config.json")
    return any((folder / name).is_file() for name in names)


def _sort_of_model(config: Mapping[str, Any]) -> Sort:
    kind = config.get("kind")
    kind, domain = _OLD_KINDS.get(str(kind), (kind, config.get("domain", "image")))
    if kind == "tokenizer":
        return f"{domain if str(domain) in KINDS else 'image'} tokenizer"
    if kind == "prior":
        return "image prior" if domain == "dense" or config.get("example_shape") else "class prior"
    return "features" if kind in ("classifier", "observer") else "other"


def check_folder(option: str, place: str | Path | None, *wanted: Sort) -> None:
    """Refuse a folder of another sort than an option takes; what is no folder here but may be a hub id passes.

    Args:
        option: The option's name.
        place: What it was given; None passes.
        wanted: The sorts it takes; the first is named.

    Raises:
        GridcodeError: There is nothing at ``place``, or something else.
    """
    if place is None or (is_hub_id(str(place)) and not Path(place).is_dir()):
        return
    folder = Path(place)
    if not folder.exists():
        or_hub = "" if wanted[0] in ("tokens", "parts") else ", and it is no hub id (org/name)"
        raise MissingFileError(f"no folder {place}{or_hub}; check the path")
    name = "a tokenizer" if len(wanted) > 1 else NAMES[wanted[0]]
    if not folder.is_dir():
        raise GridcodeError(f"{option} {place} is a file, not {name}; give its folder")
    found = sort_of(folder)
    if found in wanted or (found == "other" and _may_be_damaged(folder)):
        return
    part = next((name for name in PARTS if sort_of(folder / name) in wanted), None) if found == "parts" else None
    if part is not None:
        raise GridcodeError(f"{option} {place} is {NAMES[found]}; give {option} {folder / part}")
    raise GridcodeError(f"{option} {place} is {NAMES[found]}, not {name}; {_use(folder, found)}")


def _use(folder: Path, sort: Sort) -> str:
    """What a folder is good for."""
    if sort == "parts" and "dense tokenizer" in [sort_of(folder / part) for part in PARTS]:
        return "gridcode predict and gridcode eval take it as --run"
    return USES.get(sort, "gridcode info tells what is in a folder").format(folder=folder)


def _may_be_damaged(folder: Path) -> bool:
    """Whether the library's own error says more: some of a model's or a store's files are there."""
    names = ("config.json", "model.safetensors", "manifest.json", "manifest.partial.json", "run.json")
    return any((place / name).exists() for place in (folder, folder / "best", folder / "last") for name in names)


def kind_of_data(words: Sequence[str]) -> KindOfData:
    """The kind of data of the tokenizer that a command line names; with --run alone it is dense prediction.

    What is none is taken for a tokenizer of images: the verb then says what is wrong with it.
    """
    named = option_value("--tokenizer", words)
    if not named:
        return "dense" if option_value("--run", words) else "image"
    sort = sort_of_model(named, Device(option_value("--device", words) or "cpu"))
    if sort == "image prior":
        return "dense"
    return next((kind for kind in KINDS if sort == f"{kind} tokenizer"), "image")


def sort_of_model(named: str, device: Device) -> Sort:
    """What a model's folder or hub id holds; "other" where there is nothing.

    Raises:
        GridcodeError: Its files cannot be read, or the device cannot be used, which is told before any download.
    """
    folder = Path(named)
    if not folder.is_dir() and is_hub_id(named):
        from gridcode.hub import find_model

        device.usable()
        folder = find_model(named)
    return sort_of(folder) if folder.is_dir() else "other"


def kind_of_command(words: Sequence[str]) -> KindOfData:
    """The kind of data of a command line: that of the recipe whose name comes first, or of the tokenizer it names."""
    from gridcode.recipes import RECIPES

    recipe = RECIPES.get(words[0]) if words else None
    return kind_of_data(words) if recipe is None else recipe().kind


def is_hub_id(source: str) -> bool:
    """Whether a model's name could be one on the hub.

    >>> is_hub_id("org/name"), is_hub_id("runs/a/tokenizer")
    (True, False)
    """
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source) is not None


def check_source(place: str | None, kind: KindOfData = "image") -> None:
    """Refuse a place of examples at which there is nothing, before the libraries that read them are imported.

    Args:
        place: The path; None passes, and the word for examples that no file holds.
        kind: The kind of data that should lie there.

    Raises:
        GridcodeError: It is neither a path of anything nor such a word, or a folder that gridcode wrote.
    """
    nouns, built_in = KINDS[kind].files or KINDS[kind].nouns, KINDS[kind].built_in
    if place is None or (built_in and place == built_in):
        return
    may_be_shards = nouns == KINDS["image"].nouns
    if may_be_shards and is_url(place):
        shard_urls(place)
        return
    if may_be_shards and is_pattern(place):
        local_shards(place)
        return
    folder = Path(place)
    if not folder.exists():
        of_what = f", or '{built_in}' for the built-in {nouns}" if built_in else f" of {nouns}"
        raise MissingFileError(f"{place}: no such file or folder; give the path of a data set{of_what}")
    if folder.is_dir() and (found := sort_of(folder)) != "other":
        raise GridcodeError(f"{place} is {NAMES[found]}, not {nouns}; {_use(folder, found)}")
