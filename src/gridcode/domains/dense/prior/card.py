"""The model card of a picture-conditioned prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridcode.domains.dense.prior.base import ConditionalPrior

NAMES = {"maskgit": "MaskGIT", "ar": "autoregressive"}


def conditional_card(prior: ConditionalPrior) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    space, config, encoder = prior.space, prior.config, prior.config.encoder
    C, H, W = prior.image
    grid = ", ".join(str(side) for side in space.grid)
    task = space.data.get("task", "unknown")
    return f"""---
library_name: gridcode
tags: [conditional-prior, {task}, {prior.name}]
license: other # fill in
---

# A gridcode prior of label maps, given a picture ({NAMES[prior.name]})

Looks at a picture and writes the code of its label map; the label tokenizer with hash `{space.tokenizer}` decodes it.

| | |
|---|---|
| task | {task} |
| pictures | {C} channels, {H} x {W} pixels, patches of {encoder.patch} |
| tokens | {"x".join(str(side) for side in space.grid)} of {space.codebook_size:,} codes |
| head | {config.head} |
| encoder | width {encoder.width}, {encoder.depth} layers, {encoder.heads} heads, MLP {encoder.mlp} |
| decoder | width {config.width}, {config.depth} layers, {config.heads} heads, MLP {config.mlp} |
| parameters | {prior.parameter_count:,} |
| data | {space.data.get("dataset", "unknown")} |
| licence | to be filled in by whoever publishes these weights |

```python
from gridcode.domains.dense.prior import load_conditional_prior

prior = load_conditional_prior("this/folder")
indices = prior.predict(images)  # (B, {C}, {H}, {W}) in [-1, 1] -> (B, {grid})
```
"""
