"""What comes next: the first frames of a clip are given, the prior draws the others.

    given frames --encode--> tokens of the first places in time, known ─┐
                             tokens of the others, masked ──────────────┴─prior─> all tokens --decode--> clip

The tokenizer is causal, so the tokens of the given frames are those of the whole clip, whatever comes later. The given
frames stay as they are in the result.

Reference: Yu et al., "MAGVIT: Masked Generative Video Transformer", 2023 (arXiv 2212.05199), section 3.2, frame
prediction. Differs from paper: known tokens stay as they are in every step; there, tokens of a padded clip are
conditions that are refined.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.tasks.generate import Generator


def check_given(generator: Generator, frames: int) -> int:
    """The places in time that so many first frames have.

    Raises:
        GridcodeError: They are as many as a clip has, or their number does not fit the tokenizer.
    """
    factor: int = generator.tokenizer.config.time_factor
    places = generator.prior.space.grid[0]
    if frames < 1 or (frames - 1) % factor or 1 + (frames - 1) // factor >= places:
        some = " or ".join(str(1 + place * factor) for place in range(places - 1)[:4])
        raise GridcodeError(f"given frames must be {some or 'none'}{' …' * (places > 5)}, got {frames}; give others")
    return 1 + (frames - 1) // factor


def continued(
    generator: Generator,
    given: Tensor,
    labels: Sequence[int] | Tensor,
    *,
    sampler: SamplerConfig | None = None,
    guidance: float = 0.2,
    seed: int = 0,
    batch_size: int = 64,
) -> Tensor:
    """Clips that begin with given frames.

    Args:
        generator: Both stages.
        given: First frames, (B, 3, n, H, W) in [-1, 1], of the size that the prior learned; n is 1, or 1 more than a
            multiple of the tokenizer's factor of time.
        labels: B classes, the kinds of motion; -1 for any.
        sampler: Steps and temperatures; MaskGIT's own where not given.
        guidance: Classifier-free guidance scale.
        seed: Same seed, same noise.
        batch_size: Clips at a time.

    Returns:
        (B, 3, T, H, W) in [-1, 1], float32, on the CPU; its first n frames are the given ones.

    Raises:
        GridcodeError: The frames do not fit the tokenizer or the prior, or a number is out of range.
    """
    if batch_size < 1:
        raise GridcodeError(f"batch_size must be at least 1, got {batch_size}")
    if not len(given):
        raise GridcodeError("there are no clips whose frames are given; give at least one")
    places, grid = check_given(generator, given.shape[2]), generator.prior.space.grid
    tokenizer = generator.tokenizer
    parts = torch.split(given, batch_size)
    tokens = torch.cat([tokenizer.encode(part.to(tokenizer.device).float()).cpu() for part in parts])
    if tokens.shape[2:] != grid[1:]:
        raise GridcodeError(
            f"the prior draws frames of {grid[1]}x{grid[2]} tokens, and those given have {tokens.shape[2]}x"
            f"{tokens.shape[3]}; set data.size to that of the prior's tokens"
        )
    known = torch.full((len(given), *grid), -1)
    known[:, :places] = tokens
    clips = generator.sample(labels, sampler=sampler, guidance=guidance, seed=seed, batch_size=batch_size, known=known)
    clips[:, :, : given.shape[2]] = given.cpu()
    return clips
