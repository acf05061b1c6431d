"""Stage II's loss: cross-entropy on the tokens that are asked for (MaskGIT, section 3.1), the vocabulary's own; here it
becomes one number:

    loss = 1/B Σ_b 1/M_b Σ_{n asked of b} loss_bn

so that an example counts the same however much of it is hidden.

Differs from paper: label smoothing spreads its share over the whole vocabulary, the right token included, as PyTorch
does; digit heads spread a part of it over each digit's levels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gridcode.prior.vocabulary.base import TokenScores


@dataclass(frozen=True)
class MaskedScores:
    """What a masked prediction is worth.

    Attributes:
        loss: Mean over each example's masked tokens, then over examples; nats.
        accuracy: Share of masked tokens whose most probable guess is right.
    """

    loss: Tensor
    accuracy: Tensor


def masked_token_loss(scores: TokenScores, masked: Tensor) -> MaskedScores:
    """The mean of each example's mean.

    Args:
        scores: Of the M masked tokens in row-major order.
        masked: (B, N) bool with M True entries, at least one a row.

    >>> import torch
    >>> scores = TokenScores(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([True, False, False]))
    >>> masked_token_loss(scores, torch.tensor([[True, True], [False, True]])).loss        # (2 + 5) / 2
    tensor(3.5000)
    """
    counts = masked.sum(1)
    weights = (1 / counts.float()).repeat_interleave(counts) / len(masked)
    return MaskedScores((scores.losses * weights).sum(), scores.right.float().mean())
