"""Generation: a prior fills a token grid, a tokenizer turns it into an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.make import load_prior
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.fabric import fast_autocast


class Generator:
    """A prior and the tokenizer whose tokens it learned.

    The prior runs in bf16 where the hardware multiplies it, as it was trained; the tokenizer decodes in fp32.

    Args:
        prior: Fills token grids.
        tokenizer: Decodes them.

    Raises:
        GridcodeError: The prior learned from another tokenizer's tokens, or needs another example.

    >>> from gridcode.prior import MaskGIT, MaskGITConfig, TokenSpace
    >>> from gridcode.quantize.config import FSQConfig
    >>> from gridcode.domains.image import TokenizerConfig
    >>> tokenizer = Tokenizer(TokenizerConfig(quantizer=FSQConfig((8, 5)), widths=(8, 16))).eval()
    >>> space = TokenSpace(40, (4, 4), classes=("cat", "dog"), tokenizer=tokenizer.weights_hash(), data={})
    >>> prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    >>> Generator(prior, tokenizer).sample(labels=[0, 1, -1], steps=3).shape
    torch.Size([3, 3, 8, 8])
    """

    def __init__(self, prior: Prior, tokenizer: Tokenizer) -> None:
        if prior.example_shape is not None:
            raise GridcodeError(
                "this prior predicts tokens from another example, of shape "
                f"{prior.example_shape}; give the examples to prior.predict, or a prior of classes here"
            )
        seen = tokenizer.weights_hash()
        if prior.space.tokenizer != seen:
            raise GridcodeError(
                f"this prior learned the tokens of tokenizer {prior.space.tokenizer}, but the tokenizer "
                f"given is {seen}: give the one whose store it was trained on"
            )
        self.prior = prior
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls, prior: str | Path, tokenizer: Tokenizer | str | Path, *, device: str | torch.device = "cpu"
    ) -> Generator:
        """Load both halves.

        Args:
            prior: A folder or a hub id.
            tokenizer: A loaded tokenizer, a folder, or a hub id.
            device: Where the weights go.

        Raises:
            GridcodeError: One cannot be loaded, or they do not belong together.
        """
        if not isinstance(tokenizer, Tokenizer):
            tokenizer = Tokenizer.from_pretrained(tokenizer, device=device)
        return cls(load_prior(prior, device=device), tokenizer)

    def sample(
        self,
        labels: Sequence[int] | Tensor,
        *,
        steps: int | None = None,
        guidance: float = 0.2,
        sampler: SamplerConfig | None = None,
        seed: int = 0,
        first: int = 0,
        batch_size: int = 64,
        known: Tensor | None = None,
    ) -> Tensor:
        """New images, one for each label.

        Args:
            labels: Class indices in [0, classes); -1 for "any".
            steps: Sampling steps, T; the sampler's own (12) where not given.
            guidance: Classifier-free guidance scale; 0 turns it off (paper, 4.3: best 0.2 for FSQ).
            sampler: Which sampler, and its temperatures; MaskGIT's own where not given.
            seed: Same seed, same noise. An image's noise depends on the seed and the image's number alone, so that
                what it shows depends on the batch only as far as the rounding of matrix products does.
            first: Number of the first image, where others were drawn before it with the same seed.
            batch_size: Images at a time.
            known: Tokens that are given, as :meth:`sample_tokens` takes them.

        Returns:
            (len(labels), C, H, W) in [-1, 1], float32, on the CPU.

        Raises:
            GridcodeError: A label or a setting is out of range.
        """
        config = sampler or SamplerConfig()
        if steps is not None:
            config = replace(config, steps=steps)
        tokens = self.sample_tokens(
            labels, sampler=config, guidance=guidance, seed=seed, first=first, batch_size=batch_size, known=known
        )
        return self.decode(tokens, batch_size=batch_size)

    def decode(self, tokens: Tensor, *, batch_size: int = 64) -> Tensor:
        """Token grids (n, *grid) as images (n, C, H, W) in [-1, 1], float32, on the CPU."""
        device = next(self.tokenizer.parameters()).device
        return torch.cat([self.tokenizer.decode(part.to(device)).cpu() for part in torch.split(tokens, batch_size)])

    def sample_tokens(
        self,
        labels: Sequence[int] | Tensor,
        *,
        sampler: SamplerConfig | None = None,
        guidance: float = 0.2,
        seed: int = 0,
        first: int = 0,
        batch_size: int = 64,
        known: Tensor | None = None,
    ) -> Tensor:
        """New token grids, one for each label; the arguments are those of :meth:`sample`.

        Args:
            labels: Class indices in [0, classes); -1 for "any".
            sampler: Steps and temperatures; MaskGIT's own where not given.
            guidance: Classifier-free guidance scale.
            seed: Same seed, same noise.
            first: Number of the first grid.
            batch_size: Grids at a time.
            known: Tokens that are given and stay as they are, (len(labels), *grid) int64; -1 where one is to be found.

        Returns:
            (len(labels), *grid) int64 in [0, K), on the CPU; the grid is the prior's, (h, w) or (h, w, q).

        Raises:
            GridcodeError: A label or a setting is out of range.
        """
        wanted = torch.as_tensor(labels).flatten()
        if len(wanted) and (wanted.is_floating_point() or wanted.is_complex() or wanted.dtype == torch.bool):
            raise GridcodeError(f"labels must be integers, got {wanted.dtype}; give class indices, or -1 for any")
        wanted = wanted.to("cpu", torch.int64)
        classes = len(self.prior.space.classes)
        if len(wanted) and not (int(wanted.min()) >= -1 and int(wanted.max()) < classes):
            choice = f"0 … {classes - 1}, or -1 for any" if classes else "only -1: the data had no labels"
            raise GridcodeError(f"labels must be {choice}; got {wanted.min()} … {wanted.max()}")
        if not guidance >= 0 or batch_size < 1:
            raise GridcodeError(f"guidance must be >= 0 and batch_size >= 1, got {guidance} and {batch_size}")
        if first < 0:
            raise GridcodeError(f"images are numbered from 0, got first={first}")
        space, config, grids = self.prior.space, sampler or SamplerConfig(), []
        begun = self._begun(known, len(wanted))
        numbers = first + torch.arange(len(wanted), device=self.device)
        noises = torch.split(Noise.of_examples(seed, numbers).keys, batch_size)
        starts = torch.split(begun, batch_size)
        for part, start, keys in zip(torch.split(wanted, batch_size), starts, noises, strict=True):
            given = start.to(self.device), part.to(self.device)
            with fast_autocast(self.device):
                grid = self.prior.fill(*given, config=config, guidance=guidance, noise=Noise(keys))
            grids.append(grid.cpu())
        return torch.cat(grids).view(len(wanted), *space.grid)

    def _begun(self, known: Tensor | None, count: int) -> Tensor:
        """Grids (count, N) with the known tokens, and the mask elsewhere."""
        space = self.prior.space
        if known is None:
            return torch.full((count, space.length), self.prior.mask)
        if known.shape != (count, *space.grid) or known.dtype != torch.int64:
            raise GridcodeError(
                f"known tokens are {known.dtype} of shape {tuple(known.shape)}; give int64 of {(count, *space.grid)}"
            )
        if count and not (int(known.min()) >= -1 and int(known.max()) < space.codebook_size):
            raise GridcodeError(f"known tokens must be in [0, {space.codebook_size}), or -1 where one is to be found")
        flat = known.cpu().flatten(1)
        return flat.masked_fill(flat < 0, self.prior.mask)

    @property
    def device(self) -> torch.device:
        """Where the prior lives."""
        return self.prior.device
