"""One rate of a codec: a tokenizer, and perhaps a prior, that turn an image into a stream of bytes and back.

    image --tiles--> tokens (h, w) --coder--> bytes
    bytes --coder--> the same tokens --tiles--> image

The tokens come back exactly, or there is an error (:mod:`gridcode.prior.coding.grid`); the decoder's pixels are the
same up to the rounding of its floats, a step of 1/255 here and there between machines. Loss is the tokenizer's alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from gridcode.codec.bitstream import Bitstream, Coder, ImageSize
from gridcode.data.crop import to_channels
from gridcode.domains.image.architectures import ImageArchitecture
from gridcode.domains.image.tiles import decode_tiles, encode_image
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.coding.grid import GridCoder
from gridcode.tokenizer.model import Tokenizer

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Rate:
    """A tokenizer, and perhaps a prior, of a codec.

    Attributes:
        tokenizer: Of images, in evaluation mode.
        prior: Of its tokens; it makes the files smaller, and takes more time than all else.
        coder: What codes the tokens.

    Raises:
        GridcodeError: The prior is of other tokens, or the tokenizer not of images.

    >>> from gridcode.domains.image import TokenizerConfig
    >>> rate = Rate(Tokenizer(TokenizerConfig(widths=(8, 16))).eval())  # two pixels per token, 1000 codes
    >>> f"{rate.bits_per_pixel:.3f}", rate.grid(5, 9)
    ('2.491', (3, 5))
    """

    tokenizer: Tokenizer
    prior: Prior | None = None
    coder: GridCoder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse tokenizers of something else, and a prior of other tokens."""
        if not isinstance(self.tokenizer.config, ImageArchitecture):
            raise GridcodeError(f"this is a tokenizer of kind {self.tokenizer.domain.name!r}; give one of images")
        coder = GridCoder(self.tokenizer.weights_hash(), self.tokenizer.codebook_size, self.prior)
        object.__setattr__(self, "coder", coder)

    @property
    def bits_per_pixel(self) -> float:
        """Of its tokens as they are, before they are coded."""
        places = math.prod(self.tokenizer.quantizer.index_shape) / int(self.tokenizer.config.downsampling) ** 2
        return places * math.log2(self.tokenizer.codebook_size)

    def encode(self, image: Pixels, coder: Coder | None = None) -> bytes:
        """An image as a stream.

        Args:
            image: uint8, (H, W, 3) in RGB or (H, W, 1) in grey, of any size.
            coder: As for :meth:`gridcode.Codec.compress`.

        Raises:
            GridcodeError: The coder cannot be used.
        """
        coder = coder or self.coder.best
        height, width, channels = image.shape
        pixels = to_channels(image, self.tokenizer.config.channels)
        tokens = encode_image(self.tokenizer, pixels, self.grid(height, width, coder)).numpy()
        return self.coder.encode(tokens, coder, image=ImageSize(height, width, channels))

    def grid(self, height: int, width: int, coder: Coder = "raw") -> tuple[int, int]:
        """The tokens (h, w) that cover an image of so many pixels; for a prior, at least as many as its own grid's."""
        f = self.tokenizer.config.downsampling
        h, w = self.coder.covering((-(-height // f), -(-width // f)), coder)
        return h, max(w, 2 if h == 1 else 1)  # a normalisation over a single place would have nothing to go by

    def decode(self, stream: Bitstream, image: ImageSize) -> Pixels:
        """The image of a stream that is this rate's.

        Returns:
            uint8, (H, W, 3) in RGB or (H, W, 1) in grey.

        Raises:
            GridcodeError: It was coded by another prior, or is damaged.
        """
        self.coder.check(stream)
        coder = stream.header.coder
        grid = (*self.grid(image.height, image.width, coder), *self.tokenizer.quantizer.index_shape)
        tokens = torch.from_numpy(self.coder.decode(stream, grid))
        pixels = decode_tiles(self.tokenizer, tokens, image.height, image.width)
        return to_channels(pixels, image.channels)
