"""The kinds of data that verbs tell apart: what each is called, and where the verbs stand that it has for itself.

A new kind adds a row to :data:`KINDS`, its recipes to :mod:`gridcode.recipes`, and a folder ``cli/NAME``: ``options``
with its command lines of tokenize and eval, and ``sample`` and ``reconstruct``, each with a function ``run``. What eval
measures and reports is ``evaluate_NAME`` and ``NAME_findings`` of ``evaluate`` and ``report`` in the kind's domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

if TYPE_CHECKING:
    from gridcode.evaluation.publish import Findings
    from gridcode.tokenizer.model import Tokenizer

KindOfData: TypeAlias = str
"""A kind of data, by the name of its folder in :mod:`gridcode.domains`."""


@dataclass(frozen=True)
class Kind:
    """How verbs speak of a kind of data.

    Attributes:
        nouns: What a person calls its examples.
        built_in: The word that names examples which no file holds, in the place of a path; empty for none.
        setting: What token stores of this kind alone record of their data.
        uses: The verbs that take its tokenizers.
        subject: What its recipes are for, where that is not its examples.
        files: What its files hold, where that is not its examples.
        own: Whether a folder of ``cli/`` has its name, with verbs that it has for itself.
    """

    nouns: str
    built_in: str = ""
    setting: str = ""
    uses: str = "reconstruct, tokenize, eval and sample"
    subject: str = ""
    files: str = ""
    own: bool = True


KINDS: Final[Mapping[KindOfData, Kind]] = {
    "image": Kind("images", built_in="scenes", uses="reconstruct, tokenize, eval, sample and edit", own=False),
    "dense": Kind(
        "label maps",
        built_in="scenes",
        setting="task",
        uses="tokenize, predict and eval",
        subject="dense prediction",
        files="images",
        own=False,
    ),
    "audio": Kind("sounds", setting="rate"),
    "points": Kind("clouds", built_in="solids", setting="points"),
    "text": Kind("texts", setting="window"),
    "video": Kind("clips", built_in="motion", setting="frames", files="videos"),
}
"""Every kind, in the order of help."""


def own_verb(kind: KindOfData, verb: str) -> Callable[[list[str]], None] | None:
    """What a verb does with a kind of data, where the kind has that for itself; None where the verb's own module does.

    >>> own_verb("audio", "sample").__module__, own_verb("image", "sample")
    ('gridcode.cli.audio.sample', None)
    """
    if not KINDS[kind].own:
        return None
    return cast("Callable[[list[str]], None]", import_module(f"gridcode.cli.{kind}.{verb}").run)


def own_form(kind: KindOfData, name: str) -> type[Any] | None:
    """A command line that a kind has for itself, a dataclass; None where the verb's own serves it.

    >>> own_form("audio", "StoreArguments").__module__, own_form("image", "StoreArguments")
    ('gridcode.cli.audio.options', None)
    """
    return getattr(import_module(f"gridcode.cli.{kind}.options"), name) if KINDS[kind].own else None


def measuring(kind: KindOfData) -> tuple[Callable[..., Any], Callable[..., Findings]]:
    """What measures a kind's examples, and what makes a report of what was measured, for kinds with a folder."""
    domain = f"gridcode.domains.{kind}"
    evaluate = getattr(import_module(f"{domain}.evaluate"), f"evaluate_{kind}")
    return evaluate, getattr(import_module(f"{domain}.report"), f"{kind}_findings")


def data_of(kind: KindOfData, tokenizer: Tokenizer) -> Any:
    """The settings of data in a tokenizer's own record.

    Raises:
        GridcodeError: It has none, or ones that this version cannot read.
    """
    return import_module(f"gridcode.domains.{kind}.domain").data_of(tokenizer)


def kind_of_tokens(recorded: Mapping[str, Any]) -> KindOfData:
    """The kind of data of a token store, by what it records of its data.

    >>> kind_of_tokens({"rate": 8000}), kind_of_tokens({"size": 32})
    ('audio', 'image')
    """
    return next((name for name, kind in KINDS.items() if kind.setting and kind.setting in recorded), "image")


def recipe_settings(kind: KindOfData, words: Sequence[str], default: Any) -> tuple[Any, Sequence[str]]:
    """The measuring and sampling settings of a kind's recipe, if its name is the first word, and the words after it.

    Args:
        kind: The kind of data.
        words: The command line after the verb.
        default: The settings where no recipe is named.

    Raises:
        GridcodeError: The first word is no option and no recipe of that kind.
    """
    if words and not words[0].startswith("-"):
        from gridcode.recipes import recipe_of_kind

        return recipe_of_kind(kind, words[0], nouns=KINDS[kind].nouns).evaluation, words[1:]
    return default, words
