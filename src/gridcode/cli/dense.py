"""``gridcode dense train | predict | eval``: short for the verbs that all kinds of data share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Final, Literal

from gridcode.cli.shared.options import FLAT, RunFlags
from gridcode.cli.shared.parse import option_value, parse
from gridcode.cli.train import with_quantizer
from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.domains.dense.recipes import STAGES, DenseRun, Stage
from gridcode.errors import GridcodeError
from gridcode.prior.config import CrossAttentionConfig, Decoding
from gridcode.quantize.config import QUANTIZERS
from gridcode.recipes import DENSE_RECIPES, dense_recipe
from gridcode.training.config import LoopConfig, OptimConfig

PARTS: Final = ("train", "predict", "eval")

USAGE: Final = """usage: gridcode dense train   [RECIPE] --task TASK --out RUN [options]
       gridcode dense predict --run RUN --input PATH --out DIR [options]
       gridcode dense eval    --run RUN --out DIR [options]

Short for the verbs that all kinds of data share: dense train is gridcode train tokenizer, tokenize and train prior, one
after another into the folders tokenizer/, tokens/ and prior/ of RUN; dense predict and dense eval are gridcode predict
and gridcode eval.

TASK is depth, panoptic or colour. Without a recipe the built-in scenes are learned, at laptop size. Options of each:
gridcode dense train --help, and so on.

recipes:
{recipes}
"""


def run(arguments: list[str]) -> None:
    """Run one part.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(recipes="\n".join(f"  {name}" for name in DENSE_RECIPES)))
        return
    part, words = arguments[0], arguments[1:]
    if part not in PARTS:
        raise GridcodeError(f"dense takes one of {', '.join(PARTS)}, got {part!r}")
    if part == "train":
        train(words)
    elif part == "predict":
        from gridcode.cli import predict

        predict.run(words, prog="gridcode dense predict")
    else:
        from gridcode.cli.eval import eval_dense

        eval_dense(words, prog="gridcode dense eval")


@dataclass(frozen=True)
class StageTwoFlags:
    """Stage II's flags: its data are Stage I's, and its kind is --decoding."""

    model: CrossAttentionConfig
    """The shape of encoder and decoder."""
    vit_weights: str | None
    """A .safetensors file of a vision transformer, with timm's names, that the encoder starts from."""
    encoder_lr: float
    """Learning rate of the encoder, as a share of the decoder's; 0.1 for one that starts from trained weights."""
    min_masked: float
    """Smallest share of masked tokens in an example; only for maskgit."""
    label_smoothing: float
    """Share of the target spread evenly over the vocabulary."""
    optim: OptimConfig
    """The optimiser."""
    loop: LoopConfig
    """Length, batch, precision, and how often things happen."""

    @classmethod
    def of(cls, run: DensePriorRun) -> StageTwoFlags:
        """The flags of a run."""
        return cls(**{each.name: getattr(run, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class TrainArguments:
    """Learn to write label maps as codes (Stage I), and the codes from images (Stage II, --prior.*).

    --out gets tokenizer/, tokens/ and prior/; with --resume, a part that is finished is left as it is.
    """

    flags: Annotated[RunFlags, FLAT]
    run: Annotated[LabelTokenizerRun, FLAT]
    prior: StageTwoFlags
    task: Task
    """What to predict; a recipe has its own."""
    quantizer: Literal[tuple(QUANTIZERS)]  # type: ignore[valid-type]  # the names are known when it runs
    """What turns latents into codes; its settings are then the flags --model.quantizer.*"""
    decoding: Decoding
    """Stage II: one token after another (ar), or all of them in a dozen steps (maskgit)."""
    stage: Stage = "all"
    """The part to make: Stage I, the tokens of its label maps, Stage II, or all of them."""


def train(arguments: Sequence[str]) -> None:
    """Train both stages, or a part.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    settings, flags, stage = _parse(arguments)
    if flags.dry_run:
        from gridcode.cli.shared.dry_run import describe_dense_run

        return print(describe_dense_run(settings))
    out = flags.folder()
    from gridcode.cli.shared.advice import as_typed
    from gridcode.domains.dense.train import DenseOptions, train_dense
    from gridcode.training.run import first_process

    options = DenseOptions(out, stage=stage, resume=flags.resume, force=flags.force, wording=as_typed)
    train_dense(settings, options, say=(lambda line: print(as_typed(line))) if first_process() else None)
    if first_process():
        print(f"{stage} in {out}; next: {_next(stage, out)}")
    return None


def _next(stage: Stage, out: Path) -> str:
    """The command that comes after a part."""
    if stage in STAGES[:-1]:
        return f"the same command with --stage {STAGES[STAGES.index(stage) + 1]}"
    return f"gridcode dense eval --run {out} --out DIR"


def _parse(words: Sequence[str]) -> tuple[DenseRun, RunFlags, Stage]:
    """The settings of both stages, how the run treats what is on disk, and the part to make."""
    name, words = _recipe_name(words)
    recipe = dense_recipe(name)
    run, prior = with_quantizer(recipe.tokenizer, words), recipe.prior
    default = TrainArguments(
        RunFlags(),
        run,
        StageTwoFlags.of(prior),
        task=run.data.task,
        quantizer=run.model.quantizer.name,
        decoding=prior.prior,
    )
    parsed = parse(TrainArguments, words, prog="gridcode dense train", default=default)
    if not parsed.task == parsed.run.data.task == run.data.task:
        raise GridcodeError(
            f"the recipe {name} is for the task {run.data.task}, and the task is to be {parsed.task} "
            f"(--data.task {parsed.run.data.task}); leave out the recipe and give --task alone"
        )
    stage_two = DensePriorRun(data=parsed.run.data, prior=parsed.decoding, **vars(parsed.prior))
    return DenseRun(parsed.run, stage_two), parsed.flags, parsed.stage


def _recipe_name(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The recipe that comes first, or the laptop's of the task that the words name; and the words after it."""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    task = option_value("--task", words)
    name = f"scenes_{task}_laptop"
    # Another task is left for the parser to refuse with the choices.
    return name if name in DENSE_RECIPES else "scenes_depth_laptop", words
