"""The model card of a tokenizer: what a person who finds the folder needs to know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridcode.tokenizer.model import Tokenizer

METHODS = {
    "fsq": "finite scalar quantization (arXiv 2309.15505)",
    "residual": "residual finite scalar quantization (arXiv 2309.15505)",
    "grouped": "grouped finite scalar quantization (arXiv 2309.15505)",
    "lfq": "lookup-free quantization (arXiv 2310.05737)",
    "bsq": "binary spherical quantization (arXiv 2406.07548)",
    "vq": "vector quantization (arXiv 1711.00937)",
}
"""What each kind of quantizer is called, and where it was published."""

NETWORKS = {
    "conv": "convolutions",
    "vit": "vision transformers",
    "vqgan": "VQ-GAN's convolutions and attention",
}
"""What each kind of architecture is made of."""


def tokenizer_card(tokenizer: Tokenizer) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    config, quantizer, data = tokenizer.config, tokenizer.quantizer, tokenizer.info.get("data", {})
    kind, spec = config.quantizer.name, quantizer.spec()
    settings = "; ".join(f"{name} {_plain(value)}" for name, value in spec.items() if name != "name")
    crop = data.get("crop", {})
    K, f = tokenizer.codebook_size, config.downsampling
    product = f"{' x '.join(str(level) for level in quantizer.levels)} = " if len(quantizer.levels) > 1 else ""
    origin = tokenizer.info.get("converted_from")
    converted = f"| converted from | {origin} |\n" if origin else ""
    shape = ", ".join(("B", f"H/{f}", f"W/{f}", *(str(count) for count in quantizer.index_shape)))
    return f"""---
library_name: gridcode
tags: [tokenizer, image-tokenizer, {kind}]
license: other # fill in
---

# A gridcode tokenizer

Turns pictures into grids of integers by {METHODS[kind]}, and back.

| | |
|---|---|
| quantizer | {spec["name"]}: {settings} |
| codes | {product}{K:,} codes ({math.log2(K):.2f} bits a token) |
| tokens | {math.prod(quantizer.index_shape)} a place |
| networks | {NETWORKS[config.name]} |
| downsampling | {f} pixels a place, a side |
| channels | {config.channels} |
| parameters | {tokenizer.parameter_count:,} |
| data | {tokenizer.info.get("dataset", "unknown")}, {data.get("size", "?")} px |
| crop | {crop.get("train", "?")} (training), center (evaluation) |
{converted}| licence | to be filled in by whoever publishes these weights |

```python
import gridcode as gc

tokenizer = gc.Tokenizer.from_pretrained("this/folder")
indices = tokenizer.encode(images)   # (B, {config.channels}, H, W) in [-1, 1] -> ({shape})
images = tokenizer.decode(indices)
```
"""


def _plain(value: Any) -> str:
    """A setting for reading: lists with commas, a part as its name with its own settings in brackets."""
    if isinstance(value, list):
        return ", ".join(_plain(entry) for entry in value)
    if not isinstance(value, dict):
        return str(value)
    inner = ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if name != "name")
    return str(value.get("name", "")) + (f" ({inner})" if inner else "")
