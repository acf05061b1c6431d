"""``gridcode train tokenizer | prior RECIPE --out DIR``: Stage I and Stage II of every kind of data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from gridcode.cli.shared.folders import check_folder, check_source
from gridcode.cli.shared.kinds import KINDS, KindOfData, kind_of_tokens
from gridcode.cli.shared.options import FLAT, RunFlags
from gridcode.cli.shared.parse import option_value, parse
from gridcode.domains.audio.architectures import AUDIO_ARCHITECTURES
from gridcode.domains.dense.config import dense_from_json
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.domains.dense.recipes import DenseRun
from gridcode.domains.image.config import ARCHITECTURES
from gridcode.errors import GridcodeError
from gridcode.files import read_json
from gridcode.prior.config import AutoregressiveConfig, PriorRun, autoregressive, masked
from gridcode.quantize.config import QUANTIZERS
from gridcode.recipes import (
    OF_KIND,
    RECIPES,
    AnyRecipe,
    AnyTokenizerRun,
    ClassRecipe,
    DenseRecipe,
    recipe,
)

if TYPE_CHECKING:
    from gridcode.training.run import RunOptions

AnyRun = TypeVar("AnyRun", bound=AnyTokenizerRun)
"""Settings of a tokenizer of one kind of data."""


@dataclass(frozen=True)
class StageOne:
    """Stage I: train a tokenizer, into the folder --out."""

    flags: Annotated[RunFlags, FLAT]
    run: Annotated[AnyTokenizerRun, FLAT]
    quantizer: Literal[tuple(QUANTIZERS)]  # type: ignore[valid-type]  # the names are known when it runs
    """What turns latents into tokens; its settings are then the flags --model.quantizer.*"""
    init_from: str | None = None
    """A trained model's folder or hub id, of the same shape, to start from (fine-tuning)."""


@dataclass(frozen=True)
class ImageStageOne(StageOne):
    """Stage I: train a tokenizer of images, into the folder --out."""

    architecture: Literal[tuple(ARCHITECTURES)] = "conv"  # type: ignore[valid-type]  # likewise
    """The kind of encoder and decoder; their settings are then the flags --model.*"""


@dataclass(frozen=True)
class AudioStageOne(StageOne):
    """Stage I: train a tokenizer of sounds, into the folder --out."""

    architecture: Literal[tuple(AUDIO_ARCHITECTURES)] = "waveform"  # type: ignore[valid-type]  # likewise
    """The kind of encoder and decoder; their settings are then the flags --model.*"""


WITH_ARCHITECTURES: Final[Mapping[KindOfData, tuple[type[StageOne], Mapping[str, Any]]]] = {
    "image": (ImageStageOne, ARCHITECTURES),
    "audio": (AudioStageOne, AUDIO_ARCHITECTURES),
}
"""The kinds of data that have several architectures: their command lines, and the architectures by name."""


@dataclass(frozen=True)
class StageTwo:
    """Stage II: train a prior that is given an image, into the folder --out."""

    flags: Annotated[RunFlags, FLAT]
    run: Annotated[PriorRun | DensePriorRun, FLAT]
    tokens: Path | None = None
    """The token store to learn from; --dry-run needs none. Its label maps' settings are the defaults of --data.*"""
    init_from: str | None = None
    """A trained model's folder or hub id, of the same shape, to start from (fine-tuning)."""


@dataclass(frozen=True)
class ImageStageTwo(StageTwo):
    """Stage II: train a prior of classes, into the folder --out."""

    tokens: Path | None = None
    """The token store to learn from; --dry-run without one assumes the recipe's own tokenizer and classes."""
    prior: Literal["maskgit", "ar"] = "maskgit"
    """A masked prior, or an autoregressive one of the same shape; its settings are then the flags --model.*"""


USAGE = """usage: gridcode train tokenizer RECIPE --out DIR [options]
       gridcode train prior     RECIPE --tokens STORE --out DIR [options]

Every setting of a recipe can be changed: gridcode train tokenizer RECIPE --help lists them. --quantizer NAME takes
another quantizer and --architecture NAME other networks, with settings of their own: gridcode train
tokenizer RECIPE --quantizer NAME --architecture NAME --help. train prior RECIPE --prior ar trains an autoregressive
prior.

quantizers:
{quantizers}

architectures of images:
{images}

architectures of sounds:
{sounds}

{recipes}
"""


def run(arguments: list[str]) -> None:
    """Train one stage.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        recipes = [
            f"recipes for {KINDS[kind].subject or KINDS[kind].nouns}:\n{_indented(names)}"
            for kind, names in OF_KIND.items()
        ]
        names: dict[str, Iterable[str]] = {
            "quantizers": QUANTIZERS,
            "images": ARCHITECTURES,
            "sounds": AUDIO_ARCHITECTURES,
        }
        print(USAGE.format(recipes="\n\n".join(recipes), **{what: _indented(each) for what, each in names.items()}))
        return
    stage, rest = arguments[0], arguments[1:]
    if stage not in ("tokenizer", "prior"):
        raise GridcodeError(f"train takes 'tokenizer' or 'prior', got {stage!r}")
    if rest and rest[0] in ("-h", "--help"):
        rest = ["scenes_laptop", "--help"]
    if not rest or rest[0].startswith("-"):
        raise GridcodeError(f"train {stage} needs a recipe first: one of {', '.join(RECIPES)}")
    name, words, settings = rest[0], rest[1:], recipe(rest[0])
    if stage == "tokenizer":
        _train_tokenizer(name, settings, words)
    elif isinstance(settings, DenseRecipe):
        _train_dense_prior(name, settings, words)
    else:
        _train_prior(name, settings, words)


def _train_tokenizer(name: str, settings: AnyRecipe, words: Sequence[str]) -> None:
    run: Any = settings.tokenizer
    form, architectures = WITH_ARCHITECTURES.get(settings.kind, (StageOne, {}))
    run = with_quantizer(_with_architecture(run, architectures, words), words)
    chosen = {"architecture": run.model.name} if architectures else {}
    default = form(RunFlags(), run, quantizer=run.model.quantizer.name, **chosen)
    arguments = parse(form, words, prog=f"gridcode train tokenizer {name}", default=default)
    flags = arguments.flags
    if flags.dry_run:
        from gridcode.cli.shared.dry_run import describe_tokenizer_run

        return print(describe_tokenizer_run(arguments.run))
    check_source(arguments.run.data.source, settings.kind)
    check_folder("--init-from", arguments.init_from, f"{settings.kind} tokenizer")
    options = _options(flags, arguments.init_from)
    from gridcode.cli.shared.advice import narrator
    from gridcode.tokenizer.train import train_tokenizer
    from gridcode.training.run import first_process

    train_tokenizer(arguments.run, options, init_from=arguments.init_from, say=narrator() if first_process() else None)
    if first_process():
        print(f"tokenizer in {options.out / 'best'}; next: gridcode tokenize --tokenizer {options.out} --out STORE")
    return None


def _options(flags: RunFlags, init_from: str | None) -> RunOptions:
    """The flags as a training run takes them.

    Raises:
        GridcodeError: There is no folder, or the flags exclude each other.
    """
    options = flags.options()
    if flags.resume and (flags.force or init_from is not None):
        raise GridcodeError("--resume continues what is in --out; leave out --force and --init-from")
    return options


def _train_dense_prior(name: str, settings: DenseRecipe, words: Sequence[str]) -> None:
    run, tokens = settings.run.stage_two(), option_value("--tokens", words)
    if Path(tokens, "manifest.json").is_file() and tokens:
        run = replace(run, data=stored_data(Path(tokens), run.data))
    arguments = parse(StageTwo, words, prog=f"gridcode train prior {name}", default=StageTwo(RunFlags(), run))
    assert isinstance(arguments.run, DensePriorRun)
    both = DenseRun(replace(settings.tokenizer, data=arguments.run.data), arguments.run)
    both.stage_two()
    if arguments.flags.dry_run:
        from gridcode.cli.shared.dry_run import describe_stage_two

        return print(describe_stage_two(both))
    folder = _checked_tokens(arguments.tokens)
    if arguments.init_from is not None:
        raise GridcodeError("a prior of label maps starts from nothing, or from --vit-weights; leave out --init-from")
    options = _options(arguments.flags, None)
    from gridcode.domains.dense.prior.train import train_dense_prior
    from gridcode.store.reader import TokenStore

    train_dense_prior(arguments.run, TokenStore.open(folder), options)
    return _print_what_is_next("predict", options.out, "--input PATH --out DIR")


def stored_data(tokens: Path, data: DenseConfig) -> DenseConfig:
    """The settings of the label maps that a token store was made of; how images are cropped is the recipe's.

    Raises:
        GridcodeError: The store holds tokens of another kind of data.
    """
    recorded = stored_settings(tokens)
    _check_kind(tokens, recorded, "dense", "this")
    names = {each.name for each in fields(DenseConfig)} - {"crop", "workers", "max_pixels"}
    values = {name: value for name, value in recorded.items() if name in names}
    try:
        return replace(dense_from_json(values | {"crop": asdict(data.crop)}), workers=data.workers)
    except (KeyError, TypeError) as error:
        raise GridcodeError(
            f"--tokens {tokens} does not say how its label maps are read ({error}); write it again"
        ) from None


def stored_settings(tokens: Path) -> dict[str, Any]:
    """What a token store says of its data; nothing where it says nothing.

    Raises:
        GridcodeError: It cannot be read.
    """
    recorded = read_json(tokens / "manifest.json", "token store").get("data", {})
    return recorded if isinstance(recorded, dict) else {}


def _checked_tokens(folder: Path | None) -> Path:
    """The token store's folder.

    Raises:
        GridcodeError: There is none.
    """
    if folder is None:
        raise GridcodeError("give the token store to learn from with --tokens STORE; gridcode tokenize makes one")
    check_folder("--tokens", folder, "tokens")
    return folder


def _check_kind(tokens: Path, recorded: Mapping[str, Any], wanted: KindOfData, name: str) -> None:
    """Refuse a token store of another kind of data than a recipe's, which is called ``name`` in the error."""
    found = kind_of_tokens(recorded)
    if found != wanted:
        raise GridcodeError(
            f"--tokens {tokens} holds tokens of {KINDS[found].nouns}, and {name} is a recipe of "
            f"{KINDS[wanted].nouns}; give one of {', '.join(OF_KIND[found])}"
        )


def _train_prior(name: str, settings: ClassRecipe, words: Sequence[str]) -> None:
    run = settings.prior
    own = _kind(run)
    wanted = option_value("--prior", words)
    if own == "maskgit" and wanted == "ar":
        run = autoregressive(run)
    if own == "ar" and wanted == "maskgit":
        run = masked(run)
    default = ImageStageTwo(RunFlags(), run, prior=_kind(run))
    arguments = parse(ImageStageTwo, words, prog=f"gridcode train prior {name}", default=default)
    assert isinstance(arguments.run, PriorRun)
    if arguments.flags.dry_run:
        from gridcode.cli.shared.dry_run import assumed_space, describe_prior_run, stored_space

        tokens = arguments.tokens
        space = assumed_space(settings) if tokens is None else stored_space(_checked_tokens(tokens))
        return print(describe_prior_run(arguments.run, space))
    folder = _checked_tokens(arguments.tokens)
    _check_kind(folder, stored_settings(folder), settings.kind, name)
    check_folder("--init-from", arguments.init_from, "class prior")
    options = _options(arguments.flags, arguments.init_from)
    from gridcode.prior.train import train_prior
    from gridcode.store.reader import TokenStore

    train_prior(arguments.run, TokenStore.open(folder), options, init_from=arguments.init_from)
    return _print_what_is_next("sample", options.out, "--out DIR")


def _print_what_is_next(verb: str, prior: Path, following: str) -> None:
    """Where the prior is, and the command that comes after its training."""
    from gridcode.training.run import first_process

    if first_process():
        print(f"prior in {prior / 'best'}; next: gridcode {verb} --prior {prior} --tokenizer TOKENIZER {following}")


def _kind(run: PriorRun) -> Literal["maskgit", "ar"]:
    return "ar" if isinstance(run.model, AutoregressiveConfig) else "maskgit"


def _with_architecture(run: AnyRun, architectures: Mapping[str, Any], words: Sequence[str]) -> AnyRun:
    """The run with the architecture that the words name, at its defaults; the recipe's own where it is that kind.

    Another architecture keeps the recipe's quantizer, and of what else is a setting of both, such as channels and
    downsampling, the most (its ``like``). A name that is none is left for the parser to refuse with the choices.
    """
    architecture, model = option_value("--architecture", words), run.model
    if architecture in architectures and not isinstance(model, architectures[architecture]):
        return replace(run, model=architectures[architecture].like(model))
    return run


def with_quantizer(run: AnyRun, words: Sequence[str]) -> AnyRun:
    """The run with the quantizer that the words name, at its defaults; the recipe's own where it is that kind.

    Args:
        run: A tokenizer's settings.
        words: The command line; a name that is none is left for the parser to refuse with the choices.
    """
    quantizer = option_value("--quantizer", words)
    if quantizer in QUANTIZERS and quantizer != run.model.quantizer.name:
        model: Any = replace(run.model, quantizer=QUANTIZERS[quantizer]())
        return replace(run, model=model)
    return run


def _indented(names: Iterable[str]) -> str:
    return "\n".join(f"  {name}" for name in names)
