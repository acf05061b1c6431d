"""The model card of a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridcode.prior.config import MaskGITConfig

if TYPE_CHECKING:
    from gridcode.prior.base import ClassPrior

NAMES = {"maskgit": "MaskGIT", "ar": "autoregressive"}
TAGS = {"maskgit": "maskgit, masked-generative-transformer", "ar": "autoregressive-image-generation"}


def prior_card(prior: ClassPrior) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    space, config = prior.space, prior.config
    style = config.style if isinstance(config, MaskGITConfig) else "modern"
    classes = ", ".join(space.classes) if space.classes else "none (unconditional)"
    return f"""---
library_name: gridcode
tags: [{TAGS[prior.name]}]
license: other # fill in
---

# A gridcode prior ({NAMES[prior.name]})

Generates token grids for the tokenizer with hash `{space.tokenizer}`; a sampler turns them into pictures.

| | |
|---|---|
| tokens | {"x".join(str(side) for side in space.grid)} of {space.codebook_size:,} codes |
| classes | {classes} |
| head | {config.head} |
| transformer | {style} style, width {config.width}, {config.depth} layers, {config.heads} heads, MLP {config.mlp} |
| parameters | {prior.parameter_count:,} |
| data | {space.data.get("dataset", "unknown")} |
| licence | to be filled in by whoever publishes these weights |

```python
import gridcode as gc

generator = gc.Generator.from_pretrained("this/folder", tokenizer="the/tokenizer")
images = generator.sample(labels=[0, 1], steps=12, guidance=0.2, seed=0)
```
"""
