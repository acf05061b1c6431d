"""A vocabulary: the vectors that tokens and classes enter a transformer with, and the head at its end.

    tokens, classes ──embed──> (B, N, D) ──transformer──> hidden (M, D) ──┬─ score ──> training loss of each token
                                                                          └─ distribution ──> what a sampler draws from

| | token's vector | p(token) | numbers a token costs |
|---|---|---|---|
| joint | one of K | one softmax over the codebook | K |
| independent | Σ of its digits' | Π_i p(g_i) | Σ L_i |
| chain | Σ of its digits' | Π_i p(g_i given g_1 … g_{i-1}) | Σ L_i, and a small MLP for each digit |

Samplers and training loops see only what is here, so no code but the joint vocabulary's own ever makes K numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from gridcode.prior.distribution import TokenDistribution


class TokenScores(NamedTuple):
    """What predictions of M known tokens are worth; a tuple, because DDP and Fabric look for tensors in one.

    Attributes:
        losses: (M,) float32, nats.
        right: (M,) bool, whether the most probable token is the true one.
    """

    losses: Tensor
    right: Tensor


class Vocabulary(nn.Module, ABC):
    """Vectors for tokens and classes, and a head; ``mask`` is the id that stands for a hidden token."""

    mask: int

    @abstractmethod
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """(…) int64 in [0, K), or :attr:`mask` -> (…, D)."""

    @abstractmethod
    def embed_labels(self, labels: Tensor) -> Tensor:
        """(B,) int64 class indices, -1 for none -> (B, D)."""

    @abstractmethod
    def score(self, hidden: Tensor, tokens: Tensor, *, label_smoothing: float) -> TokenScores:
        """The training loss.

        Args:
            hidden: (M' >= M, D) of the transformer; rows after the M-th are padding.
            tokens: (M,) int64 in [0, K), the truth.
            label_smoothing: Share of the target that is spread evenly, in [0, 1).
        """

    @abstractmethod
    def distribution(self, hidden: Tensor) -> TokenDistribution:
        """What is known of the tokens with ``hidden`` (M, D); over the K codes only."""
