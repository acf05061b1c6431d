"""The model card of a tokenizer: what a person who finds the folder needs to know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridcode.tokenizer.model import Tokenizer


def tokenizer_card(tokenizer: Tokenizer) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    config, data = tokenizer.config, tokenizer.info.get("data", {})
    levels = " x ".join(str(level) for level in config.levels)
    crop = data.get("crop", {})
    K, f = tokenizer.codebook_size, config.downsampling
    return f"""---
library_name: gridcode
tags: [fsq, tokenizer, finite-scalar-quantization]
license: other # fill in
---

# A gridcode tokenizer

Turns pictures into grids of integers by finite scalar quantization (arXiv 2309.15505), and back.

| | |
|---|---|
| levels | {levels} = {K:,} codes ({math.log2(K):.2f} bits a token) |
| form | {tokenizer.quantizer.form} |
| downsampling | {f} pixels a token, a side |
| channels | {config.channels} |
| parameters | {sum(p.numel() for p in tokenizer.parameters()):,} |
| data | {tokenizer.info.get("dataset", "unknown")}, {data.get("size", "?")} px |
| crop | {crop.get("train", "?")} (training), center (evaluation) |
| licence | to be filled in by whoever publishes these weights |

```python
import gridcode as gc

tokenizer = gc.Tokenizer.from_pretrained("this/folder")
indices = tokenizer.encode(images)   # (B, {config.channels}, H, W) in [-1, 1] -> (B, H/{f}, W/{f})
images = tokenizer.decode(indices)
```
"""
