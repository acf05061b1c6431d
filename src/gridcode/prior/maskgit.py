"""MaskGIT: a bidirectional transformer that predicts masked tokens of a grid, given a condition.

    [class, token_1 … token_N] -> vocabulary's vectors -> trunk (trunk.py) -> vocabulary's head (vocabulary/base.py)

A prior that attends to another example has no class before its tokens, and there is no guidance.

Reference:
    Chang et al., "MaskGIT: Masked Generative Image Transformer", 2022; FSQ paper, section 4.3.
    24 layers of width 768, K = 1024, N = 256 and 1000 classes give the paper's 172.46M parameters.

Differs from paper: predictions are of the target positions alone: only those go through the last
layer's MLP and the head.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.prior.base import Prior, Reveal
from gridcode.prior.bits import group_sizes, uncovering_order
from gridcode.prior.condition import Given
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.fill import fill_masked
from gridcode.prior.samplers.loop import TokenModel
from gridcode.prior.schedule import training_mask
from gridcode.prior.vocabulary.base import TokenScores

ROUND_TO = 256
"""Target positions come in multiples of this: oneDNN compiles and caches a kernel for each shape."""


@final
class MaskGIT(Prior):
    """The masked transformer.

    Args:
        config: Widths, depth, style and head.
        space: What its tokens are.

    Raises:
        GridcodeError: The head does not fit the codebook.

    >>> from gridcode.prior.config import TokenSpace
    >>> space = TokenSpace(codebook_size=240, grid=(4, 4), classes=("cat", "dog"), tokenizer="", data={})
    >>> prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    >>> hidden = torch.full((2, 16), prior.mask)
    >>> prior.conditional(torch.tensor([0, -1]))(hidden, hidden == prior.mask, 0.0).logits.shape
    torch.Size([32, 240])
    """

    name: ClassVar[str] = "maskgit"
    settings: ClassVar[type] = MaskGITConfig
    causal: ClassVar[bool] = False

    @staticmethod
    def target_mask(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The masked ones; see :func:`gridcode.prior.schedule.training_mask`."""
        return training_mask(shape, min_masked=min_masked, generator=generator)

    def hidden(self, tokens: Tensor, given: Given, positions: Tensor) -> Tensor:
        """The transformer's output at some positions.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            given: As for :meth:`Prior.condition`.
            positions: (B, N) bool with M True entries.

        Returns:
            (M', D), row-major order of the positions, then padding up to a multiple of 256.
        """
        condition = self.condition(given)
        if self.encoder is None:
            head = self.vocabulary.embed_labels(condition.labels)[:, None]
            x, positions = torch.cat([head, self.vocabulary.embed_tokens(tokens)], 1), F.pad(positions, (1, 0))
        else:
            x = self.vocabulary.embed_tokens(tokens)
        places = positions.flatten().nonzero()[:, 0]
        # Rounded up, so that a training run meets a handful of shapes, and kernels are made once, not for every step.
        found: Tensor = self.trunk(x, F.pad(places, (0, -len(places) % ROUND_TO)), memories=condition.memories)
        return found

    def forward(self, tokens: Tensor, given: Given, targets: Tensor, label_smoothing: float = 0.0) -> TokenScores:
        """See :class:`Prior`; the targets are hidden, all of them at once."""
        hidden = self.hidden(tokens.masked_fill(targets, self.mask), given, targets)
        return self.vocabulary.score(hidden, tokens[targets], label_smoothing=label_smoothing)

    def conditional(self, given: Given) -> TokenModel:
        """The callable that a sampler calls, for B conditions.

        Its guidance is alpha in l' = l_c + alpha (l_c - l_0): both halves go through in one batch; 0 evaluates the
        conditional model alone, and so does a batch without a class.
        """
        condition = self.condition(given)
        guided = condition.has_class
        both_conditions = condition.with_unconditional() if guided else condition

        def predict(tokens: Tensor, positions: Tensor, guidance: float) -> TokenDistribution:
            count = int(positions.sum())
            if guidance == 0 or not guided:
                return self.vocabulary.distribution(self.hidden(tokens, condition, positions)[:count])
            both = self.hidden(tokens.repeat(2, 1), both_conditions, positions.repeat(2, 1))
            with_class, without = (self.vocabulary.distribution(half) for half in both[: 2 * count].chunk(2))
            return with_class.guide(without, guidance)

        return predict

    def fill(
        self, tokens: Tensor, given: Given, *, config: SamplerConfig, guidance: float, noise: Noise, start: int = 0
    ) -> Tensor:
        """See :class:`Prior`."""
        return fill_masked(
            self.conditional(given),
            tokens,
            mask=self.mask,
            grid=self.space.grid,
            axes=self.space.axes,
            config=config,
            noise=noise,
            guidance=guidance,
            start=start,
        )

    def groups(self, steps: int) -> tuple[Tensor, ...]:
        """See :class:`Prior`; M2T's (``bits.py``)."""
        order = uncovering_order(self.space.grid, axes=self.space.axes)
        return torch.split(order, list(group_sizes(self.space.length, steps=steps)))

    def uncover(self, tokens: Tensor, given: Given, reveal: Reveal, *, steps: int) -> Tensor:
        """See :class:`Prior`; one pass for each group."""
        model, found = self.conditional(given), tokens.clone()
        for group in self.groups(steps):
            positions = torch.zeros_like(tokens, dtype=torch.bool)
            positions[:, group] = tokens[:, group] == self.mask
            if bool(positions.any()):
                found[positions] = reveal(positions, model(found, positions, 0.0))
        return found

    def log_probs(self, tokens: Tensor, given: Given, *, steps: int) -> Tensor:
        """See :class:`Prior`; one pass for each group."""
        found = torch.zeros(tokens.shape, device=tokens.device)

        def reveal(positions: Tensor, answer: TokenDistribution) -> Tensor:
            found[positions] = answer.log_prob(tokens[positions])
            return tokens[positions]

        self.uncover(torch.full_like(tokens, self.mask), given, reveal, steps=steps)
        return found
