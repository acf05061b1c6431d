r"""An autoregressive prior: each token from the class and the tokens before it, row by row.

    log p(tokens given class) = Σ_n log p(token_n given class, token_1 … token_{n-1})

    [class, token_1 … token_{N-1}] -> vocabulary's vectors -> causal trunk (trunk.py) -> vocabulary's head

The output at the class's place says the first token, and so on: in training one pass answers for all of them, and bits
are exact. A sampler takes one pass of one place for each token, with the keys and values of the places before it kept.

Guidance is l' = l_c + a (l_c - l_0), as for MaskGIT; classes are hidden in training by the same share.

Filling a grid of which some tokens are known: they are kept, but a draw knows only those that come before it in the
order of reading. What is known below or to the right of a hole is not looked at when the hole is filled: for editing, a
masked prior is the better one.

Reference: van den Oord et al., "Neural Discrete Representation Learning", 2017, section 3.3, and Esser et al., "Taming
Transformers", 2021, section 3.2, for priors of this kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

import torch
from torch import Tensor

from gridcode.nn.attention import KeyValues
from gridcode.nn.transformer import truncated_normal_
from gridcode.prior.base import ClassPrior
from gridcode.prior.config import AutoregressiveConfig
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.space import TokenSpace
from gridcode.prior.trunk import ModernTrunk
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.make import make_vocabulary


@final
class Autoregressive(ClassPrior):
    """The causal transformer.

    Args:
        config: Widths, depth and head.
        space: What its tokens are.

    Raises:
        GridcodeError: The head does not fit the codebook.

    >>> space = TokenSpace(240, (4, 4), classes=("cat", "dog"), tokenizer="", data={}, levels=(8, 6, 5))
    >>> prior = Autoregressive(AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32, head="chain"), space).eval()
    >>> hidden, noise = torch.full((2, 16), prior.mask), Noise.of_pictures(0, torch.arange(2))
    >>> prior.fill(hidden, torch.tensor([0, -1]), config=SamplerConfig(), guidance=0.2, noise=noise).shape
    torch.Size([2, 16])
    """

    name: ClassVar[str] = "ar"
    settings: ClassVar[type] = AutoregressiveConfig
    trunk: ModernTrunk

    def __init__(self, config: AutoregressiveConfig, space: TokenSpace) -> None:
        super().__init__(config, space)
        self.config = config
        self.space = space
        self.vocabulary = make_vocabulary(config.head, space, width=config.width)
        self.trunk = ModernTrunk(config, space.grid, causal=True)
        truncated_normal_(self)

    @staticmethod
    def predicted(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """All of them; nothing is hidden from a model that does not look ahead."""
        return torch.ones(shape, dtype=torch.bool)

    def hidden(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """What the transformer says of each token before it sees it.

        Args:
            tokens: (B, N) int64 in [0, K); the last one is not looked at.
            labels: (B,) int64 class indices; -1 hides the class.

        Returns:
            (B, N, D).
        """
        before = self.vocabulary.embed_tokens(tokens[:, :-1])
        found: Tensor = self.trunk(torch.cat([self.vocabulary.embed_labels(labels)[:, None], before], 1))
        return found

    def forward(
        self, tokens: Tensor, condition: Tensor, predicted: Tensor, label_smoothing: float = 0.0
    ) -> TokenScores:
        """See :class:`Prior`; every token is predicted from the true ones before it."""
        hidden = self.hidden(tokens, condition)
        return self.vocabulary.score(hidden[predicted], tokens[predicted], label_smoothing=label_smoothing)

    @torch.no_grad()
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
        """See :class:`Prior`.

        Temperature, top_k, top_p and guidance count, moving from the first token to the last where they move;
        ``steps``, ``start`` and what else a config says of masked decoding do not.
        """
        N = self.space.length
        config = replace(config, steps=N)
        guided = max(guidance, config.guidance_at(0, guidance)) > 0 and bool((labels >= 0).any())
        labels = torch.cat([labels, torch.full_like(labels, -1)]) if guided else labels
        caches, given = [KeyValues(N) for _ in self.trunk.blocks], tokens != self.mask
        out, fed, noises = tokens.clone(), 0, noise.spread(N)
        head = self.vocabulary.embed_labels(labels)[:, None]
        for n in (~given).any(0).nonzero()[:, 0].tolist():
            # Tokens that are known for every example go in together with the last one drawn.
            new = self.vocabulary.embed_tokens(out[:, fed:n])
            x = torch.cat([head, new.repeat(len(labels) // len(out), 1, 1)], 1)
            hidden = self.trunk(x, caches=caches)[:, -1]
            answer = self._answer(hidden, config.guidance_at(n, guidance) if guided else None)
            drawn = answer.sample(
                temperature=config.temperature_at(n), noise=noises[:, n], top_k=config.top_k, top_p=config.top_p
            )
            out[:, n] = torch.where(given[:, n], out[:, n], drawn)
            head, fed = head[:, :0], n
        return out

    def groups(self, steps: int) -> tuple[Tensor, ...]:
        """See :class:`Prior`; the rows of the grid, within which bits are exact too, token by token."""
        return torch.arange(self.space.length).chunk(self.space.grid[0])

    def log_probs(self, tokens: Tensor, labels: Tensor, *, steps: int) -> Tensor:
        """See :class:`Prior`; one pass."""
        hidden, found = self.hidden(tokens, labels), torch.zeros(tokens.shape, device=tokens.device)
        for group in self.groups(steps):
            answer = self.vocabulary.distribution(hidden[:, group].flatten(0, 1))
            found[:, group] = answer.log_prob(tokens[:, group].flatten()).view(len(tokens), -1)
        return found

    def _answer(self, hidden: Tensor, guidance: float | None) -> TokenDistribution:
        """The distribution of (B, D), or of (2 B, D) whose second half has no class."""
        if guidance is None:
            return self.vocabulary.distribution(hidden)
        with_class, without = (self.vocabulary.distribution(half) for half in hidden.chunk(2))
        return with_class.guide(without, guidance)
