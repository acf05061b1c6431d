r"""The paper's way from a picture to its code: token by token, row by row.

    log p(tokens given picture) = Σ_n log p(token_n given picture, token_1 … token_{n-1})

    [start, token_1 … token_{N-1}] -> causal decoder that looks at the picture -> token_1 … token_N

In training one pass answers for all of them: plain cross-entropy. Prediction takes one pass of one place for each
token, with the keys and values of the places before it, and of the picture, kept.

Reference: the paper, section 4.4; Kolesnikov et al., UViM, 2022, section 3.2 (token = code + 1, and 0 starts: here the
start is the vocabulary's vector of nothing known).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, final

import torch
from torch import Tensor

from gridcode.domains.dense.prior.base import ConditionalPrior
from gridcode.nn.attention import KeyValues
from gridcode.nn.cross import Memory
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.vocabulary.base import TokenScores


@final
class ConditionalAR(ConditionalPrior):
    """The autoregressive prior; its arguments are :class:`ConditionalPrior`'s.

    >>> from gridcode.domains.dense.prior.config import ConditionalConfig
    >>> from gridcode.prior.space import TokenSpace
    >>> space = TokenSpace(40, (2, 3), classes=(), tokenizer="", data={}, levels=(8, 5))
    >>> prior = ConditionalAR(ConditionalConfig(width=16, depth=1, heads=2, mlp=32), space, (3, 16, 24)).eval()
    >>> prior.predict(torch.zeros(2, 3, 16, 24)).shape
    torch.Size([2, 2, 3])
    """

    name: ClassVar[str] = "ar"
    causal: ClassVar[bool] = True

    @staticmethod
    def predicted(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """All of them; nothing is hidden from a model that does not look ahead."""
        return torch.ones(shape, dtype=torch.bool)

    def hidden(self, memories: Sequence[Memory], tokens: Tensor) -> Tensor:
        """What the decoder says of each token before it sees it.

        Args:
            memories: What :meth:`look` returned for B pictures.
            tokens: (B, n) int64 in [0, K), n <= N; the last one is not looked at.

        Returns:
            (B, n, D).
        """
        before = self.vocabulary.embed_tokens(tokens[:, :-1])
        found: Tensor = self.decoder(torch.cat([self._start(tokens), before], 1), memories)
        return found

    def forward(
        self, tokens: Tensor, condition: Tensor, predicted: Tensor, label_smoothing: float = 0.0
    ) -> TokenScores:
        """See :class:`~gridcode.prior.base.Prior`; the condition is pictures in [-1, 1], (B, C, H, W)."""
        hidden = self.hidden(self.look(condition), tokens)
        return self.vocabulary.score(hidden[predicted], tokens[predicted], label_smoothing=label_smoothing)

    @torch.no_grad()
    def write(
        self,
        memories: Sequence[Memory],
        *,
        config: SamplerConfig,
        noise: Noise,
        cached: bool = True,
    ) -> Tensor:
        """See :class:`ConditionalPrior`.

        Temperature, top_k and top_p count, moving from the first token to the last where they move.

        Args:
            memories: What :meth:`look` returned.
            config: Temperatures, top-k and top-p.
            noise: Of B rows.
            cached: Keep the keys and values of tokens; without, all of them are computed again for each token.
        """
        N, keys = self.space.length, memories[0][0]
        config = replace(config, steps=N)
        out = torch.zeros(len(keys), N, dtype=torch.int64, device=keys.device)
        noises = noise.spread(N)
        caches, x = [KeyValues(N) for _ in self.decoder.blocks], self._start(out)
        for n in range(N):
            hidden = self.decoder(x, memories, caches) if cached else self.hidden(memories, out[:, : n + 1])
            answer = self.vocabulary.distribution(hidden[:, -1])
            out[:, n] = answer.sample(
                temperature=config.temperature_at(n), noise=noises[:, n], top_k=config.top_k, top_p=config.top_p
            )
            x = self.vocabulary.embed_tokens(out[:, n : n + 1])
        return out

    def _start(self, tokens: Tensor) -> Tensor:
        """The vector before the first token (B, 1, D)."""
        return self.vocabulary.embed_labels(torch.full_like(tokens[:, 0], -1))[:, None]
