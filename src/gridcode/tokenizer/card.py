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


def tokenizer_card(tokenizer: Tokenizer) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    kind, quantizer = tokenizer.domain.name, tokenizer.quantizer
    method, spec, K = tokenizer.config.quantizer.name, quantizer.spec(), tokenizer.codebook_size
    settings = "; ".join(f"{name} {_plain(value)}" for name, value in spec.items() if name != "name")
    product = f"{' x '.join(str(level) for level in quantizer.levels)} = " if len(quantizer.levels) > 1 else ""
    facts = {
        "quantizer": f"{spec['name']}: {settings}",
        "codes": f"{product}{K:,} codes ({math.log2(K):.2f} bits per token)",
        "tokens": f"{math.prod(quantizer.index_shape)} a place",
        **tokenizer.domain.card_rows(tokenizer),
        "parameters": f"{tokenizer.parameter_count:,}",
        "converted from": tokenizer.info.get("converted_from"),
        "licence": "to be filled in by whoever publishes these weights",
    }
    given = {name: fact for name, fact in facts.items() if fact is not None}
    example = given.pop("example")
    rows = "\n".join(f"| {name} | {fact} |" for name, fact in given.items())
    return f"""---
library_name: gridcode
tags: [tokenizer, {kind}-tokenizer, {method}]
license: other # fill in
---

# A gridcode tokenizer ({kind})

Turns examples into grids of integers by {METHODS[method]}, and back.

| | |
|---|---|
{rows}

```python
import gridcode as gc

tokenizer = gc.Tokenizer.from_pretrained("this/folder")
{example}
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
