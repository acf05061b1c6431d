"""All of dense prediction's training: Stage I, the tokens of its label maps, Stage II, each in a folder of its own.

    runs/depth/
      tokenizer/   the label tokenizer's run
      tokens/      its store of tokens, both splits
      prior/       the picture-conditioned prior's run

Each part continues from where it was, so that a killed command is repeated with ``--resume``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from gridcode.domains.dense.data.open import open_dense, understood
from gridcode.domains.dense.prior.train import train_dense_prior
from gridcode.domains.dense.run_config import DenseRun, Stage
from gridcode.domains.dense.tokens import finished_tokens, tokenize_labels
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.prior.encoder import find_vit
from gridcode.store.reader import TokenStore
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.fabric import make_fabric
from gridcode.training.progress import ProgressBar, Say
from gridcode.training.run import RUN_FILE, RunOptions
from gridcode.training.state import checkpoints


@dataclass(frozen=True)
class DenseOptions:
    """How the parts treat what is on disk and on screen; nothing here changes the result.

    Attributes:
        out: The folder that holds the parts' folders.
        stage: The part to make; all of them by default.
        resume: Continue each part from where it was.
        force: Replace what the parts left.
        show: Draw progress bars.
        wording: What is shown is passed through it (:class:`gridcode.training.run.RunOptions`).
    """

    out: Path
    stage: Stage = "all"
    resume: bool = False
    force: bool = False
    show: bool = True
    wording: Callable[[str], str] = str


def train_dense(
    run: DenseRun,
    options: DenseOptions,
    *,
    sources: Sources | None = None,
    say: Say | None = None,
) -> None:
    """Train Stage I, write tokens, train Stage II, or one of these.

    Args:
        run: Everything that determines the result.
        options: Where it goes, and which part.
        sources: The pictures with label maps, where they do not come from ``run.data``.
        say: Told what was understood of the data, a line each.

    Raises:
        GridcodeError: Data, folder or settings are unusable, or a part that comes before is missing.
        Stopped: A signal ended a part; its checkpoint is written.
    """
    if options.resume and options.force:
        raise GridcodeError("resume=True continues a run and force=True replaces it; give one of them")
    if options.resume and not options.out.is_dir():
        raise MissingFileError(f"there is no run to resume in {options.out}; leave out resume=True")
    stage_two = run.stage_two()
    if options.stage in ("prior", "all") and stage_two.vit_weights is not None:
        find_vit(stage_two.vit_weights)
    if options.stage == "tokens" and not (options.out / "tokenizer").is_dir():
        raise GridcodeError(f"{options.out} has no label tokenizer yet; train it first, with stage=tokenizer")
    if options.stage == "prior" and not (options.out / "tokens").is_dir():
        raise GridcodeError(f"{options.out} has no tokens yet; write them first, with stage=tokens")
    opened = sources or Sources(open_dense(run.data, "train"), open_dense(run.data, "val"))
    if say is not None:
        for line in understood(run.data, opened.train, opened.val):
            say(line)
    if options.stage in ("tokenizer", "all"):
        # A run records given sources by their name; that of files is no path, by which they could be opened again.
        given = sources or (opened if opened.train.name == run.data.source else None)
        train_tokenizer(run.tokenizer, _options(options, "tokenizer"), sources=given)
    if options.stage in ("tokens", "all"):
        fabric = make_fabric(run.tokenizer.loop)
        if fabric.global_rank == 0:
            _write_tokens(run, options, opened, device=fabric.device)
        fabric.barrier()
    if options.stage in ("prior", "all"):
        store = TokenStore.open(options.out / "tokens")
        train_dense_prior(stage_two, store, _options(options, "prior"), sources=opened)


def _options(options: DenseOptions, part: str) -> RunOptions:
    """A part continues where it has a checkpoint, begins where it has none."""
    out = options.out / part
    begun = (out / RUN_FILE).exists()
    resume = options.resume and bool(checkpoints(out))
    force = options.force or (options.resume and begun and not resume)
    return RunOptions(out, resume=resume, force=force and begun, show=options.show, wording=options.wording)


def _write_tokens(run: DenseRun, options: DenseOptions, sources: Sources, *, device: torch.device) -> None:
    tokenizer = Tokenizer.from_pretrained(options.out / "tokenizer", device=device)
    splits = {"train": sources.train, "val": sources.val}
    out = options.out / "tokens"
    if options.resume and finished_tokens(tokenizer, splits, run.data, out) is not None:
        return
    force = options.force or options.resume
    with ProgressBar("label maps", total=len(sources.train) + len(sources.val), show=options.show) as bar:
        tokenize_labels(tokenizer, splits, run.data, out, force=force, progress=lambda done, _: bar.advance(done))
