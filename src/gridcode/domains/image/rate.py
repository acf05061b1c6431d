"""One rate of a codec: a tokenizer, and perhaps a prior, that turn a picture into a stream of bytes and back.

    picture --tiles--> tokens (h, w) --coder--> payload --bitstream--> bytes
    bytes --bitstream--> payload --coder--> the same tokens --tiles--> picture

The tokens come back exactly, or there is an error; the decoder's pixels are the same up to the rounding of its floats,
a step of 1/255 here and there between machines. Loss is the tokenizer's alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from gridcode.codec.bitstream import (
    Bitstream,
    Coder,
    Header,
    Picture,
    check_seal,
    coded_part,
    pack_stream,
    seal,
)
from gridcode.codec.coders import decode_tokens, encode_tokens
from gridcode.codec.histogram import pack_counts
from gridcode.data.crop import to_channels
from gridcode.domains.image.tiles import decode_picture, encode_picture
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.coding.coder import PriorCoder
from gridcode.prior.coding.windows import decode_windows, encode_windows
from gridcode.tokenizer.model import Tokenizer

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Rate:
    """A tokenizer, and perhaps a prior, of a codec.

    Attributes:
        tokenizer: Of pictures, in evaluation mode.
        prior: Of its tokens; it makes the files smaller, and takes more time than all else.

    >>> from gridcode.domains.image import TokenizerConfig
    >>> rate = Rate(Tokenizer(TokenizerConfig(widths=(8, 16))).eval())  # two pixels a token, 1000 codes
    >>> f"{rate.bits_per_pixel:.3f}", rate.grid(5, 9)
    ('2.491', (3, 5))
    """

    tokenizer: Tokenizer
    prior: Prior | None = None

    def __post_init__(self) -> None:
        """Refuse a prior of other tokens."""
        if self.prior is not None and self.prior.space.tokenizer != self.tokenizer.weights_hash():
            raise GridcodeError(
                f"this prior learned the tokens of tokenizer {self.prior.space.tokenizer}, but the tokenizer given is "
                f"{self.tokenizer.weights_hash()}: give the one whose store it was trained on"
            )

    @property
    def bits_per_pixel(self) -> float:
        """Of its tokens as they are, before they are coded."""
        places = math.prod(self.tokenizer.quantizer.index_shape) / int(self.tokenizer.config.downsampling) ** 2
        return places * math.log2(self.tokenizer.codebook_size)

    @cached_property
    def prior_coder(self) -> PriorCoder:
        """What codes tokens by the prior.

        Raises:
            GridcodeError: There is no prior, or it attends to other examples.
        """
        if self.prior is None:
            raise GridcodeError("the coder prior needs a prior beside the tokenizer: give a model that has one")
        return PriorCoder(self.prior)

    def encode(self, picture: Pixels, coder: Coder | None = None) -> bytes:
        """A picture as a stream.

        Args:
            picture: uint8, (H, W, 3) in RGB or (H, W, 1) in grey, of any size.
            coder: As for :meth:`gridcode.Codec.compress`.

        Raises:
            GridcodeError: The coder cannot be used.
        """
        coder = coder or ("raw" if self.prior is None else "prior")
        height, width, channels = picture.shape
        pixels = to_channels(picture, self.tokenizer.config.channels)
        found = encode_picture(self.tokenizer, pixels, self.grid(height, width, coder))
        tokens = found.numpy()
        coding = self.prior_coder.settings(self._windows(found.shape)) if coder == "prior" else None
        header = Header(
            coder,
            self.tokenizer.weights_hash(),
            self.tokenizer.codebook_size,
            tokens.shape,
            picture=Picture(height, width, channels),
            coding=coding,
            table=pack_counts(tokens, self.tokenizer.codebook_size) if coder == "static" else b"",
        )
        coded = encode_windows(self.prior_coder, found, coding) if coding else encode_tokens(header, tokens)
        return pack_stream(header, [seal(tokens, coded)])

    def _windows(self, grid: Sequence[int]) -> int:
        """How many of the prior's grids lie side by side in a grid; they are coded together."""
        window = self.prior_coder.prior.space.grid
        return (grid[0] // window[0]) * (grid[1] // window[1])

    def grid(self, height: int, width: int, coder: Coder = "raw") -> tuple[int, int]:
        """The tokens (h, w) that cover a picture of so many pixels; for a prior, at least as many as its own grid's."""
        f = self.tokenizer.config.downsampling
        h, w = -(-height // f), -(-width // f)
        if coder == "prior":
            window = self.prior_coder.prior.space.grid
            h, w = max(h, window[0]), max(w, window[1])
        return h, max(w, 2 if h == 1 else 1)  # a normalisation over a single place would have nothing to go by

    def decode(self, stream: Bitstream, picture: Picture) -> Pixels:
        """The picture of a stream that is this rate's.

        Returns:
            uint8, (H, W, 3) in RGB or (H, W, 1) in grey.

        Raises:
            GridcodeError: It was coded by another prior, or is damaged.
        """
        self._check(stream, picture)
        tokens = torch.from_numpy(self._tokens(stream))
        pixels = decode_picture(self.tokenizer, tokens, picture.height, picture.width)
        return to_channels(pixels, picture.channels)

    def _check(self, stream: Bitstream, picture: Picture) -> None:
        header = stream.header
        if header.coding is not None and header.coding.prior != self.prior_coder.hash:
            raise GridcodeError(
                f"{stream.name} was coded by prior {header.coding.prior}, this one is {self.prior_coder.hash}; give "
                "the model it was made by"
            )
        grid = (*self.grid(picture.height, picture.width, header.coder), *self.tokenizer.quantizer.index_shape)
        if header.grid != grid or header.codes != self.tokenizer.codebook_size or header.examples != 1:
            raise GridcodeError(f"{stream.name}: its tokens are not those of its picture's size; it is damaged")

    def _tokens(self, stream: Bitstream) -> NDArray[np.int64]:
        header, payload = stream.header, stream.payload(0)
        if header.coding is None:
            tokens = decode_tokens(header, coded_part(payload), header.tokens).reshape(header.grid)
        else:
            self.prior_coder.check(header.coding, self._windows(header.grid), stream.name)
            tokens = decode_windows(self.prior_coder, coded_part(payload), header.grid, header.coding).numpy()
        check_seal(payload, tokens, stream.name)
        return tokens
