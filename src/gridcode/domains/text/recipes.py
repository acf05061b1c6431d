"""Recipes of texts: Shakespeare's plays in one file of 1.1 MB (tinyshakespeare.txt), as bytes.

Commands::

    gridcode train tokenizer tinyshakespeare_laptop --data.source DATA/tinyshakespeare.txt --out runs/plays/tokenizer
    gridcode tokenize --tokenizer runs/plays/tokenizer --out runs/plays/tokens
    gridcode train prior tinyshakespeare_laptop --tokens runs/plays/tokens --out runs/plays/prior
    gridcode sample tinyshakespeare_laptop --prior runs/plays/prior --tokenizer runs/plays/tokenizer --out S
    gridcode eval tinyshakespeare_laptop --tokenizer runs/plays/tokenizer --prior runs/plays/prior --out R
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from gridcode.domains.text.config import TextConfig, TextEvaluationConfig, TextTokenizerConfig, TextTokenizerRun
from gridcode.prior.config import AutoregressiveConfig, MaskingConfig, PriorRun
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.recipe import TwoStages
from gridcode.training.config import LoopConfig, OptimConfig

TextRecipe: TypeAlias = TwoStages[TextTokenizerRun, TextEvaluationConfig]
"""From texts to new texts."""


def laptop() -> TextRecipe:
    """Windows of 64 bytes as 32 tokens of 4,375 codes, and an autoregressive prior that predicts them digit by digit.

    Expected result: not measured at full length. With 300 steps of the tokenizer and 1200 of the prior 26 % of the
    held-out windows come back whole, and the whole path takes 3.86 bits per character (LOG.md).
    Cost: about 3 minutes of CPU time for the tokenizer (0.1 s per step), 4 for the prior (0.14 s per step).
    """
    return TextRecipe(
        tokenizer=TextTokenizerRun(
            data=TextConfig(source="tinyshakespeare.txt"),
            model=TextTokenizerConfig(quantizer=FSQConfig(levels=(7, 5, 5, 5, 5))),
            optim=OptimConfig(lr=4e-3, warmup=50, ema=0.99),
            loop=LoopConfig(steps=1500, batch_size=32, val_every=500, val_count=500, checkpoint_every=250),
        ),
        prior=PriorRun(
            model=AutoregressiveConfig(head="chain", width=128, depth=3, heads=4, mlp=512, dropout=0.0),
            masking=MaskingConfig(min_masked=0.0, label_dropout=0.0, label_smoothing=0.0),
            optim=OptimConfig(lr=2e-3, betas=(0.9, 0.96), weight_decay=0.045, warmup=50, ema=0.99),
            loop=LoopConfig(steps=1500, batch_size=32, val_every=500, val_count=500, checkpoint_every=250),
        ),
        evaluation=TextEvaluationConfig(),
        classes=0,
    )


def smoke() -> TextRecipe:
    """A few steps of tiny networks: every part runs, nothing is learned. Seconds."""
    few = TextEvaluationConfig(count=8, samples=3, batch_size=4)
    found = laptop().smoke(data={"window": 32}, model={"width": 16, "head": 8, "units": 1}, evaluation=few)
    model = AutoregressiveConfig(head="chain", width=16, depth=1, heads=2, mlp=32)
    return replace(found, prior=replace(found.prior, model=model))


TEXT_RECIPES: Final[dict[str, Callable[[], TextRecipe]]] = {
    "tinyshakespeare_laptop": laptop,
    "tinyshakespeare_smoke": smoke,
}
"""Each by name."""
