"""MaskGIT: a bidirectional transformer that guesses masked tokens of a grid, given a class.

    [class, token_1 … token_N] -> vocabulary's vectors -> trunk (trunk.py) -> vocabulary's head (vocabulary/base.py)

Reference:
    Chang et al., "MaskGIT: Masked Generative Image Transformer", 2022; FSQ paper, section 4.3.
    24 layers of width 768, K = 1024, N = 256 and 1000 classes give the paper's 172.46M parameters.

Differs from paper: positions are asked for, and only those go through the last layer's MLP and the head.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.nn.transformer import truncated_normal_
from gridcode.prior.base import ClassPrior
from gridcode.prior.bits import group_sizes, uncovering_order
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.fill import fill_masked
from gridcode.prior.samplers.loop import TokenModel
from gridcode.prior.schedule import training_mask
from gridcode.prior.space import TokenSpace
from gridcode.prior.trunk import make_trunk
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.make import make_vocabulary

ROUND_TO = 256
"""Places that are asked for come in multiples of this: oneDNN compiles and caches a kernel for each shape."""


@final
class MaskGIT(ClassPrior):
    """The masked transformer.

    Args:
        config: Widths, depth, style and head.
        space: What its tokens are.

    Raises:
        GridcodeError: The head does not fit the codebook.

    >>> space = TokenSpace(codebook_size=240, grid=(4, 4), classes=("cat", "dog"), tokenizer="", data={})
    >>> prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    >>> hidden = torch.full((2, 16), prior.mask)
    >>> prior.conditional(torch.tensor([0, -1]))(hidden, hidden == prior.mask, 0.0).logits.shape
    torch.Size([32, 240])
    """

    name: ClassVar[str] = "maskgit"
    settings: ClassVar[type] = MaskGITConfig

    def __init__(self, config: MaskGITConfig, space: TokenSpace) -> None:
        super().__init__(config, space)
        self.config = config
        self.space = space
        self.vocabulary = make_vocabulary(config.head, space, width=config.width)
        self.trunk = make_trunk(config, space.grid)
        truncated_normal_(self)

    @staticmethod
    def predicted(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The masked ones; see :func:`gridcode.prior.schedule.training_mask`."""
        return training_mask(shape, min_masked=min_masked, generator=generator)

    def hidden(self, tokens: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """What the transformer says of the positions asked for.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            labels: (B,) int64 class indices; -1 hides the class.
            positions: (B, N) bool with M True entries.

        Returns:
            (M', D), row-major order of the positions, then padding up to a multiple of 256.
        """
        x = torch.cat([self.vocabulary.embed_labels(labels)[:, None], self.vocabulary.embed_tokens(tokens)], 1)
        asked = F.pad(positions, (1, 0)).flatten().nonzero()[:, 0]
        # Rounded up, so that a training run meets a handful of shapes, and kernels are made once, not for every step.
        found: Tensor = self.trunk(x, F.pad(asked, (0, -len(asked) % ROUND_TO)))
        return found

    def forward(
        self, tokens: Tensor, condition: Tensor, predicted: Tensor, label_smoothing: float = 0.0
    ) -> TokenScores:
        """See :class:`Prior`; the predicted tokens are hidden, all of them at once."""
        hidden = self.hidden(tokens.masked_fill(predicted, self.mask), condition, predicted)
        return self.vocabulary.score(hidden, tokens[predicted], label_smoothing=label_smoothing)

    def conditional(self, labels: Tensor) -> TokenModel:
        """The callable a sampler asks, for given classes (B,) int64, -1 for none.

        Its guidance is alpha in l' = l_c + alpha (l_c - l_0): both halves go through in one batch; 0 asks the
        conditional model alone, and so does a batch without a class.
        """
        guided = bool((labels >= 0).any())
        both_labels = torch.cat([labels, torch.full_like(labels, -1)])

        def ask(tokens: Tensor, positions: Tensor, guidance: float) -> TokenDistribution:
            count = int(positions.sum())
            if guidance == 0 or not guided:
                return self.vocabulary.distribution(self.hidden(tokens, labels, positions)[:count])
            both = self.hidden(tokens.repeat(2, 1), both_labels, positions.repeat(2, 1))
            with_class, without = (self.vocabulary.distribution(half) for half in both[: 2 * count].chunk(2))
            return with_class.guide(without, guidance)

        return ask

    def fill(
        self,
        tokens: Tensor,
        labels: Tensor,
        *,
        config: SamplerConfig,
        guidance: float,
        noise: Noise,
        start: int = 0,
    ) -> Tensor:
        """See :class:`Prior`."""
        return fill_masked(
            self.conditional(labels),
            tokens,
            mask=self.mask,
            grid=self.space.grid,
            config=config,
            noise=noise,
            guidance=guidance,
            start=start,
        )

    def groups(self, steps: int) -> tuple[Tensor, ...]:
        """See :class:`Prior`; M2T's (``bits.py``)."""
        return torch.split(uncovering_order(self.space.grid), list(group_sizes(self.space.length, steps=steps)))

    def log_probs(self, tokens: Tensor, labels: Tensor, *, steps: int) -> Tensor:
        """See :class:`Prior`; one pass for each group."""
        model, known = self.conditional(labels), torch.full_like(tokens, self.mask)
        found = torch.zeros(tokens.shape, device=tokens.device)
        for group in self.groups(steps):
            positions = torch.zeros_like(tokens, dtype=torch.bool)
            positions[:, group] = True
            found[positions] = model(known, positions, 0.0).log_prob(tokens[positions])
            known[positions] = tokens[positions]
        return found
