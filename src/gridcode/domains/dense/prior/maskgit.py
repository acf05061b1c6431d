"""The parallel way from a picture to its code: all tokens at once, the surest stay, in a dozen steps.

    tokens, some masked -> decoder that looks at all of them and at the picture -> the masked ones

Trained like MaskGIT (the same masks, the same loss) and decoded by any of its samplers (prior/samplers); the picture
stands where MaskGIT has the class, and there is no guidance.

Differs from paper: the paper writes token by token (``ar.py``); this is the alternative to measure it with.

Reference: Chang et al., "MaskGIT", 2022, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.domains.dense.prior.base import ConditionalPrior
from gridcode.nn.cross import Memory
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.maskgit import ROUND_TO
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.fill import fill_masked
from gridcode.prior.samplers.loop import TokenModel
from gridcode.prior.schedule import training_mask
from gridcode.prior.vocabulary.base import TokenScores


@final
class ConditionalMaskGIT(ConditionalPrior):
    """The masked prior; its arguments are :class:`ConditionalPrior`'s.

    >>> from gridcode.domains.dense.prior.config import ConditionalConfig
    >>> from gridcode.prior.space import TokenSpace
    >>> space = TokenSpace(40, (2, 3), classes=(), tokenizer="", data={}, levels=(8, 5))
    >>> prior = ConditionalMaskGIT(ConditionalConfig(width=16, depth=1, heads=2, mlp=32), space, (3, 16, 24)).eval()
    >>> prior.predict(torch.zeros(2, 3, 16, 24)).shape
    torch.Size([2, 2, 3])
    """

    name: ClassVar[str] = "maskgit"
    causal: ClassVar[bool] = False

    @staticmethod
    def predicted(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The masked ones; see :func:`gridcode.prior.schedule.training_mask`."""
        return training_mask(shape, min_masked=min_masked, generator=generator)

    def hidden(self, memories: Sequence[Memory], tokens: Tensor, positions: Tensor) -> Tensor:
        """What the decoder says of the positions asked for.

        Args:
            memories: What :meth:`look` returned for B pictures.
            tokens: (B, N) int64 in [0, K), or the vocabulary's mask.
            positions: (B, N) bool with M True entries.

        Returns:
            (M', D), row-major order of the positions, then padding up to a multiple of 256.
        """
        x = self.decoder(self.vocabulary.embed_tokens(tokens), memories)
        asked = positions.flatten().nonzero()[:, 0]
        found: Tensor = x.flatten(0, 1)[F.pad(asked, (0, -len(asked) % ROUND_TO))]
        return found

    def forward(
        self, tokens: Tensor, condition: Tensor, predicted: Tensor, label_smoothing: float = 0.0
    ) -> TokenScores:
        """See :class:`~gridcode.prior.base.Prior`; the condition is pictures in [-1, 1], (B, C, H, W)."""
        hidden = self.hidden(self.look(condition), tokens.masked_fill(predicted, self.mask), predicted)
        return self.vocabulary.score(hidden, tokens[predicted], label_smoothing=label_smoothing)

    def conditional(self, memories: Sequence[Memory]) -> TokenModel:
        """The callable a sampler asks, for pictures that were looked at; guidance is not looked at."""

        def ask(tokens: Tensor, positions: Tensor, guidance: float) -> TokenDistribution:
            count = int(positions.sum())
            return self.vocabulary.distribution(self.hidden(memories, tokens, positions)[:count])

        return ask

    def write(self, memories: Sequence[Memory], *, config: SamplerConfig, noise: Noise) -> Tensor:
        """See :class:`ConditionalPrior`."""
        keys = memories[0][0]
        hidden = torch.full((len(keys), self.space.length), self.vocabulary.mask, device=keys.device)
        return fill_masked(
            self.conditional(memories),
            hidden,
            mask=self.vocabulary.mask,
            grid=self.space.grid,
            config=config,
            noise=noise,
        )
