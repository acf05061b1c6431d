"""One example's grid of tokens, of any size, as a whole stream of bytes, and back: by a prior, or by a coder without.

    tokens (h, w) or (h, w, q) --coder--> payload --bitstream--> bytes

The tokens come back exactly, or there is an error. What they are of is for the caller to say and to read: an image
(:mod:`gridcode.domains.image.rate`), a sound (:mod:`gridcode.domains.audio.compress`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from gridcode.codec.bitstream import (
    Bitstream,
    Coder,
    Header,
    ImageSize,
    Sound,
    check_seal,
    coded_part,
    pack_stream,
    seal,
)
from gridcode.codec.coders import decode_tokens, encode_tokens
from gridcode.codec.histogram import pack_counts
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.coding.coder import PriorCoder
from gridcode.prior.coding.windows import decode_windows, encode_windows


@dataclass(frozen=True)
class GridCoder:
    """Codes the tokens of one tokenizer.

    Attributes:
        tokenizer: The hash of its weights.
        codes: K; tokens lie in [0, K).
        prior: Of its tokens, in evaluation mode; it makes files smaller, and takes more time than all else.

    >>> coder = GridCoder("0" * 16, 8)
    >>> data = coder.encode(np.array([[7, 0, 1]]), "raw", sound=Sound(24, 8000, 65536))
    >>> from gridcode.codec.bitstream import parse_stream
    >>> coder.decode(parse_stream(data, "example"), (1, 3)).tolist()
    [[7, 0, 1]]
    """

    tokenizer: str
    codes: int
    prior: Prior | None = None

    def __post_init__(self) -> None:
        """Refuse a prior of other tokens.

        Raises:
            GridcodeError: It is one.
        """
        if self.prior is not None and self.prior.space.tokenizer != self.tokenizer:
            raise GridcodeError(
                f"this prior learned the tokens of tokenizer {self.prior.space.tokenizer}, but the tokenizer given is "
                f"{self.tokenizer}: give the one whose store it was trained on"
            )

    @cached_property
    def prior_coder(self) -> PriorCoder:
        """What codes tokens by the prior.

        Raises:
            GridcodeError: There is no prior, or it attends to other examples.
        """
        if self.prior is None:
            raise GridcodeError("the coder prior needs a prior beside the tokenizer: give a model that has one")
        return PriorCoder(self.prior)

    @property
    def best(self) -> Coder:
        """The coder that is taken where none is named: by the prior where there is one."""
        return "raw" if self.prior is None else "prior"

    def covering(self, grid: tuple[int, int], coder: Coder) -> tuple[int, int]:
        """The places (h, w) that are coded of so many; for a prior, at least as many as its own grid's.

        Raises:
            GridcodeError: It is the coder ``prior``, and there is none.
        """
        if coder != "prior":
            return grid
        window = self.prior_coder.prior.space.grid
        return max(grid[0], window[0]), max(grid[1], window[1])

    def encode(
        self,
        tokens: NDArray[np.int64],
        coder: Coder,
        *,
        image: ImageSize | None = None,
        sound: Sound | None = None,
    ) -> bytes:
        """Tokens as a stream.

        Args:
            tokens: int64 in [0, K), (h, w) or (h, w, q), as many as :meth:`covering` says.
            coder: ``raw`` packs them; ``static`` codes them by how often each occurs, and ships the table; ``prior``
                codes them by the prior's probabilities, without a class.
            image: What they are of.
            sound: What they are of.

        Raises:
            GridcodeError: The coder cannot be used.
        """
        coding = self.prior_coder.settings(self._windows(tokens.shape)) if coder == "prior" else None
        table = pack_counts(tokens, self.codes) if coder == "static" else b""
        header = Header(
            coder, self.tokenizer, self.codes, tokens.shape, image=image, coding=coding, table=table, sound=sound
        )
        if coding is not None:
            coded = encode_windows(self.prior_coder, torch.from_numpy(tokens), coding)
        else:
            coded = encode_tokens(header, tokens)
        return pack_stream(header, [seal(tokens, coded)])

    def check(self, stream: Bitstream) -> None:
        """Refuse a stream of another tokenizer or another prior.

        Raises:
            GridcodeError: It is one.
        """
        header, coding, wrong = stream.header, stream.header.coding, ""
        if header.model != self.tokenizer:
            wrong = f"made by tokenizer {header.model}, this one is {self.tokenizer}"
        elif coding is not None and self.prior is None:
            wrong = f"coded by prior {coding.prior}, and this model has none"
        elif coding is not None and coding.prior != self.prior_coder.hash:
            wrong = f"coded by prior {coding.prior}, this one is {self.prior_coder.hash}"
        if wrong:
            raise GridcodeError(f"{stream.name} was {wrong}; give the model it was made by")

    def decode(self, stream: Bitstream, grid: tuple[int, ...]) -> NDArray[np.int64]:
        """The tokens of a stream that :meth:`check` has let pass.

        Args:
            stream: What :meth:`encode` gave.
            grid: The shape that they must have.

        Raises:
            GridcodeError: It has another shape, or is damaged.
        """
        header, payload = stream.header, stream.payload(0)
        if header.grid != grid or header.codes != self.codes or header.examples != 1:
            raise GridcodeError(f"{stream.name}: its tokens are not those of its size; it is damaged")
        if header.coding is None:
            tokens = decode_tokens(header, coded_part(payload), prod(grid)).reshape(grid)
        else:
            self.prior_coder.check(header.coding, self._windows(grid), stream.name)
            tokens = decode_windows(self.prior_coder, coded_part(payload), grid, header.coding).numpy()
        check_seal(payload, tokens, stream.name)
        return tokens

    def _windows(self, grid: Sequence[int]) -> int:
        """How many of the prior's grids lie side by side in a grid; they are coded together."""
        window = self.prior_coder.prior.space.grid
        return (grid[0] // window[0]) * (grid[1] // window[1])
