"""One cell of the study: both stages trained and measured, in a folder that records how far it came.

    cells/depth-fsq-0/
      run/tokenizer, run/tokens, run/prior    what ``gridcode dense train`` makes
      pictures/input.png, truth.png, …        rows of validation pictures
      result.json                             written last: a cell with one is finished

A cell that was killed continues from its newest checkpoint and ends with the same figures.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.evaluate import DenseEvaluation, DenseSubject, StageTwo, evaluate_dense
from gridcode.domains.dense.evaluation_config import DenseEvaluationConfig
from gridcode.domains.dense.predictor import DensePredictor
from gridcode.domains.dense.run_config import DenseRun
from gridcode.domains.dense.train_stages import DenseOptions, train_dense
from gridcode.errors import GridcodeError
from gridcode.evaluation.pictures import contact_sheet, save_png
from gridcode.files import make_folder, read_json, write_json
from gridcode.studies.uvim.config import Cell
from gridcode.tokenizer.domain import Sources
from gridcode.training.fabric import loop_device

RESULT = "result.json"
"""The file that ends a cell."""


@dataclass(frozen=True)
class CellResult:
    """What a cell found.

    Attributes:
        cell: Task, variant and seed.
        scores: The task's figures of every row: the oracle, both stages, baselines.
        usage: Share of the codebook that validation maps use.
        perplexity: Of the codes of validation maps.
        codebook_size: K.
        token_accuracy: Share of validation codes that Stage II predicts exactly.
        seconds: What the last process spent on it.
    """

    cell: Cell
    scores: dict[str, dict[str, float]]
    usage: float
    perplexity: float
    codebook_size: int
    token_accuracy: float
    seconds: float

    @staticmethod
    def read(folder: Path) -> CellResult | None:
        """The result in a cell's folder; None where it is not finished.

        Raises:
            GridcodeError: The file is damaged.
        """
        if not (folder / RESULT).is_file():
            return None
        values: dict[str, Any] = read_json(folder / RESULT, "result of a cell")
        try:
            scores = {
                row: {name: _number(one) for name, one in found.items()} for row, found in values["scores"].items()
            }
            return CellResult(**values | {"cell": Cell(**values["cell"]), "scores": scores})
        except (KeyError, TypeError, AttributeError) as error:
            raise GridcodeError(
                f"{folder / RESULT} is no result of a cell ({error}); remove it, and the study makes it again"
            ) from None


def _number(value: float | None) -> float:
    """A figure as a file has it: null is what was not finite."""
    return math.nan if value is None else value


def run_cell(cell: Cell, run: DenseRun, evaluation: DenseEvaluationConfig, folder: Path) -> CellResult:
    """Train and measure a cell, or go on with it.

    Args:
        cell: Which.
        run: The settings of both stages.
        evaluation: How it is measured.
        folder: Its folder.

    Raises:
        GridcodeError: A stage cannot be trained.
        Stopped: A signal ended it; the next call continues.
    """
    done = CellResult.read(folder)
    if done is not None:
        return done
    start = time.perf_counter()
    sources = rendered(run.data)
    out = folder / "run"
    options = DenseOptions(out, resume=out.is_dir(), show=False)
    train_dense(run, options, sources=sources)
    predictor = DensePredictor.from_pretrained(out / "prior", out / "tokenizer", device=loop_device(run.prior.loop))
    stage_two = StageTwo(predictor.predict_codes, predictor.draw_codes)
    subject = DenseSubject(predictor.tokenizer, stage_two, run.data, sources.train, sources.val)
    found = evaluate_dense(subject, evaluation, say=lambda text: None)
    _save_pictures(found, folder / "pictures")
    assert found.token_accuracy is not None
    result = CellResult(
        cell,
        found.scores,
        usage=found.usage.usage,
        perplexity=found.usage.perplexity,
        codebook_size=found.usage.codebook_size,
        token_accuracy=found.token_accuracy,
        seconds=time.perf_counter() - start,
    )
    write_json(folder / RESULT, asdict(result))
    for part in ("tokenizer", "prior"):
        shutil.rmtree(out / part / "state", ignore_errors=True)
    return result


@lru_cache(maxsize=1)
def rendered(data: DenseConfig) -> Sources:
    """A task's scenes, kept for the next cell of this process: rendering takes as long as a part of a stage."""
    return Sources(open_dense(data, "train"), open_dense(data, "val"))


def _save_pictures(found: DenseEvaluation, folder: Path) -> None:
    make_folder(folder)
    for name, pictures in found.gallery.rows.items():
        stem = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
        save_png(contact_sheet(pictures, columns=len(pictures)), folder / f"{stem}.png")
