"""The paper's dense prediction: UViM's two stages with FSQ in the place of VQ (section 4.4), at its full size.

Command: ``gridcode dense train uvim_depth_paper --data.source PATH --out runs/depth``; ``--dry-run`` counts parameters.
The image encoder starts from a ViT-L/16 of ImageNet-21k: ``--prior.vit-weights FILE`` in timm's naming.

| task | VQ | FSQ | oracle (Stage I) |
|---|---|---|---|
| NYU depth, RMSE | 0.468 ± 0.012 | 0.473 ± 0.012 | 0.155 |
| COCO panoptic, PQ | 43.4 | 43.2 | 75.8 |
| colorization, FID-5k | 16.90 ± 0.056 | 17.55 ± 0.057 | 15.59 |

Expect (the paper's Table 2; oracle: UViM's repository). Not measured here.
Differs from paper: AdamW instead of a variant of Adafactor. Weight decay is a step's, at the peak of the schedule.
"""

from __future__ import annotations

from gridcode.domains.dense import presets as label_presets
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.evaluation_config import DenseEvaluationConfig
from gridcode.domains.dense.prior import presets as prior_presets
from gridcode.domains.dense.recipe import DenseRecipe


def paper(task: Task) -> DenseRecipe:
    """Both stages at 512 px: 256 codes of [7,5,5,5,5]; ViT-L/16 and a decoder of its size.

    Cost: 9,293, 111,514 and 124,713 steps of 1024 pictures (depth, panoptic, colour), then 4,646, 44,605 and 124,713
    steps of 512.

    >>> paper("depth").prior.loop.steps
    4646
    """
    return DenseRecipe(
        tokenizer=label_presets.paper(task),
        prior=prior_presets.paper(task),
        evaluation=DenseEvaluationConfig(count=5000, train_count=5000),
    )


def depth() -> DenseRecipe:
    """NYU depth; see :func:`paper`."""
    return paper("depth")


def panoptic() -> DenseRecipe:
    """COCO panoptic; see :func:`paper`."""
    return paper("panoptic")


def colour() -> DenseRecipe:
    """Colorization of ImageNet; see :func:`paper`."""
    return paper("colour")
