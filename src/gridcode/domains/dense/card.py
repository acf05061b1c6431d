"""The model card of a label tokenizer: what a person who finds the folder needs to know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gridcode.tokenizer.card import METHODS

if TYPE_CHECKING:
    from gridcode.domains.dense.model import LabelTokenizer

_PLANES = {
    "depth": "depth in metres (or relative), float32, 0 where it is unknown",
    "panoptic": "class and instance, 0 where unlabelled",
    "colour": "red, green and blue, uint8",
}


def label_card(tokenizer: LabelTokenizer) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    config, data, K = tokenizer.config, tokenizer.data, tokenizer.codebook_size
    count = math.prod(tokenizer.token_grid)
    grid = ", ".join(str(side) for side in tokenizer.token_grid)
    context = "encoder and decoder see the picture" if config.context else "none: codes carry everything"
    channels = tokenizer.label_map.context_channels
    given = ", images" if config.context else ""
    images = f"(B, {channels}, {data.height}, {data.width})"
    classes = f"\n| classes | {', '.join(tokenizer.categories.names)} |" if tokenizer.categories else ""
    return f"""---
library_name: gridcode
tags: [tokenizer, label-tokenizer, {data.task}, {config.quantizer.name}]
license: other # fill in
---

# A gridcode label tokenizer ({data.task})

Turns label maps into {count} integers by {METHODS[config.quantizer.name]}, and back.

| | |
|---|---|
| task | {data.task}: {_PLANES[data.task]} |
| codes | {K:,} ({math.log2(K):.2f} bits), {count} an example |
| context | {context} |
| networks | vision transformers, {config.encoder_depth} and {config.decoder_depth} layers of width {config.width} |
| maps | {data.height} x {data.width} pixels, patches of {config.patch} |
| parameters | {tokenizer.parameter_count:,} |
| data | {tokenizer.info.get("dataset", "unknown")} |{classes}
| licence | to be filled in by whoever publishes these weights |

```python
import gridcode as gc

tokenizer = gc.LabelTokenizer.from_pretrained("this/folder")
indices = tokenizer.encode(labels{given})    # images {images} in [-1, 1] -> (B, {grid})
planes = tokenizer.decode(indices{given})
```
"""
