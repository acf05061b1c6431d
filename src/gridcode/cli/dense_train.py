"""``gridcode dense train [RECIPE] --task TASK --out RUN``: Stage I, tokens, Stage II."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gridcode.cli.arguments import parse, said
from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.config import DenseConfig, Task
from gridcode.domains.dense.prior.config import ConditionalRun, Decoding
from gridcode.domains.dense.run_config import STAGES, DenseRun, Stage
from gridcode.errors import GridcodeError
from gridcode.quantize.config import QUANTIZERS
from gridcode.recipes import DENSE_RECIPES, dense_recipe


@dataclass(frozen=True)
class DenseFlags:
    """How a run treats what is on disk; nothing here changes its result."""

    out: Path | None = None
    """Folder of the run, with tokenizer/, tokens/ and prior/ in it; only --dry-run needs none."""
    stage: Stage = "all"
    """The part to make: Stage I, the tokens of its label maps, Stage II, or all of them."""
    resume: bool = False
    """Continue each part in --out from its newest checkpoint; what is finished is left as it is."""
    force: bool = False
    """Replace the run in --out."""
    dry_run: bool = False
    """Print the resolved settings, the parameters of both stages and an estimate of memory, and end."""


@dataclass(frozen=True)
class StageTwoFlags(ConditionalRun):
    """Stage II's flags: without the data, which are Stage I's, and without its kind, which is --decoding."""

    data: Annotated[DenseConfig, tyro.conf.Suppress] = field(default_factory=DenseConfig)
    prior: Annotated[Decoding, tyro.conf.Suppress] = "ar"


@dataclass(frozen=True)
class Arguments:
    """Command line of ``dense train``."""

    flags: Annotated[DenseFlags, tyro.conf.arg(name="")]
    run: Annotated[LabelTokenizerRun, tyro.conf.arg(name="")]
    prior: StageTwoFlags
    task: Task
    """What to predict; a recipe has its own."""
    quantizer: Literal[tuple(QUANTIZERS)]  # type: ignore[valid-type]  # the names are known when it runs
    """What turns latents into codes; its settings are then the flags --model.quantizer.*"""
    decoding: Decoding
    """Stage II: one token after another (ar), or all of them in a dozen steps (maskgit)."""


def run(arguments: list[str]) -> None:
    """Train both stages, or a part.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    settings, flags = _parse(arguments)
    if flags.dry_run:
        from gridcode.cli.dense_dry_run import describe_dense_run

        return print(describe_dense_run(settings))
    if flags.out is None:
        raise GridcodeError("give the run a folder with --out DIR")
    from gridcode.domains.dense.train_stages import DenseOptions, train_dense
    from gridcode.training.run import first_process

    options = DenseOptions(flags.out, stage=flags.stage, resume=flags.resume, force=flags.force)
    train_dense(settings, options, say=print if first_process() else None)
    if first_process():
        print(f"{flags.stage} in {flags.out}; next: {_next(flags.stage, flags.out)}")
    return None


def _next(stage: Stage, out: Path) -> str:
    """The command that comes after a part."""
    if stage in STAGES[:-1]:
        return f"the same command with --stage {STAGES[STAGES.index(stage) + 1]}"
    return f"gridcode dense eval --run {out} --out DIR"


def _parse(words: Sequence[str]) -> tuple[DenseRun, DenseFlags]:
    """The settings of both stages, and how the run treats what is on disk."""
    name, words = _recipe_name(words)
    recipe = dense_recipe(name)
    run, prior = recipe.tokenizer, recipe.prior
    kind = said("--quantizer", words)
    if kind in QUANTIZERS and kind != run.model.quantizer.name:
        run = replace(run, model=replace(run.model, quantizer=QUANTIZERS[kind]()))
    plain: dict[str, Any] = vars(prior)
    default = Arguments(
        DenseFlags(),
        run,
        StageTwoFlags(**plain),
        task=run.data.task,
        quantizer=run.model.quantizer.name,
        decoding=prior.prior,
    )
    parsed = parse(
        Arguments,
        words,
        prog="gridcode dense train",
        default=default,
        description="Learn to write label maps as codes (Stage I), and the codes from pictures (Stage II, --prior.*).",
    )
    if not parsed.task == parsed.run.data.task == run.data.task:
        raise GridcodeError(
            f"the recipe {name} is for the task {run.data.task}, and the task is to be {parsed.task} "
            f"(--data.task {parsed.run.data.task}); leave out the recipe and give --task alone"
        )
    stage_two = ConditionalRun(**vars(parsed.prior) | {"prior": parsed.decoding, "data": parsed.run.data})
    return DenseRun(parsed.run, stage_two), parsed.flags


def _recipe_name(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The recipe that comes first, or the laptop's of the task that the words name; and the words after it."""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    task = said("--task", words)
    name = f"scenes_{task}_laptop"
    # Another task is left for the parser to refuse with the choices.
    return name if name in DENSE_RECIPES else "scenes_depth_laptop", words
