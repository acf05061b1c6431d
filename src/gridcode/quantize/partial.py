"""Quantizing only part of the latents: padded sequences, and quantizer dropout.

**Padding** is left out of codes, losses, codebooks and counts. A masked place has code 0 and index -1, and nothing is
learned from it or counted; whatever stands there, NaN too, is ignored. Code 0 is a valid code of many codebooks,
so decoding needs the mask as well.

Quantizers that keep nothing of the latents (the FSQ ones) see zeros in masked places, so that a choice which they make
for each sample, such as dither or stage dropout, stays one for each sample. For the others, whose losses and codebooks
would learn from those zeros, the real places are gathered, quantized as one list of vectors, and put back.

**Quantizer dropout**: in training some samples pass unquantized, so that decoder and encoder also meet without
rounding.

Reference: Défossez et al. 2024 (Moshi, arXiv 2410.00037), section 3.3.1, which quantizes half of the sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.fsq.residual import ResidualFSQ
from gridcode.quantize.latents import channel_place, sample_shape
from gridcode.quantize.radix import values_visible


def quantize_masked(quantizer: Quantizer, latents: Tensor, mask: Tensor) -> Quantized:
    """Quantize the real places of padded latents.

    Args:
        quantizer: Any. Only the FSQ ones can be traced here with ``fullgraph=True``: a list of real places has no
            fixed length.
        latents: As it takes them, with d channels in its channel dimension.
        mask: bool, True where a place is real: the latents' shape without the channels, or what broadcasts to it.

    Returns:
        Codes in the latents' shape, 0 in masked places; indices, -1 there; the loss of the real places. No gradient
        reaches masked latents.

    Raises:
        GridcodeError: The mask is not bool or of another shape, or the quantizer refuses the latents.

    >>> from gridcode.quantize.fsq.quantizer import FSQ
    >>> out = quantize_masked(FSQ([8, 5]), torch.full((1, 2, 2), 0.3), torch.tensor([[True, False]]))
    >>> out.indices
    tensor([[29, -1]])
    """
    place = channel_place(quantizer, latents.ndim)
    real = _spread(mask, latents.shape[:place] + latents.shape[place + 1 :], "latents")
    if isinstance(quantizer, FSQ | GroupedFSQ | ResidualFSQ):
        there = real.unsqueeze(place)
        out: Quantized = quantizer(torch.where(there, latents, 0.0))
        absent = ~real.reshape([*real.shape, *[1] * len(quantizer.index_shape)])
        codes, indices = torch.where(there, out.codes, 0.0), out.indices.masked_fill(absent, -1)
        return Quantized(codes=codes, indices=indices, loss=out.loss)
    vectors = latents.movedim(place, -1)
    flat, chosen = vectors.reshape(-1, quantizer.channels), (real.reshape(-1),)
    listed, channels = _as_list(quantizer, flat[chosen], latents.ndim)
    out = quantizer(listed)
    found = out.codes.movedim(channels, -1).reshape(-1, quantizer.channels)
    codes = torch.zeros_like(flat).index_put(chosen, found).reshape(vectors.shape)
    unseen = out.indices.new_full((len(flat), *quantizer.index_shape), -1)
    indices = unseen.index_put(chosen, out.indices.reshape([-1, *quantizer.index_shape]))
    shape = (*real.shape, *quantizer.index_shape)
    return Quantized(codes=codes.movedim(-1, place), indices=indices.reshape(shape), loss=out.loss)


def decode_masked(quantizer: Quantizer, indices: Tensor, mask: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The codes of indices, 0 in masked places.

    Args:
        quantizer: Any.
        indices: As :func:`quantize_masked` returns them; masked ones are ignored.
        mask: bool, True where a place is real: the indices' shape without the quantizer's ``index_shape``, or what
            broadcasts to it.
        dtype: A floating dtype for the codes.

    Raises:
        GridcodeError: The mask is not bool or of another shape, or a real place has no valid index.

    >>> from gridcode.quantize.fsq.quantizer import FSQ
    >>> decode_masked(FSQ([3, 5]), torch.tensor([0, -1]), torch.tensor([True, False]))
    tensor([[-1., -1.],
            [ 0.,  0.]])
    """
    trailing = len(quantizer.index_shape)
    if indices.ndim < trailing:
        raise GridcodeError(
            f"decode_masked: indices of shape {tuple(indices.shape)} do not end in the {trailing} dimension of several "
            "indices a vector; give them as quantize_masked returned them"
        )
    places = indices.ndim - trailing
    real = _spread(mask, indices.shape[:places], "indices")
    there = real.reshape([*real.shape, *[1] * trailing])
    if values_visible(indices):
        absent = indices == -1
        lost = real & (absent.flatten(places).all(-1) if trailing else absent)
        if lost.any():
            raise GridcodeError(
                f"decode_masked: {int(lost.sum())} of {int(real.sum())} real places have the index -1, which is a "
                "masked place's; give the mask that they were quantized with"
            )
    codes = quantizer.indices_to_codes(indices.masked_fill(~there, 0), dtype=dtype)
    return torch.where(real.unsqueeze(channel_place(quantizer, places + 1)), codes, 0.0)


def _as_list(quantizer: Quantizer, vectors: Tensor, rank: int) -> tuple[Tensor, int]:
    """Vectors (n, d) as latents whose rank has the quantizer's channel dimension, and that dimension."""
    rank = max(rank, 2)
    channels = channel_place(quantizer, rank)
    shape = [vectors.shape[0], *[1] * (rank - 2), vectors.shape[1]]
    return vectors.reshape(shape).movedim(-1, channels), channels


def _spread(mask: Tensor, shape: torch.Size, what: str) -> Tensor:
    """The mask in the shape of the places."""
    fits = mask.ndim <= len(shape) and all(
        size in (1, full) for size, full in zip(reversed(mask.shape), reversed(shape), strict=False)
    )
    if mask.dtype != torch.bool or not fits:
        raise GridcodeError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}; give bool of shape {tuple(shape)}, one for each place "
            f"of the {what}"
        )
    return mask.expand(shape)


def quantize_with_dropout(
    quantizer: Quantizer, latents: Tensor, rate: float, *, generator: torch.Generator | None = None
) -> Quantized:
    """Quantize latents; in training, leave each sample with probability ``rate`` as it was before rounding.

    Args:
        quantizer: Any; in evaluation mode this is a plain call of it.
        latents: As it takes them; samples lie along the first dimension that does not hold the channels.
        rate: In [0, 1].
        generator: Where the choice comes from; PyTorch's global numbers by default.

    Returns:
        Codes, in passed samples ``quantizer.relax(latents)`` with its gradient; the indices and the loss of the
        quantized latents.

    Raises:
        GridcodeError: The rate is no probability, or the quantizer refuses the latents.

    >>> from gridcode.quantize.fsq.quantizer import FSQ
    >>> quantizer, z = FSQ([8, 5]).train(), torch.zeros(3, 2)
    >>> torch.equal(quantize_with_dropout(quantizer, z, 1.0).codes, quantizer.relax(z))
    True
    """
    if not 0 <= rate <= 1:
        raise GridcodeError(f"quantizer dropout: the rate is {rate!r}; give a probability in [0, 1]")
    out: Quantized = quantizer(latents)
    if not (quantizer.training and rate):
        return out
    shape = sample_shape(latents.shape, channel_place(quantizer, latents.ndim))
    source = latents.device if generator is None else generator.device
    passed = (torch.rand(shape, generator=generator, device=source) < rate).to(latents.device)
    codes = torch.where(passed, quantizer.relax(latents).to(out.codes.dtype), out.codes)
    return Quantized(codes=codes, indices=out.indices, loss=out.loss)
