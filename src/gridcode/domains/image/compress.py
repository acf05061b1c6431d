"""Pictures to small files and back: tokenizer, coder, bitstream.

    picture --tiles--> tokens (h, w) --coder--> payload --bitstream--> bytes
    bytes --bitstream--> payload --coder--> the same tokens --tiles--> picture

The tokens come back exactly, or there is an error; the decoder's pixels are the same up to the rounding of its floats,
a step of 1/255 here and there between machines. Loss is the tokenizer's alone.

What the tokens do not hold is lost: transparency (a picture is laid on white first), colour profiles, more than 8 bits,
CMYK (which becomes RGB), metadata. Grey pictures come back grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

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
    parse_stream,
    seal,
)
from gridcode.codec.coders import decode_tokens, encode_tokens
from gridcode.codec.histogram import pack_counts
from gridcode.data.crop import to_channels
from gridcode.domains.image.tiles import decode_picture, encode_picture
from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG
from gridcode.prior.base import Prior
from gridcode.prior.coding.coder import PriorCoder
from gridcode.prior.coding.windows import decode_windows, encode_windows
from gridcode.prior.make import load_prior
from gridcode.tokenizer.model import Tokenizer

Pixels = NDArray[np.uint8]

MAX_PIXELS: Final = 89_478_485
"""Pixels of a decoded picture, at most, where nothing else is said: Pillow's limit."""


@dataclass(frozen=True)
class Codec:
    """A tokenizer, and perhaps a prior, that write and read files.

    Attributes:
        tokenizer: Of pictures, in evaluation mode.
        prior: Of its tokens; it makes the files smaller, and takes more time than all else.

    >>> from gridcode.domains.image import TokenizerConfig
    >>> codec = Codec(Tokenizer(TokenizerConfig(widths=(8, 16))).eval())
    >>> data = codec.compress(np.zeros((5, 9, 3), np.uint8), coder="raw")
    >>> codec.decompress(data).shape
    (5, 9, 3)
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

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> Codec:
        """Load a codec.

        Args:
            source: A folder that holds ``tokenizer/`` and perhaps ``prior/``, or a tokenizer's folder or hub id.
            device: Where the weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or the two do not belong together.
        """
        folder = Path(source)
        if not (folder / "tokenizer").is_dir():
            return cls(Tokenizer.from_pretrained(source, device=device))
        tokenizer = Tokenizer.from_pretrained(folder / "tokenizer", device=device)
        has_prior = any((folder / "prior" / place / CONFIG).is_file() for place in ("", "best", "last"))
        return cls(tokenizer, load_prior(folder / "prior", device=device) if has_prior else None)

    @cached_property
    def prior_coder(self) -> PriorCoder:
        """What codes tokens by the prior.

        Raises:
            GridcodeError: There is no prior, or it attends to other examples.
        """
        if self.prior is None:
            raise GridcodeError("the coder prior needs a prior beside the tokenizer: give a model that has one")
        return PriorCoder(self.prior)

    def compress(self, picture: Pixels, *, coder: Coder | None = None) -> bytes:
        """A picture as bytes.

        Args:
            picture: uint8, (H, W, 3) in RGB or (H, W, 1) in grey, of any size.
            coder: ``raw`` packs the tokens; ``static`` codes them by how often each occurs, and ships the table;
                ``prior`` codes them by the prior's probabilities, without a class. By default ``prior`` where there is
                one, else ``raw``.

        Raises:
            GridcodeError: It is no picture, or the coder cannot be used.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or not picture.size:
            raise GridcodeError(
                f"compress takes uint8 pictures (H, W, 3) or (H, W, 1), got {picture.dtype} {picture.shape}; convert it"
            )
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

    def decompress(self, data: bytes | memoryview, *, name: str = "the data", max_pixels: int | None = None) -> Pixels:
        """The picture of bytes.

        Args:
            data: What :meth:`compress` gave.
            name: What to call them in errors: the file's path.
            max_pixels: A picture of more is refused, before anything is allocated; None for 89 million.

        Returns:
            uint8, (H, W, 3) in RGB or (H, W, 1) in grey, of the size that was compressed.

        Raises:
            GridcodeError: They are of another model or damaged, or the picture is too large.
        """
        stream = parse_stream(data, name)
        picture = self.check(stream, max_pixels=max_pixels)
        tokens = torch.from_numpy(self._tokens(stream))
        pixels = decode_picture(self.tokenizer, tokens, picture.height, picture.width)
        return to_channels(pixels, picture.channels)

    def check(self, stream: Bitstream, *, max_pixels: int | None = None) -> Picture:
        """What a stream says of its picture, where this codec can decode it.

        Raises:
            GridcodeError: It cannot.
        """
        header, picture, limit = stream.header, stream.header.picture, MAX_PIXELS if max_pixels is None else max_pixels
        if picture is None:
            raise GridcodeError(f"{stream.name} holds the tokens of a token store, not a picture")
        mine = self.tokenizer.weights_hash()
        if header.model != mine:
            raise GridcodeError(
                f"{stream.name} was made by tokenizer {header.model}, this one is {mine}; give the model it was made by"
            )
        if picture.height * picture.width > limit:
            count = picture.height * picture.width
            raise GridcodeError(
                f"{stream.name}: too many pixels ({count}, and the limit is {limit}); set data.max_pixels={count}"
            )
        if header.coding is not None and header.coding.prior != self.prior_coder.hash:
            raise GridcodeError(
                f"{stream.name} was coded by prior {header.coding.prior}, this one is {self.prior_coder.hash}; give "
                "the model it was made by"
            )
        grid = (*self.grid(picture.height, picture.width, header.coder), *self.tokenizer.quantizer.index_shape)
        if header.grid != grid or header.codes != self.tokenizer.codebook_size or header.examples != 1:
            raise GridcodeError(f"{stream.name}: its tokens are not those of its picture's size; it is damaged")
        return picture

    def _tokens(self, stream: Bitstream) -> NDArray[np.int64]:
        header, payload = stream.header, stream.payload(0)
        if header.coding is None:
            tokens = decode_tokens(header, coded_part(payload), header.tokens).reshape(header.grid)
        else:
            self.prior_coder.check(header.coding, self._windows(header.grid), stream.name)
            tokens = decode_windows(self.prior_coder, coded_part(payload), header.grid, header.coding).numpy()
        check_seal(payload, tokens, stream.name)
        return tokens
