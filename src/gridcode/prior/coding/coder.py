"""Grids of tokens to bytes by a prior's probabilities, and back.

Encoder and decoder walk through the prior's order of uncovering (:meth:`gridcode.prior.base.Prior.uncover`): MaskGIT's
groups by M2T's schedule, each predicted from the groups before, or one token after another. In each group, for each of
the softmaxes of a token (one, or one a digit),

    logits in float64 (reference.py) -> steps of 1/16 nat (logits.py) -> integer frequencies (codec/frequencies.py)
    -> range coder (codec/ranges.py): the offsets of all its tokens, then the tokens

Both sides see the same tokens before, in batches of the same size, of which the last is filled up; so on one machine
their logits are the same to the bit, and on two they differ by noise that the steps take away.

Reference: Mentzer et al., "M2T: Masking Transformers Twice for Faster Decoding", 2023 (arXiv 2304.07313), section 3:
the order is deterministic, so that it need not be sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.codec.bitstream import PriorCoding
from gridcode.codec.frequencies import LARGEST_CODEBOOK, frequencies_of_steps
from gridcode.codec.ranges import RangeDecoder, RangeEncoder
from gridcode.errors import GridcodeError
from gridcode.hub import weights_hash
from gridcode.prior.base import Prior
from gridcode.prior.bits import STEPS
from gridcode.prior.coding.logits import OFFSET_FREQUENCIES, as_steps, safe_offsets
from gridcode.prior.coding.reference import in_float64
from gridcode.prior.distribution import TokenDistribution

_AT_ONCE = 2**21
"""Logits that become frequencies at a time: a few arrays of 16 MiB."""


@final
class PriorCoder:
    """Codes token grids.

    Args:
        prior: In evaluation mode; of classes or of nothing, not of other examples.

    Raises:
        GridcodeError: The prior attends to another example.

    >>> from gridcode.prior import MaskGIT, MaskGITConfig, TokenSpace
    >>> space = TokenSpace(40, (2, 3), classes=("cat", "dog"), tokenizer="", data={})
    >>> coder = PriorCoder(MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval())
    >>> tokens, labels, settings = torch.randint(0, 40, (5, 6)), torch.tensor([0, 1, -1, 1, 1]), coder.settings(5)
    >>> torch.equal(coder.decode(coder.encode(tokens, labels, settings), labels, settings), tokens)
    True
    """

    def __init__(self, prior: Prior) -> None:
        if prior.example_shape is not None:
            raise GridcodeError("a prior that attends to another example cannot code tokens alone; give one of classes")
        self.prior = in_float64(prior)
        self.hash = weights_hash(prior.state_dict())

    def settings(self, grids: int, *, steps: int = STEPS) -> PriorCoding:
        """How so many grids are coded; what the stream says of it.

        Args:
            grids: How many; at most 64 go through the prior at a time, or as many as have logits of 64 MiB.
            steps: Groups of tokens that are uncovered together, at most, where the prior leaves that open.
        """
        largest = 1 if self.prior.causal else max(len(group) for group in self.prior.groups(steps))
        fitting = 2**23 // (largest * min(self.prior.space.codebook_size, LARGEST_CODEBOOK))
        return PriorCoding(self.hash, steps, max(1, min(64, fitting, grids)))

    def check(self, settings: PriorCoding, grids: int, what: str) -> None:
        """Refuse a stream that would take more memory than any encoder does.

        Args:
            settings: What it says.
            grids: How many are coded together, at most.
            what: What to call the stream.

        Raises:
            GridcodeError: It would.
        """
        most = self.settings(grids, steps=settings.steps).batch
        if settings.batch > most:
            raise GridcodeError(f"{what} claims {settings.batch} grids at a time, of {most} at most; it is damaged")

    def encode(self, tokens: Tensor, labels: Tensor, settings: PriorCoding) -> bytes:
        """Grids as bytes.

        Args:
            tokens: (n, N) int64 in [0, K).
            labels: Their classes, (n,) int64, -1 for none.
            settings: Steps, and grids at a time.

        Raises:
            GridcodeError: constriction is not installed, or the prior's logits are not finite.
        """
        encoder = RangeEncoder()
        self.write(encoder, tokens, labels, settings)
        return encoder.finish()

    def decode(self, data: bytes, labels: Tensor, settings: PriorCoding) -> Tensor:
        """The grids of bytes; other bytes, and other probabilities, give other grids, which a checksum must find.

        Args:
            data: What :meth:`encode` gave.
            labels: As there.
            settings: As there.

        Returns:
            (n, N) int64 in [0, K), on the CPU.

        Raises:
            GridcodeError: No tokens are coded like that.
        """
        nothing = torch.zeros(len(labels), self.prior.space.length, dtype=torch.int64)
        return self.read(RangeDecoder(data), nothing, labels, settings)

    def write(
        self,
        encoder: RangeEncoder,
        tokens: Tensor,
        labels: Tensor,
        settings: PriorCoding,
        known: Tensor | None = None,
    ) -> None:
        """Add grids to a range coder's stream; what is known, (n, N) bool, is not coded. See :meth:`encode`."""

        def code(logits: NDArray[np.float64], wanted: NDArray[np.int64] | None) -> NDArray[np.int64]:
            assert wanted is not None
            offsets = safe_offsets(logits)
            encoder.encode(offsets, OFFSET_FREQUENCIES)
            encoder.encode(wanted, frequencies_of_steps(as_steps(logits, offsets)))
            return wanted

        self._walk(tokens, known, labels, settings, code, tokens)

    def read(
        self,
        decoder: RangeDecoder,
        tokens: Tensor,
        labels: Tensor,
        settings: PriorCoding,
        known: Tensor | None = None,
    ) -> Tensor:
        """The next grids (n, N); ``tokens`` has the known ones. See :meth:`decode`."""

        def code(logits: NDArray[np.float64], wanted: NDArray[np.int64] | None) -> NDArray[np.int64]:
            offsets = decoder.decode(OFFSET_FREQUENCIES, len(logits))
            return decoder.decode(frequencies_of_steps(as_steps(logits, offsets)))

        return self._walk(tokens, known, labels, settings, code, None)

    @torch.inference_mode()
    def _walk(
        self,
        tokens: Tensor,
        known: Tensor | None,
        labels: Tensor,
        settings: PriorCoding,
        code: Code,
        truth: Tensor | None,
    ) -> Tensor:
        """All grids by ``code``, which is told the truth where there is one; a batch after the other."""
        prior, size, device = self.prior, settings.batch, self.prior.device
        known = torch.zeros_like(tokens, dtype=torch.bool) if known is None else known
        found = []
        for start in range(0, len(tokens), size):
            here = slice(start, start + size)
            count = len(tokens[here])
            # A batch that is not full is filled up with grids that are known, of which nothing is coded.
            begun = torch.zeros(size, prior.space.length, dtype=torch.int64)
            begun[:count] = tokens[here].masked_fill(~known[here], prior.mask)
            classes = torch.full((size,), -1)
            classes[:count] = labels[here]
            wanted = None if truth is None else truth[here]

            def reveal(places: Tensor, answer: TokenDistribution, wanted: Tensor | None = wanted) -> Tensor:
                digits = None
                if wanted is not None:
                    digits = answer.digits(wanted[places[: len(wanted)].cpu()].to(device))

                def choose(number: int, logits: Tensor) -> Tensor:
                    own = None if digits is None else digits[number].cpu().numpy()
                    return torch.from_numpy(_in_parts(logits, own, code)).to(device)

                return answer.chosen(choose)

            filled = prior.uncover(begun.to(device), classes.to(device), reveal, steps=settings.steps)
            found.append(filled[:count].cpu())
        return torch.cat(found)


Code = Callable[[NDArray[np.float64], NDArray[np.int64] | None], NDArray[np.int64]]
"""Codes the tokens of logits (M, L): takes those of an encoder, (M,), and gives them."""


def _in_parts(logits: Tensor, wanted: NDArray[np.int64] | None, code: Code) -> NDArray[np.int64]:
    """Values of logits (M, L), so many at a time that memory is bounded."""
    size, found = max(1, _AT_ONCE // logits.shape[-1]), []
    for start in range(0, len(logits), size):
        own = None if wanted is None else wanted[start : start + size]
        found.append(code(logits[start : start + size].cpu().numpy(), own))
    return np.concatenate(found)
