"""Images to small files and back, at one rate or at several.

A rate is a tokenizer with its prior (``rate.py``). A codec of several rates has several tokenizers, which differ in
pixels per token and in codes; a file names the one that it was made by, so that decoding needs no more than the codec.

    MODEL/tokenizer, MODEL/prior                    one rate
    MODEL/NAME/tokenizer, MODEL/NAME/prior, …       several

What the tokens do not hold is lost: transparency (an image is laid on white first), colour profiles, more than 8 bits,
CMYK (which becomes RGB), metadata. Grey images come back grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from gridcode.codec.bitstream import Bitstream, Coder, ImageSize, parse_stream
from gridcode.domains.image.config import rate_folders
from gridcode.domains.image.rate import Pixels, Rate
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.make import load_prior, prior_in
from gridcode.tokenizer.model import Tokenizer

MAX_PIXELS: Final = 89_478_485
"""Pixels of a decoded image, at most, where nothing else is said: Pillow's limit."""


@dataclass(frozen=True)
class Codec:
    """Tokenizers, perhaps with priors, that write and read files.

    Attributes:
        rates: One or several, those of more bits first.

    >>> from gridcode.domains.image import TokenizerConfig
    >>> codec = Codec.of(Tokenizer(TokenizerConfig(widths=(8, 16))).eval())
    >>> data = codec.compress(np.zeros((5, 9, 3), np.uint8), coder="raw")
    >>> codec.decompress(data).shape
    (5, 9, 3)
    """

    rates: tuple[Rate, ...]

    def __post_init__(self) -> None:
        """Refuse rates that a file could not tell apart."""
        hashes = [rate.tokenizer.weights_hash() for rate in self.rates]
        if not hashes or len(set(hashes)) < len(hashes):
            raise GridcodeError(f"a codec needs rates of different tokenizers, got {' and '.join(hashes) or 'none'}")

    @classmethod
    def of(cls, tokenizer: Tokenizer, prior: Prior | None = None) -> Codec:
        """A codec of one rate."""
        return cls((Rate(tokenizer, prior),))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> Codec:
        """Load a codec.

        Args:
            source: A folder that holds ``tokenizer/`` and perhaps ``prior/``, or several such folders; or a tokenizer's
                folder or hub id.
            device: Where the weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or a prior and its tokenizer do not belong together.
        """
        places = rate_folders(Path(source))
        if not places:
            return cls.of(Tokenizer.from_pretrained(source, device=device))
        rates = []
        for place in places:
            tokenizer = Tokenizer.from_pretrained(place / "tokenizer", device=device)
            prior = prior_in(place)
            rates.append(Rate(tokenizer, None if prior is None else load_prior(prior, device=device)))
        return cls(tuple(sorted(rates, key=lambda rate: -rate.bits_per_pixel)))

    def compress(self, image: Pixels, *, coder: Coder | None = None, bpp: float | None = None) -> bytes:
        """An image as bytes.

        Args:
            image: uint8, (H, W, 3) in RGB or (H, W, 1) in grey, of any size.
            coder: ``raw`` packs the tokens; ``static`` codes them by how often each occurs, and ships the table;
                ``prior`` codes them by the prior's probabilities, without a class. By default ``prior`` where there is
                one, else ``raw``.
            bpp: Bits per pixel, at most: the highest rate whose file has no more is taken. By default the highest rate.

        Raises:
            GridcodeError: It is no image, the coder cannot be used, or the lowest rate gives more bits.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
            raise GridcodeError(
                f"compress takes uint8 images (H, W, 3) or (H, W, 1), got {image.dtype} {image.shape}; convert it"
            )
        if bpp is None:
            return self.rates[0].encode(image, coder)
        if not bpp > 0:
            raise GridcodeError(f"bpp must be above 0, got {bpp}")
        height, width = image.shape[:2]
        for rate in self.rates:
            data = rate.encode(image, coder)
            if 8 * len(data) <= bpp * height * width:
                return data
        least = 8 * len(data) / height / width
        raise GridcodeError(
            f"the lowest rate of this model takes {least:.4f} bits per pixel here, more than bpp={bpp:g}; ask for more"
        )

    def decompress(self, data: bytes | memoryview, *, name: str = "the data", max_pixels: int | None = None) -> Pixels:
        """The image of bytes.

        Args:
            data: What :meth:`compress` gave.
            name: What to call them in errors: the file's path.
            max_pixels: An image of more is refused, before anything is allocated; None for 89 million.

        Returns:
            uint8, (H, W, 3) in RGB or (H, W, 1) in grey, of the size that was compressed.

        Raises:
            GridcodeError: They are of another model or damaged, or the image is too large.
        """
        stream = parse_stream(data, name)
        image, rate = self._image(stream, max_pixels), self._rate(stream)
        return rate.decode(stream, image)

    def _rate(self, stream: Bitstream) -> Rate:
        """The one whose tokenizer made the stream."""
        mine = {rate.tokenizer.weights_hash(): rate for rate in self.rates}
        if stream.header.model not in mine:
            raise GridcodeError(
                f"{stream.name} was made by tokenizer {stream.header.model}, this one is {' or '.join(mine)}; give the "
                "model it was made by"
            )
        return mine[stream.header.model]

    @staticmethod
    def _image(stream: Bitstream, max_pixels: int | None) -> ImageSize:
        """What a stream says of its image, if it is not too large."""
        image, limit = stream.header.image, MAX_PIXELS if max_pixels is None else max_pixels
        if image is None:
            what = "a sound" if stream.header.sound else "the tokens of a token store"
            raise GridcodeError(f"{stream.name} holds {what}, not an image")
        if (count := image.height * image.width) > limit:
            raise GridcodeError(
                f"{stream.name}: too many pixels ({count}, and the limit is {limit}); set data.max_pixels={count}"
            )
        return image
