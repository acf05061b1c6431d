"""The loss of a tokenizer of texts: the cross-entropy of every byte given the tokens, in nats per byte.

    L = - mean over bytes of ln p(byte_i given tokens)  + the quantizer's own

All bytes are predicted at once, each from all tokens and from no other byte; so the loss over ln 2 is what a byte costs
in bits to one who has the tokens.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from gridcode.domains.text.data import TextBatch
from gridcode.domains.text.networks import log_probs
from gridcode.tokenizer.domain import Objective


@final
class TextObjective(Objective):
    """The term ``cross_entropy``."""

    def inputs(self, batch: TextBatch, step: int) -> tuple[Tensor, ...]:
        """The windows, uint8 (B, T)."""
        return (batch.text,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        return {"cross_entropy": -log_probs(outputs, inputs[0]).mean()}
