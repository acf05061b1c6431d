"""``gridcode train tokenizer | prior RECIPE --out DIR``: Stage I and Stage II."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gridcode.cli.arguments import check_source, parse, said
from gridcode.domains.image.config import ARCHITECTURES, TokenizerRun
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.prior.config import AutoregressiveConfig, PriorRun, autoregressive, masked
from gridcode.quantize.config import QUANTIZERS
from gridcode.recipes import IMAGE_RECIPES, image_recipe

if TYPE_CHECKING:
    from gridcode.training.run import RunOptions


@dataclass(frozen=True)
class TrainFlags:
    """How a run treats what is on disk; nothing here changes its result."""

    out: Path | None = None
    """Folder of the run; only --dry-run needs none."""
    resume: bool = False
    """Continue the run in --out from its newest checkpoint."""
    force: bool = False
    """Replace the run in --out."""
    init_from: str | None = None
    """A trained model's folder or hub id, of the same shape, to start from (fine-tuning)."""
    dry_run: bool = False
    """Print the resolved settings, parameters, token grid and an estimate of memory, and end."""

    def options(self) -> RunOptions:
        """The flags as a run takes them.

        Raises:
            GridcodeError: There is no folder, or the flags exclude each other.
        """
        from gridcode.training.run import RunOptions

        if self.out is None:
            raise GridcodeError("give the run a folder with --out DIR")
        if self.resume and (self.force or self.init_from is not None):
            raise GridcodeError("--resume continues what is in --out; leave out --force and --init-from")
        return RunOptions(self.out, resume=self.resume, force=self.force)


@dataclass(frozen=True)
class TokenizerArguments:
    """Command line of ``train tokenizer``."""

    flags: Annotated[TrainFlags, tyro.conf.arg(name="")]
    run: Annotated[TokenizerRun, tyro.conf.arg(name="")]
    architecture: Literal[tuple(ARCHITECTURES)]  # type: ignore[valid-type]  # the names are known when it runs
    """The kind of encoder and decoder; their settings are then the flags --model.*"""
    quantizer: Literal[tuple(QUANTIZERS)]  # type: ignore[valid-type]  # the names are known when it runs
    """What turns latents into tokens; its settings are then the flags --model.quantizer.*"""


@dataclass(frozen=True)
class PriorArguments:
    """Command line of ``train prior``."""

    flags: Annotated[TrainFlags, tyro.conf.arg(name="")]
    run: Annotated[PriorRun, tyro.conf.arg(name="")]
    tokens: Path | None = None
    """The token store to learn from; --dry-run without one assumes the recipe's own tokenizer and classes."""
    prior: Literal["maskgit", "ar"] = "maskgit"
    """A masked prior, or an autoregressive one of the same shape; its settings are then the flags --model.*"""


USAGE = """usage: gridcode train tokenizer RECIPE --out DIR [options]
       gridcode train prior     RECIPE --tokens STORE --out DIR [options]

Every setting of a recipe can be changed: gridcode train tokenizer RECIPE --help lists them. --quantizer NAME takes
another quantizer and --architecture NAME other networks, with settings of their own: gridcode train tokenizer RECIPE
--quantizer NAME --architecture NAME --help. train prior RECIPE --prior ar trains an autoregressive prior.

quantizers:
{quantizers}

architectures:
{architectures}

recipes:
{recipes}
"""


def run(arguments: list[str]) -> None:
    """Train one stage.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        kinds = {"quantizers": _listed(QUANTIZERS), "architectures": _listed(ARCHITECTURES)}
        print(USAGE.format(recipes=_listed(IMAGE_RECIPES), **kinds))
        return
    stage, rest = arguments[0], arguments[1:]
    if stage not in ("tokenizer", "prior"):
        raise GridcodeError(f"train takes 'tokenizer' or 'prior', got {stage!r}")
    if rest and rest[0] in ("-h", "--help"):
        rest = ["scenes_laptop", "--help"]
    if not rest or rest[0].startswith("-"):
        raise GridcodeError(f"train {stage} needs a recipe first: one of {', '.join(IMAGE_RECIPES)}")
    (_train_tokenizer if stage == "tokenizer" else _train_prior)(rest[0], rest[1:])


def _train_tokenizer(name: str, words: Sequence[str]) -> None:
    run = _with_kinds(image_recipe(name).tokenizer, words)
    default = TokenizerArguments(TrainFlags(), run, architecture=run.model.name, quantizer=run.model.quantizer.name)
    prog = f"gridcode train tokenizer {name}"
    arguments = parse(TokenizerArguments, words, prog=prog, default=default, description="Stage I: train a tokenizer.")
    flags = arguments.flags
    if flags.dry_run:
        from gridcode.cli.dry_run import describe_tokenizer_run

        return print(describe_tokenizer_run(arguments.run))
    check_source(arguments.run.data.source)
    options = flags.options()
    from gridcode.cli.output import narrator
    from gridcode.tokenizer.train import train_tokenizer
    from gridcode.training.run import first_process

    train_tokenizer(arguments.run, options, init_from=flags.init_from, say=narrator() if first_process() else None)
    if first_process():
        print(f"tokenizer in {options.out / 'best'}; next: gridcode tokenize --tokenizer {options.out} --out STORE")
    return None


def _train_prior(name: str, words: Sequence[str]) -> None:
    run = image_recipe(name).prior
    own = _kind(run)
    asked = said("--prior", words)
    if own == "maskgit" and asked == "ar":
        run = autoregressive(run)
    if own == "ar" and asked == "maskgit":
        run = masked(run)
    default = PriorArguments(TrainFlags(), run, prior=_kind(run))
    prog = f"gridcode train prior {name}"
    arguments = parse(PriorArguments, words, prog=prog, default=default, description="Stage II: train a prior.")
    flags = arguments.flags
    if flags.dry_run:
        from gridcode.cli.dry_run import assumed_space, describe_prior_run, stored_space

        space = assumed_space(image_recipe(name)) if arguments.tokens is None else stored_space(arguments.tokens)
        return print(describe_prior_run(arguments.run, space))
    if arguments.tokens is None:
        raise GridcodeError("give the token store to learn from with --tokens STORE; gridcode tokenize makes one")
    if not arguments.tokens.is_dir():
        raise MissingFileError(f"there is no folder {arguments.tokens}; write a token store with gridcode tokenize")
    from gridcode.prior.train import train_prior
    from gridcode.store.reader import TokenStore
    from gridcode.training.run import first_process

    store, options = TokenStore.open(arguments.tokens), flags.options()
    train_prior(arguments.run, store, options, init_from=flags.init_from)
    if first_process():
        following = f"gridcode sample --prior {options.out} --tokenizer TOKENIZER --out DIR"
        print(f"prior in {options.out / 'best'}; next: {following}")
    return None


def _kind(run: PriorRun) -> Literal["maskgit", "ar"]:
    return "ar" if isinstance(run.model, AutoregressiveConfig) else "maskgit"


def _with_kinds(run: TokenizerRun, words: Sequence[str]) -> TokenizerRun:
    """The run with the architecture and the quantizer that the words name, at their defaults; the recipe's own where
    they are those kinds.

    Another architecture keeps the recipe's quantizer, channels and downsampling. A name that is none is left for the
    parser to refuse with the choices.
    """
    model = run.model
    architecture = said("--architecture", words)
    if architecture in ARCHITECTURES and architecture != model.name:
        model = ARCHITECTURES[architecture].like(model)
    quantizer = said("--quantizer", words)
    if quantizer in QUANTIZERS and quantizer != model.quantizer.name:
        model = replace(model, quantizer=QUANTIZERS[quantizer]())
    return replace(run, model=model)


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"  {name}" for name in names)
