"""Padded sequences: quantize what is there, and leave the padding out of codes, losses, books and counts.

Real places are gathered, quantized as one list of vectors, and put back. A masked place has code 0 and index -1, and
nothing is learned from it or counted; whatever stands there, NaN too, is not looked at. Code 0 is a valid code of many
books, so decoding needs the mask as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.latents import channel_place


def quantize_masked(quantizer: Quantizer, latents: Tensor, mask: Tensor) -> Quantized:
    """Quantize the real places of padded latents.

    Args:
        quantizer: Any.
        latents: As it takes them, with d channels in its channel dimension.
        mask: bool, True where a place is real: the latents' shape without the channels.

    Returns:
        Codes in the latents' shape, 0 in masked places; indices, -1 there; the loss of the real places.

    Raises:
        GridcodeError: The mask is not bool or of another shape, or the quantizer refuses the latents.

    >>> from gridcode.quantize.fsq import FSQ
    >>> out = quantize_masked(FSQ([8, 5]), torch.full((1, 2, 2), 0.3), torch.tensor([[True, False]]))
    >>> out.indices
    tensor([[29, -1]])
    """
    place = channel_place(quantizer, latents.ndim)
    vectors = latents.movedim(place, -1)
    _check(mask, vectors.shape[:-1], "latents")
    real = vectors[mask]
    out: Quantized = quantizer(_as_list(quantizer, real))
    codes = vectors.new_zeros(vectors.shape)
    codes = codes.index_put((mask,), out.codes.movedim(channel_place(quantizer, 2), -1))
    indices = mask.new_full((*mask.shape, *quantizer.index_shape), -1, dtype=torch.int64)
    indices[mask] = out.indices
    return Quantized(codes=codes.movedim(-1, place), indices=indices, loss=out.loss)


def decode_masked(quantizer: Quantizer, indices: Tensor, mask: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The codes of indices, 0 in masked places.

    Args:
        quantizer: Any.
        indices: As :func:`quantize_masked` returns them; masked ones are not looked at.
        mask: bool, True where a place is real: the indices' shape without the quantizer's ``index_shape``.
        dtype: A floating dtype for the codes.

    Raises:
        GridcodeError: The mask is not bool or of another shape, or a real place has no valid index.
    """
    trailing = len(quantizer.index_shape)
    _check(mask, indices.shape[: indices.ndim - trailing], "indices")
    place = channel_place(quantizer, mask.ndim + 1)
    real = quantizer.indices_to_codes(indices[mask], dtype=dtype).movedim(channel_place(quantizer, 2), -1)
    codes = torch.zeros((*mask.shape, quantizer.channels), dtype=dtype, device=indices.device)
    codes[mask] = real
    return codes.movedim(-1, place)


def _as_list(quantizer: Quantizer, vectors: Tensor) -> Tensor:
    """Vectors (n, d) as the quantizer takes two dimensions."""
    return vectors.movedim(-1, channel_place(quantizer, 2))


def _check(mask: Tensor, shape: torch.Size, what: str) -> None:
    if mask.dtype != torch.bool or mask.shape != shape:
        raise GridcodeError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}; give bool of shape {tuple(shape)}, one for each place "
            f"of the {what}"
        )
