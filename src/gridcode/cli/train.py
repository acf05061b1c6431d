"""``gridcode train tokenizer | prior RECIPE --out DIR``: Stage I and Stage II of every kind of data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gridcode.cli.arguments import check_source, option_value, parse
from gridcode.domains.dense.config import LabelTokenizerRun, dense_from_json
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.prior.config import ConditionalRun
from gridcode.domains.dense.recipes import DenseRun
from gridcode.domains.image.config import ARCHITECTURES, TokenizerRun
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import read_json
from gridcode.prior.config import AutoregressiveConfig, PriorRun, autoregressive, masked
from gridcode.quantize.config import QUANTIZERS
from gridcode.recipes import DENSE_RECIPES, IMAGE_RECIPES, RECIPES, DenseRecipe, Recipe, recipe

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


@dataclass(frozen=True)
class LabelTokenizerArguments:
    """Command line of ``train tokenizer``, for dense prediction."""

    flags: Annotated[TrainFlags, tyro.conf.arg(name="")]
    run: Annotated[LabelTokenizerRun, tyro.conf.arg(name="")]
    quantizer: Literal[tuple(QUANTIZERS)]  # type: ignore[valid-type]  # the names are known when it runs
    """What turns latents into codes; its settings are then the flags --model.quantizer.*"""


@dataclass(frozen=True)
class ConditionalPriorArguments:
    """Command line of ``train prior``, for dense prediction."""

    flags: Annotated[TrainFlags, tyro.conf.arg(name="")]
    run: Annotated[ConditionalRun, tyro.conf.arg(name="")]
    tokens: Path | None = None
    """The token store to learn from; its label maps' settings are the defaults of --data.*"""


USAGE = """usage: gridcode train tokenizer RECIPE --out DIR [options]
       gridcode train prior     RECIPE --tokens STORE --out DIR [options]

Every setting of a recipe can be changed: gridcode train tokenizer RECIPE --help lists them. --quantizer NAME takes
another quantizer and --architecture NAME other networks (of pictures), with settings of their own: gridcode train
tokenizer RECIPE --quantizer NAME --architecture NAME --help. train prior RECIPE --prior ar trains an autoregressive
prior.

quantizers:
{quantizers}

architectures:
{architectures}

recipes for pictures:
{images}

recipes for dense prediction:
{dense}
"""


def run(arguments: list[str]) -> None:
    """Train one stage.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        kinds = {"quantizers": _indented(QUANTIZERS), "architectures": _indented(ARCHITECTURES)}
        print(USAGE.format(images=_indented(IMAGE_RECIPES), dense=_indented(DENSE_RECIPES), **kinds))
        return
    stage, rest = arguments[0], arguments[1:]
    if stage not in ("tokenizer", "prior"):
        raise GridcodeError(f"train takes 'tokenizer' or 'prior', got {stage!r}")
    if rest and rest[0] in ("-h", "--help"):
        rest = ["scenes_laptop", "--help"]
    if not rest or rest[0].startswith("-"):
        raise GridcodeError(f"train {stage} needs a recipe first: one of {', '.join(RECIPES)}")
    name, words, settings = rest[0], rest[1:], recipe(rest[0])
    if isinstance(settings, DenseRecipe):
        (_train_label_tokenizer if stage == "tokenizer" else _train_conditional_prior)(name, settings, words)
    else:
        (_train_tokenizer if stage == "tokenizer" else _train_prior)(name, settings, words)


def _train_tokenizer(name: str, settings: Recipe, words: Sequence[str]) -> None:
    run = _with_kinds(settings.tokenizer, words)
    default = TokenizerArguments(TrainFlags(), run, architecture=run.model.name, quantizer=run.model.quantizer.name)
    prog = f"gridcode train tokenizer {name}"
    arguments = parse(TokenizerArguments, words, prog=prog, default=default, description="Stage I: train a tokenizer.")
    if arguments.flags.dry_run:
        from gridcode.cli.dry_run import describe_tokenizer_run

        return print(describe_tokenizer_run(arguments.run))
    return _stage_one(arguments.run, arguments.flags)


def _train_label_tokenizer(name: str, settings: DenseRecipe, words: Sequence[str]) -> None:
    run, kind = settings.tokenizer, option_value("--quantizer", words)
    if kind in QUANTIZERS and kind != run.model.quantizer.name:
        run = replace(run, model=replace(run.model, quantizer=QUANTIZERS[kind]()))
    default = LabelTokenizerArguments(TrainFlags(), run, quantizer=run.model.quantizer.name)
    prog = f"gridcode train tokenizer {name}"
    description = "Stage I of dense prediction: train a tokenizer of label maps."
    arguments = parse(LabelTokenizerArguments, words, prog=prog, default=default, description=description)
    if arguments.flags.dry_run:
        from gridcode.domains.dense.describe import describe_label_run

        return print(describe_label_run(arguments.run))
    return _stage_one(arguments.run, arguments.flags)


def _stage_one(run: TokenizerRun | LabelTokenizerRun, flags: TrainFlags) -> None:
    """Train a tokenizer of any kind of data."""
    check_source(run.data.source)
    options = flags.options()
    from gridcode.cli.output import narrator
    from gridcode.tokenizer.train import train_tokenizer
    from gridcode.training.run import first_process

    train_tokenizer(run, options, init_from=flags.init_from, say=narrator() if first_process() else None)
    if first_process():
        print(f"tokenizer in {options.out / 'best'}; next: gridcode tokenize --tokenizer {options.out} --out STORE")


def _train_conditional_prior(name: str, settings: DenseRecipe, words: Sequence[str]) -> None:
    run, tokens = settings.run.stage_two(), option_value("--tokens", words)
    if Path(tokens, "manifest.json").is_file() and tokens:
        run = replace(run, data=stored_data(Path(tokens), run.data))
    default = ConditionalPriorArguments(TrainFlags(), run)
    prog = f"gridcode train prior {name}"
    description = "Stage II of dense prediction: train a prior that is given a picture."
    arguments = parse(ConditionalPriorArguments, words, prog=prog, default=default, description=description)
    flags = arguments.flags
    both = DenseRun(replace(settings.tokenizer, data=arguments.run.data), arguments.run)
    both.stage_two()
    if flags.dry_run:
        from gridcode.cli.dry_run import describe_stage_two

        return print(describe_stage_two(both))
    _check_tokens(arguments.tokens)
    if flags.init_from is not None:
        raise GridcodeError("a prior of label maps starts from nothing, or from --vit-weights; leave out --init-from")
    from gridcode.domains.dense.prior.train import train_conditional_prior
    from gridcode.store.reader import TokenStore
    from gridcode.training.run import first_process

    assert arguments.tokens is not None
    store, options = TokenStore.open(arguments.tokens), flags.options()
    train_conditional_prior(arguments.run, store, options)
    if first_process():
        following = f"gridcode predict --prior {options.out} --tokenizer TOKENIZER --input PATH --out DIR"
        print(f"prior in {options.out / 'best'}; next: {following}")
    return None


def stored_data(tokens: Path, data: DenseConfig) -> DenseConfig:
    """The settings of the label maps that a token store was made of; how pictures are cropped is the recipe's.

    Raises:
        GridcodeError: The store holds tokens of another kind of data.
    """
    recorded = read_json(tokens / "manifest.json", "token store").get("data", {})
    if "task" not in recorded:
        raise GridcodeError(f"{tokens} holds tokens of pictures; give --tokens that a tokenizer of label maps wrote")
    names = {each.name for each in fields(DenseConfig)} - {"crop", "workers", "max_pixels"}
    values = {name: value for name, value in recorded.items() if name in names}
    return replace(dense_from_json(values | {"crop": asdict(data.crop)}), workers=data.workers)


def _check_tokens(folder: Path | None) -> None:
    if folder is None:
        raise GridcodeError("give the token store to learn from with --tokens STORE; gridcode tokenize makes one")
    if not folder.is_dir():
        raise MissingFileError(f"there is no folder {folder}; write a token store with gridcode tokenize")


def _train_prior(name: str, settings: Recipe, words: Sequence[str]) -> None:
    run = settings.prior
    own = _kind(run)
    wanted = option_value("--prior", words)
    if own == "maskgit" and wanted == "ar":
        run = autoregressive(run)
    if own == "ar" and wanted == "maskgit":
        run = masked(run)
    default = PriorArguments(TrainFlags(), run, prior=_kind(run))
    prog = f"gridcode train prior {name}"
    arguments = parse(PriorArguments, words, prog=prog, default=default, description="Stage II: train a prior.")
    flags = arguments.flags
    if flags.dry_run:
        from gridcode.cli.dry_run import assumed_space, describe_prior_run, stored_space

        space = assumed_space(settings) if arguments.tokens is None else stored_space(arguments.tokens)
        return print(describe_prior_run(arguments.run, space))
    _check_tokens(arguments.tokens)
    assert arguments.tokens is not None
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
    architecture = option_value("--architecture", words)
    if architecture in ARCHITECTURES and architecture != model.name:
        model = ARCHITECTURES[architecture].like(model)
    quantizer = option_value("--quantizer", words)
    if quantizer in QUANTIZERS and quantizer != model.quantizer.name:
        model = replace(model, quantizer=QUANTIZERS[quantizer]())
    return replace(run, model=model)


def _indented(names: Iterable[str]) -> str:
    return "\n".join(f"  {name}" for name in names)
