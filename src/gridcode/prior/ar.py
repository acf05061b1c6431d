r"""An autoregressive prior: each token from the condition and the tokens before it, row by row.

    log p(tokens given c) = Σ_n log p(token_n given c, token_1 … token_{n-1})

    [class, token_1 … token_{N-1}] -> vocabulary's vectors -> causal trunk (trunk.py) -> vocabulary's head

The output at the class's place says the first token, and so on: in training one pass answers for all of them, and bits
are exact. A sampler takes one pass of one place for each token, with the keys and values of the places before it kept.
A prior that attends to another example starts from the vector of no class.

Guidance is l' = l_c + a (l_c - l_0), as for MaskGIT; classes are hidden in training by the same share.

Filling a grid of which some tokens are known: they are kept, but a draw knows only those that come before it in the
order of reading. What is known below or to the right of a hole is not seen when the hole is filled: for editing, a
masked prior is the better one.

Reference: van den Oord et al., "Neural Discrete Representation Learning", 2017, section 3.3, and Esser et al., "Taming
Transformers", 2021, section 3.2, for priors of this kind; the paper, section 4.4, and Kolesnikov et al., UViM, 2022,
section 3.2, for one that attends to an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, final

import torch
from torch import Tensor

from gridcode.nn.attention import KeyValues
from gridcode.prior.base import Prior, Reveal
from gridcode.prior.condition import Condition, Given
from gridcode.prior.config import AutoregressiveConfig
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.vocabulary.base import TokenScores


@final
class Autoregressive(Prior):
    """The causal transformer.

    Args:
        config: Widths, depth and head.
        space: What its tokens are.

    Raises:
        GridcodeError: The head does not fit the codebook.

    >>> from gridcode.prior.config import TokenSpace
    >>> space = TokenSpace(240, (4, 4), classes=("cat", "dog"), tokenizer="", data={}, levels=(8, 6, 5))
    >>> prior = Autoregressive(AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32, head="chain"), space).eval()
    >>> hidden, noise = torch.full((2, 16), prior.mask), Noise.of_examples(0, torch.arange(2))
    >>> prior.fill(hidden, torch.tensor([0, -1]), config=SamplerConfig(), guidance=0.2, noise=noise).shape
    torch.Size([2, 16])
    """

    name: ClassVar[str] = "ar"
    settings: ClassVar[type] = AutoregressiveConfig
    causal: ClassVar[bool] = True

    @staticmethod
    def target_mask(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """All of them; nothing is hidden from a model that does not look ahead."""
        return torch.ones(shape, dtype=torch.bool)

    def hidden(self, tokens: Tensor, given: Given) -> Tensor:
        """The transformer's output for each token before it sees it.

        Args:
            tokens: (B, n) int64 in [0, K), n <= N; the last one is not seen.
            given: As for :meth:`Prior.condition`.

        Returns:
            (B, n, D).
        """
        condition = self.condition(given)
        before = self.vocabulary.embed_tokens(tokens[:, :-1])
        x = torch.cat([self.vocabulary.embed_labels(condition.labels)[:, None], before], 1)
        found: Tensor = self.trunk(x, memories=condition.memories)
        return found

    def forward(self, tokens: Tensor, given: Given, targets: Tensor, label_smoothing: float = 0.0) -> TokenScores:
        """See :class:`Prior`; every token is predicted from the true ones before it."""
        hidden = self.hidden(tokens, given)
        return self.vocabulary.score(hidden[targets], tokens[targets], label_smoothing=label_smoothing)

    @torch.no_grad()
    def fill(
        self, tokens: Tensor, given: Given, *, config: SamplerConfig, guidance: float, noise: Noise, start: int = 0
    ) -> Tensor:
        """See :class:`Prior`.

        Temperature, top_k, top_p and guidance count, moving from the first token to the last where they move;
        ``steps``, ``start`` and what else a config says of masked decoding do not.
        """
        N, condition = self.space.length, self.condition(given)
        config = replace(config, steps=N)
        guided = max(guidance, config.guidance_at(0, guidance)) > 0 and condition.has_class
        condition, noises = condition.with_unconditional() if guided else condition, noise.spread(N)

        def draw(n: int, hidden: Tensor) -> Tensor:
            answer = self._answer(hidden, config.guidance_at(n, guidance) if guided else None)
            return answer.sample(
                temperature=config.temperature_at(n), noise=noises[:, n], top_k=config.top_k, top_p=config.top_p
            )

        return self._one_after_another(tokens, condition, draw)

    def uncover(self, tokens: Tensor, given: Given, reveal: Reveal, *, steps: int) -> Tensor:
        """See :class:`Prior`; token by token."""
        masked = tokens == self.mask

        def choose(n: int, hidden: Tensor) -> Tensor:
            positions = torch.zeros_like(masked)
            positions[:, n] = masked[:, n]
            found = tokens[:, n].clone()
            found[masked[:, n]] = reveal(positions, self.vocabulary.distribution(hidden[masked[:, n]]))
            return found

        return self._one_after_another(tokens, self.condition(given), choose)

    def _one_after_another(
        self, tokens: Tensor, condition: Condition, choose: Callable[[int, Tensor], Tensor]
    ) -> Tensor:
        """Masked tokens (B, N) filled by ``choose(n, hidden)``: the hidden (B, D) of place n, or twice as many rows
        where the condition has them, to tokens (B,).
        """
        caches = [KeyValues(self.space.length) for _ in self.trunk.blocks]
        known, out, fed = tokens != self.mask, tokens.clone(), 0
        head = self.vocabulary.embed_labels(condition.labels)[:, None]
        for n in (~known).any(0).nonzero()[:, 0].tolist():
            # Tokens that are known for every example go in together with the last one drawn.
            new = self.vocabulary.embed_tokens(out[:, fed:n])
            x = torch.cat([head, new.repeat(len(condition) // len(out), 1, 1)], 1)
            hidden = self.trunk(x, memories=condition.memories, caches=caches)[:, -1]
            out[:, n] = torch.where(known[:, n], out[:, n], choose(n, hidden))
            head, fed = head[:, :0], n
        return out

    def groups(self, steps: int) -> tuple[Tensor, ...]:
        """See :class:`Prior`; the rows of the grid, within which bits are exact too, token by token."""
        return torch.arange(self.space.length).chunk(self.space.grid[0])

    def log_probs(self, tokens: Tensor, given: Given, *, steps: int) -> Tensor:
        """See :class:`Prior`; one pass."""
        hidden, found = self.hidden(tokens, given), torch.zeros(tokens.shape, device=tokens.device)
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
