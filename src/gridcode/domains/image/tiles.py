"""Images of any size through a tokenizer, tile by tile: the networks' memory does not grow with the image.

Beside it there are the image, its tokens and, in decoding, two rows of tiles.

Along each side the tiles have one size and overlap by ``overlap`` tokens at least:

    tile 1   |--------------------|
    tile 2                  |--------------------|
    tokens   1 1 1 1 1 1 1 1 1 1 1|2 2 2 2 2 2 2 2          encoder: up to the middle of the overlap
    pixels   1 1 1 1 1 1 1 1 1 1 x 2 2 2 2 2 2 2 2          decoder: one fades into the other around the middle

so no token is made without the pixels around it, and the decoder leaves no sharp edge between tiles. An image of one
tile at most goes through as a whole, as in training. What an image lacks to whole tokens is drawn out by its last
pixels.

Group normalisation looks at a whole tile, so tokens depend on where tiles lie: where a tokenizer is far from what it
learned, the tone of flat ground changes from tile to tile, and tiles are seen (LOG.md). With ``norm="channel"`` the
networks look at no pixel beyond their ``reach``. Tiles then overlap by twice that and do not fade; what is taken from
them is what the whole image would give, up to the rounding of floats: there are no seams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.tokenizer.model import Tokenizer

TILE, OVERLAP = 512, 64
"""Pixels of a tile, and of two tiles' overlap, at least."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Span:
    """A tile along one side, in tokens.

    Attributes:
        start: Its first token.
        length: Its tokens.
        first: The first token that is taken from it.
        end: The token after the last that is taken from it.
        fade: Half of the tokens over which it fades into its neighbours, which are centred at ``first`` and ``end``.
    """

    start: int
    length: int
    first: int
    end: int
    fade: int


def spans(length: int, *, tile: int, overlap: int, fade: int) -> list[Span]:
    """The tiles along a side.

    Args:
        length: Tokens of the side.
        tile: Tokens of a tile, more than three times the overlap.
        overlap: Tokens by which two tiles overlap, at least.
        fade: Half of the tokens over which two tiles fade into each other, at most half of the overlap.

    >>> [(span.start, span.first, span.end) for span in spans(20, tile=10, overlap=2, fade=1)]
    [(0, 0, 7), (5, 7, 12), (10, 12, 20)]
    """
    if length <= tile:
        return [Span(0, length, 0, length, 0)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = [index * (length - tile) // (count - 1) for index in range(count)]
    cuts = [0, *((before + tile + after) // 2 for before, after in pairwise(starts)), length]
    return [Span(starts[i], tile, cuts[i], cuts[i + 1], fade) for i in range(count)]


def _tiles(tokenizer: Tokenizer, length: int) -> list[Span]:
    """The tiles of the tokenizer along a side of so many tokens."""
    f, reach = tokenizer.config.downsampling, tokenizer.config.reach
    overlap = max(2, OVERLAP // f) if reach is None else 2 * -(-reach // f)
    fade = overlap // 2 if reach is None else 0
    return spans(length, tile=max(TILE // f, 4 * overlap), overlap=overlap, fade=fade)


def encode_image(tokenizer: Tokenizer, image: Pixels, grid: tuple[int, int]) -> Tensor:
    """The tokens of an image.

    Args:
        tokenizer: In evaluation mode.
        image: uint8, (H, W, C), of the tokenizer's channels.
        grid: (h, w) tokens, that cover it; what lies beyond its edges has the colours of its last pixels.

    Returns:
        (h, w, *index_shape) int64 in [0, K), on the CPU.
    """
    f, (h, w) = tokenizer.config.downsampling, grid
    found = torch.empty(h, w, *tokenizer.quantizer.index_shape, dtype=torch.int64)
    for rows in _tiles(tokenizer, h):
        for columns in _tiles(tokenizer, w):
            below = np.arange(rows.start * f, (rows.start + rows.length) * f).clip(max=image.shape[0] - 1)
            right = np.arange(columns.start * f, (columns.start + columns.length) * f).clip(max=image.shape[1] - 1)
            pixels = torch.from_numpy(image[below[:, None], right]).permute(2, 0, 1)[None]
            tokens = tokenizer.encode(pixels.to(tokenizer.device).float() / 127.5 - 1)[0].cpu()
            part = tokens[rows.first - rows.start : rows.end - rows.start]
            found[rows.first : rows.end, columns.first : columns.end] = part[
                :, columns.first - columns.start : columns.end - columns.start
            ]
    return found


def decode_tiles(tokenizer: Tokenizer, tokens: Tensor, height: int, width: int) -> Pixels:
    """The image of tokens.

    Args:
        tokenizer: In evaluation mode.
        tokens: (h, w, *index_shape) int64 in [0, K).
        height: Pixels to keep, from the top.
        width: Pixels to keep, from the left.

    Returns:
        uint8, (height, width, C).
    """
    found = np.empty((height, width, tokenizer.config.channels), np.uint8)
    for top, strip in _strips(tokenizer, tokens, width):
        rows = strip[: max(0, height - top)]
        found[top : top + len(rows)] = ((rows + 1) * 127.5).clip(0, 255).round().astype(np.uint8)
    return found


def _strips(tokenizer: Tokenizer, tokens: Tensor, width: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Finished rows of the image with their place; two rows of tiles are in memory at a time."""
    f, channels = tokenizer.config.downsampling, tokenizer.config.channels
    carried = np.empty((0, width, channels), np.float32)
    for rows in _tiles(tokenizer, tokens.shape[0]):
        low, high, weights = _window(rows, tokens.shape[0], f)
        strip = np.zeros((high - low, width, channels), np.float32)
        for columns in _tiles(tokenizer, tokens.shape[1]):
            left, right, ramp = _window(columns, tokens.shape[1], f)
            part = tokens[rows.start : rows.start + rows.length, columns.start : columns.start + columns.length]
            pixels = tokenizer.decode(part[None].to(tokenizer.device))[0].float().cpu().permute(1, 2, 0).numpy()
            pixels = pixels[low - rows.start * f : high - rows.start * f]
            pixels = pixels[:, left - columns.start * f : right - columns.start * f] * ramp[:, None]
            strip[:, left:right] += pixels[:, : max(0, width - left)]
        strip *= weights[:, None, None]
        strip[: len(carried)] += carried
        faded = 2 * rows.fade * f if rows.end < tokens.shape[0] else 0
        carried = strip[len(strip) - faded :]
        yield low, strip[: len(strip) - faded]


def _window(span: Span, length: int, f: int) -> tuple[int, int, NDArray[np.float32]]:
    """The pixels that a tile gives, from one to the one after the last, and how much each of them counts."""
    first, last = span.first > 0, span.end < length
    low, high = (span.first - span.fade * first) * f, (span.end + span.fade * last) * f
    weights = np.ones(high - low, np.float32)
    ramp = (np.arange(2 * span.fade * f, dtype=np.float32) + 0.5) / max(1, 2 * span.fade * f)
    if first:
        weights[: len(ramp)] = ramp
    if last:
        weights[len(weights) - len(ramp) :] = ramp[::-1]
    return low, high, weights
