"""All of dense prediction's training: Stage I, the tokens of its label maps, Stage II, each in a folder of its own.

    runs/depth/
      tokenizer/   the label tokenizer's run
      tokens/      its store of tokens, both splits
      prior/       the image-conditioned prior's run

Each part continues from where it was, so that a killed command is repeated with ``resume=True``.

The store's rows carry the keys of the images, by which Stage II finds the images again. Where Stage I mirrors
training images, mirrored ones are stored too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.open import open_dense, understood
from gridcode.domains.dense.data.source import DenseSource
from gridcode.domains.dense.domain import dense_domain
from gridcode.domains.dense.prior.train import train_dense_prior
from gridcode.domains.dense.recipes import DenseRun, Stage
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.prior.encoder import find_vit
from gridcode.store.manifest import MANIFEST
from gridcode.store.reader import TokenStore
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.fabric import make_fabric
from gridcode.training.log import ProgressBar, Say
from gridcode.training.run import RUN_FILE, RunOptions
from gridcode.training.state import checkpoints

BATCH = 64
"""Label maps that are encoded at a time."""


def tokenize_labels(
    tokenizer: Tokenizer,
    splits: Mapping[str, DenseSource],
    data: DenseConfig,
    out: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> TokenStore:
    """Encode every label map of every split, in order; see :func:`gridcode.tasks.tokenize.tokenize`.

    Args:
        tokenizer: In evaluation mode.
        splits: Images with label maps, by split name.
        data: How they are read; its crop says whether training maps are mirrored, too.
        out: The store's folder.
        force: Replace a store that is there.
        progress: Called with (maps done, maps in all).
    """
    options = StoreOptions(out, batch_size=BATCH, flips=data.crop.flip, force=force)
    return tokenize(tokenizer, splits, data, options, progress=progress)


def finished_tokens(
    tokenizer: Tokenizer, splits: Mapping[str, DenseSource], data: DenseConfig, out: Path
) -> TokenStore | None:
    """The store in a folder, where it is whole and :func:`tokenize_labels` would write it again; else None.

    Raises:
        GridcodeError: It is damaged.
    """
    if not (out / MANIFEST).is_file():
        return None
    store = TokenStore.open(out)
    wanted = dense_domain(tokenizer).store_record(data, splits, flips=data.crop.flip, precision="fp32")
    same = store.manifest.tokenizer == tokenizer.weights_hash() and store.manifest.data == wanted
    return store if same else None


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
        sources: The images with label maps, where they do not come from ``run.data``.
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
