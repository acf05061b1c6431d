"""Stage II's loss: cross-entropy on the masked tokens (MaskGIT, section 3.1).

Differs from paper: label smoothing spreads its share over the whole vocabulary, the right token included, as PyTorch
does.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class MaskedScores:
    """What a masked prediction is worth.

    Attributes:
        loss: Mean over each example's masked tokens, then over examples; nats.
        accuracy: Share of masked tokens whose most probable guess is right.
    """

    loss: Tensor
    accuracy: Tensor


def masked_token_loss(logits: Tensor, tokens: Tensor, masked: Tensor, *, label_smoothing: float) -> MaskedScores:
    """Score predictions of masked tokens.

    Args:
        logits: (M, V), for the masked positions in row-major order.
        tokens: (B, N) int64, the truth.
        masked: (B, N) bool with M True entries, at least one a row.
        label_smoothing: Share of the target spread over the vocabulary, in [0, 1).

    >>> import torch
    >>> tokens, masked = torch.tensor([[0, 1]]), torch.tensor([[True, True]])
    >>> scores = masked_token_loss(torch.zeros(2, 4), tokens, masked, label_smoothing=0.0)
    >>> round(float(scores.loss), 4), float(scores.accuracy)
    (1.3863, 0.5)
    """
    targets = tokens[masked]
    losses = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=label_smoothing)
    weights = (1 / masked.sum(1).float()).repeat_interleave(masked.sum(1)) / len(tokens)
    accuracy = (logits.argmax(-1) == targets).float().mean()
    return MaskedScores((losses * weights).sum(), accuracy)
