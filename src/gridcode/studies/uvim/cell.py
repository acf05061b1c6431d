"""One cell of the study: both stages trained and measured, in a folder that holds how far it came.

    cells/depth-fsq-0/
      run/tokenizer, run/tokens, run/prior    what ``gridcode dense train`` makes
      images/input.png, truth.png, …        rows of validation images
      result.json                             written last: a cell with one is finished

A cell that was killed continues from its newest checkpoint and ends with the same figures.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.evaluate import DenseEvaluation, DenseSubject, StageTwo, evaluate_dense
from gridcode.domains.dense.predictor import DensePredictor
from gridcode.domains.dense.recipes import DenseRun
from gridcode.domains.dense.train import DenseOptions, train_dense
from gridcode.evaluation.images import contact_sheet, save_png
from gridcode.files import make_folder
from gridcode.studies.study import Values
from gridcode.tokenizer.domain import Sources
from gridcode.training.fabric import loop_device


def run_cell(run: DenseRun, evaluation: DenseEvaluationConfig, folder: Path) -> Values:
    """Train and measure a cell, or go on with it.

    Args:
        run: The settings of both stages.
        evaluation: How it is measured.
        folder: Its folder.

    Returns:
        ``scores`` (the task's figures of every row: the oracle, both stages, baselines), ``usage`` and ``perplexity``
        of the codes of validation maps, ``codebook_size``, and ``token_accuracy``, the share of validation codes that
        Stage II predicts exactly.

    Raises:
        GridcodeError: A stage cannot be trained.
        Stopped: A signal ended it; the next call continues.
    """
    sources = rendered(run.data)
    out = folder / "run"
    options = DenseOptions(out, resume=out.is_dir(), show=False)
    train_dense(run, options, sources=sources)
    predictor = DensePredictor.from_pretrained(out / "prior", out / "tokenizer", device=loop_device(run.prior.loop))
    stage_two = StageTwo(predictor.predict_codes, predictor.draw_codes)
    subject = DenseSubject(predictor.tokenizer, stage_two, run.data, sources.train, sources.val)
    found = evaluate_dense(subject, evaluation, say=lambda text: None)
    _save_images(found, folder / "images")
    return {
        "scores": found.scores,
        "usage": found.usage.usage,
        "perplexity": found.usage.perplexity,
        "codebook_size": found.usage.codebook_size,
        "token_accuracy": found.token_accuracy,
    }


@lru_cache(maxsize=1)
def rendered(data: DenseConfig) -> Sources:
    """A task's scenes, kept for the next cell of this process: rendering takes as long as a part of a stage."""
    return Sources(open_dense(data, "train"), open_dense(data, "val"))


def _save_images(found: DenseEvaluation, folder: Path) -> None:
    make_folder(folder)
    for name, images in found.gallery.rows.items():
        stem = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
        save_png(contact_sheet(images, columns=len(images)), folder / f"{stem}.png")
