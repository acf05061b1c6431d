"""The model card of a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridcode.prior.config import CrossAttentionConfig, MaskGITConfig

if TYPE_CHECKING:
    from gridcode.prior.base import Prior

NAMES = {"maskgit": "MaskGIT", "ar": "autoregressive"}
TAGS = {"maskgit": "maskgit, masked-generative-transformer", "ar": "autoregressive-image-generation"}


def prior_card(prior: Prior) -> str:
    """Markdown with the Hugging Face hub's metadata block; the licence is left to fill in."""
    space, config = prior.space, prior.config
    layers = f"width {config.width}, {config.depth} layers, {config.heads} heads, MLP {config.mlp}"
    if isinstance(config, CrossAttentionConfig):
        tags = f"conditional-prior, {space.data.get('task', 'unknown')}, {prior.name}"
        lead, own, use = _of_example(prior, config, layers)
    else:
        tags = TAGS[prior.name]
        lead = f"Generates token grids for the tokenizer with hash `{space.tokenizer}`, which decodes them."
        style = config.style if isinstance(config, MaskGITConfig) else "modern"
        classes = ", ".join(space.classes) if space.classes else "none (unconditional)"
        own = {"classes": classes, "transformer": f"{style} style, {layers}"}
        use = """import gridcode as gc

generator = gc.Generator.from_pretrained("this/folder", tokenizer="the/tokenizer")
images = generator.sample(labels=[0, 1], steps=12, guidance=0.2, seed=0)"""
    rows = {
        "tokens": f"{'x'.join(str(side) for side in space.grid)} of {space.codebook_size:,} codes",
        "head": config.head,
        **own,
        "parameters": f"{prior.parameter_count:,}",
        "data": space.data.get("dataset", "unknown"),
        "licence": "to be filled in by whoever publishes these weights",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
library_name: gridcode
tags: [{tags}]
license: other # fill in
---

# A gridcode prior ({NAMES[prior.name]})

{lead}

| | |
|---|---|
{table}

```python
{use}
```
"""


def _of_example(prior: Prior, config: CrossAttentionConfig, layers: str) -> tuple[str, dict[str, str], str]:
    """What is particular to a prior that attends to another example: a sentence, rows of the table, its use."""
    assert prior.example_shape is not None
    C, H, W = prior.example_shape
    encoder, grid = config.encoder, ", ".join(str(side) for side in prior.space.grid)
    lead = (
        "Predicts the token grid that belongs to another example, such as an image; the tokenizer with hash "
        f"`{prior.space.tokenizer}` decodes it."
    )
    rows = {
        "task": str(prior.space.data.get("task", "unknown")),
        "examples": f"{C} channels, {H} x {W}, patches of {encoder.patch}",
        "encoder": f"width {encoder.width}, {encoder.depth} layers, {encoder.heads} heads, MLP {encoder.mlp}",
        "decoder": layers,
    }
    use = f"""from gridcode.prior import load_prior

prior = load_prior("this/folder")
indices = prior.predict(examples)  # (B, {C}, {H}, {W}) in [-1, 1] -> (B, {grid})"""
    return lead, rows, use
